//! A flag that many may wait for.
//!
//! | state | meaning                          | changed                                 |
//! |-------|----------------------------------|-----------------------------------------|
//! | CLEAR | not set, nobody waits            | by one exchange                         |
//! | SET   | set, so nobody waits             | by one exchange                         |
//! | QUEUE | not set, and the line is not empty| under the lock of the line only        |
//! Model: `loom-tests/event.rs`.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::sync::block::block_on;
use crate::sys::{AtomicU32, Mutex, Ordering};
use crate::wait_list::{WaitList, Waiter, Wakers};

const CLEAR: u32 = 0;
const SET: u32 = 1;
const QUEUE: u32 = 2;

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
#[derive(Debug)]
#[doc(alias("asyncio.Event", "Notify"))]
pub struct Event {
    state: AtomicU32,
    line: Mutex<WaitList<()>>,
}

impl Default for Event {
    fn default() -> Self {
        Event::new()
    }
}

impl Event {
    /// Makes an event that is not set.
    pub fn new() -> Self {
        Event { state: AtomicU32::new(CLEAR), line: Mutex::new(WaitList::new()) }
    }

    /// Returns whether the flag is set.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.state.load(Ordering::Acquire) == SET
    }

    /// Sets the flag and wakes everybody who waits, in the order of their arrival (EVT-03).
    pub fn set(&self) {
        let set = self.state.compare_exchange(CLEAR, SET, Ordering::Release, Ordering::Relaxed);
        // A flag that is set already is still to carry what happened before this call: the
        // exchange with itself does that.
        let again = |now| {
            now == SET
                && self
                    .state
                    .compare_exchange(SET, SET, Ordering::Release, Ordering::Relaxed)
                    .is_ok()
        };
        if set.is_err_and(|now| !again(now)) {
            self.set_and_wake();
        }
    }

    #[cold]
    fn set_and_wake(&self) {
        let mut wakers = Wakers::new();
        let mut line = self.line.lock();
        self.state.swap(SET, Ordering::Release);
        line.wake_all(&mut wakers);
        drop(line);
        wakers.wake();
    }

    /// Clears the flag: who calls [`wait`](Event::wait) from now on waits.
    pub fn clear(&self) {
        // One who waits is not waiting for this.
        let _ = self.state.compare_exchange(SET, CLEAR, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Waits until the flag is set; at once if it is (EVT-01).
    ///
    /// # Cancellation
    /// Has no effect on anything else.
    pub async fn wait(&self) {
        if !self.is_set() {
            Wait { event: self, waiter: Waiter::new(()) }.await;
        }
    }

    /// As [`wait`](Event::wait), blocking this plain thread.
    ///
    /// # Panics
    /// Inside a task.
    #[track_caller]
    pub fn wait_blocking(&self) {
        block_on(self.wait());
    }

    /// Returns how many wait in line.
    pub fn waiting(&self) -> usize {
        self.line.lock().len()
    }

    /// Joins the line unless the flag is set; true: it is set.
    fn set_or_join(&self, waiter: Pin<&Waiter<()>>, context: &Context<'_>) -> bool {
        let waker = context.waker().clone();
        let mut line = self.line.lock();
        // From QUEUE, only this lock's holder changes the state.
        if self.state.load(Ordering::Relaxed) != QUEUE {
            let order = (Ordering::Relaxed, Ordering::Acquire);
            if self.state.compare_exchange(CLEAR, QUEUE, order.0, order.1) == Err(SET) {
                return true;
            }
        }
        line.join(waiter, waker);
        false
    }

    fn forget(&self, waiter: Pin<&Waiter<()>>) {
        let mut line = self.line.lock();
        let left = line.leave(waiter);
        if left.is_some() && line.is_empty() {
            // Only this lock's holder changes the state from QUEUE.
            self.state.store(CLEAR, Ordering::Relaxed);
        }
        drop(line);
    }
}

pin_project! {
    struct Wait<'a> {
        event: &'a Event,
        #[pin]
        waiter: Waiter<()>,
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
        if waiter.is_waiting() && this.event.line.lock().update(waiter, context.waker()) {
            return Poll::Pending;
        }
        if waiter.is_woken() || this.event.set_or_join(waiter, context) {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
