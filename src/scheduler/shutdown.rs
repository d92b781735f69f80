//! The end: close, cancel, drain, stop, join, empty; in this order.
//!
//! ~~~text
//! runtime                             scheduler
//! close()                             the runtime lets no new task in; wakes go on
//! cancel every task, wait for them    the workers run their clean-up
//! progress(), later stuck_since(..)   whose poll does not return, for the log
//! stop()                              each worker leaves its loop after the poll it is in
//! join the threads
//! next_leftover(), until None         what still stands in a queue
//! ~~~
//! Invariant: a task that is queued at any time is run by a worker, or handed out in the end. A
//! wake that comes later than that is the runtime's to prevent: its tasks have ended by then.
//! Model: `loom-tests/shutdown.rs`.

use crate::scheduler::Shared;
use crate::scheduler::queue::insist;
use crate::sys::Ordering;
use crate::task::Runnable;

/// The ticks of all workers at one moment.
#[derive(Debug)]
pub(crate) struct Progress(Vec<u32>);

impl Shared {
    /// Lets no new task in. Those that exist can be woken as before.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
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

    /// Takes one of the tasks that still stand in a queue, once the workers have left.
    pub(crate) fn next_leftover(&self) -> Option<Runnable> {
        let own = |lane: &super::Lane| lane.slot.take().or_else(|| insist(|| lane.stealer.steal()));
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
