//! All timers of one runtime: far ones in buckets, near ones in a heap.
//!
//! Each worker has a slot of its own, a set of buckets behind a lock that hardly anybody else
//! takes; there is one heap for all. Arming and disarming a far timer costs one uncontended lock
//! each. Any thread may disarm any timer and fire whatever is due, so that nobody's timers wait for
//! a worker that computes. Each structure publishes the next moment at which it must be looked at.
//!
//! Invariant: what a structure publishes is never later than the first moment at which it owes
//! something. It may be earlier: a bucket's moment stays published when its last timer leaves.
//!
//! Locks: a slot's, then the heap's; never two slots'. Wakers are foreign code: they are cloned,
//! woken and dropped outside of all locks.
//!
//! Model: `loom-tests/timers.rs`.

use std::pin::Pin;
use std::task::Waker;

use crate::driver::buckets::Buckets;
use crate::driver::clock::Instant;
use crate::driver::heap::Heap;
use crate::driver::timer::{Claim, Link, MOST_SLOTS, Node, Place};
use crate::probe;
use crate::sys::quiet::{AtomicU64, Mutex, MutexGuard};
use crate::sys::{CachePadded, Ordering};

pub(crate) use crate::driver::timer::Timer;

/// Published by a structure that owes nothing.
const NOTHING: u64 = u64::MAX;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Timers {
    /// One per worker and one for other threads; empty in a simulation.
    slots: Box<[Kept<Buckets>]>,
    heap: Kept<Heap>,
    /// About now, in nanoseconds; never early. Decides only where a timer is kept.
    recent: CachePadded<AtomicU64>,
}

/// A structure behind its lock. What it publishes has a cache line of its own: everybody reads it.
#[derive(Debug)]
struct Kept<T> {
    next: CachePadded<AtomicU64>,
    inside: CachePadded<Mutex<T>>,
}

impl<T> Kept<T> {
    fn new(inside: T) -> Self {
        Kept {
            next: CachePadded::new(AtomicU64::new(NOTHING)),
            inside: CachePadded::new(Mutex::new(inside)),
        }
    }

    #[inline]
    fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// Only under the lock.
    #[inline]
    fn publish(&self, next: u64) {
        if self.next.load(Ordering::Relaxed) != next {
            self.next.store(next, Ordering::Release);
        }
    }

    /// Only under the lock. Says whether the moment is earlier than what was published.
    #[inline]
    fn publish_if_earlier(&self, moment: u64) -> bool {
        let earlier = moment < self.next.load(Ordering::Relaxed);
        if earlier {
            self.next.store(moment, Ordering::Release);
        }
        earlier
    }
}

