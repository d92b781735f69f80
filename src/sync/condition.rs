//! Waiting, with a lock, until something about what it protects has changed.
//!
//! A wait stands in line first and releases the lock then, so no notification in between is
//! missed. However the wait ends, the lock is taken again before anything else happens: a
//! cancellation is caught here, and goes on once that is done (COND-03). Whoever may have been
//! notified and cannot use it, notifies another; and so does whoever is cancelled (COND-04).
//!
//! A wait borrows the guard, and does not take it and give it back: whoever catches a cancellation
//! around the wait still has the guard, and with it the lock, to clean up with. The price is the
//! wait that is dropped half-way without a cancellation, which cannot wait for the lock any more:
//! its guard says so, and takes the lock again when it is told to.
//! Model: `loom-tests/condition.rs`.

use std::fmt;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::probe::Kept;
use crate::sync::block::block_on;
use crate::sync::guards::WholeGuard;
use crate::sync::guards::sealed::Key;
use crate::sync::permits::{Acquire, Want, Why};
use crate::sys::{Brief, constant};
use crate::task::reasons;
use crate::task::unwind::catch_cancelled_any;
use crate::wait_list::{WaitList, Waiter, Wakers};

/// A line of those who wait until something about the value of a [`Lock`](crate::sync::Lock) has
/// changed.
///
/// It belongs to whatever lock the guards are of; several conditions may share one (COND-01).
/// Those who are notified go on once the lock is free, in the order of their arrival.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use filch::sync::{Condition, Lock};
///
/// filch::sim::run(0, async {
///     let shared = Arc::new((Lock::new(Vec::new()), Condition::new()));
///     let consumer = filch::spawn({
///         let shared = shared.clone();
///         async move {
///             let (items, filled) = &*shared;
///             let mut items = items.lock().await;
///             filled.wait_for(&mut items, |items| !items.is_empty()).await;
///             Ok(items.pop())
///         }
///     });
///     let (items, filled) = &*shared;
///     items.lock().await.push("item");
///     filled.notify(1);
///     assert_eq!(consumer.await?, Some("item"));
///     Ok(())
/// })
/// .unwrap();
/// ```
#[doc(alias("asyncio.Condition", "Condvar"))]
pub struct Condition {
    line: Brief<WaitList<()>>,
}

impl Default for Condition {
    fn default() -> Self {
        Condition::new()
    }
}

impl Condition {
    constant! {
        /// Makes a condition that nobody waits for.
        pub fn new() -> Self {
            Condition { line: Brief::new(WaitList::new()) }
        }
    }

    /// Releases the lock, waits to be notified, and takes the lock again (COND-02).
    ///
    /// It may end without a notification: look again at what you wait for, or use
    /// [`wait_for`](Condition::wait_for).
    ///
    /// # Cancellation
    /// Takes the lock again, and lets the cancellation go on then; a request that comes meanwhile
    /// has it stand in line for the lock anew, at the end (COND-03). The next who waits is
    /// notified, whether this call was or not, as in asyncio (COND-04).
    ///
    /// Dropped by other means, such as a `select!`, it cannot wait for the lock: the guard has
    /// lost it, and panics when it is used before it has taken the lock
    /// [again](crate::sync::LockGuard::relock). A timeout is no such means: it cancels.
    #[track_caller]
    pub fn wait<G: WholeGuard>(&self, guard: &mut G) -> impl Future<Output = ()> {
        self.wait_at(guard, Location::caller())
    }

    async fn wait_at<G: WholeGuard>(&self, guard: &mut G, at: &'static Location<'static>) {
        let wait = Wait { condition: self, at, waiter: Waiter::new(()), notified: false };
        let mut wait = pin!(wait);
        let lock = wait.as_mut().join(guard);
        let mut cancelled = catch_cancelled_any(wait.as_mut()).await.err();
        wait.as_mut().stop();
        while !lock.permits.try_acquire(1) {
            // Whoever is asked again begins again, behind the others in line.
            let acquire = pin!(Acquire::new(&lock.permits, 1, Why(Want::Lock, at)));
            match catch_cancelled_any(acquire).await {
                Ok(()) => break,
                another => cancelled = another.err(),
            }
        }
        guard.put_back(Key::new());
        // Dropping `wait` notifies another.
        wait.passes_on(cancelled.is_some());
        if let Some(cancelled) = cancelled {
            cancelled.raise().await;
        }
    }

