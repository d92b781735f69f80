//! A task that nobody polls: it ends when it is told to, at once. What a promise is made of.
//!
//! It is a task to everybody who waits for it, asks it to end or is called back, so all that is
//! told of tasks holds: the chain of awaits goes through it, its error is reported if nobody looks.
//! Its home queues nothing: a request that arrives ends it on the spot.
//!
//! Whoever ends it holds the short lock from the look whether it still can until the word says
//! DONE, so of two that try, the later one finds it done.
//! Model: `loom-tests/promise.rs`.

use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::{Error, Promised};
use crate::sys::Patience;
use crate::task::Runnable;
use crate::task::answers::Ending;
use crate::task::ends::{finish_aloud, take_message};
use crate::task::memory::Home;
use crate::task::raw::{self, First, TaskRef};

/// Stands where tasks have their future.
struct Nothing;

impl Future for Nothing {
    type Output = Promised;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Promised> {
        unreachable!("nobody polls it")
    }
}

/// Makes a task that nobody polls. Its home [ends](Runnable::end_cancelled) what it is given.
pub(crate) fn new(home: &Home, location: &'static Location<'static>) -> TaskRef {
    // SAFETY: there is nothing in it.
    let (_never_run, task) = unsafe { raw::new(home, Nothing, location, First::Never) };
    task
}

impl TaskRef {
    /// Ends a task that nobody polls; `put` stores what belongs to the end, in a few stores.
    /// False: it has ended already, `put` was not called.
    pub(crate) fn settle(&self, ending: Ending, error: Option<Error>, put: impl FnOnce()) -> bool {
        let header = self.header();
        if !header.state.lock_idle() {
            // Whoever ends it is about to say so.
            let mut patience = Patience::new();
            while !header.state.is_done() {
                patience.wait();
            }
            return false;
        }
        put();
        if let Some(error) = error.clone() {
            header.with_cold(|cold, _| cold.error = Some(error));
        }
        let completed = header.state.settle(ending);
        finish_aloud(self, completed, ending, error.as_ref());
        true
    }

    /// Nobody can end it any more: it ends cancelled, if it has not ended yet.
    pub(crate) fn abandon(&self) {
        self.settle(Ending::Cancelled, None, || ());
    }
}

impl Runnable {
    /// Ends a task that nobody polls, because it was asked to end.
    pub(crate) fn end_cancelled(self) {
        // SAFETY: a queued task is alive: the runtime's reference goes only when it is done.
        let task = unsafe { TaskRef::from_header(self.0) };
        let header = task.header();
        let start = header.state.start_poll();
        if let Some(message) = start.message.then(|| take_message(header)).flatten() {
            header.state.lock();
            header.with_cold(|cold, _| cold.error = Some(Error::cancelled(Some(message))));
            header.state.unlock();
        }
        let completed = header.state.complete(Ending::Cancelled, false);
        let completed = completed.expect("only a value may come too late");
        finish_aloud(&task, completed, Ending::Cancelled, None);
    }
}
