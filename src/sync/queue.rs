//! Queues: what one puts, another gets.
//!
//! Items, those who wait to get, those who wait to put and those who wait for the work to be done
//! stand behind one short lock. A wake-up is a notice, not a promise (QUE-05): an item stays in
//! the queue until somebody takes it, and one who was woken in vain stands at the end of the line
//! again. One who goes away with a notice passes it on, if there is still something to be had
//! (QUE-10). So no item can be lost, or taken twice, by a cancellation.
//! Model: `loom-tests/channel.rs`.

use std::fmt;
use std::panic::Location;

use crate::probe;
use crate::sync::block::block_on;
use crate::sync::order::{Fifo, Order, Store};
use crate::sync::queue_wait::{Get, Items, Join, Put};
use crate::sys::{Brief, constant};
use crate::wait_list::{WaitList, Wakers};

/// A queue of items, first in, first out; bounded or not.
///
/// Anybody may put and get, any number of them at once: share it by reference, or in an
/// [`Arc`](std::sync::Arc). Besides the items it counts the work: [`join`](Queue::join) waits until
/// [`task_done`](Queue::task_done) has been called for each item that was put.
///
/// The other orders, [`LifoQueue`](super::LifoQueue) and
/// [`PriorityQueue`](super::PriorityQueue), have the same methods.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use filch::sync::Queue;
///
/// filch::sim::run(0, async {
///     let queue = Arc::new(Queue::bounded(2));
///     let worker = filch::spawn({
///         let queue = queue.clone();
///         async move {
///             let mut sum = 0;
///             while let Ok(number) = queue.get().await {
///                 sum += number;
///                 queue.task_done()?;
///             }
///             Ok(sum)
///         }
///     });
///     for number in 1..=10 {
///         queue.put(number).await?;
///     }
///     queue.join().await;
///     queue.shutdown();
///     assert_eq!(worker.await?, 55);
///     Ok(())
/// })
/// .unwrap();
/// ```
#[doc(alias("asyncio.Queue", "channel", "mpsc", "mpmc"))]
pub struct Queue<T, O: Order<T> = Fifo> {
    pub(super) inner: Brief<Inner<O::Store>>,
    /// Zero: as many as memory holds.
    capacity: usize,
}

pub(super) struct Inner<S> {
    pub(super) items: S,
    pub(super) getters: WaitList<()>,
    pub(super) putters: WaitList<()>,
    pub(super) joiners: WaitList<()>,
    /// How many items that were put have not been reported as done.
    pub(super) unfinished: usize,
    is_shut_down: bool,
}

/// The queue is shut down, and nothing is left in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "asyncio.QueueShutDown")]
pub struct Shutdown;

impl fmt::Display for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("queue is shut down")
    }
}

impl std::error::Error for Shutdown {}

/// The queue is shut down; here is the item that it did not take.
#[derive(Clone, Copy, PartialEq, Eq)]
#[doc(alias = "asyncio.QueueShutDown")]
pub struct PutError<T>(pub T);

/// Why an item was not taken at once; here it is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[doc(alias("asyncio.QueueFull", "asyncio.QueueShutDown"))]
pub enum TryPutError<T> {
    /// There is no room.
    Full(T),
    /// The queue is shut down.
    Shutdown(T),
}

/// Why there was no item at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias("asyncio.QueueEmpty", "asyncio.QueueShutDown"))]
pub enum TryGetError {
    /// There is none.
    Empty,
    /// There is none, and the queue is shut down.
    Shutdown,
}

/// More items were reported as done than had been put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoneTooOften;

impl<T, O: Order<T>> Queue<T, O> {
    constant! {
        pub(super) fn with(items: O::Store, capacity: usize) -> Self {
            let inner = Inner {
                items,
                getters: WaitList::new(),
                putters: WaitList::new(),
                joiners: WaitList::new(),
                unfinished: 0,
                is_shut_down: false,
            };
            Queue { inner: Brief::new(inner), capacity }
        }
    }

