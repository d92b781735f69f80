//! What holds a lock: guards that borrow it or keep it alive, whole or for a part of the value.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::ptr::NonNull;

use self::sealed::{Guard as _, Key};
use crate::sync::lock::Lock;
use crate::sync::permits::{Permits, Want, Why};
use crate::sys::PublicArc as Arc;

const LOST: &str = "the lock was lost: a wait on a condition was dropped half-way (see `relock`)";

/// A guard of a whole [`Lock`], which a [`Condition`](crate::sync::Condition) can wait with:
/// [`LockGuard`] or [`OwnedLockGuard`].
pub trait WholeGuard: DerefMut<Target = Self::Value> + sealed::Guard {}

impl<G: DerefMut<Target = Self::Value> + sealed::Guard> WholeGuard for G {}

pub(super) mod sealed {
    use super::*;

    /// Who has it is of this room: a guard that was told a lie would give a value to two.
    ///
    /// ```compile_fail
    /// fn forge<G: filch::sync::WholeGuard>(guard: &mut G) {
    ///     guard.put_back();
    /// }
    /// ```
    #[derive(Debug)]
    pub struct Key(());

    impl Key {
        pub(in crate::sync) fn new() -> Self {
            Key(())
        }
    }

    pub trait Guard {
        type Value;
        type Lock: Deref<Target = Lock<Self::Value>>;

        /// Says that the guard has the lock no longer, and gives the lock, to be released.
        fn let_go(&mut self, key: Key) -> Self::Lock;
        /// The guard has the lock again.
        fn put_back(&mut self, key: Key);
    }

    impl<'a, T> Guard for LockGuard<'a, T> {
        type Value = T;
        type Lock = &'a Lock<T>;

        #[track_caller]
        fn let_go(&mut self, _: Key) -> &'a Lock<T> {
            assert!(std::mem::take(&mut self.held), "{LOST}");
            self.lock
        }

        fn put_back(&mut self, _: Key) {
            self.held = true;
        }
    }

    impl<T> Guard for OwnedLockGuard<T> {
        type Value = T;
        type Lock = Arc<Lock<T>>;

        #[track_caller]
        fn let_go(&mut self, _: Key) -> Arc<Lock<T>> {
            assert!(std::mem::take(&mut self.held), "{LOST}");
            self.lock.clone()
        }

        fn put_back(&mut self, _: Key) {
            self.held = true;
        }
    }
}

/// Holds a [`Lock`], and releases it when it is dropped, on every way out (LOCK-05).
#[must_use = "a lock is released at once if its guard is not kept"]
pub struct LockGuard<'a, T> {
    lock: &'a Lock<T>,
    /// False while a wait on a condition has the lock released.
    held: bool,
    /// What it stands for: only a `T` that is `Sync` may be looked at from two threads.
    value: PhantomData<&'a mut T>,
}

impl<'a, T> LockGuard<'a, T> {
    #[inline]
    pub(super) fn new(lock: &'a Lock<T>) -> Self {
        LockGuard { lock, held: true, value: PhantomData }
    }

    #[inline]
    #[track_caller]
    fn lock(&self) -> &'a Lock<T> {
        assert!(self.held, "{LOST}");
        self.lock
    }

    /// Returns whether the guard has the lock: always, but after a wait on a condition that was
    /// dropped half-way without a cancellation. See [`relock`](LockGuard::relock).
    pub fn is_held(guard: &Self) -> bool {
        guard.held
    }

    /// Takes the lock again, waiting in line for it, if the guard has lost it.
    ///
    /// A [wait on a condition](crate::sync::Condition::wait) that is dropped half-way, as by a
    /// `select!`, cannot wait for the lock that it had released.
    ///
    /// # Cancellation
    /// Leaves the line; the guard stays without the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::sync::{Condition, Lock, LockGuard};
    /// use futures::FutureExt;
    ///
    /// filch::sim::run(0, async {
    ///     let (lock, changed) = (Lock::new(1), Condition::new());
    ///     let mut guard = lock.lock().await;
    ///     assert!(changed.wait(&mut guard).now_or_never().is_none());
    ///     assert!(!LockGuard::is_held(&guard) && !lock.is_locked());
    ///     LockGuard::relock(&mut guard).await;
    ///     assert_eq!(*guard, 1);
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn relock(guard: &mut Self) -> impl Future<Output = ()> {
        let why = Why(Want::Lock, Location::caller());
        take_again(&guard.lock.permits, &mut guard.held, why)
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
        let lock = guard.let_go(Key::new());
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
                let lock = guard.let_go(Key::new());
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
        if self.held {
            self.lock.permits.release(1);
        }
    }
}

/// Takes the lock for a guard, if it has not got it.
async fn take_again(permits: &Permits, held: &mut bool, why: Why) {
    if !*held {
        permits.acquire(1, why).await;
        *held = true;
    }
}

/// Holds a [`Lock`] and keeps it alive; releases it when it is dropped.
#[must_use = "a lock is released at once if its guard is not kept"]
pub struct OwnedLockGuard<T> {
    lock: Arc<Lock<T>>,
    /// False while a wait on a condition has the lock released.
    held: bool,
    /// Only a `T` that is `Sync` may be looked at from two threads.
    value: PhantomData<T>,
}

impl<T> OwnedLockGuard<T> {
    pub(super) fn new(lock: Arc<Lock<T>>) -> Self {
        OwnedLockGuard { lock, held: true, value: PhantomData }
    }

    #[track_caller]
    fn lock(&self) -> &Lock<T> {
        assert!(self.held, "{LOST}");
        &self.lock
    }

    /// Returns whether the guard has the lock; see [`LockGuard::is_held`].
    pub fn is_held(guard: &Self) -> bool {
        guard.held
    }

    /// Takes the lock again if the guard has lost it; see [`LockGuard::relock`].
    ///
    /// # Cancellation
    /// Leaves the line; the guard stays without the lock.
    #[track_caller]
    pub fn relock(guard: &mut Self) -> impl Future<Output = ()> {
        let why = Why(Want::Lock, Location::caller());
        take_again(&guard.lock.permits, &mut guard.held, why)
    }

    /// Narrows a guard to a part of the value; the lock stays held.
    pub fn map<U>(
        mut guard: Self,
        part: impl FnOnce(&mut T) -> &mut U,
    ) -> OwnedMappedLockGuard<T, U> {
        let part = NonNull::from(part(&mut *guard));
        let lock = guard.let_go(Key::new());
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
        Ok(OwnedMappedLockGuard { lock: guard.let_go(Key::new()), part, value: PhantomData })
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
        if self.held {
            self.lock.permits.release(1);
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
