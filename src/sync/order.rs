//! In which order a queue gives its items, and how it keeps them for that.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// An order of a queue: [`Fifo`], [`Lifo`] or [`Priority`].
///
/// It cannot be implemented elsewhere.
pub trait Order<T>: sealed::Sealed {
    #[doc(hidden)]
    type Store: Store<T>;
}

/// First in, first out.
#[derive(Debug, Clone, Copy)]
pub enum Fifo {}

/// Last in, first out.
#[derive(Debug, Clone, Copy)]
pub enum Lifo {}

/// The smallest first.
#[derive(Debug, Clone, Copy)]
pub enum Priority {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Fifo {}
    impl Sealed for super::Lifo {}
    impl Sealed for super::Priority {}
}

impl<T> Order<T> for Fifo {
    type Store = VecDeque<T>;
}

impl<T> Order<T> for Lifo {
    type Store = Vec<T>;
}

impl<T: Ord> Order<T> for Priority {
    type Store = BinaryHeap<Reverse<T>>;
}

/// Keeps items.
#[doc(hidden)]
pub trait Store<T>: Default {
    /// Keeps one more.
    fn put(&mut self, item: T);
    /// Gives the next one.
    fn take(&mut self) -> Option<T>;
    /// How many it keeps.
    fn len(&self) -> usize;
}

impl<T> Store<T> for VecDeque<T> {
    #[inline]
    fn put(&mut self, item: T) {
        self.push_back(item);
    }

    #[inline]
    fn take(&mut self) -> Option<T> {
        self.pop_front()
    }

    #[inline]
    fn len(&self) -> usize {
        VecDeque::len(self)
    }
}

impl<T> Store<T> for Vec<T> {
    fn put(&mut self, item: T) {
        self.push(item);
    }

    fn take(&mut self) -> Option<T> {
        self.pop()
    }

    fn len(&self) -> usize {
        Vec::len(self)
    }
}

impl<T: Ord> Store<T> for BinaryHeap<Reverse<T>> {
    fn put(&mut self, item: T) {
        self.push(Reverse(item));
    }

    fn take(&mut self) -> Option<T> {
        self.pop().map(|Reverse(item)| item)
    }

    fn len(&self) -> usize {
        BinaryHeap::len(self)
    }
}
