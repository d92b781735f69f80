//! A flag that many may wait for.
//!
//! The flag changes under the lock of the line only, and is read without it.
//!
//! Whoever sets it while some stand in line begins a new round, and wakes those of the rounds
//! before, so many at a time: in between the lock is free, and what is woken is still warm. They
//! stand at the front of the line, whoever clears the flag and joins meanwhile.
//!
//! Invariant: while the flag is set, nobody of the present round stands in line.
//! Model: `loom-tests/event.rs`.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::probe::Kept;
use crate::sync::block::block_on;
use crate::sys::{AtomicBool, Brief, BriefGuard, Ordering, constant};
use crate::task::reasons;
use crate::wait_list::{WaitList, Waiter, Wakers};

/// A flag: tasks wait until it is set.
///
/// [`set`](Event::set) wakes everybody who waits at that moment, also if the flag is cleared
/// before they run (EVT-02). While it is set, nobody waits.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use filch::sync::Event;
///
/// filch::sim::run(0, async {
///     let ready = Arc::new(Event::new());
///     let waiter = filch::spawn({
///         let ready = ready.clone();
///         async move { ready.wait().await }
///     });
///     ready.set();
///     waiter.await
/// })
/// .unwrap();
/// ```
#[doc(alias("asyncio.Event", "Notify"))]
pub struct Event {
    flag: AtomicBool,
    line: Brief<Line>,
}

#[derive(Debug)]
struct Line {
    /// Each waiter says in which round it came.
    waiters: WaitList<u64>,
    /// How many times those in line were woken.
    round: u64,
}

/// So many are woken before the lock is taken again.
const BATCH: usize = 64;

impl Default for Event {
    fn default() -> Self {
        Event::new()
    }
}

impl Event {
    constant! {
        /// Makes an event that is not set.
        pub fn new() -> Self {
            let line = Line { waiters: WaitList::new(), round: 0 };
            Event { flag: AtomicBool::new(false), line: Brief::new(line) }
        }
    }

    /// Returns whether the flag is set.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    /// Sets the flag and wakes everybody who waits, in the order of their arrival (EVT-03).
    pub fn set(&self) {
        let line = self.line.lock();
        // Also if it is set already: it is to carry what happened before this call, too.
        self.flag.store(true, Ordering::Release);
        if !line.waiters.is_empty() {
            self.begin_round(line);
        }
    }

    fn begin_round(&self, mut line: BriefGuard<'_, Line>) {
        line.round += 1;
        let rest = Rest { event: self, round: line.round };
        let mut wakers = Wakers::new();
        let mut more = rest.take_some(&mut line, &mut wakers);
        drop(line);
        wakers.wake_and_keep_room();
        while more {
            more = rest.wake_some(&mut wakers);
        }
        // Nobody is left, so there is nothing to do when it is dropped.
        std::mem::forget(rest);
    }

    /// Clears the flag: who calls [`wait`](Event::wait) from now on waits.
    pub fn clear(&self) {
        let line = self.line.lock();
        // The lock orders it behind what set the flag.
        self.flag.store(false, Ordering::Relaxed);
        drop(line);
    }

    /// Waits until the flag is set; at once if it is (EVT-01).
    ///
    /// # Cancellation
    /// Has no effect on anything else.
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = ()> {
        Wait { event: self, at: Location::caller(), waiter: Waiter::new(0) }
    }

    /// As [`wait`](Event::wait), blocking this plain thread.
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn wait_blocking(&self) {
        block_on(self.wait());
    }

    /// Returns how many wait in line.
    pub fn waiting(&self) -> usize {
        self.line.lock().waiters.len()
    }

    /// Joins the line unless the flag is set; true: it is set.
    fn set_or_join(&self, mut waiter: Pin<&mut Waiter<u64>>, context: &Context<'_>) -> bool {
        let waker = Kept::of(context.waker());
        let mut line = self.line.lock();
        if self.flag.load(Ordering::Relaxed) {
            // Whoever set it had the lock before.
            return true;
        }
        *waiter.as_mut().value() = line.round;
        line.waiters.join(waiter.as_ref(), waker);
        false
    }

    fn forget(&self, waiter: Pin<&Waiter<u64>>) {
        let left = self.line.lock().waiters.leave(waiter);
        drop(left);
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut event = f.debug_struct("Event");
        event.field("is_set", &self.is_set()).field("waiting", &self.waiting()).finish()
    }
}

/// Those who were there when the flag was set, and have not been woken yet. If a waker panics,
/// the others are woken all the same.
struct Rest<'a> {
    event: &'a Event,
    round: u64,
}

impl Rest<'_> {
    /// Wakes the next ones, in order; true: there are more.
    fn wake_some(&self, wakers: &mut Wakers) -> bool {
        let more = self.take_some(&mut self.event.line.lock(), wakers);
        wakers.wake_and_keep_room();
        more
    }

    fn take_some(&self, line: &mut Line, wakers: &mut Wakers) -> bool {
        for _ in 0..BATCH {
            if line.waiters.first().is_none_or(|round| *round >= self.round) {
                return false;
            }
            wakers.extend(line.waiters.wake_one());
        }
        true
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        let mut wakers = Wakers::new();
        while self.wake_some(&mut wakers) {}
    }
}

pin_project! {
    #[must_use = "futures do nothing unless they are polled"]
    struct Wait<'a> {
        event: &'a Event,
        at: &'static Location<'static>,
        #[pin]
        waiter: Waiter<u64>,
    }

    impl PinnedDrop for Wait<'_> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if this.waiter.is_waiting() {
                this.event.forget(this.waiter.as_ref());
            }
        }
    }
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let waiter = this.waiter.as_ref();
        if waiter.is_waiting() {
            let mut waker = Kept::of(context.waker());
            let mut line = this.event.line.lock();
            if line.waiters.update(waiter, &mut waker) {
                drop(line);
                reasons::note("an event", this.at);
                return Poll::Pending;
            }
        }
        let over = waiter.is_woken() || this.event.is_set();
        if over || this.event.set_or_join(this.waiter, context) {
            return Poll::Ready(());
        }
        reasons::note("an event", this.at);
        Poll::Pending
    }
}
