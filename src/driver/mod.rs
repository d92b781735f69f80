//! How a thread waits when nothing can run.
//!
//! A worker with nothing to do asks its driver to wait: for events, for a moment, or for somebody
//! who calls [`Driver::notify`]. What stands behind it, a reactor over the system's poller or a
//! simulated world, is decided above; the scheduler knows only this trait.

pub(crate) mod allowance;
mod buckets;
pub(crate) mod clock;
mod heap;
mod links;
mod timer;
pub(crate) mod timers;

use std::time::Duration;

/// Waits for the outside world on behalf of the workers.
///
/// There is one *instance* per worker, named by the worker's number. Any thread may poll any
/// instance; only its owner blocks in it.
pub(crate) trait Driver: Send + Sync {
    /// Wakes the tasks whose events have arrived at `instance`, without blocking, on this thread.
    /// Returns whether there were any.
    fn poll(&self, instance: usize) -> bool;

    /// Blocks in `instance` until an event arrives, [`notify`](Driver::notify) is called, or
    /// `limit` has passed (`None`: no limit); then wakes the tasks of the events, on this thread.
    ///
    /// A notification that comes before the wait ends that wait at once. May return early.
    fn wait(&self, instance: usize, limit: Option<Duration>);

    /// Ends the present or the next [`wait`](Driver::wait) of `instance`. From any thread.
    fn notify(&self, instance: usize);

    /// Ends the present or the next [`wait`](Driver::wait) of `instance` when `time` has passed, or
    /// earlier. Another reminder takes the place of this one. From any thread.
    fn remind(&self, instance: usize, time: Duration) {
        let _ = time;
        self.notify(instance);
    }

    /// Calls the reminder off; it may have come already.
    fn forget(&self, instance: usize) {
        let _ = instance;
    }
}
