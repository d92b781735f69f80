//! A heap that is not touched before the last comparison.
//!
//! The smallest item is on top, and none is smaller than the one above it: the places below place
//! `n` are `2n + 1` and `2n + 2`. Comparisons are users' code, which may panic. So where an item is
//! to go is found first, by looking only; moving it there is swaps along one path, which cannot
//! fail. `std`'s heap moves as it compares, and a panic leaves the new item in, or loses the one
//! that was to be taken.

use crate::sync::order::Store;

/// Keeps items, and gives the smallest first.
#[doc(hidden)]
#[derive(Debug)]
pub struct Heap<T>(Vec<T>);

impl<T> Heap<T> {
    pub(super) const fn new() -> Self {
        Heap(Vec::new())
    }
}

impl<T> Default for Heap<T> {
    fn default() -> Self {
        Heap::new()
    }
}

impl<T: Ord> Store<T> for Heap<T> {
    fn place(&self, item: &T) -> usize {
        let mut place = self.0.len();
        while place > 0 && *item < self.0[above(place)] {
            place = above(place);
        }
        place
    }

    fn put(&mut self, item: T, place: usize) {
        let mut at = self.0.len();
        self.0.push(item);
        while at > place {
            self.0.swap(at, above(at));
            at = above(at);
        }
    }

    fn take(&mut self) -> Option<T> {
        let last = self.0.len().checked_sub(1)?;
        let place = self.place_of(last);
        let first = self.0.swap_remove(0);
        // The last one is on top now, and sinks.
        let depth = (place + 1).ilog2();
        for below in (0..depth).rev() {
            let at = ((place + 1) >> below) - 1;
            self.0.swap(at, above(at));
        }
        Some(first)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T: Ord> Heap<T> {
    /// Where the last item is to go when the first is taken out: down to the bottom, where the last
    /// mostly belongs, along the smaller ones, and up again as far as it must.
    fn place_of(&self, last: usize) -> usize {
        let items = &self.0[..last];
        let mut place = 0;
        while 2 * place + 2 < items.len() {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            place = if items[right] < items[left] { right } else { left };
        }
        if 2 * place + 1 < items.len() {
            place = 2 * place + 1;
        }
        // What is on top goes: it is not compared.
        while place > 0 && self.0[last] < items[place] {
            place = above(place);
        }
        place
    }
}

/// The place above one that is not the top.
fn above(place: usize) -> usize {
    (place - 1) / 2
}
