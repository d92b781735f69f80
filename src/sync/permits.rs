//! Permits and the line of those who wait for them: what locks and semaphores are made of.
//!
//! One word says how many permits are free and whether somebody stands in line. While nobody
//! does, taking and returning permits is one exchange of that word. As soon as somebody does, the
//! word changes under the lock of the line only: permits that come back are handed to the first
//! in line at once, who owns them from that moment on, and newcomers stand behind (LOCK-02,
//! SEM-03). One who goes away with permits in his hands returns them (LOCK-04, SEM-04).
//!
//! Invariant: QUEUE is set exactly while the line is not empty, and what is free then is less
//! than the first in line asks for.
//! Model: `loom-tests/permits.rs`.

use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::probe::Kept;
use crate::sys::{AtomicUsize, Brief, Ordering, SPINS, constant, spin_loop};
use crate::task::reasons;
use crate::wait_list::{WaitList, Waiter, Wakers};

/// Set while somebody stands in line; the bits above it count the free permits.
const QUEUE: usize = 1;
const ONE: usize = 2;

/// The most permits there can be.
pub(super) const MOST: usize = usize::MAX >> 1;

#[derive(Debug)]
pub(super) struct Permits {
    word: AtomicUsize,
    /// Each waiter says how many permits it wants.
    line: Brief<WaitList<usize>>,
}

/// More permits would come back than there are.
#[derive(Debug)]
pub(super) struct TooMany;

/// What becomes of permits that come back and find no room under the bound.
#[derive(Debug, Clone, Copy)]
enum Rest {
    /// Then none comes back.
    Refused,
    /// The others come back.
    LeftOut,
}

impl Rest {
    /// How many of `count` come back while so many are free.
    #[inline]
    fn fit(self, count: usize, free: usize, bound: usize) -> Result<usize, TooMany> {
        let room = bound.saturating_sub(free);
        match self {
            _ if count <= room => Ok(count),
            Rest::Refused => Err(TooMany),
            Rest::LeftOut => Ok(room),
        }
    }
}

impl Permits {
    constant! {
        #[track_caller]
        pub(super) fn new(count: usize) -> Self {
            assert!(count <= MOST, "more permits than can be counted");
            Permits { word: AtomicUsize::new(count * ONE), line: Brief::new(WaitList::new()) }
        }
    }

    pub(super) fn free(&self) -> usize {
        self.word.load(Ordering::Relaxed) / ONE
    }

