//! Waiting on a plain thread.

use crate::sys;
use crate::task::current;

/// Blocks this thread until `future` is ready.
///
/// # Panics
/// Inside a task, whose worker it would block.
#[track_caller]
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    assert!(!current::is_polling(), "a task cannot block its worker: use the form to be awaited");
    sys::block_on(future)
}
