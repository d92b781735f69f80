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
use crate::driver::timer::{Claim, Link, MOST_SLOTS, Place};
use crate::probe;
use crate::sys::quiet::{AtomicU64, Brief};
use crate::sys::{CachePadded, Ordering};

pub(crate) use crate::driver::timer::{Bell, Timer};

/// Published by a structure that owes nothing.
const NOTHING: u64 = u64::MAX;

/// The last moment at which a timer can fire. It is about now once the timers are abandoned.
const END: u64 = NOTHING - 1;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Timers {
    /// One per worker and one for other threads; empty in a simulation.
    slots: Box<[Locked<Buckets>]>,
    heap: Locked<Heap>,
    /// About now, in nanoseconds; never early. Decides only where a timer is kept.
    recent: CachePadded<AtomicU64>,
}

/// A structure behind its lock. What it publishes has a cache line of its own: everybody reads it.
#[derive(Debug)]
struct Locked<T> {
    next: CachePadded<AtomicU64>,
    inside: CachePadded<Brief<T>>,
}

impl<T> Locked<T> {
    fn new(inside: T) -> Self {
        Locked {
            next: CachePadded::new(AtomicU64::new(NOTHING)),
            inside: CachePadded::new(Brief::new(inside)),
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

impl Timers {
    /// For `slots` workers, numbered from zero. Other threads use any higher number.
    pub(crate) fn new(slots: usize) -> Self {
        assert!(slots < MOST_SLOTS, "too many workers");
        Timers {
            slots: (0..=slots).map(|slot| Locked::new(Buckets::new(slot))).collect(),
            ..Timers::exact()
        }
    }

    /// For a simulation: fires in the order of deadlines, equal ones as they were armed, and
    /// [`next`](Timers::next) is exact.
    pub(crate) fn exact() -> Self {
        Timers {
            slots: Box::default(),
            heap: Locked::new(Heap::new()),
            recent: CachePadded::new(AtomicU64::new(0)),
        }
    }

    /// Do timers fire in the order of their deadlines, however they were armed?
    pub(crate) fn are_exact(&self) -> bool {
        self.slots.is_empty()
    }

    /// Arms `timer`, whether it was armed before or not, to ring `bell` once `at` has come.
    ///
    /// True if [`next`](Timers::next) may have become earlier: whoever sleeps until then must be
    /// told. [`Instant::NEVER`] is accepted and never comes.
    #[inline(always)]
    pub(crate) fn arm(
        &self,
        slot: usize,
        timer: Pin<&Timer>,
        at: Instant,
        bell: impl Into<Bell>,
    ) -> bool {
        let bell = bell.into();
        let claim = self.claim(timer);
        if at == Instant::NEVER {
            claim.never();
            return false;
        }
        let at = at.nanoseconds();
        let recent = self.recent.load(Ordering::Relaxed);
        if self.are_exact() || Buckets::is_near(at, recent) {
            return self.arm_near(claim, at, bell);
        }
        let slot = &self.slots[slot.min(self.slots.len() - 1)];
        let mut buckets = slot.inside.lock();
        if recent < slot.next.load(Ordering::Relaxed) {
            buckets.catch_up(recent);
        }
        if !buckets.is_ahead(at) {
            drop(buckets);
            return self.arm_near(claim, at, bell);
        }
        // SAFETY: the timer is claimed.
        let inspection = unsafe { buckets.insert(claim.link(at, bell), at) };
        slot.publish_if_earlier(inspection)
    }

    #[inline(never)]
    fn arm_near(&self, claim: Claim<'_>, at: u64, bell: Bell) -> bool {
        let mut heap = self.heap.inside.lock();
        let link = claim.link(at, bell);
        if self.are_abandoned() {
            // SAFETY: the heap is locked, and nobody keeps the timer.
            let waker = unsafe { link.fired() };
            drop(heap);
            probe::wake(waker);
            return false;
        }
        // SAFETY: the timer is claimed.
        unsafe { heap.insert(link, at) };
        self.heap.publish_if_earlier(at)
    }

    #[inline(always)]
    fn claim<'a>(&self, timer: Pin<&'a Timer>) -> Claim<'a> {
        loop {
            match timer.get_ref().claim() {
                Ok(claim) => return claim,
                Err(Place::Claimed) => panic!("a timer is armed by two threads at once"),
                Err(_) => self.disarm_anywhere(timer.get_ref()),
            }
        }
    }

    /// Exchanges the waker, if the timer is still armed. The timer may fire meanwhile: look at
    /// [`Timer::fired`] afterwards.
    pub(crate) fn update_waker(&self, timer: Pin<&Timer>, waker: &Waker) {
        let mut fresh = None;
        if self.exchange(timer.get_ref(), waker, &mut fresh) {
            fresh = Some(waker.clone());
            self.exchange(timer.get_ref(), waker, &mut fresh);
            fresh.into_iter().for_each(probe::drop_waker);
        }
    }

    /// See [`Link::exchange`]; false, too, if no structure keeps the timer.
    fn exchange(&self, timer: &Timer, waker: &Waker, fresh: &mut Option<Waker>) -> bool {
        loop {
            let place = timer.place();
            let (_heap, _slot);
            match place {
                Place::Heap => _heap = self.heap.inside.lock(),
                Place::Bucket { slot, .. } => _slot = self.slots[slot].inside.lock(),
                Place::Idle | Place::Fired | Place::Claimed | Place::Never => return false,
            }
            // It may have moved while this thread waited for the lock.
            if timer.place() == place {
                // SAFETY: the structure that keeps the timer is locked.
                return unsafe { Link::to(timer).exchange(waker, fresh) };
            }
        }
    }

    /// Disarms `timer`: it is kept nowhere when this returns, and its waker is gone. If it has
    /// fired, or is not armed, nothing happens.
    #[inline(always)]
    pub(crate) fn disarm(&self, timer: Pin<&Timer>) {
        // Most timers are far away, and so is the end of most that are not.
        let left = match timer.place() {
            Place::Bucket { slot, bucket } => self.leave_bucket(timer.get_ref(), slot, bucket),
            _ => None,
        };
        match left {
            Some(None) => {}
            Some(Some(waker)) => probe::drop_waker(waker),
            None => self.disarm_anywhere(timer.get_ref()),
        }
    }

    #[inline(never)]
    fn disarm_anywhere(&self, timer: &Timer) {
        // The waker is dropped after the lock.
        let waker = loop {
            let left = match timer.place() {
                Place::Idle | Place::Fired | Place::Claimed => return,
                Place::Never if timer.leave_never() => return,
                Place::Never => None,
                Place::Bucket { slot, bucket } => self.leave_bucket(timer, slot, bucket),
                Place::Heap => self.leave_heap(timer),
            };
            if let Some(waker) = left {
                break waker;
            }
        };
        waker.into_iter().for_each(probe::drop_waker);
    }

    /// `None`: it has moved while this thread waited for the lock.
    #[inline(always)]
    fn leave_bucket(&self, timer: &Timer, slot: usize, bucket: usize) -> Option<Option<Waker>> {
        let link = Link::to(timer);
        let mut buckets = self.slots[slot].inside.lock();
        if timer.place() != (Place::Bucket { slot, bucket }) {
            return None;
        }
        // SAFETY: the slot that keeps the timer is locked.
        let index = unsafe { link.index() };
        assert!(buckets.remove(bucket, index) == link, "another runtime's timer");
        // SAFETY: as above; it has been taken out.
        Some(unsafe { link.disarmed() })
    }

    /// `None`: it has fired while this thread waited for the lock.
    fn leave_heap(&self, timer: &Timer) -> Option<Option<Waker>> {
        let link = Link::to(timer);
        let mut heap = self.heap.inside.lock();
        if timer.place() != Place::Heap {
            return None;
        }
        // SAFETY: the heap that keeps the timer is locked.
        let index = unsafe { link.index() };
        assert!(heap.remove(index) == link, "another runtime's timer");
        self.heap.publish(heap.earliest());
        // SAFETY: as above; it has been taken out.
        Some(unsafe { link.disarmed() })
    }

    /// The next moment at which [`fire`](Timers::fire) must be called, by anybody.
    pub(crate) fn next(&self) -> Option<Instant> {
        let slots = self.slots.iter().map(Locked::next);
        let next = slots.fold(self.heap.next(), u64::min);
        (next != NOTHING).then(|| Instant::from_nanoseconds(next))
    }

    /// Before a sleep: moves what comes soon to the heap, for then [`next`](Timers::next) is the
    /// moment of a timer, and not the one at which a bucket must be looked at.
    pub(crate) fn settle(&self, now: Instant) {
        let soon = now.nanoseconds().saturating_add(SOON);
        for slot in &self.slots {
            // A moment may be that of a bucket which has emptied.
            for _ in 0..SETTLED_AT_ONCE {
                let next = slot.next();
                if next > soon.min(self.heap.next()) {
                    break;
                }
                self.inspect(slot, next);
            }
        }
    }

    /// Marks all timers fired whose moment has come by `now` and hands their wakers to `sink`, in
    /// the order of their deadlines, outside of all locks. A few loads if nothing is due: call it
    /// whenever the clock has been read.
    ///
    /// A panic in `sink` goes no further: the other timers must fire.
    pub(crate) fn fire(&self, now: Instant, sink: &mut dyn FnMut(Waker)) {
        let now = now.nanoseconds().min(END);
        // First of all: who sees a timer that has fired (acquire) sees this.
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

    /// The runtime has ended, and nobody fires any more: marks all timers fired, whose moment has
    /// not come, and wakes their wakers, so that whoever still waits learns of the end. What is
    /// armed afterwards fires at once. Not so what is armed for no moment at all.
    pub(crate) fn abandon(&self) {
        self.fire(Instant::NEVER, &mut Waker::wake);
        // Who has looked at the time before may be on the way to a slot.
        for slot in &self.slots {
            while !slot.inside.lock().close(END) {
                self.inspect(slot, END);
            }
        }
        // Who locks the heap from now on sees the end in `recent`; who came before is seen.
        drop(self.heap.inside.lock());
        self.fire(Instant::NEVER, &mut Waker::wake);
    }

    /// Has [`abandon`](Timers::abandon) begun? Then a timer may have fired before its moment.
    #[inline]
    pub(crate) fn are_abandoned(&self) -> bool {
        self.recent.load(Ordering::Relaxed) == END
    }

    /// Moves some timers of the bucket whose span has begun to where they belong now.
    fn inspect(&self, slot: &Locked<Buckets>, now: u64) {
        let mut buckets = slot.inside.lock();
        if let Some(first) = buckets.earliest().filter(|first| first.start <= now) {
            buckets.catch_up(first.start);
            let mut heap = self.heap.inside.lock();
            for _ in 0..MOVED_AT_ONCE {
                let Some(link) = buckets.take(first.bucket) else { break };
                // SAFETY: the slot is locked, the timer's state still names it.
                let at = unsafe { link.at() };
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
        buckets.give_back();
        slot.publish(buckets.earliest().map_or(NOTHING, |first| first.start));
    }

    /// Takes some timers out of the heap and marks them fired.
    fn take_due(&self, now: u64) -> [Option<Waker>; FIRED_AT_ONCE] {
        let mut wakers = [const { None }; FIRED_AT_ONCE];
        let mut heap = self.heap.inside.lock();
        for waker in &mut wakers {
            let Some(link) = heap.take_due(now) else { break };
            // SAFETY: the heap is locked, and it has been taken out.
            *waker = Some(unsafe { link.fired() });
        }
        self.heap.publish(heap.earliest());
        wakers
    }
}

/// How many timers one hold of a slot's lock moves.
const MOVED_AT_ONCE: usize = 64;

/// How many inspections of a slot come before a sleep at most.
const SETTLED_AT_ONCE: usize = 4;

/// A sleep that is longer, in nanoseconds, may as well end early once.
const SOON: u64 = 1 << 26;

/// How many timers one hold of the heap's lock fires.
const FIRED_AT_ONCE: usize = 32;

/// How far, in nanoseconds, `recent` may lag before it is written again: everybody reads it.
const STALE: u64 = 1 << 17;

#[cfg(all(test, not(loom)))]
#[path = "timers_test.rs"]
mod tests;