    /// Puts an item in, waiting while there is no room.
    ///
    /// It does not suspend if there is room (QUE-06).
    ///
    /// # Errors
    /// [`PutError`] with the item, if the queue is [shut down](Queue::shutdown) before it is in.
    ///
    /// # Cancellation
    /// Puts nothing: the item is dropped. Room already announced to this call is announced to the
    /// next in line.
    #[track_caller]
    pub fn put(&self, item: T) -> impl Future<Output = Result<(), PutError<T>>> {
        let at = Location::caller();
        async move {
            match self.try_put(item) {
                Ok(()) => Ok(()),
                Err(TryPutError::Shutdown(item)) => Err(PutError(item)),
                Err(TryPutError::Full(item)) => Put::new(self, item, at).await,
            }
        }
    }

    /// Takes the next item out, waiting while there is none.
    ///
    /// It does not suspend if there is one (QUE-06).
    ///
    /// # Errors
    /// [`Shutdown`], if the queue is [shut down](Queue::shutdown) and empty.
    ///
    /// # Cancellation
    /// Takes nothing. An item already announced to this call is announced to the next in line.
    #[track_caller]
    pub fn get(&self) -> impl Future<Output = Result<T, Shutdown>> {
        let at = Location::caller();
        async move {
            match self.try_get() {
                Ok(item) => Ok(item),
                Err(TryGetError::Shutdown) => Err(Shutdown),
                Err(TryGetError::Empty) => Get::new(self, at).await,
            }
        }
    }

    /// Puts an item in, if there is room.
    ///
    /// # Errors
    /// [`TryPutError`] with the item otherwise.
    #[doc(alias = "put_nowait")]
    pub fn try_put(&self, item: T) -> Result<(), TryPutError<T>> {
        self.put_or(item, |_| {})
    }

    /// Takes the next item out, if there is one.
    ///
    /// # Errors
    /// [`TryGetError`] otherwise.
    #[doc(alias = "get_nowait")]
    pub fn try_get(&self) -> Result<T, TryGetError> {
        self.get_or(|_| {})
    }

    /// As [`put`](Queue::put), blocking this plain thread.
    ///
    /// # Errors
    /// As of [`put`](Queue::put).
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn put_blocking(&self, item: T) -> Result<(), PutError<T>> {
        block_on(self.put(item))
    }

    /// As [`get`](Queue::get), blocking this plain thread.
    ///
    /// # Errors
    /// As of [`get`](Queue::get).
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn get_blocking(&self) -> Result<T, Shutdown> {
        block_on(self.get())
    }

