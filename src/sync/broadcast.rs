//! A channel whose every receiver gets every value.
//!
//! Values stand in one ring behind one lock, each with the number of receivers that have not got
//! it yet; the last of them takes it out, the others get clones. A receiver is a position.
//!
//! Invariant: a value that nobody has to get any more is the oldest one, and is taken out at once.
//! Model: `loom-tests/latest.rs`.

use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::probe::Kept;
use crate::sync::block::block_on;
use crate::sync::deserted::{Deserted, Seats};
use crate::sys::{Arc, Mutex};
use crate::task::reasons;
use crate::wait_list::{WaitList, Waiter, Wakers};

struct Shared<T> {
    ring: VecDeque<Slot<T>>,
    /// The position of the oldest value.
    start: u64,
    capacity: usize,
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

struct Slot<T> {
    value: T,
    /// How many receivers have not got it.
    left: usize,
}

impl<T> Shared<T> {
    fn end(&self) -> u64 {
        self.start + self.ring.len() as u64
    }

    fn drop_first(&mut self) -> Option<T> {
        let first = self.ring.pop_front()?;
        self.start += 1;
        Some(first.value)
    }
}

/// Makes a channel that keeps the last `capacity` values for receivers that are slow.
///
/// # Panics
/// If the capacity is zero.
///
/// # Examples
///
/// ```
/// use filch::sync::broadcast;
///
/// filch::sim::run(0, async {
///     let (sender, mut one) = broadcast::channel(8);
///     let mut other = sender.subscribe();
///     sender.send("news").unwrap();
///     assert_eq!((one.recv().await?, other.recv().await?), ("news", "news"));
///     Ok(())
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn channel<T: Clone>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a broadcast channel needs room for a value");
    let ring = VecDeque::new();
    let (line, deserted) = (WaitList::new(), WaitList::new());
    let shared = Shared { ring, start: 0, capacity, senders: 1, receivers: 1, line, deserted };
    let shared = Arc::new(Mutex::new(shared));
    (Sender { shared: shared.clone() }, Receiver { shared, next: 0 })
}

/// Gives values to all receivers.
pub struct Sender<T> {
    shared: Arc<Mutex<Shared<T>>>,
}

/// Gets every value sent since it was made.
pub struct Receiver<T> {
    shared: Arc<Mutex<Shared<T>>>,
    /// The position of the value it gets next.
    next: u64,
}

/// There is no receiver; here is the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// Why there was no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecvError {
    /// The receiver was too slow, and so many values are gone; the next call goes on behind them.
    Lagged(u64),
    /// All senders are gone, and so are the values.
    Closed,
}

/// Why there was no value at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryRecvError {
    /// None has been sent.
    Empty,
    /// The receiver was too slow, and so many values are gone; the next call goes on behind them.
    Lagged(u64),
    /// All senders are gone, and so are the values.
    Closed,
}

impl<T> Sender<T> {
    /// Sends a value to all receivers there are; never waits. Returns how many they are.
    ///
    /// If the channel is full, the oldest value goes, and who has not got it finds out.
    ///
    /// # Errors
    /// [`SendError`] with the value, if there is no receiver.
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        let mut wakers = Wakers::new();
        let mut shared = self.shared.lock();
        let left = shared.receivers;
        if left == 0 {
            drop(shared);
            return Err(SendError(value));
        }
        let full = shared.ring.len() == shared.capacity;
        let oldest = if full { shared.drop_first() } else { None };
        shared.ring.push_back(Slot { value, left });
        shared.line.wake_all(&mut wakers);
        drop(shared);
        wakers.wake();
        drop(oldest);
        Ok(left)
    }

    /// Makes another receiver, which gets what is sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        let mut shared = self.shared.lock();
        shared.receivers += 1;
        Receiver { next: shared.end(), shared: self.shared.clone() }
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

impl<T: Clone> Receiver<T> {
    /// Takes the next value, waiting while there is none.
    ///
    /// The value is cloned with the channel locked: its `clone` must not use the channel.
    ///
    /// # Errors
    /// [`RecvError`], if values were missed, or there will be none any more.
    ///
    /// # Cancellation
    /// Takes nothing.
    ///
    /// # Panics
    /// If the `clone` does; nothing is taken then.
    #[track_caller]
    pub fn recv(&mut self) -> impl Future<Output = Result<T, RecvError>> {
        let at = Location::caller();
        async move {
            match self.try_recv() {
                Ok(value) => Ok(value),
                Err(TryRecvError::Empty) => {
                    Recv { receiver: self, at, waiter: Waiter::new(()) }.await
                }
                Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
                Err(TryRecvError::Closed) => Err(RecvError::Closed),
            }
        }
    }