    /// Whether one who asks for `count` would have to wait.
    pub(super) fn would_wait(&self, count: usize) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        word & QUEUE != 0 || word / ONE < count
    }

    /// How many stand in line.
    pub(super) fn waiting(&self) -> usize {
        self.line.lock().len()
    }

    /// Takes permits if they are free and nobody waits.
    #[inline]
    pub(super) fn try_acquire(&self, count: usize) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & QUEUE != 0 || word / ONE < count {
                return false;
            }
            let less = word - count * ONE;
            match self.word.compare_exchange_weak(word, less, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Takes a permit that is about to come back: while nobody stands in line, the owner may be in
    /// the middle of a few stores on another core, and to join the line would make everybody who
    /// comes after join it, too.
    #[cold]
    pub(super) fn acquire_soon(&self) -> bool {
        for _ in 0..SPINS {
            if self.word.load(Ordering::Relaxed) & QUEUE != 0 {
                return false;
            }
            spin_loop();
            if self.try_acquire(1) {
                return true;
            }
        }
        false
    }

    /// Takes permits, waiting in line for them.
    pub(super) async fn acquire(&self, count: usize, why: Why) {
        if !self.try_acquire(count) {
            Acquire::new(self, count, why).await;
        }
    }

    /// As [`acquire`](Permits::acquire), where there may be no more than `bound` free.
    pub(super) async fn acquire_within(&self, count: usize, bound: usize, why: Why) {
        if !self.try_acquire(count) {
            Acquire::within(self, count, bound, why).await;
        }
    }

    /// Returns permits, or adds some.
    #[inline]
    pub(super) fn release(&self, count: usize) {
        if self.release_within(count, MOST).is_err() {
            panic!("more permits than can be counted");
        }
    }

    /// As [`release`](Permits::release), if there are then no more than `bound` free.
    #[inline]
    pub(super) fn release_within(&self, count: usize, bound: usize) -> Result<(), TooMany> {
        self.give_back(count, bound, Rest::Refused)
    }

    /// As [`release`](Permits::release), of as many as there may be free besides those that are.
    #[inline]
    pub(super) fn release_up_to(&self, count: usize, bound: usize) {
        let given = self.give_back(count, bound, Rest::LeftOut);
        debug_assert!(given.is_ok());
    }

    #[inline]
    fn give_back(&self, count: usize, bound: usize, rest: Rest) -> Result<(), TooMany> {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & QUEUE == 0 {
            let more = word + rest.fit(count, word / ONE, bound)? * ONE;
            match self.word.compare_exchange_weak(word, more, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
        self.hand_over(count, bound, rest)
    }

    /// Somebody stands in line, or did.
    #[cold]
    fn hand_over(&self, count: usize, bound: usize, rest: Rest) -> Result<(), TooMany> {
        let mut wakers = Wakers::new();
        let mut line = self.line.lock();
        let served = self.serve(&mut line, (count, bound, rest), &mut wakers);
        drop(line);
        wakers.wake();
        served
    }

    /// With `count` more permits, gives those in line what they ask for, as far as it goes.
    fn serve(
        &self,
        line: &mut WaitList<usize>,
        (count, bound, rest): (usize, usize, Rest),
        wakers: &mut Wakers,
    ) -> Result<(), TooMany> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let mut free = word / ONE;
            free += rest.fit(count, free, bound)?;
            if word & QUEUE == 0 {
                // Nobody waits any more: others may change the word as well.
                let order = (Ordering::Release, Ordering::Relaxed);
                match self.word.compare_exchange(word, free * ONE, order.0, order.1) {
                    Ok(_) => return Ok(()),
                    Err(now) => word = now,
                }
                continue;
            }
            while let Some(&mut wanted) = line.first()
                && wanted <= free
            {
                free -= wanted;
                wakers.extend(line.wake_one());
            }
            let queue = if line.is_empty() { 0 } else { QUEUE };
            // While QUEUE is set, only this lock's holder writes the word. Pairs with the
            // exchange in `try_acquire`.
            self.word.store((free * ONE) | queue, Ordering::Release);
            return Ok(());
        }
    }

    /// Takes permits, or joins the line; true: they are taken.
    fn take_or_join(&self, waiter: Pin<&Waiter<usize>>, count: usize, cx: &Context<'_>) -> bool {
        let waker = Kept::of(cx.waker());
        let mut line = self.line.lock();
        let mut word = self.word.load(Ordering::Relaxed);
        while word & QUEUE == 0 {
            let enough = word / ONE >= count;
            let next = if enough { word - count * ONE } else { word | QUEUE };
            match self.word.compare_exchange(word, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) if enough => return true,
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        line.join(waiter, waker);
        false
    }

    /// A waiter goes away: those behind it may be next, and what it was given goes to them.
    fn forget(&self, mut waiter: Pin<&mut Waiter<usize>>, bound: usize) {
        if waiter.is_waiting() {
            let mut wakers = Wakers::new();
            let mut line = self.line.lock();
            let left = line.leave(waiter.as_ref());
            if left.is_some() {
                let served = self.serve(&mut line, (0, MOST, Rest::Refused), &mut wakers);
                debug_assert!(served.is_ok());
                drop(line);
                wakers.wake();
                return;
            }
        }
        if waiter.is_woken() {
            let count = *waiter.as_mut().value();
            waiter.reset();
            self.release_up_to(count, bound);
        }
    }
}

/// What permits are wanted for, and where in the source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Why(pub(super) Want, pub(super) &'static Location<'static>);

#[derive(Debug, Clone, Copy)]
pub(super) enum Want {
    Lock,
    Read,
    Write,
    Permits,
}

impl Why {
    fn note(self) {
        let what = match self.0 {
            Want::Lock => "a lock",
            Want::Read => "a lock to read",
            Want::Write => "a lock to write",
            Want::Permits => "a permit",
        };
        reasons::note(what, self.1);
    }
}

pin_project! {
    /// Waits in line for permits. Dropped, it hands on what it was given.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub(super) struct Acquire<'a> {
        permits: &'a Permits,
        // So many may be free when what it was given comes back.
        bound: usize,
        why: Why,
        #[pin]
        waiter: Waiter<usize>,
    }

    impl PinnedDrop for Acquire<'_> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            this.permits.forget(this.waiter, *this.bound);
        }
    }
}

impl<'a> Acquire<'a> {
    pub(super) fn new(permits: &'a Permits, count: usize, why: Why) -> Self {
        Acquire::within(permits, count, MOST, why)
    }

    fn within(permits: &'a Permits, count: usize, bound: usize, why: Why) -> Self {
        Acquire { permits, bound, why, waiter: Waiter::new(count) }
    }
}

impl Future for Acquire<'_> {
    type Output = ();

    /// Polled again after its end, it takes permits again.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.waiter.is_waiting() {
            let mut waker = Kept::of(context.waker());
            let waits = this.permits.line.lock().update(this.waiter.as_ref(), &mut waker);
            if waits {
                this.why.note();
                return Poll::Pending;
            }
        }
        if this.waiter.is_woken() {
            this.waiter.as_mut().reset();
            return Poll::Ready(());
        }
        let count = *this.waiter.as_mut().value();
        if this.permits.take_or_join(this.waiter.as_ref(), count, context) {
            return Poll::Ready(());
        }
        this.why.note();
        Poll::Pending
    }
}
