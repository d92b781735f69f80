//! The machine: what belongs to it, and which one it is: real; modelled, for the models of the
//! house; or checked, for the models of those who use it.
//!
//! Every atomic, lock, cell, thread and queue of the house comes from here, so that the same
//! source runs on the real machine and inside loom. Rooms import by name, never by glob, and never
//! from `std::sync`, `std::thread` or crossbeam.
//!
//! `SeqCst` appears only inside `fence(..)`: the model knows sequentially consistent fences, not
//! sequentially consistent loads and stores.

#[cfg(not(unix))]
compile_error!("filch needs a Unix: elsewhere there is no poller that reports by edges");
#[cfg(not(target_has_atomic = "64"))]
compile_error!("filch needs atomics of 64 bits: a task's state is one word of that length");

#[cfg(any(test, not(loom)))]
pub(crate) mod brief;
pub(crate) mod interned;
#[cfg_attr(not(loom), path = "real.rs")]
#[cfg_attr(all(loom, test), path = "model.rs")]
#[cfg_attr(all(loom, not(test)), path = "checked.rs")]
mod machine;
mod patience;

#[cfg(any(loom, miri))]
pub(crate) mod deque;
#[cfg(not(any(loom, miri)))]
pub(crate) use machine::deque;

#[cfg(not(loom))]
pub(crate) use brief::{Brief, BriefGuard};
pub(crate) use machine::*;
pub(crate) use patience::Patience;
/// What users share of ours, and hand in: methods take no other one as `self`. Not modelled.
pub(crate) use std::sync::Arc as PublicArc;
