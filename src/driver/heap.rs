//! The timers that are near, in the order in which they fire.
//!
//! A heap with four children to a node, ordered by deadline, then by entry. It moves entries, not
//! timers: each names a slot of `places`, where the timer is found. A timer that leaves only
//! empties its slot. Its entry goes when it comes up, or with all others of its kind, once they are
//! in the majority. Everything here happens under the heap's lock, which is what following a
//! [`Link`] asks for.
//!
//! Invariant: every slot that is not vacant has one entry, and the first entry has a timer.

use crate::driver::links::Links;
use crate::driver::timer::{Link, Place};

const CHILDREN: usize = 4;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Heap {
    entries: Vec<Entry>,
    places: Links,
    /// How many entries have no timer any more.
    dead: usize,
    /// How many timers ever entered.
    entered: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: u64,
    order: u64,
    place: usize,
}

impl Entry {
    #[inline]
    fn before(&self, other: &Entry) -> bool {
        (self.at, self.order) < (other.at, other.order)
    }
}

impl Heap {
    pub(super) const fn new() -> Self {
        Heap { entries: Vec::new(), places: Links::new(), dead: 0, entered: 0 }
    }

    /// The earliest deadline, in nanoseconds; the largest number if there is none.
    #[inline]
    pub(super) fn earliest(&self) -> u64 {
        self.entries.first().map_or(u64::MAX, |entry| entry.at)
    }

    /// # Safety
    /// The timer is claimed by this thread, or its structure's lock is held as well and it has
    /// been taken out there.
    pub(super) unsafe fn insert(&mut self, link: Link, at: u64) {
        let place = self.places.insert(link);
        let entry = Entry { at, order: self.entered, place };
        self.entered += 1;
        self.entries.push(entry);
        self.rise(self.entries.len() - 1, entry);
        // SAFETY: this heap is locked, the other lock is the caller's promise.
        unsafe { link.enter(Place::Heap, place) };
    }

    /// Takes the first timer out if its moment has come; its state is for the caller to change.
    pub(super) fn take_due(&mut self, now: u64) -> Option<Link> {
        let place = self.entries.first().filter(|entry| entry.at <= now)?.place;
        let link = self.places.empty(place);
        self.dead += 1;
        self.bury();
        Some(link)
    }

    /// Takes out the timer at `place`; its state is for the caller to change.
    pub(super) fn remove(&mut self, place: usize) -> Link {
        let link = self.places.empty(place);
        self.dead += 1;
        self.bury();
        if self.dead > TOLERATED && self.dead > self.entries.len() / 2 {
            self.sweep();
        }
        link
    }

    /// Takes out what comes first without a timer.
    fn bury(&mut self) {
        while let Some(first) = self.entries.first()
            && self.places.get(first.place).is_none()
        {
            self.places.vacate(first.place);
            self.dead -= 1;
            let last = self.entries.pop().expect("there is a first one");
            if !self.entries.is_empty() {
                self.sink(0, last);
            }
        }
        self.give_back();
    }

    /// Takes out everything without a timer, and brings the rest into order.
    fn sweep(&mut self) {
        let places = &mut self.places;
        self.entries.retain(|entry| {
            let lives = places.get(entry.place).is_some();
            if !lives {
                places.vacate(entry.place);
            }
            lives
        });
        self.dead = 0;
        self.give_back();
        for hole in (0..self.entries.len().div_ceil(CHILDREN)).rev() {
            self.sink(hole, self.entries[hole]);
        }
    }

    #[inline]
    fn give_back(&mut self) {
        trim(&mut self.entries);
        if self.entries.is_empty() {
            self.places.give_back();
        }
    }

    fn rise(&mut self, mut hole: usize, entry: Entry) {
        while hole > 0 {
            let parent = (hole - 1) / CHILDREN;
            if !entry.before(&self.entries[parent]) {
                break;
            }
            self.entries[hole] = self.entries[parent];
            hole = parent;
        }
        self.entries[hole] = entry;
    }

    fn sink(&mut self, mut hole: usize, entry: Entry) {
        loop {
            let first = hole * CHILDREN + 1;
            let last = (first + CHILDREN).min(self.entries.len());
            let mut least = (hole, entry);
            for child in first..last {
                if self.entries[child].before(&least.1) {
                    least = (child, self.entries[child]);
                }
            }
            if least.0 == hole {
                break;
            }
            self.entries[hole] = least.1;
            hole = least.0;
        }
        self.entries[hole] = entry;
    }
}

/// So many entries without a timer are never worth a sweep.
const TOLERATED: usize = 32;

/// Gives memory back once only an eighth of a large vector is in use.
#[inline]
fn trim<T>(vector: &mut Vec<T>) {
    if vector.capacity() > 256 && vector.len() < vector.capacity() / 8 {
        vector.shrink_to(vector.len() * 2);
    }
}
