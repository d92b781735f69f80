//! Waiting on a plain thread.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::sys;
use crate::task::{jobs, reasons};

/// Blocks this thread until `future` is ready.
///
/// # Panics
/// Inside a task or a callback, whose worker it would block; where a simulation runs on this
/// thread, if it would have to wait.
#[track_caller]
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    jobs::refuse_to_block("this", "use the form to be awaited");
    if reasons::is_simulating() { at_once(future) } else { sys::block_on(future) }
}

/// What `future` gives without waiting: nothing goes on in a simulation whose thread is blocked.
/// That somebody outside of it would come is more than anybody here can know.
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
