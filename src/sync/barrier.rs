//! A barrier: so many meet, then all go on.
//!
//! | phase     | meaning                                  | ends                                |
//! |-----------|------------------------------------------|-------------------------------------|
//! | Filling   | those inside wait for the rest           | when the last party comes           |
//! | Draining  | all have come, and leave one by one      | when the last has left: Filling     |
//! | Resetting | those inside fail, and leave one by one  | when the last has left: Filling     |
//! | Broken    | everybody fails                          | by a reset                          |
//!
//! One who is released leaves when he runs; how it ended for him is decided then, so a reset in
//! between still reaches him (BAR-06). Newcomers stay outside while it drains or resets.
//! Model: `loom-tests/latest.rs`.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::probe::Kept;
use crate::sync::block::block_on;
use crate::sys::{Brief, constant};
use crate::task::reasons;
use crate::wait_list::{WaitList, Waiter, Wakers, take};

/// Makes tasks wait for each other: so many meet, then all go on; again and again.
///
/// One who is cancelled while he waits leaves, and does not break the barrier (BAR-05): it goes on
/// to wait for as many as before.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use filch::sync::Barrier;
///
/// filch::sim::run(0, async {
///     let barrier = Arc::new(Barrier::new(2));
///     let other = filch::spawn({
///         let barrier = barrier.clone();
///         async move { Ok(barrier.wait().await?) }
///     });
///     let mine = barrier.wait().await?;
///     assert_eq!(mine + other.await?, 0 + 1);
///     Ok(())
/// })
/// .unwrap();
/// ```
#[doc(alias = "asyncio.Barrier")]
pub struct Barrier {
    parties: usize,
    inner: Brief<Inner>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Filling,
    Draining,
    Resetting,
    Broken,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    /// How many have come in and not left yet.
    inside: usize,
    /// Those inside who wait for the rest; released, each has the index it goes out with.
    line: WaitList<usize>,
    /// Those who wait outside.
    newcomers: WaitList<usize>,
}

/// The barrier was aborted, or reset while this call waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "asyncio.BrokenBarrierError")]
pub struct BrokenBarrier;

impl fmt::Display for BrokenBarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("barrier is broken")
    }
}

impl std::error::Error for BrokenBarrier {}

impl Barrier {
    constant! {
        /// Makes a barrier for so many parties.
        ///
        /// # Panics
        /// If there are none (BAR-01).
        #[track_caller]
        pub fn new(parties: usize) -> Self {
            assert!(parties > 0, "a barrier needs a party");
            let (line, newcomers) = (WaitList::new(), WaitList::new());
            let inner = Inner { phase: Phase::Filling, inside: 0, line, newcomers };
            Barrier { parties, inner: Brief::new(inner) }
        }
    }

    /// Waits until all parties have come; gives each another index, in the order of arrival,
    /// below the number of parties (BAR-02).
    ///
    /// The last one to come does not suspend. One who comes while the others still leave waits
    /// for the next round (BAR-03).
    ///
    /// # Errors
    /// [`BrokenBarrier`] if the barrier is [aborted](Barrier::abort), or [reset](Barrier::reset)
    /// while this call is inside.
    ///
    /// # Cancellation
    /// Leaves; the others wait for one more again.
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = Result<usize, BrokenBarrier>> {
        let at = Location::caller();
        Wait { barrier: self, at, waiter: Waiter::new(0), stage: Stage::New }
    }

    /// As [`wait`](Barrier::wait), blocking this plain thread.
    ///
    /// # Errors
    /// As of [`wait`](Barrier::wait).
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn wait_blocking(&self) -> Result<usize, BrokenBarrier> {
        block_on(self.wait())
    }

    /// Makes the barrier as new: those inside fail, those who wait outside come in (BAR-06).
    ///
    /// A broken barrier can be used again then.
    pub fn reset(&self) {
        self.change(|inner, wakers| {
            inner.phase = if inner.inside > 0 { Phase::Resetting } else { Phase::Filling };
            inner.line.wake_all(wakers);
            inner.newcomers.wake_all(wakers);
        });
    }

    /// Breaks the barrier: everybody who waits, inside or outside, or calls
    /// [`wait`](Barrier::wait) from now on, fails, until it is [reset](Barrier::reset) (BAR-07).
    pub fn abort(&self) {
        self.change(|inner, wakers| {
            inner.phase = Phase::Broken;
            inner.line.wake_all(wakers);
            inner.newcomers.wake_all(wakers);
        });
    }

    /// Returns how many have to meet.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// Returns how many wait for the rest (BAR-04).
    #[doc(alias = "n_waiting")]
    pub fn waiting(&self) -> usize {
        let inner = self.inner.lock();
        if inner.phase == Phase::Filling { inner.inside } else { 0 }
    }

    /// Returns whether the barrier was [aborted](Barrier::abort) and not reset yet.
    #[doc(alias = "broken")]
    pub fn is_broken(&self) -> bool {
        self.inner.lock().phase == Phase::Broken
    }

