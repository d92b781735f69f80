//! The timers that are far away, in unsorted vectors.
//!
//! Most timers never fire: a timeout is armed and disarmed again. So a far timer is not sorted,
//! only thrown into a bucket, and looked at again when the bucket's span begins: what is still
//! there moves to finer buckets, or to the heap when it is near.
//!
//! Time counts in ticks of about a millisecond. Written to the base 64, a deadline and `elapsed`,
//! the tick up to which everything has been looked at, differ first at some digit: its place is
//! the *level*, the deadline's digit there the bucket. So a bucket of level `n` spans `64^n` ticks,
//! and a timer moves at most once per level, whatever its length.
//!
//! Invariant: of every timer here, all digits above its level are those of `elapsed`, and
//! its digit is larger (equal only while its bucket is being emptied). So `elapsed` never
//! passes the start of a bucket that is not empty.

use crate::driver::links::Links;
use crate::driver::timer::{Link, Place};

/// Nanoseconds per tick, as a power of two.
const TICK: u32 = 20;
/// Bits per digit.
const DIGIT: u32 = 6;
/// Buckets per level.
const WIDTH: usize = 1 << DIGIT;
/// Digits of the largest tick.
const LEVELS: usize = (u64::BITS - TICK).div_ceil(DIGIT) as usize;
/// All buckets of a slot.
pub(super) const COUNT: usize = LEVELS * WIDTH;

/// The far timers that one worker has armed.
#[derive(Debug)]
pub(super) struct Buckets {
    slot: usize,
    /// A tick; see the head of this file.
    elapsed: u64,
    /// Per level, a bit for each bucket that is not empty.
    occupied: [u64; LEVELS],
    links: Box<[Links]>,
    /// Some bucket has memory to give back.
    spare: bool,
}

/// A bucket that is not empty, and when it must be looked at, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inspection {
    pub(super) bucket: usize,
    pub(super) start: u64,
}

impl Buckets {
    pub(super) fn new(slot: usize) -> Self {
        let links = (0..COUNT).map(|_| Links::new()).collect();
        Buckets { slot, elapsed: 0, occupied: [0; LEVELS], links, spare: false }
    }

    /// Moves `elapsed` on; no bucket in use may start at or before `now`.
    #[inline]
    pub(super) fn catch_up(&mut self, now: u64) {
        self.elapsed = self.elapsed.max(now >> TICK);
    }

    /// If no timer is kept here now, none that is to fire by `end` ever is again; else false.
    pub(super) fn close(&mut self, end: u64) -> bool {
        let empty = self.earliest().is_none();
        if empty {
            self.catch_up(end);
        }
        empty
    }

    /// Whether a timer is too near to be thrown into a bucket. `now` may be late, never early.
    #[inline]
    pub(super) fn is_near(at: u64, now: u64) -> bool {
        at >> TICK <= (now >> TICK) + NEAR
    }

    /// Whether a timer can be kept here at all.
    #[inline]
    pub(super) fn is_ahead(&self, at: u64) -> bool {
        at >> TICK > self.elapsed
    }

    /// Keeps a timer that is ahead; says when it must be looked at, in nanoseconds.
    ///
    /// # Safety
    /// The timer is claimed by this thread, or has been taken out of another bucket of this slot.
    #[inline(always)]
    pub(super) unsafe fn insert(&mut self, link: Link, at: u64) -> u64 {
        debug_assert!(self.is_ahead(at));
        let tick = at >> TICK;
        let level = (tick ^ self.elapsed).ilog2() / DIGIT;
        let digit = (tick >> (level * DIGIT)) as usize % WIDTH;
        let bucket = level as usize * WIDTH + digit;
        self.occupied[level as usize] |= 1 << digit;
        if self.links[bucket].room() == 0 {
            self.move_in(level, bucket);
        }
        let index = self.links[bucket].insert(link);
        // SAFETY: this slot is locked, the rest is the caller's promise.
        unsafe { link.enter(Place::Bucket { slot: self.slot, bucket }, index) };
        self.start(level, digit)
    }

    /// A bucket's room goes on to the next one in use, or with time each would keep its own. The
    /// finest have spans so short that this would be no gain.
    #[cold]
    fn move_in(&mut self, level: u32, bucket: usize) {
        let first = level as usize * WIDTH;
        let has_room = |links: &Links| links.is_empty() && links.room() > 0;
        let idle = self.links[first..first + WIDTH].iter().position(has_room);
        if let (true, Some(idle)) = (level > 0, idle) {
            self.links.swap(bucket, first + idle);
        }
    }

    /// Takes out the timer at `index` of `bucket`; its state is for the caller to change.
    #[inline]
    pub(super) fn remove(&mut self, bucket: usize, index: usize) -> Link {
        let removed = self.links[bucket].remove(index);
        self.taken(bucket);
        removed
    }

    /// Takes any timer out of `bucket`; its state is for the caller to change.
    pub(super) fn take(&mut self, bucket: usize) -> Option<Link> {
        let taken = self.links[bucket].take();
        self.taken(bucket);
        taken
    }

    /// For so many timers there is room that was taken and not given back.
    #[cfg(all(test, not(loom)))]
    pub(super) fn room(&self) -> usize {
        self.links.iter().map(Links::room).sum()
    }

    #[inline]
    fn taken(&mut self, bucket: usize) {
        let links = &self.links[bucket];
        if links.is_empty() {
            self.spare |= links.has_spare();
            self.occupied[bucket / WIDTH] &= !(1 << (bucket % WIDTH));
        }
    }

    /// Gives back what many timers left behind; at every inspection.
    #[inline]
    pub(super) fn give_back(&mut self) {
        if std::mem::take(&mut self.spare) {
            self.links.iter_mut().for_each(Links::give_back);
        }
    }

    /// The bucket to be looked at first.
    pub(super) fn earliest(&self) -> Option<Inspection> {
        let inspections = (0..LEVELS as u32).filter_map(|level| {
            let occupied = self.occupied[level as usize];
            let digit = occupied.trailing_zeros() as usize;
            (occupied != 0).then(|| Inspection {
                bucket: level as usize * WIDTH + digit,
                start: self.start(level, digit),
            })
        });
        inspections.min_by_key(|inspection| inspection.start)
    }

    /// When the bucket's span begins, in nanoseconds.
    #[inline]
    fn start(&self, level: u32, digit: usize) -> u64 {
        let above = self.elapsed >> ((level + 1) * DIGIT) << ((level + 1) * DIGIT);
        (above | (digit as u64) << (level * DIGIT)) << TICK
    }
}

/// Timers this many ticks away go to the heap at once.
const NEAR: u64 = 3;
