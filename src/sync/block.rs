//! Waiting on a plain thread.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::sys;
use crate::task::{current, reasons};

/// Blocks this thread until `future` is ready.
///
/// # Panics
/// Inside a task, whose worker it would block; where a simulation runs on this thread, if it would
/// have to wait.
#[track_caller]
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    assert!(!current::is_polling(), "a task cannot block its worker: use the form to be awaited");
    if reasons::is_simulating() { at_once(future) } else { sys::block_on(future) }
}

/// What `future` gives without waiting: nobody could wake the thread of a simulation.
#[track_caller]
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!(
            "a simulation runs on this thread, and nothing goes on in it while it is blocked: \
             await this in a task"
        ),
    }
}
