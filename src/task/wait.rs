//! Waiting for one task's end, as whoever awaits it does.
//!
//! Whoever waits has a place in the task's list, and a note in the scope that it stands in, so that
//! a request goes on to the awaited task and what becomes of it comes back (CAN-17).
//! Models: `loom-tests/join.rs`, `loom-tests/cancel.rs`.

use std::task::{Context, Poll, Waker};

use crate::error::{Error, Result};
use crate::probe::{self, Kept};
use crate::task::current;
use crate::task::earliest::Who;
use crate::task::hooks;
use crate::task::notes::Note;
use crate::task::raw::TaskRef;

/// A place among those who wait for a task's end.
#[derive(Debug, Default)]
pub(super) struct Wait {
    place: Option<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The one before the list.
    First,
    Listed(u64),
}

impl Wait {
    /// Waits for the end; `Err`: the task waits for itself.
    pub(super) fn poll(&mut self, task: &TaskRef, context: &Context<'_>) -> Poll<Result<()>> {
        let carried = match current::with(|current| {
            (!current.is(task)).then(|| current.claim(task.address()))
        }) {
            Some(None) => return Poll::Ready(Err(Error::msg("a task cannot await itself"))),
            Some(Some(carried)) => carried,
            None => Default::default(),
        };
        if !task.header().state.is_done() && self.register(task, context.waker()) {
            let note = || Note::One(task.clone(), carried);
            current::with(|current| current.note(note(), context.waker()));
            return Poll::Pending;
        }
        self.place = None;
        if carried.any() {
            current::with(|current| current.arrived(carried));
            if task.is_cancelled() {
                // It is our own request that comes back: the awaiter is unwound, and sees no `Err`.
                let message = task.error().and_then(Error::into_message);
                current::with(|current| current.unwind(message, context.waker()));
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Registers the waker, or puts it in the place of the former one. False: the task is done.
    fn register(&mut self, task: &TaskRef, waker: &Waker) -> bool {
        let header = task.header();
        if let Some(place) = self.place {
            if !header.state.lock_unless_done() {
                return false;
            }
            let same = kept(task, place, |kept| kept.will_wake(waker));
            header.state.unlock();
            if same {
                return true;
            }
        }
        let mut new = Kept::of(waker);
        if !header.state.lock_unless_done() {
            return false;
        }
        match self.place {
            Some(place) => {
                kept(task, place, |kept| std::mem::swap(kept, &mut *new));
                header.state.unlock();
            }
            None => {
                self.place = Some(add(task, new.into_waker()));
                header.state.unlock_waited();
            }
        }
        true
    }

    /// Stops waiting.
    #[inline]
    pub(super) fn leave(&mut self, task: &TaskRef) {
        if let Some(place) = self.place.take() {
            leave_place(task, place);
        }
    }
}

#[inline(never)]
fn leave_place(task: &TaskRef, place: Place) {
    if !task.header().state.lock_unless_done() {
        return;
    }
    let waker = remove(task, place);
    task.header().state.unlock();
    // A request that went to the task through this future must come back to whoever waited:
    // if that is not the task that drops it now, it is woken to find out, and what goes on
    // through waits of the one who drops it is none of this future's.
    let Some(waker) = waker else { return };
    let own = current::with(|current| {
        if current.is_through(&waker) {
            current.withdraw(task.address());
        }
        current.is_own(&waker)
    });
    if !own.unwrap_or(false) {
        probe::wake(waker);
    }
}

/// Puts a waker among those who wait. Under the short lock.
fn add(task: &TaskRef, waker: Waker) -> Place {
    let first = task.header().with_waiter(|first, cold| {
        if !hooks::is_free(first, cold.as_deref()) {
            return Err(waker);
        }
        first.put(Who::Waiter(waker));
        Ok(Place::First)
    });
    first.unwrap_or_else(|waker| {
        Place::Listed(task.header().with_cold(|cold, _| cold.hooks.add_waiter(waker)))
    })
}

/// Looks at the waker that was put there. Under the short lock, before the task is done.
fn kept<R>(task: &TaskRef, place: Place, look: impl FnOnce(&mut Waker) -> R) -> R {
    task.header().with_waiter(|first, cold| {
        let seen = match place {
            Place::First => first.with_waker(look),
            Place::Listed(key) => cold.and_then(|cold| cold.hooks.waiter(key)).map(look),
        };
        seen.expect("whoever waits for a task has a place until its end")
    })
}

/// Takes a waker away. Under the short lock.
fn remove(task: &TaskRef, place: Place) -> Option<Waker> {
    task.header().with_waiter(|first, cold| match place {
        Place::First => first.take_waker(),
        Place::Listed(key) => cold.and_then(|cold| cold.hooks.remove_waiter(key)),
    })
}
