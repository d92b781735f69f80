//! The end: close, cancel, drain, stop, join, empty; in this order.
//!
//! ~~~text
//! runtime                             scheduler
//! close()                             lets no new task in; who is inside a spawn comes out
//! cancel every task, wait for them    the workers run their clean-up
//! progress(), later stuck_since(..)   whose poll does not return, for the log
//! stop()                              each worker leaves its loop after the poll it is in
//! join the threads
//! kill_leftovers()                    what still stands in a queue
//! end(), kill_leftovers()             who queues a task from now on has to kill it himself
//! ~~~
//! Invariant: a task that is let in is there when `close` returns; a task that is queued at any
//! time is run by a worker, or killed in the end. For a wake that comes late, the looks cross:
//! ~~~text
//! queue:  push the task | fence | read `over`, and if it is set, kill what stands in the queues
//! end:    set `over`    | fence | kill what stands in the queues
//! ~~~
//! Model: `loom-tests/shutdown.rs`.

use crate::scheduler::Shared;
use crate::scheduler::queue::insist;
use crate::sys::{AtomicUsize, Ordering, fence, thread};
use crate::task::Runnable;

/// Set in a gate that lets nobody in. The number of those inside stands above it.
const CLOSED: usize = 1;
const INSIDE: usize = 2;

/// Where tasks come in from outside of the tasks that there are.
#[derive(Debug)]
pub(crate) struct Gate(AtomicUsize);

/// While it lives, its owner is inside, and the closing of the gate waits for it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Pass<'a>(&'a Gate);

impl Gate {
    pub(crate) fn new() -> Self {
        Gate(AtomicUsize::new(0))
    }

    /// Lets the caller in, for a moment and without foreign code, unless the gate is closed.
    pub(crate) fn enter(&self) -> Option<Pass<'_>> {
        let pass = Pass(self);
        let before = self.0.fetch_add(INSIDE, Ordering::AcqRel);
        (before & CLOSED == 0).then_some(pass)
    }

    /// Lets nobody in any more, and waits for those inside: all they did is visible.
    pub(crate) fn close(&self) {
        self.0.fetch_or(CLOSED, Ordering::AcqRel);
        while self.0.load(Ordering::Acquire) != CLOSED {
            thread::yield_now();
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(INSIDE, Ordering::AcqRel);
    }
}

/// The ticks of all workers at one moment.
#[derive(Debug)]
pub(crate) struct Progress(Vec<u32>);

impl Shared {
    /// Lets no new task in. Those that exist can be woken as before.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.gate.close();
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// What whoever is no task of this runtime's passes to bring one in.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Has each worker leave its loop, as soon as the poll returns that it is in.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        // A notification before the wait ends that wait, so none can miss it.
        (0..self.workers()).for_each(|worker| self.driver.notify(worker));
    }

    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// From now on, whoever queues a task kills it himself.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Is it over for what this thread has just done to a task? Crosses with [`end`](Shared::end).
    pub(crate) fn is_over(&self) -> bool {
        fence(Ordering::SeqCst);
        self.over.load(Ordering::Relaxed)
    }

    /// Ends the tasks that still stand in a queue, where no worker will take them. Tells whether
    /// there were any.
    #[cold]
    pub(crate) fn kill_leftovers(&self) -> bool {
        let mut found = false;
        while let Some(task) = self.next_leftover() {
            task.kill();
            found = true;
        }
        found
    }

    /// Takes one of the tasks that still stand in a queue, once the workers have left.
    pub(crate) fn next_leftover(&self) -> Option<Runnable> {
        let own = |lane: &super::Lane| lane.slot.take().or_else(|| lane.thief.steal());
        let lanes = || self.lanes.iter().find_map(|lane| own(lane));
        insist(|| self.injector.steal()).or_else(lanes)
    }

    /// How far the workers are.
    pub(crate) fn progress(&self) -> Progress {
        Progress(self.lanes.iter().map(|lane| lane.tick()).collect())
    }

    /// The workers that have been inside one poll ever since.
    pub(crate) fn stuck_since(&self, earlier: &Progress) -> Vec<usize> {
        let stuck = |worker: &usize| {
            let lane = &self.lanes[*worker];
            !lane.is_parked() && lane.tick() == earlier.0[*worker]
        };
        (0..self.workers()).filter(stuck).collect()
    }
}
