//! A stand-in for crossbeam's queues under loom, which cannot see into them, and under Miri,
//! which by its letter finds a data race in them.
//!
//! A locked queue **plus a length of its own**: `is_empty` reads only the length, and whoever
//! steals one item looks at it before the lock is taken. With the lock alone the stand-in would
//! order more than the real queue does, and a sleep protocol whose fence is missing would pass its
//! model.

use std::cell::Cell;
use std::collections::VecDeque;
use std::marker::PhantomData;

use crate::sys::{Arc, AtomicUsize, Mutex, Ordering};

pub(crate) use crossbeam_deque::Steal;

#[derive(Debug)]
struct Queue<T> {
    items: Mutex<VecDeque<T>>,
    length: AtomicUsize,
}

impl<T> Queue<T> {
    fn new() -> Self {
        Queue { items: Mutex::new(VecDeque::new()), length: AtomicUsize::new(0) }
    }

    fn push(&self, item: T) {
        let mut items = self.items.lock();
        items.push_back(item);
        self.length.store(items.len(), Ordering::Release);
    }

    fn pop(&self) -> Option<T> {
        let mut items = self.items.lock();
        let item = items.pop_front();
        self.length.store(items.len(), Ordering::Release);
        item
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.length.load(Ordering::Acquire)
    }

    /// Takes one item, unless a look without the lock finds none.
    fn steal(&self) -> Steal<T> {
        if self.is_empty() {
            return Steal::Empty;
        }
        self.pop().map_or(Steal::Empty, Steal::Success)
    }

    /// Takes one item to return and moves up to half of the rest, at most `limit` in all.
    fn steal_batch(&self, into: &Queue<T>, limit: usize) -> Steal<T> {
        let mut batch = {
            let mut items = self.items.lock();
            let count = items.len().div_ceil(2).min(limit);
            let batch: VecDeque<T> = items.drain(..count).collect();
            self.length.store(items.len(), Ordering::Release);
            batch
        };
        let first = batch.pop_front();
        batch.into_iter().for_each(|item| into.push(item));
        first.map_or(Steal::Empty, Steal::Success)
    }
}

/// The owner's end.
#[derive(Debug)]
pub(crate) struct Worker<T> {
    queue: Arc<Queue<T>>,
    not_sync: PhantomData<Cell<()>>,
}

impl<T> Worker<T> {
    pub(crate) fn new_fifo() -> Self {
        Worker { queue: Arc::new(Queue::new()), not_sync: PhantomData }
    }

    pub(crate) fn stealer(&self) -> Stealer<T> {
        Stealer { queue: self.queue.clone() }
    }

    pub(crate) fn push(&self, item: T) {
        self.queue.push(item);
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.queue.pop()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

/// A thief's end.
#[derive(Debug)]
pub(crate) struct Stealer<T> {
    queue: Arc<Queue<T>>,
}

impl<T> Clone for Stealer<T> {
    fn clone(&self) -> Self {
        Stealer { queue: self.queue.clone() }
    }
}

impl<T> Stealer<T> {
    pub(crate) fn steal(&self) -> Steal<T> {
        self.queue.steal()
    }

    pub(crate) fn steal_batch_and_pop(&self, into: &Worker<T>) -> Steal<T> {
        self.queue.steal_batch(&into.queue, 32)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

/// The queue that anybody may push to.
#[derive(Debug)]
pub(crate) struct Injector<T> {
    queue: Queue<T>,
}

impl<T> Injector<T> {
    pub(crate) fn new() -> Self {
        Injector { queue: Queue::new() }
    }

    pub(crate) fn push(&self, item: T) {
        self.queue.push(item);
    }

    pub(crate) fn steal(&self) -> Steal<T> {
        self.queue.steal()
    }

    pub(crate) fn steal_batch_and_pop(&self, into: &Worker<T>) -> Steal<T> {
        self.queue.steal_batch(&into.queue, 33)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
