//! A channel for one value.
//!
//! One allocation that both halves point to, and one word that says whose it is:
//!
//! | state   | set by         | meaning                                  | freed by |
//! |---------|----------------|------------------------------------------|----------|
//! | EMPTY   | new, receiver  | nothing yet; the waker is the receiver's | -        |
//! | WAITING | receiver       | the waker is the sender's to take        | -        |
//! | TAKING  | sender         | it takes the waker, and ends in a moment | -        |
//! | SENT    | sender, last   | the value is there                       | receiver |
//! | CLOSED  | sender, last   | there will be no value                   | receiver |
//! | GONE    | receiver, last | nobody wants the value                   | sender   |
//!
//! So sending and receiving cost one exchange each. Whoever sets one of the last three states
//! does not touch the allocation any more.
//!
//! A sender who waits for the receiver to go sets WATCHED beside the state, once and for good: from
//! then on the receiver, before it sets GONE, says in `watch` that it goes, and takes the sender's
//! waker from there. Until the bit is set, `watch` is the sender's; then it does not change.
//! Model: `loom-tests/oneshot.rs`.

use std::fmt;
use std::future::poll_fn;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};

use crate::probe::{self, Kept};
use crate::sync::block::block_on;
use crate::sys::{AtomicU32, Brief, Ordering, Patience, UnsafeCell};
use crate::task::reasons;

const EMPTY: u32 = 0;
const WAITING: u32 = 1;
const TAKING: u32 = 2;
const SENT: u32 = 3;
const CLOSED: u32 = 4;
const GONE: u32 = 5;
/// A bit beside the state, which is kept while the state is EMPTY or WAITING.
const WATCHED: u32 = 8;

struct Inner<T> {
    state: AtomicU32,
    value: UnsafeCell<Option<T>>,
    waker: UnsafeCell<Option<Kept>>,
    /// Most channels never have one.
    watch: UnsafeCell<Option<Box<Brief<Watch>>>>,
}

/// What a receiver that goes tells a sender that waits for it.
#[derive(Default)]
struct Watch {
    goes: bool,
    waker: Option<Kept>,
}

/// Makes a channel for one value.
///
/// # Examples
///
/// ```
/// use filch::sync::oneshot;
///
/// filch::sim::run(0, async {
///     let (sender, receiver) = oneshot::channel();
///     filch::spawn(async move { sender.send("done").unwrap() }).detach();
///     assert_eq!(receiver.await?, "done");
///     Ok(())
/// })
/// .unwrap();
/// ```
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let inner = Box::new(Inner {
        state: AtomicU32::new(EMPTY),
        value: UnsafeCell::new(None),
        waker: UnsafeCell::new(None),
        watch: UnsafeCell::new(None),
    });
    let inner = NonNull::from(Box::leak(inner));
    (Sender { half: Half(inner) }, Receiver { half: Some(Half(inner)) })
}

/// One half's pointer. The allocation lives until the state says that the other half has gone.
struct Half<T>(NonNull<Inner<T>>);

// SAFETY: the halves share atomics, and cells that the table above gives to one of them at a time.
unsafe impl<T: Send> Send for Half<T> {}
// SAFETY: `&Half` gives nothing but the state.
unsafe impl<T: Send> Sync for Half<T> {}

/// The value goes in and comes out whole, and nobody looks at it in between.
impl<T> UnwindSafe for Half<T> {}
/// As above.
impl<T> RefUnwindSafe for Half<T> {}

impl<T> Half<T> {
    fn inner(&self) -> &Inner<T> {
        // SAFETY: the half lives, so the other one has not freed it, see the table above.
        unsafe { self.0.as_ref() }
    }

    fn state(&self) -> u32 {
        self.inner().state.load(Ordering::Acquire) & !WATCHED
    }

    /// Exchanges the state, and leaves the bit beside it alone.
    #[inline]
    fn exchange(&self, from: u32, to: u32) -> Result<(), u32> {
        let state = &self.inner().state;
        match state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            // Once set, the bit stays.
            Err(now) if now == from | WATCHED => state
                .compare_exchange(now, to | WATCHED, Ordering::AcqRel, Ordering::Acquire)
                .map_or_else(|now| Err(now & !WATCHED), |_| Ok(())),
            Err(now) => Err(now & !WATCHED),
        }
    }

    /// What the halves tell each other once the bit is set.
    fn watch(&self) -> &Brief<Watch> {
        // SAFETY: the caller has seen the bit, or set it: this does not change any more.
        let watch = self.inner().watch.with(|watch| unsafe { &*watch });
        watch.as_deref().expect("it is there before the bit is set")
    }

    /// # Safety
    /// The other half is gone.
    unsafe fn free(self) -> Box<Inner<T>> {
        // SAFETY: `channel` leaked this box, and nobody else has the pointer any more.
        unsafe { Box::from_raw(self.0.as_ptr()) }
    }
}

