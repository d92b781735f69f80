//! Ctrl-C as a call: made by a thread of its own, so that it comes also when all workers are busy.

#[cfg_attr(not(unix), path = "none.rs")]
mod unix;

pub(crate) use unix::Interrupts;
