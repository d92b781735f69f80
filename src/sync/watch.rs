//! A channel that keeps the latest value only.
//!
//! The value has a version; a receiver remembers which one it has seen. Who looks gets a share of
//! the value as it is, so nobody who looks holds anybody up, and a value that is looked at is not
//! changed: the next one takes its place.
//! Model: `loom-tests/latest.rs`.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::probe::Kept;
use crate::sync::block::block_on;
use crate::sync::deserted::{Deserted, Seats};
use crate::sys::{Arc, Mutex};
use crate::task::reasons;
use crate::wait_list::{WaitList, Waiter, Wakers};

#[derive(Debug)]
struct Shared<T> {
    value: Arc<T>,
    version: u64,
    senders: usize,
    receivers: usize,
    line: WaitList<()>,
    /// The senders who wait for the last receiver to go.
    deserted: WaitList<()>,
}

impl<T> Seats for Mutex<Shared<T>> {
    fn look<R>(&self, look: impl FnOnce(usize, &mut WaitList<()>) -> R) -> R {
        let mut shared = self.lock();
        let receivers = shared.receivers;
        look(receivers, &mut shared.deserted)
    }
}

impl<T> Shared<T> {
    fn has_changed(&mut self, wakers: &mut Wakers) {
        self.version += 1;
        self.line.wake_all(wakers);
    }
}

/// Makes a channel that holds `value` until another one is sent.
///
/// # Examples
///
/// ```
/// use filch::sync::watch;
///
/// filch::sim::run(0, async {
///     let (sender, mut receiver) = watch::channel("starting");
///     sender.send("running");
///     sender.send("stopping");
///     receiver.changed().await?;
///     assert_eq!(*receiver.latest(), "stopping");
///     Ok(())
/// })
/// .unwrap();
/// ```
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let (line, deserted) = (WaitList::new(), WaitList::new());
    let value = Arc::new(value);
    let shared = Shared { value, version: 0, senders: 1, receivers: 1, line, deserted };
    let shared = Arc::new(Mutex::new(shared));
    (Sender { shared: shared.clone() }, Receiver { shared, seen: 0 })
}

/// Changes the value.
pub struct Sender<T> {
    shared: Arc<Mutex<Shared<T>>>,
}

/// Sees the value, and waits for it to change.
pub struct Receiver<T> {
    shared: Arc<Mutex<Shared<T>>>,
    /// The version it has seen.
    seen: u64,
}

/// All senders are gone: the value will not change any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("watch channel is closed")
    }
}

impl std::error::Error for Closed {}

impl<T> Sender<T> {
    /// Sets the value and tells all receivers, of which there may be none.
    pub fn send(&self, value: T) {
        let value = Arc::new(value);
        let mut wakers = Wakers::new();
        let mut shared = self.shared.lock();
        let old = std::mem::replace(&mut shared.value, value);
        shared.has_changed(&mut wakers);
        drop(shared);
        wakers.wake();
        drop(old);
    }

    /// Changes the value in place, or a clone of it if somebody looks at it, and tells all
    /// receivers.
    ///
    /// The channel is locked meanwhile: `change` must not use it.
    ///
    /// # Panics
    /// If `change` does, or the clone: what `change` has done by then stays, and nobody is told.
    #[doc(alias = "send_modify")]
    pub fn modify(&self, change: impl FnOnce(&mut T))
    where
        T: Clone,
    {
        self.modify_if(|value| {
            change(value);
            true
        });
    }

    /// As [`modify`](Sender::modify), but tells receivers only if `change` says that it did.
    ///
    /// # Panics
    /// As [`modify`](Sender::modify).
    #[doc(alias = "send_if_modified")]
    pub fn modify_if(&self, change: impl FnOnce(&mut T) -> bool) -> bool
    where
        T: Clone,
    {
        let mut wakers = Wakers::new();
        // Dropped behind the lock, also if `change` panics.
        let mut old = None;
        let mut shared = self.shared.lock();
        if Arc::get_mut(&mut shared.value).is_none() {
            let copy = Arc::new(T::clone(&shared.value));
            old = Some(std::mem::replace(&mut shared.value, copy));
        }
        let value = Arc::get_mut(&mut shared.value).expect("nobody has a share of it");
        let changed = change(value);
        if changed {
            shared.has_changed(&mut wakers);
        }
        drop(shared);
        wakers.wake();
        drop(old);
        changed
    }

