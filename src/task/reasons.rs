//! What tasks wait for that is no task: a lock, an item, an event.
//!
//! It is noted only while a simulation runs on this thread, for its reports, and only by those
//! who have to wait. A task's notes are those of its last poll.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;

use crate::sys::thread_local;
use crate::task::current;

/// What a future waits for, and where in the source that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reason {
    what: &'static str,
    at: Option<&'static Location<'static>>,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{} at {at}", self.what),
            None => f.write_str(self.what),
        }
    }
}

thread_local! {
    static NOTING: Cell<bool> = const { Cell::new(false) };
    static NOTES: RefCell<BTreeMap<u64, Vec<Reason>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Notes what the task that is being polled goes to wait for, if anybody wants to know.
#[inline]
pub(crate) fn note(what: &'static str, at: &'static Location<'static>) {
    if NOTING.with(Cell::get) {
        keep(Reason { what, at: Some(at) });
    }
}

/// As [`note`], where nobody knows at which place it was asked for.
#[inline]
pub(crate) fn note_somewhere(what: &'static str) {
    if NOTING.with(Cell::get) {
        keep(Reason { what, at: None });
    }
}

/// A thread that ends has no notes any more; a simulation in a destructor there goes without.
fn notes<R: Default>(act: impl FnOnce(&mut BTreeMap<u64, Vec<Reason>>) -> R) -> R {
    NOTES.try_with(|notes| act(&mut notes.borrow_mut())).unwrap_or_default()
}

#[cold]
fn keep(reason: Reason) {
    if let Some(task) = current::with(|current| current.header().id()) {
        notes(|notes| notes.entry(task).or_default().push(reason));
    }
}

/// A task is polled again: what it waited for is over.
pub(crate) fn forget(task: u64) {
    notes(|notes| notes.remove(&task));
}

/// What a task waits for, as far as is known.
pub(crate) fn of(task: u64) -> Vec<Reason> {
    notes(|notes| notes.get(&task).cloned().unwrap_or_default())
}

/// Does a simulation run on this thread? Then nothing in it goes on while the thread is blocked.
pub(crate) fn is_simulating() -> bool {
    NOTING.with(Cell::get)
}

/// While it lives, reasons are noted on this thread. A closure of a simulation may run another one.
#[derive(Debug)]
pub(crate) struct Noting {
    outer: bool,
    outer_notes: BTreeMap<u64, Vec<Reason>>,
}

impl Noting {
    pub(crate) fn begin() -> Self {
        Noting {
            outer: NOTING.with(|noting| noting.replace(true)),
            outer_notes: notes(std::mem::take),
        }
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        NOTING.with(|noting| noting.set(self.outer));
        notes(|notes| std::mem::swap(notes, &mut self.outer_notes));
    }
}