/// The half that gives the value; dropped without, it ends the channel.
pub struct Sender<T> {
    half: Half<T>,
}

/// The half that gets the value: a future.
#[must_use = "futures do nothing unless they are polled"]
pub struct Receiver<T> {
    /// `None` once the value or the end has been taken.
    half: Option<Half<T>>,
}

/// The sender was dropped without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("channel was closed without a value")
    }
}

impl std::error::Error for Closed {}

/// Why there is no value just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryRecvError {
    /// It has not been sent yet.
    Empty,
    /// The sender was dropped without a value, or the value was taken before.
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryRecvError::Empty => f.write_str("channel is empty"),
            TryRecvError::Closed => Closed.fmt(f),
        }
    }
}

impl std::error::Error for TryRecvError {}

impl<T> Sender<T> {
    /// Gives the value; never waits.
    ///
    /// # Errors
    /// The value, if the receiver is gone.
    pub fn send(self, value: T) -> Result<(), T> {
        // SAFETY: the value is the sender's until the state is SENT.
        self.half.inner().value.with_mut(|slot| unsafe { *slot = Some(value) });
        let sender = std::mem::ManuallyDrop::new(self);
        if end(&sender.half, SENT) {
            return Ok(());
        }
        // SAFETY: the receiver is gone, and `sender` is not dropped.
        let inner = unsafe { Half(sender.half.0).free() };
        // SAFETY: the box is this thread's.
        Err(inner.value.with_mut(|value| unsafe { (*value).take() }).expect("it was put in above"))
    }

    /// Returns whether the receiver is gone: nobody wants the value.
    pub fn is_closed(&self) -> bool {
        self.half.state() == GONE
    }

    /// Waits until the receiver is gone: nobody wants the value.
    ///
    /// # Cancellation
    /// Has no effect on anything else.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::sync::oneshot;
    ///
    /// filch::sim::run(0, async {
    ///     let (mut sender, receiver) = oneshot::channel::<u32>();
    ///     let worker = filch::spawn(async move { sender.closed().await });
    ///     drop(receiver);
    ///     worker.await
    /// })
    /// .unwrap();
    /// ```
    pub async fn closed(&mut self) {
        poll_fn(|context| self.poll_closed(context)).await;
    }

    /// As [`closed`](Sender::closed), blocking this plain thread.
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn closed_blocking(&mut self) {
        block_on(self.closed());
    }

    /// As [`closed`](Sender::closed), in a hand-written future.
    pub fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.watch() == GONE {
            return Poll::Ready(());
        }
        let waker = Kept::of(context.waker());
        let mut watch = self.half.watch().lock();
        if !watch.goes {
            let former = watch.waker.replace(waker);
            drop(watch);
            drop(former);
            reasons::note_somewhere("the receiver of a oneshot channel to be gone");
            return Poll::Pending;
        }
        drop(watch);
        let mut patience = Patience::new();
        while !self.is_closed() {
            patience.wait();
        }
        Poll::Ready(())
    }

    /// Sets the bit, and gives the state: the receiver either sees the bit before it goes, or is
    /// gone.
    fn watch(&mut self) -> u32 {
        let inner = self.half.inner();
        let state = inner.state.load(Ordering::Acquire);
        if state & WATCHED != 0 {
            return state & !WATCHED;
        }
        let watch = Box::new(Brief::new(Watch::default()));
        // SAFETY: only the sender, which is `&mut self`, sets the bit, and it is not set.
        inner.watch.with_mut(|place| unsafe { *place = Some(watch) });
        inner.state.fetch_or(WATCHED, Ordering::AcqRel)
    }
}

