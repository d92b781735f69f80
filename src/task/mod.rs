//! The story of one task, from its spawn to its last reference.
//!
//! A task is one allocation (`raw`) with one state word (`state`). It is made with a right to poll
//! it, a [`Runnable`], which goes to a queue through its home's [`Schedule`]; somebody runs it, and
//! it either ends (`ends`), sleeps until its waker (`waker`) makes a new right, or is queued again
//! at once. While it is polled (`poll`), `current` knows it, and `present` what stands inside it:
//! a `chain`, of which there is nothing to say, or `scopes`; in between that is one word
//! (`standing`). `debts` says who of them is owed a request, and `notes` whom it awaits: one task,
//! or `several` as one. A request to end comes in through `cancel`, perhaps from a group of which
//! the task is one of the `children` (`members`), and is delivered by `unwind`, or to a group's
//! scope by `grouped`. Handles (`handle`) wait for its end, as whoever stands in its list (`hooks`,
//! `earliest`), and the first look at the error belongs to them. Its memory comes from its home
//! (`memory`), where also all live tasks are found (`live`); what it has in common with others that
//! are spawned there stands elsewhere (`templates`). Its context variables travel with it (`vars`).
//! What goes wrong and nobody waits for is reported (`report`).

pub(crate) mod answers;
pub(crate) mod cancel;
mod chain;
pub(crate) mod children;
pub(crate) mod current;
mod debts;
mod earliest;
mod edges;
mod ends;
mod freelist;
pub(crate) mod grouped;
pub(crate) mod handle;
pub(crate) mod hooks;
pub(crate) mod jobs;
pub(crate) mod live;
pub(crate) mod members;
pub(crate) mod memory;
pub(crate) mod notes;
mod owner;
pub(crate) mod poll;
mod present;
pub(crate) mod raw;
pub(crate) mod reasons;
pub(crate) mod report;
pub(crate) mod scopes;
pub(crate) mod several;
mod standing;
pub(crate) mod state;
mod templates;
pub(crate) mod unpolled;
pub(crate) mod unwind;
pub(crate) mod vars;
mod wait;
pub(crate) mod waker;

use std::ops::Range;

use crate::sys::take_numbers;
use crate::task::hooks::Callback;

pub(crate) use poll::Runnable;

/// A done-callback, ready to run.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Why a task is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Somebody woke it, or it is new.
    Woken,
    /// The task that it awaited has ended. What it awaits next may well be ready behind it, too.
    Ended,
    /// It woke itself while it was polled: it goes behind everything that is ready.
    Yielded,
}

/// Where the tasks of a home go when they are woken.
pub(crate) trait Schedule: Send + Sync {
    /// Queues a task. From any thread.
    fn schedule(&self, task: Runnable, why: Why);

    /// Runs a done-callback between two polls: on this thread as soon as [it is free](jobs::run),
    /// in a simulation behind what is ready.
    fn job(&self, job: Job);

    /// Tells a listener that comes when its task has ended. As for a callback, but it is told also
    /// where callbacks are called no more.
    fn tell_late(&self, job: Job) {
        self.job(job);
    }

    /// A done-callback is registered: gives what is to be called instead, where whoever registered
    /// it may be gone by then.
    fn own(&self, callback: Callback) -> Callback {
        callback
    }

    /// What the runtime does about reports; `None`: they go to `tracing`.
    fn settings(&self) -> Option<&report::Settings> {
        None
    }

    /// Do all tasks run on one thread, and all jobs in the order in which they came?
    fn is_single(&self) -> bool {
        false
    }

    /// Are the library's listeners queued like callbacks, as asyncio does it? Else whoever ends the
    /// task calls them.
    fn queues_listeners(&self) -> bool {
        false
    }

    /// Draws the numbers of the next tasks of a home: a block at a time, so that homes meet rarely.
    fn numbers(&self) -> Range<u64> {
        draw_numbers()
    }
}

/// Takes a block of task numbers from the process.
pub(crate) fn draw_numbers() -> Range<u64> {
    let first = take_numbers(NUMBERS);
    first..first + NUMBERS
}

/// Task numbers that a home takes from the process at once.
const NUMBERS: u64 = 256;
