//! What holds a lock: guards that borrow it or keep it alive, whole or for a part of the value.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use self::sealed::Guard as _;
use crate::sync::lock::Lock;
use crate::sync::permits::Permits;
use crate::sys::Arc;

const LOST: &str = "the lock was lost: a wait on a condition was dropped half-way";

/// A guard of a whole [`Lock`], which a [`Condition`](crate::sync::Condition) can wait with:
/// [`LockGuard`] or [`OwnedLockGuard`].
pub trait WholeGuard: DerefMut<Target = Self::Value> + sealed::Guard {}

impl<G: DerefMut<Target = Self::Value> + sealed::Guard> WholeGuard for G {}

pub(super) mod sealed {
    use super::*;

    pub trait Guard {
        type Value;
        type Lock: Deref<Target = Lock<Self::Value>>;

        /// Takes the lock out, to be released, taken again, and put back.
        fn take_out(&mut self) -> Self::Lock;
        fn put_back(&mut self, lock: Self::Lock);
    }

    impl<'a, T> Guard for LockGuard<'a, T> {
        type Value = T;
        type Lock = &'a Lock<T>;

        #[track_caller]
        fn take_out(&mut self) -> &'a Lock<T> {
            self.lock.take().expect(LOST)
        }

        fn put_back(&mut self, lock: &'a Lock<T>) {
            self.lock = Some(lock);
        }
    }

    impl<T> Guard for OwnedLockGuard<T> {
        type Value = T;
        type Lock = Arc<Lock<T>>;

        #[track_caller]
        fn take_out(&mut self) -> Arc<Lock<T>> {
            self.lock.take().expect(LOST)
        }

        fn put_back(&mut self, lock: Arc<Lock<T>>) {
            self.lock = Some(lock);
        }
    }
}

/// Holds a [`Lock`], and releases it when it is dropped, on every way out (LOCK-05).
#[must_use = "a lock is released at once if its guard is not kept"]
pub struct LockGuard<'a, T> {
    /// `None` while a wait on a condition has the lock released.
    lock: Option<&'a Lock<T>>,
    /// What it stands for: only a `T` that is `Sync` may be looked at from two threads.
    value: PhantomData<&'a mut T>,
}

impl<'a, T> LockGuard<'a, T> {
    #[inline]
    pub(super) fn new(lock: &'a Lock<T>) -> Self {
        LockGuard { lock: Some(lock), value: PhantomData }
    }

    #[inline]
    #[track_caller]
    fn lock(&self) -> &'a Lock<T> {
        self.lock.expect(LOST)
    }

    /// Narrows a guard to a part of the value; the lock stays held.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::sync::{Lock, LockGuard};
    ///
    /// let pair = Lock::new((1, "one"));
    /// let mut number = LockGuard::map(pair.try_lock().unwrap(), |pair| &mut pair.0);
    /// *number += 1;
    /// drop(number);
    /// assert_eq!(pair.into_inner(), (2, "one"));
    /// ```
    pub fn map<U>(mut guard: Self, part: impl FnOnce(&mut T) -> &mut U) -> MappedLockGuard<'a, U> {
        let part = NonNull::from(part(&mut *guard));
        let lock = guard.take_out();
        MappedLockGuard { permits: &lock.permits, part, value: PhantomData }
    }

    /// As [`map`](LockGuard::map), for a part that may be missing.
    ///
    /// # Errors
    /// The guard itself, if there is no such part.
    pub fn try_map<U>(
        mut guard: Self,
        part: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<MappedLockGuard<'a, U>, Self> {
        match part(&mut *guard).map(NonNull::from) {
            Some(part) => {
                let lock = guard.take_out();
                Ok(MappedLockGuard { permits: &lock.permits, part, value: PhantomData })
            }
            None => Err(guard),
        }
    }
}

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;

    /// # Panics
    /// If a wait on a condition was dropped half-way, without a cancellation: the lock is lost.
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: while this guard has the lock, it is the only one.
        self.lock().value.with(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: while this guard has the lock, it is the only one.
        self.lock().value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for LockGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(lock) = self.lock {
            lock.permits.release(1);
        }
    }
}

/// Holds a [`Lock`] and keeps it alive; releases it when it is dropped.
#[must_use = "a lock is released at once if its guard is not kept"]
pub struct OwnedLockGuard<T> {
    /// `None` while a wait on a condition has the lock released.
    lock: Option<Arc<Lock<T>>>,
    /// Only a `T` that is `Sync` may be looked at from two threads.
    value: PhantomData<T>,
}

impl<T> OwnedLockGuard<T> {
    pub(super) fn new(lock: Arc<Lock<T>>) -> Self {
        OwnedLockGuard { lock: Some(lock), value: PhantomData }
    }

