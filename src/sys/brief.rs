//! A lock for a few stores.
//!
//! Whoever wants it while it is held spins a little, and then lets others run: nobody ever sleeps
//! for it, so releasing it is one store, and wakes nobody. That suits what is held as briefly as
//! the line of a primitive, and nothing else.
//!
//! Invariant: `taken` is true exactly while there is a guard.
//! Model: `loom-tests/brief.rs`.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::Patience;
use super::machine::{AtomicBool, Ordering, UnsafeCell};

/// A lock for a few stores; a panic does not poison it.
pub(crate) struct Brief<T> {
    taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through the only guard, on whatever thread that is.
unsafe impl<T: Send> Sync for Brief<T> {}
// SAFETY: as for any owner of a `T`.
unsafe impl<T: Send> Send for Brief<T> {}

/// What stands behind it is as it should be wherever a panic may come from under it: the users'
/// code that runs there, which is comparisons, runs before anything is changed.
impl<T> UnwindSafe for Brief<T> {}
/// As above.
impl<T> RefUnwindSafe for Brief<T> {}

impl<T> Brief<T> {
    super::constant! {
        pub(crate) fn new(value: T) -> Self {
            Brief { taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
        }
    }

    #[inline]
    pub(crate) fn lock(&self) -> BriefGuard<'_, T> {
        if !self.try_take() {
            self.wait();
        }
        BriefGuard { lock: self, value: PhantomData }
    }

    /// Takes the lock if it is free.
    #[inline]
    fn try_take(&self) -> bool {
        // Pairs with the store in the guard's `drop`.
        let order = (Ordering::Acquire, Ordering::Relaxed);
        self.taken.compare_exchange(false, true, order.0, order.1).is_ok()
    }

    #[cold]
    fn wait(&self) {
        let mut patience = Patience::new();
        while self.taken.load(Ordering::Relaxed) || !self.try_take() {
            patience.wait();
        }
    }
}

/// Holds a [`Brief`] lock.
pub(crate) struct BriefGuard<'a, T> {
    lock: &'a Brief<T>,
    /// Only a `T` that is `Sync` may be looked at from two threads; and a guard stays on its own.
    value: PhantomData<(&'a mut T, *const ())>,
}

impl<T> Deref for BriefGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard has the lock, so it is the only one.
        self.lock.value.with(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for BriefGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard has the lock, so it is the only one.
        self.lock.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for BriefGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.taken.store(false, Ordering::Release);
    }
}

impl<T> fmt::Debug for Brief<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Brief(..)")
    }
}
