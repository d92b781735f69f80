//! In which order a queue gives its items, and how it keeps them for that.

use std::collections::VecDeque;

use crate::sync::heap::Heap;

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
    type Store = Heap<T>;
}

/// Keeps items. A panic in users' code, which is comparisons, changes nothing.
#[doc(hidden)]
pub trait Store<T>: Default {
    /// Where one more is to go: what compares, while the item is still its owner's.
    fn place(&self, item: &T) -> usize;
    /// Keeps one more, in its place; users' code does not run.
    fn put(&mut self, item: T, place: usize);
    /// Gives the next one.
    fn take(&mut self) -> Option<T>;
    /// How many it keeps.
    fn len(&self) -> usize;
}

impl<T> Store<T> for VecDeque<T> {
    #[inline]
    fn place(&self, _: &T) -> usize {
        0
    }

    #[inline]
    fn put(&mut self, item: T, _: usize) {
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
    fn place(&self, _: &T) -> usize {
        0
    }

    fn put(&mut self, item: T, _: usize) {
        self.push(item);
    }

    fn take(&mut self) -> Option<T> {
        self.pop()
    }

    fn len(&self) -> usize {
        Vec::len(self)
    }
}
