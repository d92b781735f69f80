//! Who awaits a task, seen from outside (INTRO-07, INTRO-13).
//!
//! Nothing is kept for it: whoever awaits a task has left its waker with the awaited one, and a
//! task's own waker says whose it is. So looking costs the one who looks, and a short lock now and
//! then. A task that is polled through somebody else's waker is not seen this way.

use crate::task::raw::TaskRef;
use crate::task::waker;

impl TaskRef {
    /// The tasks that wait for this one's end, in the order in which they began to; none, if it has
    /// ended.
    pub(crate) fn awaiters(&self) -> Vec<TaskRef> {
        let mut found = Vec::new();
        // There is no allocating under the lock.
        while let Some(wanted) = self.look_for_awaiters(&mut found) {
            found.clear();
            found.reserve(wanted);
        }
        found
    }

    /// Fills `found`; or, if there is no place for all, tells how many there are.
    fn look_for_awaiters(&self, found: &mut Vec<TaskRef>) -> Option<usize> {
        let header = self.header();
        if !header.state.lock_unless_done() {
            return None;
        }
        let wanted = header.with_waiter(|first, cold| {
            let listed = cold.iter().flat_map(|cold| cold.hooks.wakers());
            let wakers = first.iter().chain(listed);
            let mut count = 0;
            for task in wakers.filter_map(waker::task_of) {
                count += 1;
                if found.len() < found.capacity() {
                    found.push(task);
                }
            }
            count
        });
        header.state.unlock();
        (wanted > found.len()).then_some(wanted)
    }

    /// Tells whether the task waits for something, and nobody has woken it yet.
    pub(crate) fn is_suspended(&self) -> bool {
        let suspended = self.header().state.lock_idle();
        if suspended {
            self.header().state.unlock();
        }
        suspended
    }
}