    /// Waits until `is_met` says so; it looks before it waits, and after every notification
    /// (COND-06).
    ///
    /// # Cancellation
    /// As of [`wait`](Condition::wait).
    #[track_caller]
    pub fn wait_for<G: WholeGuard>(
        &self,
        guard: &mut G,
        mut is_met: impl FnMut(&mut G::Value) -> bool,
    ) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            while !is_met(guard) {
                self.wait_at(guard, at).await;
            }
        }
    }

    /// As [`wait`](Condition::wait), blocking this plain thread.
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn wait_blocking<G: WholeGuard>(&self, guard: &mut G) {
        block_on(self.wait(guard));
    }

    /// As [`wait_for`](Condition::wait_for), blocking this plain thread.
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn wait_for_blocking<G: WholeGuard>(
        &self,
        guard: &mut G,
        is_met: impl FnMut(&mut G::Value) -> bool,
    ) {
        block_on(self.wait_for(guard, is_met));
    }

    /// Returns how many wait in line.
    pub fn waiting(&self) -> usize {
        self.line.lock().len()
    }

    /// Notifies the first `count` of those who wait (COND-05).
    ///
    /// The lock need not be held, but a change that is made and notified under the lock is what
    /// waiters cannot miss.
    pub fn notify(&self, count: usize) {
        let mut wakers = Wakers::new();
        let mut line = self.line.lock();
        for _ in 0..count {
            if line.is_empty() {
                break;
            }
            wakers.extend(line.wake_one());
        }
        drop(line);
        wakers.wake();
    }

    /// Notifies all who wait (COND-05).
    pub fn notify_all(&self) {
        let mut wakers = Wakers::new();
        let mut line = self.line.lock();
        line.wake_all(&mut wakers);
        drop(line);
        wakers.wake();
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").field("waiting", &self.waiting()).finish()
    }
}

pin_project! {
    /// Waits for a notification; dropped before it is used up, it passes it on.
    struct Wait<'a> {
        condition: &'a Condition,
        at: &'static Location<'static>,
        #[pin]
        waiter: Waiter<()>,
        notified: bool,
    }

    impl PinnedDrop for Wait<'_> {
        fn drop(mut this: Pin<&mut Self>) {
            this.as_mut().stop();
            if this.notified {
                this.condition.notify(1);
            }
        }
    }
}

impl Wait<'_> {
    /// Stands in line, and releases the lock.
    fn join<G: WholeGuard>(self: Pin<&mut Self>, guard: &mut G) -> G::Lock {
        let this = self.project();
        // The first poll brings the task's waker.
        let nobody = Kept::noop();
        this.condition.line.lock().join(this.waiter.as_ref(), nobody);
        let lock = guard.let_go(Key::new());
        lock.permits.release(1);
        lock
    }

    /// Leaves the line, or notes that it was notified.
    fn stop(self: Pin<&mut Self>) {
        let mut this = self.project();
        if this.waiter.is_waiting() {
            let left = this.condition.line.lock().leave(this.waiter.as_ref());
            drop(left);
        }
        if this.waiter.is_woken() {
            this.waiter.as_mut().reset();
            *this.notified = true;
        }
    }

    /// Whether another is to be notified in place of this one.
    fn passes_on(self: Pin<&mut Self>, notifies: bool) {
        *self.project().notified = notifies;
    }
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let waiter = this.waiter.as_ref();
        if waiter.is_waiting() {
            let mut waker = Kept::of(context.waker());
            if this.condition.line.lock().update(waiter, &mut waker) {
                reasons::note("a notification", this.at);
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}
