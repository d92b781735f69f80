//! Queues of other orders, and how queues of every order are made.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;

use crate::sync::heap::Heap;
use crate::sync::order::{Lifo, Priority};
use crate::sync::queue::Queue;
use crate::sys::constant;

/// A [`Queue`] that gives the youngest item first.
///
/// # Examples
///
/// ```
/// let stack = filch::sync::LifoQueue::unbounded();
/// stack.try_put(1).unwrap();
/// stack.try_put(2).unwrap();
/// assert_eq!(stack.try_get(), Ok(2));
/// ```
#[doc(alias = "asyncio.LifoQueue")]
pub struct LifoQueue<T>(Queue<T, Lifo>);

/// A [`Queue`] that gives the smallest item first; equal ones in any order (QUE-02).
///
/// Items are compared while the queue is locked: a comparison must not use the queue.
///
/// # Panics
/// Where an item is put or taken, if a comparison panics. It is as if the call had not been made:
/// nothing is put, nor taken, and room or an item announced to this call is announced to the next
/// in line. (In asyncio, an item that cannot be compared stays in, and is not counted; one that was
/// to be taken is lost.)
///
/// # Examples
///
/// ```
/// let queue = filch::sync::PriorityQueue::unbounded();
/// queue.try_put((2, "later")).unwrap();
/// queue.try_put((1, "first")).unwrap();
/// assert_eq!(queue.try_get(), Ok((1, "first")));
/// ```
#[doc(alias = "asyncio.PriorityQueue")]
pub struct PriorityQueue<T: Ord>(Queue<T, Priority>);

impl<T> Deref for LifoQueue<T> {
    type Target = Queue<T, Lifo>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T: Ord> Deref for PriorityQueue<T> {
    type Target = Queue<T, Priority>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

macro_rules! constructors {
    ($($bound:ident)?, $queue:ty, $store:expr, $(($wrap:ident))?) => {
        impl<T $(: $bound)?> $queue {
            constant! {
                /// Makes a queue with room for so many items.
                ///
                /// # Panics
                /// If that is none.
                #[track_caller]
                pub fn bounded(capacity: usize) -> Self {
                    assert!(capacity > 0, "a queue needs room for an item");
                    $($wrap)? (Queue::with($store, capacity))
                }
            }

            constant! {
                /// Makes a queue with room for as many items as memory holds.
                pub fn unbounded() -> Self {
                    $($wrap)? (Queue::with($store, 0))
                }
            }
        }

        /// Unbounded.
        impl<T $(: $bound)?> Default for $queue {
            fn default() -> Self {
                Self::unbounded()
            }
        }
    };
}

constructors!(, Queue<T>, VecDeque::new(),);
constructors!(, LifoQueue<T>, Vec::new(), (LifoQueue));
constructors!(Ord, PriorityQueue<T>, Heap::new(), (PriorityQueue));

impl<T> fmt::Debug for LifoQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<T: Ord> fmt::Debug for PriorityQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
