//! Timers in no order, each at an index that stays its own until it is taken out.
//!
//! A slot holds a timer, or is vacant and names the next vacant one, or is only empty. So to take
//! a timer out writes its slot and touches no other timer. The memory is given back all at once,
//! some time after the last one has gone: who leaves does not pay for that.
//!
//! Invariant: the chain that begins at `vacant` leads through vacant slots only, each once, and
//! ends with `NONE`.

use std::ptr::NonNull;

use crate::driver::timer::{Link, Timer};

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Links {
    slots: Vec<Slot>,
    /// The first vacant slot.
    vacant: usize,
    used: usize,
}

/// A pointer to a timer, which is even; or twice the next vacant slot and one.
#[derive(Debug, Clone, Copy)]
struct Slot(*mut Timer);

// SAFETY: as for `Link`, which it is, or a number.
unsafe impl Send for Slot {}

/// No slot.
const NONE: usize = usize::MAX >> 1;

/// How many slots are kept for what comes next.
const KEPT: usize = 256;

impl Slot {
    #[inline]
    fn vacant(next: usize) -> Self {
        Slot(std::ptr::without_provenance_mut(next << 1 | 1))
    }

    /// The timer, or the next vacant slot.
    #[inline]
    fn get(self) -> Result<Link, usize> {
        match self.0.addr() & 1 {
            // SAFETY: what is even was made from a link, by `insert`.
            0 => Ok(Link::from_raw(unsafe { NonNull::new_unchecked(self.0) })),
            _ => Err(self.0.addr() >> 1),
        }
    }
}

impl Links {
    pub(super) const fn new() -> Self {
        Links { slots: Vec::new(), vacant: NONE, used: 0 }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// For so many timers there is memory.
    #[inline]
    pub(super) fn room(&self) -> usize {
        self.slots.capacity()
    }

    /// Keeps a timer; gives its index.
    #[inline]
    pub(super) fn insert(&mut self, link: Link) -> usize {
        self.used += 1;
        let (slot, index) = (Slot(link.into_raw().as_ptr()), self.vacant);
        let Some(place) = self.slots.get_mut(index) else {
            self.slots.push(slot);
            return self.slots.len() - 1;
        };
        self.vacant = place.get().err().unwrap_or(NONE);
        *place = slot;
        index
    }

    /// Takes the timer at `index` out; others may get its slot.
    #[inline]
    pub(super) fn remove(&mut self, index: usize) -> Link {
        let link = self.empty(index);
        self.vacate(index);
        link
    }

    /// Takes the timer at `index` out; nobody gets its slot before it is [vacated](Links::vacate).
    #[inline]
    pub(super) fn empty(&mut self, index: usize) -> Link {
        let slot = std::mem::replace(&mut self.slots[index], Slot::vacant(NONE));
        slot.get().expect("a timer knows its index")
    }

    /// Gives an empty slot to others.
    #[inline]
    pub(super) fn vacate(&mut self, index: usize) {
        self.slots[index] = Slot::vacant(self.vacant);
        self.vacant = index;
        self.used -= 1;
        if self.used == 0 {
            self.clear();
        }
    }

    /// The timer at `index`, unless the slot is empty or vacant.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<Link> {
        self.slots[index].get().ok()
    }

    /// Takes any timer out.
    pub(super) fn take(&mut self) -> Option<Link> {
        // Vacant slots go with the others: the chain is forgotten.
        self.vacant = NONE;
        let link = loop {
            if let Ok(link) = self.slots.pop()?.get() {
                break link;
            }
        };
        self.used -= 1;
        let later = self.slots.len().checked_sub(AHEAD).and_then(|index| self.get(index));
        later.into_iter().for_each(Link::prefetch);
        if self.used == 0 {
            self.clear();
        }
        Some(link)
    }

    #[inline]
    fn clear(&mut self) {
        self.slots.clear();
        self.vacant = NONE;
    }

    /// There is memory that nobody uses, and much of it.
    #[inline]
    pub(super) fn has_spare(&self) -> bool {
        self.used == 0 && self.slots.capacity() > KEPT
    }

    /// Gives such memory back.
    pub(super) fn give_back(&mut self) {
        if self.has_spare() {
            self.slots = Vec::new();
        }
    }
}

/// By how many timers memory is asked for before it is needed.
const AHEAD: usize = 8;
