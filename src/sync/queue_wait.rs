//! Those who wait at a queue: for room, for an item, for the work to be done.
//!
//! Each is woken by a notice and looks again. One who goes away with a notice he has not used,
//! cancelled or by a panic, passes it on, if there is still something to be had (QUE-10).

use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::probe::{self, Kept};
use crate::sync::order::{Fifo, Order, Store};
use crate::sync::queue::{PutError, Queue, Shutdown, TryGetError, TryPutError};
use crate::task::reasons;
use crate::wait_list::Waiter;

pin_project! {
    /// Waits for room.
    pub(super) struct Put<'a, T, O: Order<T>> {
        queue: &'a Queue<T, O>,
        at: &'static Location<'static>,
        item: Option<T>,
        #[pin]
        waiter: Waiter<()>,
    }

    impl<T, O: Order<T>> PinnedDrop for Put<'_, T, O> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            let queue = *this.queue;
            if !this.waiter.is_idle() {
                let mut inner = queue.inner.lock();
                let left = inner.putters.leave(this.waiter.as_ref());
                let next = match left {
                    None if !queue.is_filled(&inner) => inner.putters.wake_one(),
                    _ => None,
                };
                drop(inner);
                drop(left);
                if let Some(next) = next {
                    probe::wake(next);
                }
            }
        }
    }
}

impl<'a, T, O: Order<T>> Put<'a, T, O> {
    pub(super) fn new(queue: &'a Queue<T, O>, item: T, at: &'static Location<'static>) -> Self {
        Put { queue, at, item: Some(item), waiter: Waiter::new(()) }
    }
}

impl<T, O: Order<T>> Future for Put<'_, T, O> {
    type Output = Result<(), PutError<T>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.waiter.is_waiting() {
            let mut waker = Kept::of(context.waker());
            let mut inner = this.queue.inner.lock();
            if inner.putters.update(this.waiter.as_ref(), &mut waker) {
                drop(inner);
                reasons::note("room in a queue", this.at);
                return Poll::Pending;
            }
        }
        let waker = Kept::of(context.waker());
        let item = this.item.take().expect("a put is polled after its end");
        let waiter = this.waiter.as_ref();
        let put = match this.queue.put_or(item, |inner| inner.putters.join(waiter, waker)) {
            Ok(()) => Ok(()),
            Err(TryPutError::Shutdown(item)) => Err(PutError(item)),
            Err(TryPutError::Full(item)) => {
                *this.item = Some(item);
                reasons::note("room in a queue", this.at);
                return Poll::Pending;
            }
        };
        // The notice is used up, unless a comparison has panicked.
        this.waiter.as_mut().reset();
        Poll::Ready(put)
    }
}

pin_project! {
    /// Waits for an item.
    #[derive(Debug)]
    pub(super) struct Get<'a, T, O: Order<T>> {
        queue: &'a Queue<T, O>,
        at: &'static Location<'static>,
        #[pin]
        waiter: Waiter<()>,
    }

    impl<T, O: Order<T>> PinnedDrop for Get<'_, T, O> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if !this.waiter.is_idle() {
                let mut inner = this.queue.inner.lock();
                let left = inner.getters.leave(this.waiter.as_ref());
                let next = match left {
                    None if inner.items.len() > 0 => inner.getters.wake_one(),
                    _ => None,
                };
                drop(inner);
                drop(left);
                if let Some(next) = next {
                    probe::wake(next);
                }
            }
        }
    }
}

impl<'a, T, O: Order<T>> Get<'a, T, O> {
    pub(super) fn new(queue: &'a Queue<T, O>, at: &'static Location<'static>) -> Self {
        Get { queue, at, waiter: Waiter::new(()) }
    }
}

impl<T, O: Order<T>> Future for Get<'_, T, O> {
    type Output = Result<T, Shutdown>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.waiter.is_waiting() {
            let mut waker = Kept::of(context.waker());
            let mut inner = this.queue.inner.lock();
            if inner.getters.update(this.waiter.as_ref(), &mut waker) {
                drop(inner);
                reasons::note("an item of a queue", this.at);
                return Poll::Pending;
            }
        }
        let mut got = Err(TryGetError::Empty);
        if this.waiter.is_woken() {
            got = this.queue.try_get();
        }
        if matches!(got, Err(TryGetError::Empty)) {
            let waker = Kept::of(context.waker());
            let waiter = this.waiter.as_ref();
            got = this.queue.get_or(|inner| inner.getters.join(waiter, waker));
        }
        let got = match got {
            Ok(item) => Ok(item),
            Err(TryGetError::Shutdown) => Err(Shutdown),
            Err(TryGetError::Empty) => {
                reasons::note("an item of a queue", this.at);
                return Poll::Pending;
            }
        };
        // The notice is used up, unless a comparison has panicked.
        this.waiter.as_mut().reset();
        Poll::Ready(got)
    }
}

pin_project! {
    /// The stream of a queue's items, from [`Queue::stream`].
    #[derive(Debug)]
    #[must_use = "streams do nothing unless they are polled"]
    pub struct Items<'a, T, O: Order<T> = Fifo> {
        #[pin]
        get: Get<'a, T, O>,
    }
}

impl<'a, T, O: Order<T>> Items<'a, T, O> {
    pub(super) fn new(queue: &'a Queue<T, O>, at: &'static Location<'static>) -> Self {
        Items { get: Get::new(queue, at) }
    }
}

impl<T, O: Order<T>> Stream for Items<'_, T, O> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.project().get.poll(context).map(Result::ok)
    }
}

pin_project! {
    /// Waits for the work to be done.
    pub(super) struct Join<'a, T, O: Order<T>> {
        queue: &'a Queue<T, O>,
        at: &'static Location<'static>,
        #[pin]
        waiter: Waiter<()>,
    }

    impl<T, O: Order<T>> PinnedDrop for Join<'_, T, O> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if this.waiter.is_waiting() {
                let left = this.queue.inner.lock().joiners.leave(this.waiter.as_ref());
                drop(left);
            }
        }
    }
}

impl<'a, T, O: Order<T>> Join<'a, T, O> {
    pub(super) fn new(queue: &'a Queue<T, O>, at: &'static Location<'static>) -> Self {
        Join { queue, at, waiter: Waiter::new(()) }
    }
}

impl<T, O: Order<T>> Future for Join<'_, T, O> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let waiter = this.waiter.as_ref();
        let mut waker = Kept::of(context.waker());
        let mut inner = this.queue.inner.lock();
        if !inner.joiners.update(waiter, &mut waker) {
            // Woken: the count was zero, whatever it is now (QUE-08).
            if waiter.is_woken() || inner.unfinished == 0 {
                return Poll::Ready(());
            }
            inner.joiners.join(waiter, waker);
        }
        drop(inner);
        reasons::note("the work of a queue to be done", this.at);
        Poll::Pending
    }
}