    #[track_caller]
    fn lock(&self) -> &Lock<T> {
        self.lock.as_ref().expect(LOST)
    }

    /// Narrows a guard to a part of the value; the lock stays held.
    pub fn map<U>(
        mut guard: Self,
        part: impl FnOnce(&mut T) -> &mut U,
    ) -> OwnedMappedLockGuard<T, U> {
        let part = NonNull::from(part(&mut *guard));
        let lock = guard.take_out();
        OwnedMappedLockGuard { lock, part, value: PhantomData }
    }

    /// As [`map`](OwnedLockGuard::map), for a part that may be missing.
    ///
    /// # Errors
    /// The guard itself, if there is no such part.
    pub fn try_map<U>(
        mut guard: Self,
        part: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<OwnedMappedLockGuard<T, U>, Self> {
        let Some(part) = part(&mut *guard).map(NonNull::from) else { return Err(guard) };
        Ok(OwnedMappedLockGuard { lock: guard.take_out(), part, value: PhantomData })
    }
}

impl<T> Deref for OwnedLockGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard holds the lock, so it is the only one.
        self.lock().value.with(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for OwnedLockGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard holds the lock, so it is the only one.
        self.lock().value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for OwnedLockGuard<T> {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            lock.permits.release(1);
        }
    }
}

/// Holds a [`Lock`] for the sake of a part of its value; made by [`LockGuard::map`].
#[must_use = "a lock is released at once if its guard is not kept"]
pub struct MappedLockGuard<'a, U> {
    permits: &'a Permits,
    part: NonNull<U>,
    value: PhantomData<&'a mut U>,
}

// SAFETY: it stands for `&mut U`.
unsafe impl<U: Send> Send for MappedLockGuard<'_, U> {}
// SAFETY: as above.
unsafe impl<U: Sync> Sync for MappedLockGuard<'_, U> {}

impl<U> Deref for MappedLockGuard<'_, U> {
    type Target = U;

    fn deref(&self) -> &U {
        // SAFETY: it is a part of the value of a lock that this guard holds and borrows.
        unsafe { self.part.as_ref() }
    }
}

impl<U> DerefMut for MappedLockGuard<'_, U> {
    fn deref_mut(&mut self) -> &mut U {
        // SAFETY: it is a part of the value of a lock that this guard holds and borrows.
        unsafe { self.part.as_mut() }
    }
}

impl<U> Drop for MappedLockGuard<'_, U> {
    fn drop(&mut self) {
        self.permits.release(1);
    }
}

/// Holds a [`Lock`] for the sake of a part of its value, and keeps it alive; made by
/// [`OwnedLockGuard::map`].
#[must_use = "a lock is released at once if its guard is not kept"]
pub struct OwnedMappedLockGuard<T, U> {
    lock: Arc<Lock<T>>,
    part: NonNull<U>,
    /// As `&mut U`, it is for exactly this type.
    value: PhantomData<Cell<U>>,
}

// SAFETY: it stands for `&mut U`, and for an `Arc` of the lock, whose last owner drops the `T`.
unsafe impl<T: Send, U: Send> Send for OwnedMappedLockGuard<T, U> {}
// SAFETY: as above.
unsafe impl<T: Send, U: Sync> Sync for OwnedMappedLockGuard<T, U> {}

impl<T, U> Deref for OwnedMappedLockGuard<T, U> {
    type Target = U;

    fn deref(&self) -> &U {
        // SAFETY: it is a part of the value of a lock that this guard holds and keeps alive.
        unsafe { self.part.as_ref() }
    }
}

impl<T, U> DerefMut for OwnedMappedLockGuard<T, U> {
    fn deref_mut(&mut self) -> &mut U {
        // SAFETY: it is a part of the value of a lock that this guard holds and keeps alive.
        unsafe { self.part.as_mut() }
    }
}

impl<T, U> Drop for OwnedMappedLockGuard<T, U> {
    fn drop(&mut self) {
        self.lock.permits.release(1);
    }
}

macro_rules! show_the_value {
    ($($guard:ident<$($parameter:tt),+> of $value:ident;)*) => { $(
        impl<$($parameter,)+> fmt::Debug for $guard<$($parameter),+>
        where
            $value: fmt::Debug,
        {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&**self, f)
            }
        }

        impl<$($parameter,)+> fmt::Display for $guard<$($parameter),+>
        where
            $value: fmt::Display,
        {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&**self, f)
            }
        }
    )* };
}

show_the_value! {
    LockGuard<'a, T> of T;
    OwnedLockGuard<T> of T;
    MappedLockGuard<'a, U> of U;
    OwnedMappedLockGuard<T, U> of U;
}