    /// Makes a stream of items, each taken out as by [`get`](Queue::get), which ends when the queue
    /// is [shut down](Queue::shutdown) and empty.
    ///
    /// # Cancellation
    /// Takes nothing, and a stream that is dropped has taken no more than it gave.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::sync::Queue;
    /// use futures::StreamExt;
    ///
    /// filch::sim::run(0, async {
    ///     let queue = Queue::unbounded();
    ///     queue.try_put(1).unwrap();
    ///     queue.try_put(2).unwrap();
    ///     queue.shutdown();
    ///     assert_eq!(queue.stream().collect::<Vec<_>>().await, [1, 2]);
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn stream(&self) -> Items<'_, T, O> {
        Items::new(self, Location::caller())
    }

    /// Reports that one item which was taken out has been dealt with.
    ///
    /// # Errors
    /// [`DoneTooOften`], if that would be more than were put; nothing changes then (QUE-07).
    pub fn task_done(&self) -> Result<(), DoneTooOften> {
        let mut wakers = Wakers::new();
        let mut inner = self.inner.lock();
        inner.unfinished = inner.unfinished.checked_sub(1).ok_or(DoneTooOften)?;
        if inner.unfinished == 0 {
            inner.joiners.wake_all(&mut wakers);
        }
        drop(inner);
        wakers.wake();
        Ok(())
    }

    /// Waits until as many items have been reported as done as were put; at once if it is so.
    ///
    /// Items that are put before it runs on do not hold it up again (QUE-08).
    ///
    /// # Cancellation
    /// Has no effect on anything else.
    #[track_caller]
    pub fn join(&self) -> impl Future<Output = ()> {
        Join::new(self, Location::caller())
    }

    /// As [`join`](Queue::join), blocking this plain thread.
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn join_blocking(&self) {
        block_on(self.join());
    }

    /// Takes nothing more in: who puts, or waits to put, gets the item back; who gets is served
    /// until the queue is empty, and then told so (QUE-11).
    pub fn shutdown(&self) {
        let wakers = self.close(&mut self.inner.lock());
        wakers.wake();
    }

    /// As [`shutdown`](Queue::shutdown), and drops what is in the queue, each item counting as
    /// done (QUE-12). A queue that is shut down already is emptied (QUE-13).
    #[doc(alias = "shutdown")]
    pub fn shutdown_now(&self) {
        let mut inner = self.inner.lock();
        let items = std::mem::take(&mut inner.items);
        inner.unfinished = inner.unfinished.saturating_sub(items.len());
        let mut wakers = self.close(&mut inner);
        if inner.unfinished == 0 {
            inner.joiners.wake_all(&mut wakers);
        }
        drop(inner);
        wakers.wake();
        drop(items);
    }

    fn close(&self, inner: &mut Inner<O::Store>) -> Wakers {
        let mut wakers = Wakers::new();
        inner.is_shut_down = true;
        inner.getters.wake_all(&mut wakers);
        inner.putters.wake_all(&mut wakers);
        wakers
    }

    /// Returns whether the queue was [shut down](Queue::shutdown).
    pub fn is_shut_down(&self) -> bool {
        self.inner.lock().is_shut_down
    }

    /// Returns how many items are in the queue just now.
    #[doc(alias = "qsize")]
    pub fn len(&self) -> usize {
        self.inner.lock().items.len()
    }

    /// Returns whether no item is in the queue just now.
    #[doc(alias = "empty")]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether there is no room just now; never true of an unbounded queue (QUE-01).
    #[doc(alias = "full")]
    pub fn is_full(&self) -> bool {
        self.is_filled(&self.inner.lock())
    }

    /// Returns how many items there is room for; `None`: no limit.
    #[doc(alias = "maxsize")]
    pub fn capacity(&self) -> Option<usize> {
        (self.capacity > 0).then_some(self.capacity)
    }

    /// Returns how many items have not been reported as done.
    pub fn unfinished(&self) -> usize {
        self.inner.lock().unfinished
    }

    /// Returns how many wait to get, and how many wait to put.
    pub fn waiting(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.getters.len(), inner.putters.len())
    }

    pub(super) fn is_filled(&self, inner: &Inner<O::Store>) -> bool {
        self.capacity > 0 && inner.items.len() >= self.capacity
    }

    /// Puts an item in; if there is no room, calls `wait` with the queue still locked.
    #[inline]
    pub(super) fn put_or(
        &self,
        item: T,
        wait: impl FnOnce(&mut Inner<O::Store>),
    ) -> Result<(), TryPutError<T>> {
        let mut inner = self.inner.lock();
        if inner.is_shut_down {
            drop(inner);
            return Err(TryPutError::Shutdown(item));
        }
        if self.is_filled(&inner) {
            wait(&mut inner);
            return Err(TryPutError::Full(item));
        }
        let place = inner.items.place(&item);
        inner.items.put(item, place);
        inner.unfinished += 1;
        let getter = inner.getters.wake_one();
        drop(inner);
        getter.into_iter().for_each(probe::wake);
        Ok(())
    }

    /// Takes an item out; if there is none, calls `wait` with the queue still locked.
    #[inline]
    pub(super) fn get_or(&self, wait: impl FnOnce(&mut Inner<O::Store>)) -> Result<T, TryGetError> {
        let mut inner = self.inner.lock();
        let Some(item) = inner.items.take() else {
            if inner.is_shut_down {
                return Err(TryGetError::Shutdown);
            }
            wait(&mut inner);
            return Err(TryGetError::Empty);
        };
        let putter = inner.putters.wake_one();
        drop(inner);
        putter.into_iter().for_each(probe::wake);
        Ok(item)
    }
}

impl<T, O: Order<T>> fmt::Debug for Queue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner.lock();
        let (len, unfinished) = (inner.items.len(), inner.unfinished);
        let (getters, putters) = (inner.getters.len(), inner.putters.len());
        let is_shut_down = inner.is_shut_down;
        drop(inner);
        let mut queue = f.debug_struct("Queue");
        queue.field("len", &len).field("capacity", &self.capacity());
        queue.field("getters", &getters).field("putters", &putters);
        queue.field("unfinished", &unfinished).field("is_shut_down", &is_shut_down).finish()
    }
}