    /// Looks at the value as it is now.
    #[doc(alias = "borrow")]
    pub fn latest(&self) -> Arc<T> {
        self.shared.lock().value.clone()
    }

    /// Makes another receiver, which has seen the present value.
    pub fn subscribe(&self) -> Receiver<T> {
        let mut shared = self.shared.lock();
        shared.receivers += 1;
        Receiver { seen: shared.version, shared: self.shared.clone() }
    }

    /// Returns how many receivers there are.
    pub fn receivers(&self) -> usize {
        self.shared.lock().receivers
    }

    /// Waits until there is no receiver; at once if it is so.
    ///
    /// Others may [subscribe](Sender::subscribe) later.
    ///
    /// # Cancellation
    /// Has no effect on anything else.
    #[track_caller]
    pub fn closed(&self) -> impl Future<Output = ()> {
        Deserted::new(&*self.shared, Location::caller())
    }

    /// As [`closed`](Sender::closed), blocking this plain thread.
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn closed_blocking(&self) {
        block_on(self.closed());
    }

    /// Returns whether there is no receiver just now.
    pub fn is_closed(&self) -> bool {
        self.receivers() == 0
    }
}

impl<T> Receiver<T> {
    /// Looks at the value as it is now; it counts as seen or not as before.
    #[doc(alias = "borrow")]
    pub fn latest(&self) -> Arc<T> {
        self.shared.lock().value.clone()
    }

    /// Looks at the value as it is now, which counts as seen from then on.
    #[doc(alias = "borrow_and_update")]
    pub fn see(&mut self) -> Arc<T> {
        let shared = self.shared.lock();
        self.seen = shared.version;
        shared.value.clone()
    }

    /// Returns whether there is a value that it has not seen.
    ///
    /// # Errors
    /// [`Closed`], if there is none and all senders are gone.
    pub fn has_changed(&self) -> Result<bool, Closed> {
        let shared = self.shared.lock();
        match shared.version != self.seen {
            true => Ok(true),
            false if shared.senders == 0 => Err(Closed),
            false => Ok(false),
        }
    }

    /// Waits until there is a value that it has not seen, which counts as seen then.
    ///
    /// # Errors
    /// [`Closed`], if all senders are gone before.
    ///
    /// # Cancellation
    /// Has no effect: a value counts as seen only when this returns.
    #[track_caller]
    pub fn changed(&mut self) -> impl Future<Output = Result<(), Closed>> {
        Changed { receiver: self, at: Location::caller(), waiter: Waiter::new(()) }
    }

    /// Waits until the value is as wanted, and gives it; at once if it is.
    ///
    /// # Errors
    /// [`Closed`], if all senders are gone before.
    ///
    /// # Cancellation
    /// Has no effect on anything but what counts as seen.
    #[track_caller]
    pub fn wait_for(
        &mut self,
        mut is_wanted: impl FnMut(&T) -> bool,
    ) -> impl Future<Output = Result<Arc<T>, Closed>> {
        let at = Location::caller();
        async move {
            loop {
                let value = self.see();
                if is_wanted(&value) {
                    return Ok(value);
                }
                drop(value);
                Changed { receiver: self, at, waiter: Waiter::new(()) }.await?;
            }
        }
    }

