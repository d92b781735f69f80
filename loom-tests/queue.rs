//! The next-slot and the injector: a task stands in one place, and one thread takes it.

use std::ptr::NonNull;

use super::common::explore;
use crate::scheduler::queue::{Slot, insist};
use crate::sys::deque::{Injector, Worker};
use crate::sys::{Arc, UnsafeCell, thread};
use crate::task::Runnable;

/// What stands for a task: a cell that loom watches.
pub(super) fn task(number: u32) -> Runnable {
    let cell = Box::leak(Box::new(UnsafeCell::new(number)));
    // SAFETY: it is never run, only turned back into its pointer by `number`.
    unsafe { Runnable::from_raw(NonNull::from(cell).cast()) }
}

/// Ends what stands for a task, and gives its number.
pub(super) fn number(task: Runnable) -> u32 {
    // SAFETY: `task` leaked this box, and a runnable exists once.
    let cell = unsafe { Box::from_raw(task.into_raw().cast::<UnsafeCell<u32>>().as_ptr()) };
    // SAFETY: this thread owns the box.
    cell.with_mut(|number| unsafe { *number })
}

/// Breaks if `put` displaces by a store, if `take` is a load and a store, or if `put` fills the
/// empty slot with `Relaxed` or `steal` empties it so.
#[test]
fn thief_and_owner_take_each_task_once() {
    explore(|| {
        let slot = Arc::new(Slot::new());
        let thief = thread::spawn({
            let slot = slot.clone();
            move || slot.steal().map(number)
        });
        let first = slot.put(task(1)).map(number);
        let second = slot.put(task(2)).map(number);
        let taken = slot.take().map(number);
        let third = slot.put(task(3)).map(number);
        let stolen = thief.join().unwrap();
        let rest = slot.take().map(number);
        let mut all: Vec<_> =
            [first, second, taken, third, stolen, rest].into_iter().flatten().collect();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
    });
}

/// Breaks if the exchange in `put` is less than `Release`, or the one in `steal` less than
/// `Acquire`: the thief reads what is not written yet.
#[test]
fn thief_sees_the_task_that_displaced_another() {
    explore(|| {
        let slot = Arc::new(Slot::new());
        let thief = thread::spawn({
            let slot = slot.clone();
            move || slot.steal().map(number)
        });
        let first = slot.put(task(1));
        // What is written right behind a release counts as released to loom: a step between.
        let _ = slot.is_empty();
        let second = slot.put(task(2));
        let stolen = thief.join().unwrap();
        let mut all: Vec<_> =
            [first, second, slot.take()].into_iter().flatten().map(number).collect();
        all.extend(stolen);
        all.sort_unstable();
        assert_eq!(all, [1, 2]);
    });
}

/// Breaks if `steal` is a load and a store.
#[test]
fn two_thieves_share_one_task() {
    explore(|| {
        let slot = Arc::new(Slot::new());
        assert!(slot.put(task(1)).is_none());
        let thieves: Vec<_> = (0..2)
            .map(|_| {
                let slot = slot.clone();
                thread::spawn(move || slot.steal().map(number))
            })
            .collect();
        let mine = slot.take().map(number);
        let theirs = thieves.into_iter().map(|thief| thief.join().unwrap());
        assert_eq!(theirs.chain([mine]).flatten().collect::<Vec<_>>(), [1]);
    });
}

/// Breaks if `Queue::steal_batch` of the stand-in does not move the rest to the thief's deque.
#[test]
fn injected_tasks_are_taken_once_by_two_workers() {
    explore(|| {
        let injector = Arc::new(Injector::new());
        let take = |injector: &Injector<Runnable>| {
            let deque = Worker::new_fifo();
            let first = insist(|| injector.steal_batch_and_pop(&deque));
            let rest = std::iter::from_fn(|| deque.pop());
            first.into_iter().chain(rest).map(number).collect::<Vec<_>>()
        };
        let pusher = thread::spawn({
            let injector = injector.clone();
            move || (1..4).for_each(|number| injector.push(task(number)))
        });
        let other = thread::spawn({
            let injector = injector.clone();
            move || take(&injector)
        });
        let mut all = take(&injector);
        all.extend(other.join().unwrap());
        pusher.join().unwrap();
        while !injector.is_empty() {
            all.extend(take(&injector));
        }
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
    });
}