/// The lock of the structure that keeps a timer, and the timer's place in it.
enum Found<'a> {
    Heap(MutexGuard<'a, Heap>),
    Bucket(MutexGuard<'a, Buckets>, usize),
    Never,
}

impl Timers {
    /// For `slots` workers, numbered from zero. Other threads use any higher number.
    pub(crate) fn new(slots: usize) -> Self {
        assert!(slots < MOST_SLOTS, "too many workers");
        Timers {
            slots: (0..=slots).map(|slot| Kept::new(Buckets::new(slot))).collect(),
            ..Timers::exact()
        }
    }

    /// For a simulation: fires in the order of deadlines, equal ones as they were armed, and
    /// [`next`](Timers::next) is exact.
    pub(crate) fn exact() -> Self {
        Timers {
            slots: Box::default(),
            heap: Kept::new(Heap::default()),
            recent: CachePadded::new(AtomicU64::new(0)),
        }
    }

    /// Arms `timer`, whether it was armed before or not, to call `waker` once `at` has come.
    ///
    /// True if [`next`](Timers::next) may have become earlier: whoever sleeps until then must be
    /// told. [`Instant::NEVER`] is accepted and never comes.
    #[inline]
    pub(crate) fn arm(&self, slot: usize, timer: Pin<&Timer>, at: Instant, waker: Waker) -> bool {
        let claim = self.claim(timer);
        if at == Instant::NEVER {
            claim.never();
            return false;
        }
        let at = at.nanoseconds();
        let recent = self.recent.load(Ordering::Relaxed);
        if self.slots.is_empty() || Buckets::is_near(at, recent) {
            return self.arm_near(claim, at, waker);
        }
        let slot = &self.slots[slot.min(self.slots.len() - 1)];
        let mut buckets = slot.inside.lock();
        if recent < slot.next.load(Ordering::Relaxed) {
            buckets.catch_up(recent);
        }
        if !buckets.is_ahead(at) {
            drop(buckets);
            return self.arm_near(claim, at, waker);
        }
        // SAFETY: the timer is claimed.
        let inspection = unsafe { buckets.insert(claim.link(at, waker), at) };
        slot.publish_if_earlier(inspection)
    }

    fn arm_near(&self, claim: Claim<'_>, at: u64, waker: Waker) -> bool {
        let mut heap = self.heap.inside.lock();
        // SAFETY: the timer is claimed.
        unsafe { heap.insert(claim.link(at, waker), at) };
        self.heap.publish_if_earlier(at)
    }

    #[inline]
    fn claim<'a>(&self, timer: Pin<&'a Timer>) -> Claim<'a> {
        loop {
            match timer.get_ref().claim() {
                Ok(claim) => return claim,
                Err(Place::Claimed) => panic!("a timer is armed by two threads at once"),
                Err(_) => self.disarm(timer),
            }
        }
    }

    /// Exchanges the waker, if the timer is still armed. The timer may fire meanwhile: look at
    /// [`Timer::fired`] afterwards.
    pub(crate) fn update_waker(&self, timer: Pin<&Timer>, waker: &Waker) {
        let replace = |fresh: &mut Option<Waker>| {
            self.with_node(timer.get_ref(), |node| match &node.waker {
                Some(old) if !old.will_wake(waker) => {
                    if fresh.is_some() {
                        std::mem::swap(&mut node.waker, fresh);
                    }
                    true
                }
                _ => false,
            })
        };
        if replace(&mut None) {
            replace(&mut Some(waker.clone()));
        }
    }

    /// Under the lock of the structure that keeps the timer; false if none does.
    fn with_node(&self, timer: &Timer, look: impl FnOnce(&mut Node) -> bool) -> bool {
        let look = |link: Link| {
            // SAFETY: `find` has locked the structure that keeps the timer.
            unsafe { link.node(look) }
        };
        match self.find(timer) {
            Some(Found::Heap(_guard)) => look(Link::to(timer)),
            Some(Found::Bucket(_guard, _)) => look(Link::to(timer)),
            Some(Found::Never) | None => false,
        }
    }

    /// Disarms `timer`: it is kept nowhere when this returns, and its waker is gone. If it has
    /// fired, or is not armed, nothing happens.
    #[inline]
    pub(crate) fn disarm(&self, timer: Pin<&Timer>) {
        let timer = timer.get_ref();
        let link = Link::to(timer);
        // The waker is dropped after the lock.
        let _waker = match self.find(timer) {
            None => None,
            Some(Found::Never) => {
                timer.leave_never();
                None
            }
            Some(Found::Bucket(mut buckets, bucket)) => {
                // SAFETY: `find` has locked the slot that keeps the timer.
                let index = unsafe { link.node(|node| node.index) };
                assert!(buckets.remove(bucket, index as usize) == link, "another runtime's timer");
                // SAFETY: as above; it has been taken out.
                unsafe { link.disarmed() }
            }
            Some(Found::Heap(mut heap)) => {
                // SAFETY: `find` has locked the heap that keeps the timer.
                let index = unsafe { link.node(|node| node.index) };
                assert!(heap.remove(index as usize) == link, "another runtime's timer");
                self.heap.publish(heap.earliest());
                // SAFETY: as above; it has been taken out.
                unsafe { link.disarmed() }
            }
        };
    }

    /// Locks the structure that keeps `timer`.
    #[inline]
    fn find(&self, timer: &Timer) -> Option<Found<'_>> {
        loop {
            let place = timer.place();
            let found = match place {
                Place::Idle | Place::Fired | Place::Claimed => return None,
                Place::Never => Found::Never,
                Place::Heap => Found::Heap(self.heap.inside.lock()),
                Place::Bucket { slot, bucket } => {
                    Found::Bucket(self.slots[slot].inside.lock(), bucket)
                }
            };
            // It may have moved while this thread waited for the lock.
            if timer.place() == place {
                return Some(found);
            }
        }
    }

    /// The next moment at which [`fire`](Timers::fire) must be called, by anybody.
    pub(crate) fn next(&self) -> Option<Instant> {
        let slots = self.slots.iter().map(Kept::next);
        let next = slots.fold(self.heap.next(), u64::min);
        (next != NOTHING).then(|| Instant::from_nanoseconds(next))
    }

    /// Marks all timers fired whose moment has come by `now` and hands their wakers to `sink`, in
    /// the order of their deadlines, outside of all locks. A few loads if nothing is due: call it
    /// whenever the clock has been read.
    ///
    /// A panic in `sink` goes no further: the other timers must fire.
    pub(crate) fn fire(&self, now: Instant, sink: &mut dyn FnMut(Waker)) {
        let now = now.nanoseconds().min(NOTHING - 1);
        if now > self.recent.load(Ordering::Relaxed).saturating_add(STALE) {
            self.recent.fetch_max(now, Ordering::Relaxed);
        }
        for slot in &self.slots {
            while slot.next() <= now {
                self.inspect(slot, now);
            }
        }
        while self.heap.next() <= now {
            for waker in self.take_due(now).into_iter().flatten() {
                probe::contain("a waker", || sink(waker));
            }
        }
    }

    /// Moves some timers of the bucket whose span has begun to where they belong now.
    fn inspect(&self, slot: &Kept<Buckets>, now: u64) {
        let mut buckets = slot.inside.lock();
        if let Some(first) = buckets.earliest().filter(|first| first.start <= now) {
            buckets.catch_up(first.start);
            let mut heap = self.heap.inside.lock();
            for _ in 0..MOVED_AT_ONCE {
                let Some(link) = buckets.take(first.bucket) else { break };
                // SAFETY: the slot is locked, the timer's state still names it.
                let at = unsafe { link.node(|node| node.at) };
                if Buckets::is_near(at, now) {
                    // SAFETY: both are locked, and it has been taken out.
                    unsafe { heap.insert(link, at) };
                } else {
                    // SAFETY: the slot is locked, and it has been taken out.
                    unsafe { buckets.insert(link, at) };
                }
            }
            self.heap.publish(heap.earliest());
        }
        slot.publish(buckets.earliest().map_or(NOTHING, |first| first.start));
    }

    /// Takes some timers out of the heap and marks them fired.
    fn take_due(&self, now: u64) -> [Option<Waker>; FIRED_AT_ONCE] {
        let mut wakers = [const { None }; FIRED_AT_ONCE];
        let mut heap = self.heap.inside.lock();
        for waker in &mut wakers {
            let Some(link) = heap.take_due(now) else { break };
            // SAFETY: the heap is locked, and it has been taken out.
            *waker = unsafe { link.fired() };
        }
        self.heap.publish(heap.earliest());
        wakers
    }
}

/// How many timers one hold of a slot's lock moves.
const MOVED_AT_ONCE: usize = 256;

/// How many timers one hold of the heap's lock fires.
const FIRED_AT_ONCE: usize = 32;

/// How far, in nanoseconds, `recent` may lag before it is written again: everybody reads it.
const STALE: u64 = 1 << 17;

#[cfg(all(test, not(loom)))]
#[path = "timers_test.rs"]
mod tests;