    /// Returns whether all have come, and not all of them have left yet.
    pub fn is_draining(&self) -> bool {
        self.inner.lock().phase == Phase::Draining
    }

    fn change<R>(&self, change: impl FnOnce(&mut Inner, &mut Wakers) -> R) -> R {
        let mut wakers = Wakers::new();
        let mut inner = self.inner.lock();
        let result = change(&mut inner, &mut wakers);
        drop(inner);
        wakers.wake();
        result
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = self.inner.lock().phase;
        let mut barrier = f.debug_struct("Barrier");
        barrier.field("parties", &self.parties).field("waiting", &self.waiting());
        barrier.field("phase", &phase).finish()
    }
}

impl Inner {
    /// Comes in as the last party: all are released, in order.
    fn open(&mut self, wakers: &mut Wakers) -> usize {
        self.phase = Phase::Draining;
        let mut next = 0;
        self.line.for_each(|index| {
            *index = next;
            next += 1;
        });
        self.line.wake_all(wakers);
        next
    }

    /// One of those inside goes out.
    fn go_out(&mut self, wakers: &mut Wakers) {
        self.inside -= 1;
        if self.inside == 0 && matches!(self.phase, Phase::Draining | Phase::Resetting) {
            self.phase = Phase::Filling;
            self.newcomers.wake_all(wakers);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Outside,
    Inside,
    Over,
}

pin_project! {
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    struct Wait<'a> {
        barrier: &'a Barrier,
        at: &'static Location<'static>,
        #[pin]
        waiter: Waiter<usize>,
        stage: Stage,
    }

    impl PinnedDrop for Wait<'_> {
        fn drop(this: Pin<&mut Self>) {
            if matches!(this.stage, Stage::Outside | Stage::Inside) {
                this.quit();
            }
        }
    }
}

impl Wait<'_> {
    /// Goes away before its time.
    fn quit(self: Pin<&mut Self>) {
        let this = self.project();
        let mut wakers = Wakers::new();
        let mut inner = this.barrier.inner.lock();
        let waker = match this.stage {
            Stage::Outside => inner.newcomers.leave(this.waiter.as_ref()),
            _ => {
                let left = inner.line.leave(this.waiter.as_ref());
                inner.go_out(&mut wakers);
                left
            }
        };
        drop(inner);
        drop(waker);
        wakers.wake();
    }

    /// Comes in if it can be, and goes through if it is the last to come.
    fn arrive(self: Pin<&mut Self>, context: &Context<'_>) -> Poll<Result<usize, BrokenBarrier>> {
        let mut this = self.project();
        let parties = this.barrier.parties;
        let mut waker = Kept::of(context.waker());
        if this.waiter.is_woken() {
            this.waiter.as_mut().reset();
        }
        this.barrier.change(|inner, wakers| match inner.phase {
            Phase::Broken => Poll::Ready(Err(BrokenBarrier)),
            Phase::Draining | Phase::Resetting => {
                inner.newcomers.join(this.waiter.as_ref(), take(&mut waker));
                *this.stage = Stage::Outside;
                Poll::Pending
            }
            Phase::Filling => {
                inner.inside += 1;
                if inner.inside == parties {
                    let index = inner.open(wakers);
                    inner.go_out(wakers);
                    return Poll::Ready(Ok(index));
                }
                inner.line.join(this.waiter.as_ref(), take(&mut waker));
                *this.stage = Stage::Inside;
                Poll::Pending
            }
        })
    }

    /// Was released, or has failed.
    fn go_out(self: Pin<&mut Self>) -> Poll<Result<usize, BrokenBarrier>> {
        let this = self.project();
        *this.stage = Stage::Over;
        let phase = this.barrier.change(|inner, wakers| {
            let phase = inner.phase;
            inner.go_out(wakers);
            phase
        });
        let index = *this.waiter.value();
        Poll::Ready(if phase == Phase::Draining { Ok(index) } else { Err(BrokenBarrier) })
    }
}

impl Future for Wait<'_> {
    type Output = Result<usize, BrokenBarrier>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let at = self.at;
        let polled = self.as_mut().poll_stage(context);
        if polled.is_pending() {
            reasons::note("the other parties of a barrier", at);
        }
        polled
    }
}

impl Wait<'_> {
    fn poll_stage(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, BrokenBarrier>> {
        let this = self.as_mut().project();
        let stage = *this.stage;
        if this.waiter.is_waiting() {
            let mut waker = Kept::of(context.waker());
            let mut inner = this.barrier.inner.lock();
            let line = if stage == Stage::Outside { &mut inner.newcomers } else { &mut inner.line };
            if line.update(this.waiter.as_ref(), &mut waker) {
                return Poll::Pending;
            }
        }
        match stage {
            Stage::Inside => self.go_out(),
            Stage::Over => panic!("a wait for a barrier is polled after its end"),
            Stage::New | Stage::Outside => {
                let arrived = self.as_mut().arrive(context);
                if arrived.is_ready() {
                    *self.project().stage = Stage::Over;
                }
                arrived
            }
        }
    }
}