    /// Takes the next value if there is one, cloned as by [`recv`](Receiver::recv).
    ///
    /// # Errors
    /// [`TryRecvError`] if there is none.
    ///
    /// # Panics
    /// As [`recv`](Receiver::recv).
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.recv_or(|_| {})
    }

    /// As [`recv`](Receiver::recv), blocking this plain thread.
    ///
    /// # Errors
    /// As of [`recv`](Receiver::recv).
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn recv_blocking(&mut self) -> Result<T, RecvError> {
        block_on(self.recv())
    }

    /// Makes a stream of values, each taken as by [`recv`](Receiver::recv), which ends when all
    /// senders are gone, and so are the values.
    ///
    /// Where values were missed it gives [`Lagged`], and goes on behind them.
    ///
    /// # Cancellation
    /// Takes nothing, and a stream that is dropped has taken no more than it gave.
    ///
    /// # Panics
    /// As [`recv`](Receiver::recv), when it is polled.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::sync::broadcast::{self, Lagged};
    /// use futures::StreamExt;
    ///
    /// filch::sim::run(0, async {
    ///     let (sender, mut receiver) = broadcast::channel(2);
    ///     for number in 1..=3 {
    ///         sender.send(number).unwrap();
    ///     }
    ///     drop(sender);
    ///     let all: Vec<_> = receiver.stream().collect().await;
    ///     assert_eq!(all, [Err(Lagged(1)), Ok(2), Ok(3)]);
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn stream(&mut self) -> Values<'_, T> {
        let at = Location::caller();
        Values { recv: Recv { receiver: self, at, waiter: Waiter::new(()) } }
    }

    /// Takes the next value; if there is none yet, calls `wait` with the channel still locked.
    fn recv_or(&mut self, wait: impl FnOnce(&mut Shared<T>)) -> Result<T, TryRecvError> {
        let mut shared = self.shared.lock();
        if self.next < shared.start {
            let missed = shared.start - self.next;
            self.next = shared.start;
            return Err(TryRecvError::Lagged(missed));
        }
        let place = (self.next - shared.start) as usize;
        let Some(slot) = shared.ring.get_mut(place) else {
            if shared.senders == 0 {
                return Err(TryRecvError::Closed);
            }
            wait(&mut shared);
            return Err(TryRecvError::Empty);
        };
        let cloned = if slot.left > 1 { Some(slot.value.clone()) } else { None };
        slot.left -= 1;
        self.next += 1;
        let value = cloned.or_else(|| shared.drop_first());
        Ok(value.expect("it was there"))
    }
}

impl<T> Receiver<T> {
    /// Returns how many values it has not got, those that are gone included.
    pub fn len(&self) -> usize {
        (self.shared.lock().end() - self.next) as usize
    }

    /// Returns whether it has got every value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes another receiver, which gets what is sent from now on.
    pub fn resubscribe(&self) -> Receiver<T> {
        let mut shared = self.shared.lock();
        shared.receivers += 1;
        Receiver { next: shared.end(), shared: self.shared.clone() }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Sender { shared: self.shared.clone() }
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
        let mut unwanted = Vec::new();
        let mut wakers = Wakers::new();
        let mut shared = self.shared.lock();
        shared.receivers -= 1;
        if shared.receivers == 0 {
            shared.deserted.wake_all(&mut wakers);
        }
        let seen = self.next.saturating_sub(shared.start) as usize;
        shared.ring.iter_mut().skip(seen).for_each(|slot| slot.left -= 1);
        while shared.ring.front().is_some_and(|slot| slot.left == 0) {
            unwanted.extend(shared.drop_first());
        }
        drop(shared);
        wakers.wake();
    }
}

pin_project! {
    struct Recv<'a, T> {
        receiver: &'a mut Receiver<T>,
        at: &'static Location<'static>,
        #[pin]
        waiter: Waiter<()>,
    }

    impl<T> PinnedDrop for Recv<'_, T> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if this.waiter.is_waiting() {
                let left = this.receiver.shared.lock().line.leave(this.waiter.as_ref());
                drop(left);
            }
        }
    }
}

impl<T: Clone> Future for Recv<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.waiter.is_waiting() {
            let mut waker = Kept::of(context.waker());
            let mut shared = this.receiver.shared.lock();
            if shared.line.update(this.waiter.as_ref(), &mut waker) {
                drop(shared);
                reasons::note("a value of a broadcast channel", this.at);
                return Poll::Pending;
            }
        }
        this.waiter.as_mut().reset();
        let waker = Kept::of(context.waker());
        let waiter = this.waiter.as_ref();
        Poll::Ready(match this.receiver.recv_or(|shared| shared.line.join(waiter, waker)) {
            Ok(value) => Ok(value),
            Err(TryRecvError::Empty) => {
                reasons::note("a value of a broadcast channel", this.at);
                return Poll::Pending;
            }
            Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
            Err(TryRecvError::Closed) => Err(RecvError::Closed),
        })
    }
}

pin_project! {
    /// The stream of a receiver's values, from [`Receiver::stream`].
    #[must_use = "streams do nothing unless they are polled"]
    pub struct Values<'a, T> {
        #[pin]
        recv: Recv<'a, T>,
    }
}

/// The receiver was too slow, and so many values are gone: what a [stream](Receiver::stream) gives
/// in their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lagged(pub u64);

impl<T: Clone> Stream for Values<'_, T> {
    type Item = Result<T, Lagged>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.project().recv.poll(context)) {
            Ok(value) => Some(Ok(value)),
            Err(RecvError::Lagged(missed)) => Some(Err(Lagged(missed))),
            Err(RecvError::Closed) => None,
        })
    }
}

impl<T> fmt::Debug for Values<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("receiver", self.recv.receiver).finish()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("receivers", &self.receivers()).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish()
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broadcast channel has no receiver")
    }
}

impl<T> std::error::Error for SendError<T> {}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Lagged(missed) => write!(f, "receiver was too slow for {missed} values"),
            RecvError::Closed => f.write_str("broadcast channel is closed"),
        }
    }
}

impl std::error::Error for RecvError {}

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        RecvError::Lagged(self.0).fmt(f)
    }
}

impl std::error::Error for Lagged {}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TryRecvError::Empty => f.write_str("broadcast channel is empty"),
            TryRecvError::Lagged(missed) => RecvError::Lagged(missed).fmt(f),
            TryRecvError::Closed => RecvError::Closed.fmt(f),
        }
    }
}

impl std::error::Error for TryRecvError {}
