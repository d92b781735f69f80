//! The upper half of the state word: how many hold the task.
//!
//! The runtime holds one from the spawn until the task has ended and all who wait have been told,
//! its handle one, each waker and each [`TaskRef`](crate::TaskRef) one. Whoever releases the last
//! one frees the cell.

use super::{DONE, HANDLE, MOST_REFS, REF, State};
use crate::sys::Ordering;

impl State {
    pub(crate) fn add_ref(&self) {
        let before = self.0.fetch_add(REF, Ordering::Relaxed);
        if before >> 32 >= MOST_REFS {
            std::process::abort();
        }
    }

    /// Takes a reference to an unfinished task that is found by walking the cells.
    pub(crate) fn try_ref(&self) -> bool {
        self.step(|now| match now >= REF && now & DONE == 0 {
            true => (Some(now + REF), true),
            false => (None, false),
        })
    }

    pub(crate) fn has_handle(&self) -> bool {
        self.load() & HANDLE != 0
    }

    /// Releases a reference. True: it was the last, free the cell. Who holds the last one to a task
    /// that has ended is alone with it, and need not change the word.
    #[must_use]
    #[inline]
    pub(crate) fn release(&self) -> bool {
        let now = self.0.load(Ordering::Acquire);
        if now >> 32 == 1 && now & DONE != 0 {
            return true;
        }
        self.0.fetch_sub(REF, Ordering::AcqRel) >> 32 == 1
    }

    /// The handle of an unfinished task goes. `None`: the task is done, so the value is the
    /// handle's to drop first. `Some(true)`: free the cell.
    #[must_use]
    pub(crate) fn drop_handle(&self) -> Option<bool> {
        self.step(|now| match now & DONE {
            0 => (Some((now & !HANDLE) - REF), Some(now >> 32 == 1)),
            _ => (None, None),
        })
    }
}
