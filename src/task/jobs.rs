//! Done-callbacks run between polls: one after the other, never inside a poll or another callback.
//!
//! So no callback sees a current task (INTRO-01), and callbacks that finish tasks whose callbacks
//! finish tasks take no stack (MOD-11).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::sys::thread_local;
use crate::task::{Job, current};

thread_local! {
    /// What waits until this thread is free to run it.
    static WAITING: RefCell<VecDeque<Job>> = const { RefCell::new(VecDeque::new()) };
    /// This thread runs jobs.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
    /// This thread is a worker's.
    static WORKING: Cell<bool> = const { Cell::new(false) };
}

/// Runs a job on this thread: at once, or when the poll or the job that it is in is over.
pub(crate) fn run(job: Job) {
    let waits = is_running() || current::hold_jobs();
    let now = if waits { hold(job) } else { Some(job) };
    if let Some(job) = now {
        run_from(job);
    }
}

/// Has a job wait. Gives it back if the thread is about to end, and keeps nothing any more.
fn hold(job: Job) -> Option<Job> {
    let mut job = Some(job);
    let _ = WAITING.try_with(|waiting| waiting.borrow_mut().extend(job.take()));
    job
}

/// Does this thread run a job?
fn is_running() -> bool {
    RUNNING.with(Cell::get)
}

/// Is this thread a worker's, or inside a poll or a callback, so that others wait for it, and
/// perhaps what it would wait for, too?
pub(crate) fn must_not_block() -> bool {
    current::is_polling() || is_running() || WORKING.with(Cell::get)
}

/// Panics where a thread [must not block](must_not_block).
#[track_caller]
pub(crate) fn refuse_to_block(what: &str, instead: &str) {
    assert!(
        !must_not_block(),
        "{what} inside a task or a callback would block its worker: {instead}"
    );
}

/// While it lives, this thread is a worker's.
#[derive(Debug)]
pub(crate) struct Working {
    before: bool,
}

impl Working {
    pub(crate) fn begin() -> Self {
        Working { before: WORKING.with(|working| working.replace(true)) }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        WORKING.with(|working| working.set(self.before));
    }
}

/// The poll that [held](current::hold_jobs) jobs is over; perhaps another is not, around it.
#[cold]
pub(crate) fn run_held() {
    if is_running() || current::hold_jobs() {
        return;
    }
    if let Some(job) = next() {
        run_from(job);
    }
}

fn next() -> Option<Job> {
    WAITING.try_with(|waiting| waiting.borrow_mut().pop_front()).ok().flatten()
}

fn run_from(first: Job) {
    let _running = Running::begin();
    first();
    while let Some(job) = next() {
        job();
    }
}

/// While it lives, this thread runs jobs.
struct Running {
    before: bool,
}

impl Running {
    fn begin() -> Self {
        Running { before: RUNNING.with(|running| running.replace(true)) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.with(|running| running.set(self.before));
    }
}
