//! The timers that are near, in the order in which they fire.
//!
//! A heap with four children to a node, ordered by deadline, then by entry. Each timer knows its
//! index, so that it leaves in O(log n) and nothing of it stays behind. Everything here happens
//! under the heap's lock, which is what following a [`Link`] asks for.

use crate::driver::timer::{Link, Place};

const CHILDREN: usize = 4;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Heap {
    entries: Vec<Entry>,
    /// How many timers ever entered.
    entered: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: u64,
    order: u64,
    link: Link,
}

impl Entry {
    #[inline]
    fn before(&self, other: &Entry) -> bool {
        (self.at, self.order) < (other.at, other.order)
    }
}

impl Heap {
    /// The earliest deadline, in nanoseconds; the largest number if there is none.
    #[inline]
    pub(super) fn earliest(&self) -> u64 {
        self.entries.first().map_or(u64::MAX, |entry| entry.at)
    }

    /// # Safety
    /// The timer is claimed by this thread, or its structure's lock is held as well and it has
    /// been taken out there.
    pub(super) unsafe fn insert(&mut self, link: Link, at: u64) {
        let entry = Entry { at, order: self.entered, link };
        self.entered += 1;
        self.entries.push(entry);
        // SAFETY: this heap is locked, the other lock is the caller's promise.
        unsafe { link.enter(Place::Heap, self.entries.len() - 1) };
        self.rise(self.entries.len() - 1, entry);
    }

    /// Takes the first timer out if its moment has come.
    pub(super) fn take_due(&mut self, now: u64) -> Option<Link> {
        let first = self.entries.first().filter(|entry| entry.at <= now)?.link;
        self.remove(0);
        Some(first)
    }

    /// Takes out the timer at `index`; its state is for the caller to change.
    pub(super) fn remove(&mut self, index: usize) -> Link {
        let removed = self.entries.swap_remove(index);
        if let Some(&moved) = self.entries.get(index) {
            if moved.before(&removed) {
                self.rise(index, moved);
            } else {
                self.sink(index, moved);
            }
        }
        trim(&mut self.entries);
        removed.link
    }

    fn rise(&mut self, mut hole: usize, entry: Entry) {
        while hole > 0 {
            let parent = (hole - 1) / CHILDREN;
            if !entry.before(&self.entries[parent]) {
                break;
            }
            self.put(hole, self.entries[parent]);
            hole = parent;
        }
        self.put(hole, entry);
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
            self.put(hole, least.1);
            hole = least.0;
        }
        self.put(hole, entry);
    }

    fn put(&mut self, index: usize, entry: Entry) {
        self.entries[index] = entry;
        // SAFETY: `&mut self` comes from the heap's lock, and the timer is in this heap.
        unsafe { entry.link.node(|node| node.index = index as u32) };
    }
}

/// Gives memory back once only an eighth of a large vector is in use.
#[inline]
pub(super) fn trim<T>(vector: &mut Vec<T>) {
    if vector.capacity() > 256 && vector.len() < vector.capacity() / 8 {
        vector.shrink_to(vector.len() * 2);
    }
}
