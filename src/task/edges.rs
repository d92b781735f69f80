//! Who awaits a task, seen from outside (INTRO-07, INTRO-08, INTRO-13).
//!
//! Nothing is kept for it: whoever awaits a task has left its waker with the awaited one, and a
//! task's own waker says whose it is; or a listener, which knows who waits behind it. So looking
//! costs the one who looks, and a short lock now and then. A task that is polled through somebody
//! else's waker is not seen this way.

use crate::task::hooks::Listener;
use crate::task::raw::TaskRef;
use crate::task::waker;

impl TaskRef {
    /// The tasks that wait for this one's end; none, if it has ended.
    pub(crate) fn awaiters(&self) -> Vec<TaskRef> {
        let (mut found, mut behind) = (Vec::new(), Vec::new());
        // There is no allocating under the lock.
        while let Some((tasks, listeners)) = self.look_for_awaiters(&mut found, &mut behind) {
            found.clear();
            behind.clear();
            found.reserve(tasks);
            behind.reserve(listeners);
        }
        found.extend(behind.iter().filter_map(Listener::waiter));
        found
    }

    /// Fills `found` and `behind`; or, if there is no place for all, tells how many there are.
    fn look_for_awaiters(
        &self,
        found: &mut Vec<TaskRef>,
        behind: &mut Vec<Listener>,
    ) -> Option<(usize, usize)> {
        let header = self.header();
        if !header.state.lock_unless_done() {
            return None;
        }
        let wanted = header.with_waiter(|first, cold| {
            let hooks = cold.as_ref().map(|cold| &cold.hooks);
            let listed = hooks.into_iter().flat_map(|hooks| hooks.wakers());
            let (waiter, listener) = (first.waiting_task(), first.listener());
            let tasks = waiter.into_iter().chain(listed.filter_map(waker::task_of));
            let listeners = hooks.into_iter().flat_map(|hooks| hooks.listeners().cloned());
            (fill(found, tasks), fill(behind, listener.into_iter().chain(listeners)))
        });
        header.state.unlock();
        (wanted != (found.len(), behind.len())).then_some(wanted)
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

/// Adds as many as there is place for; gives how many there are.
fn fill<T>(into: &mut Vec<T>, items: impl Iterator<Item = T>) -> usize {
    let mut count = 0;
    for item in items {
        count += 1;
        if into.len() < into.capacity() {
            into.push(item);
        }
    }
    count
}