    /// Makes a stream of the values that it has not seen, which ends when all senders are gone.
    ///
    /// Each is the latest when it is given, and counts as seen then: those that another one has
    /// replaced by that time are skipped. To begin with the present one, [`see`](Receiver::see) it.
    ///
    /// # Cancellation
    /// Has no effect: a value counts as seen only when it is given.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::sync::watch;
    /// use futures::StreamExt;
    ///
    /// filch::sim::run(0, async {
    ///     let (sender, mut receiver) = watch::channel(0);
    ///     sender.send(1);
    ///     sender.send(2);
    ///     let mut values = std::pin::pin!(receiver.stream());
    ///     assert_eq!(values.next().await.as_deref(), Some(&2));
    ///     drop(sender);
    ///     assert_eq!(values.next().await, None);
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn stream(&mut self) -> Values<'_, T> {
        let at = Location::caller();
        Values { changed: Changed { receiver: self, at, waiter: Waiter::new(()) } }
    }

    /// As [`changed`](Receiver::changed), blocking this plain thread.
    ///
    /// # Errors
    /// As of [`changed`](Receiver::changed).
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn changed_blocking(&mut self) -> Result<(), Closed> {
        block_on(self.changed())
    }

    /// As [`wait_for`](Receiver::wait_for), blocking this plain thread.
    ///
    /// # Errors
    /// As of [`wait_for`](Receiver::wait_for).
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn wait_for_blocking(
        &mut self,
        is_wanted: impl FnMut(&T) -> bool,
    ) -> Result<Arc<T>, Closed> {
        block_on(self.wait_for(is_wanted))
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Sender { shared: self.shared.clone() }
    }
}

/// The clone has seen what the original has seen.
impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.lock().receivers += 1;
        Receiver { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut wakers = Wakers::new();
        let mut shared = self.shared.lock();
        shared.senders -= 1;
        if shared.senders == 0 {
            shared.line.wake_all(&mut wakers);
        }
        drop(shared);
        wakers.wake();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut wakers = Wakers::new();
        let mut shared = self.shared.lock();
        shared.receivers -= 1;
        if shared.receivers == 0 {
            shared.deserted.wake_all(&mut wakers);
        }
        drop(shared);
        wakers.wake();
    }
}

pin_project! {
    #[must_use = "futures do nothing unless they are polled"]
    struct Changed<'a, T> {
        receiver: &'a mut Receiver<T>,
        at: &'static Location<'static>,
        #[pin]
        waiter: Waiter<()>,
    }

    impl<T> PinnedDrop for Changed<'_, T> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if this.waiter.is_waiting() {
                let left = this.receiver.shared.lock().line.leave(this.waiter.as_ref());
                drop(left);
            }
        }
    }
}

impl<T> Changed<'_, T> {
    /// When there is a value that has not been seen, it is, and `look` looks at it.
    fn poll_value<R>(
        self: Pin<&mut Self>,
        context: &Context<'_>,
        look: impl FnOnce(&Arc<T>) -> R,
    ) -> Poll<Result<R, Closed>> {
        let mut this = self.project();
        let mut waker = Kept::of(context.waker());
        let Receiver { shared, seen } = &mut **this.receiver;
        let mut shared = shared.lock();
        if !shared.line.update(this.waiter.as_ref(), &mut waker) {
            this.waiter.as_mut().reset();
            if shared.version != *seen {
                *seen = shared.version;
                return Poll::Ready(Ok(look(&shared.value)));
            }
            if shared.senders == 0 {
                return Poll::Ready(Err(Closed));
            }
            shared.line.join(this.waiter.as_ref(), waker);
        }
        drop(shared);
        reasons::note("a change in a watch channel", this.at);
        Poll::Pending
    }
}

impl<T> Future for Changed<'_, T> {
    type Output = Result<(), Closed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_value(context, |_| ())
    }
}

pin_project! {
    /// The stream of a channel's values, from [`Receiver::stream`].
    #[must_use = "streams do nothing unless they are polled"]
    pub struct Values<'a, T> {
        #[pin]
        changed: Changed<'a, T>,
    }
}

impl<T> Stream for Values<'_, T> {
    type Item = Arc<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Arc<T>>> {
        self.project().changed.poll_value(context, Arc::clone).map(Result::ok)
    }
}

impl<T: fmt::Debug> fmt::Debug for Values<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("receiver", self.changed.receiver).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("value", &*self.latest()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("value", &*self.latest()).finish()
    }
}