/// The sender's last step; false: the receiver is gone, and the allocation is the sender's.
fn end<T>(half: &Half<T>, how: u32) -> bool {
    // The usual one first: nobody waits yet.
    let mut state = half.exchange(EMPTY, how);
    loop {
        match state {
            Ok(_) => return true,
            Err(GONE) => return false,
            Err(WAITING) if half.exchange(WAITING, TAKING).is_ok() => {
                // SAFETY: TAKING gives the waker to the sender.
                let waker = half.inner().waker.with_mut(|waker| unsafe { (*waker).take() });
                half.inner().state.store(how, Ordering::Release);
                if let Some(waker) = waker {
                    probe::wake(waker.into_waker());
                }
                return true;
            }
            // The receiver exchanges its waker.
            Err(_) => state = half.exchange(EMPTY, how),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if !end(&self.half, CLOSED) {
            // SAFETY: the receiver is gone, and this half is dropped.
            drop(unsafe { Half(self.half.0).free() });
        }
    }
}

impl<T> Receiver<T> {
    /// Takes the value if it is there.
    ///
    /// # Errors
    /// [`TryRecvError`] if it is not.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let Some(half) = &self.half else { return Err(TryRecvError::Closed) };
        match settled(half) {
            SENT | CLOSED => self.take().map_err(|Closed| TryRecvError::Closed),
            _ => Err(TryRecvError::Empty),
        }
    }

    /// Waits for the value, blocking this plain thread.
    ///
    /// # Errors
    /// [`Closed`], if the sender is dropped without one.
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn recv_blocking(self) -> Result<T, Closed> {
        block_on(self)
    }

    /// Returns whether a poll would be ready: the value is there, or there will be none.
    pub fn is_ready(&self) -> bool {
        self.half.as_ref().is_none_or(|half| matches!(half.state(), SENT | CLOSED))
    }

    /// The sender has gone: takes what it left.
    fn take(&mut self) -> Result<T, Closed> {
        let half = self.half.take().expect("the end of a channel is taken once");
        // SAFETY: the state is SENT or CLOSED: the sender is gone, and `half` was taken out.
        let inner = unsafe { half.free() };
        // SAFETY: the box is this thread's.
        inner.value.with_mut(|value| unsafe { (*value).take() }).ok_or(Closed)
    }

    /// Leaves a waker; ready if the sender has gone meanwhile.
    fn wait(half: &Half<T>, waker: &Waker) -> bool {
        let mut state = settled(half);
        if state == WAITING {
            // Back to EMPTY, where the waker is the receiver's.
            state = half.exchange(WAITING, EMPTY).map_or_else(|_| settled(half), |_| EMPTY);
        }
        if state == EMPTY {
            half.inner().waker.with_mut(|slot| {
                // SAFETY: in EMPTY, the waker is the receiver's.
                match unsafe { &mut *slot } {
                    Some(old) if old.will_wake(waker) => {}
                    slot => *slot = Some(Kept::of(waker)),
                }
            });
            if half.exchange(EMPTY, WAITING).is_ok() {
                return false;
            }
        }
        true
    }
}

/// The state, but for the moment in which the sender takes the waker.
fn settled<T>(half: &Half<T>) -> u32 {
    let mut patience = Patience::new();
    loop {
        match half.state() {
            TAKING => patience.wait(),
            state => return state,
        }
    }
}

/// # Cancellation
/// The value is lost if it was sent, and given back to who sends it later.
impl<T> Future for Receiver<T> {
    type Output = Result<T, Closed>;

    /// # Panics
    /// If it is polled again after its end.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let half = self.half.as_ref().expect("a oneshot channel is polled after its end");
        if Receiver::wait(half, context.waker()) {
            return Poll::Ready(self.take());
        }
        reasons::note_somewhere("the value of a oneshot channel");
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let Some(half) = &self.half else { return };
        loop {
            match settled(half) {
                SENT | CLOSED => return drop(self.take()),
                WAITING if half.exchange(WAITING, EMPTY).is_ok() => {
                    // SAFETY: in EMPTY, the waker is the receiver's.
                    half.inner().waker.with_mut(|waker| unsafe { *waker = None });
                }
                EMPTY if go(half) => return,
                _ => {}
            }
        }
    }
}

/// The receiver's last step, from EMPTY; false: the state has changed.
fn go<T>(half: &Half<T>) -> bool {
    let inner = half.inner();
    let order = (Ordering::AcqRel, Ordering::Acquire);
    match inner.state.compare_exchange(EMPTY, GONE, order.0, order.1) {
        Ok(_) => true,
        Err(now) if now == EMPTY | WATCHED => {
            let mut watch = half.watch().lock();
            watch.goes = true;
            let waker = watch.waker.take();
            drop(watch);
            let gone = inner.state.compare_exchange(now, GONE, order.0, order.1).is_ok();
            if let Some(waker) = waker.filter(|_| gone) {
                probe::wake(waker.into_waker());
            }
            gone
        }
        Err(_) => false,
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("is_closed", &self.is_closed()).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("is_ready", &self.is_ready()).finish()
    }
}
