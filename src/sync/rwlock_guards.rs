//! What holds a lock for reading or writing: whole, or for a part of the value.
//!
//! A guard gives its permits back when it is dropped, and gives them on when it is turned into
//! another one: narrowed to a part of the value, or made a reader's.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};

use crate::sync::permits::Permits;
use crate::sync::rwlock::{ALL, RwLock};
use crate::sys::PublicArc as Arc;

/// Holds an [`RwLock`] for reading.
#[must_use = "a lock is released at once if its guard is not kept"]
pub struct RwLockReadGuard<'a, T> {
    lock: &'a RwLock<T>,
    value: PhantomData<&'a T>,
}

/// Holds an [`RwLock`] for reading, and keeps it alive.
#[must_use = "a lock is released at once if its guard is not kept"]
pub struct OwnedRwLockReadGuard<T> {
    lock: Arc<RwLock<T>>,
}

/// Holds an [`RwLock`] for reading a part of its value; made by [`RwLockReadGuard::map`].
#[must_use = "a lock is released at once if its guard is not kept"]
pub struct MappedRwLockReadGuard<'a, U> {
    permits: &'a Permits,
    part: NonNull<U>,
    value: PhantomData<&'a U>,
}

/// Holds an [`RwLock`] for reading a part of its value, and keeps it alive; made by
/// [`OwnedRwLockReadGuard::map`].
#[must_use = "a lock is released at once if its guard is not kept"]
pub struct OwnedMappedRwLockReadGuard<T, U> {
    lock: Arc<RwLock<T>>,
    part: NonNull<U>,
    value: PhantomData<*const U>,
}

/// Holds an [`RwLock`] for writing.
#[must_use = "a lock is released at once if its guard is not kept"]
pub struct RwLockWriteGuard<'a, T> {
    lock: &'a RwLock<T>,
    value: PhantomData<&'a mut T>,
}

/// Holds an [`RwLock`] for writing, and keeps it alive.
#[must_use = "a lock is released at once if its guard is not kept"]
pub struct OwnedRwLockWriteGuard<T> {
    lock: Arc<RwLock<T>>,
}

/// Holds an [`RwLock`] for writing a part of its value; made by [`RwLockWriteGuard::map`].
#[must_use = "a lock is released at once if its guard is not kept"]
pub struct MappedRwLockWriteGuard<'a, U> {
    permits: &'a Permits,
    part: NonNull<U>,
    value: PhantomData<&'a mut U>,
}

/// Holds an [`RwLock`] for writing a part of its value, and keeps it alive; made by
/// [`OwnedRwLockWriteGuard::map`].
#[must_use = "a lock is released at once if its guard is not kept"]
pub struct OwnedMappedRwLockWriteGuard<T, U> {
    lock: Arc<RwLock<T>>,
    part: NonNull<U>,
    value: PhantomData<*mut U>,
}

impl<'a, T> RwLockReadGuard<'a, T> {
    #[inline]
    pub(super) fn new(lock: &'a RwLock<T>) -> Self {
        RwLockReadGuard { lock, value: PhantomData }
    }

    /// Narrows a guard to a part of the value; the lock stays held.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::sync::{RwLock, RwLockReadGuard};
    ///
    /// let pair = RwLock::new((1, "one"));
    /// let guard = pair.try_read().unwrap();
    /// let number = RwLockReadGuard::map(guard, |pair| &pair.0);
    /// assert_eq!(*number, 1);
    /// drop(number);
    /// assert_eq!(pair.into_inner(), (1, "one"));
    /// ```
    pub fn map<U>(guard: Self, part: impl FnOnce(&T) -> &U) -> MappedRwLockReadGuard<'a, U> {
        let part = NonNull::from(part(&*guard));
        let lock = ManuallyDrop::new(guard).lock;
        MappedRwLockReadGuard { permits: &lock.permits, part, value: PhantomData }
    }

    /// As [`map`](RwLockReadGuard::map), for a part that may be missing.
    ///
    /// # Errors
    /// The guard itself, if there is no such part.
    pub fn try_map<U>(
        guard: Self,
        part: impl FnOnce(&T) -> Option<&U>,
    ) -> Result<MappedRwLockReadGuard<'a, U>, Self> {
        let Some(part) = part(&*guard).map(NonNull::from) else { return Err(guard) };
        let lock = ManuallyDrop::new(guard).lock;
        Ok(MappedRwLockReadGuard { permits: &lock.permits, part, value: PhantomData })
    }
}

impl<T> OwnedRwLockReadGuard<T> {
    pub(super) fn new(lock: Arc<RwLock<T>>) -> Self {
        OwnedRwLockReadGuard { lock }
    }

    /// Takes the lock out, still held.
    fn take_out(self) -> Arc<RwLock<T>> {
        let guard = ManuallyDrop::new(self);
        // SAFETY: the guard is never dropped, so this is the only copy of its one field.
        unsafe { ptr::read(&guard.lock) }
    }

    /// Narrows a guard to a part of the value; the lock stays held.
    pub fn map<U>(guard: Self, part: impl FnOnce(&T) -> &U) -> OwnedMappedRwLockReadGuard<T, U> {
        let part = NonNull::from(part(&*guard));
        OwnedMappedRwLockReadGuard { lock: guard.take_out(), part, value: PhantomData }
    }

    /// As [`map`](OwnedRwLockReadGuard::map), for a part that may be missing.
    ///
    /// # Errors
    /// The guard itself, if there is no such part.
    pub fn try_map<U>(
        guard: Self,
        part: impl FnOnce(&T) -> Option<&U>,
    ) -> Result<OwnedMappedRwLockReadGuard<T, U>, Self> {
        let Some(part) = part(&*guard).map(NonNull::from) else { return Err(guard) };
        Ok(OwnedMappedRwLockReadGuard { lock: guard.take_out(), part, value: PhantomData })
    }
}

// SAFETY: it stands for `&U`.
unsafe impl<U: Sync> Send for MappedRwLockReadGuard<'_, U> {}
// SAFETY: as above.
unsafe impl<U: Sync> Sync for MappedRwLockReadGuard<'_, U> {}
// SAFETY: it stands for `&U`, and for an `Arc` of the lock, whose last owner drops the `T`.
unsafe impl<T: Send + Sync, U: Sync> Send for OwnedMappedRwLockReadGuard<T, U> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync, U: Sync> Sync for OwnedMappedRwLockReadGuard<T, U> {}

impl<'a, T> RwLockWriteGuard<'a, T> {
    #[inline]
    pub(super) fn new(lock: &'a RwLock<T>) -> Self {
        RwLockWriteGuard { lock, value: PhantomData }
    }

    /// Narrows a guard to a part of the value; the lock stays held.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::sync::{RwLock, RwLockWriteGuard};
    ///
    /// let pair = RwLock::new((1, "one"));
    /// let guard = pair.try_write().unwrap();
    /// let mut number = RwLockWriteGuard::map(guard, |pair| &mut pair.0);
    /// *number += 1;
    /// drop(number);
    /// assert_eq!(pair.into_inner(), (2, "one"));
    /// ```
    pub fn map<U>(
        mut guard: Self,
        part: impl FnOnce(&mut T) -> &mut U,
    ) -> MappedRwLockWriteGuard<'a, U> {
        let part = NonNull::from(part(&mut *guard));
        let lock = ManuallyDrop::new(guard).lock;
        MappedRwLockWriteGuard { permits: &lock.permits, part, value: PhantomData }
    }

    /// As [`map`](RwLockWriteGuard::map), for a part that may be missing.
    ///
    /// # Errors
    /// The guard itself, if there is no such part.
    pub fn try_map<U>(
        mut guard: Self,
        part: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<MappedRwLockWriteGuard<'a, U>, Self> {
        let Some(part) = part(&mut *guard).map(NonNull::from) else { return Err(guard) };
        let lock = ManuallyDrop::new(guard).lock;
        Ok(MappedRwLockWriteGuard { permits: &lock.permits, part, value: PhantomData })
    }

    /// Goes on as a reader; nobody writes in between.
    pub fn downgrade(guard: Self) -> RwLockReadGuard<'a, T> {
        let lock = ManuallyDrop::new(guard).lock;
        lock.permits.release(ALL - 1);
        RwLockReadGuard::new(lock)
    }
}

impl<T> OwnedRwLockWriteGuard<T> {
    pub(super) fn new(lock: Arc<RwLock<T>>) -> Self {
        OwnedRwLockWriteGuard { lock }
    }

    /// Takes the lock out, still held.
    fn take_out(self) -> Arc<RwLock<T>> {
        let guard = ManuallyDrop::new(self);
        // SAFETY: the guard is never dropped, so this is the only copy of its one field.
        unsafe { ptr::read(&guard.lock) }
    }

    /// Narrows a guard to a part of the value; the lock stays held.
    pub fn map<U>(
        mut guard: Self,
        part: impl FnOnce(&mut T) -> &mut U,
    ) -> OwnedMappedRwLockWriteGuard<T, U> {
        let part = NonNull::from(part(&mut *guard));
        OwnedMappedRwLockWriteGuard { lock: guard.take_out(), part, value: PhantomData }
    }

    /// As [`map`](OwnedRwLockWriteGuard::map), for a part that may be missing.
    ///
    /// # Errors
    /// The guard itself, if there is no such part.
    pub fn try_map<U>(
        mut guard: Self,
        part: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<OwnedMappedRwLockWriteGuard<T, U>, Self> {
        let Some(part) = part(&mut *guard).map(NonNull::from) else { return Err(guard) };
        Ok(OwnedMappedRwLockWriteGuard { lock: guard.take_out(), part, value: PhantomData })
    }

    /// Goes on as a reader; nobody writes in between.
    pub fn downgrade(guard: Self) -> OwnedRwLockReadGuard<T> {
        let lock = guard.take_out();
        lock.permits.release(ALL - 1);
        OwnedRwLockReadGuard::new(lock)
    }
}

// SAFETY: it stands for `&mut U`.
unsafe impl<U: Send> Send for MappedRwLockWriteGuard<'_, U> {}
// SAFETY: as above.
unsafe impl<U: Sync> Sync for MappedRwLockWriteGuard<'_, U> {}
// SAFETY: it stands for `&mut U`, and for an `Arc` of the lock, whose last owner drops the `T`.
unsafe impl<T: Send + Sync, U: Send> Send for OwnedMappedRwLockWriteGuard<T, U> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync, U: Sync> Sync for OwnedMappedRwLockWriteGuard<T, U> {}

/// What all guards do: give a look at the value, and the permits back.
macro_rules! guard {
    ($guard:ident<$($parameter:tt),+>, $value:ident, |$this:ident| $look:expr,
        $permits:expr => $count:expr) => {
        impl<$($parameter),+> Deref for $guard<$($parameter),+> {
            type Target = $value;

            #[inline]
            fn deref(&self) -> &$value {
                let $this = self;
                $look
            }
        }

        impl<$($parameter),+> Drop for $guard<$($parameter),+> {
            #[inline]
            fn drop(&mut self) {
                let $this = self;
                $permits.release($count);
            }
        }

        impl<$($parameter),+> fmt::Debug for $guard<$($parameter),+>
        where
            $value: fmt::Debug,
        {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&**self, f)
            }
        }

        impl<$($parameter),+> fmt::Display for $guard<$($parameter),+>
        where
            $value: fmt::Display,
        {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&**self, f)
            }
        }
    };
}

guard!(RwLockReadGuard<'a, T>, T, |this| shared(this.lock), this.lock.permits => 1);
guard!(RwLockWriteGuard<'a, T>, T, |this| shared(this.lock), this.lock.permits => ALL);
guard!(OwnedRwLockReadGuard<T>, T, |this| shared(&this.lock), this.lock.permits => 1);
guard!(OwnedRwLockWriteGuard<T>, T, |this| shared(&this.lock), this.lock.permits => ALL);
guard!(MappedRwLockReadGuard<'a, U>, U, |this| part(&this.part), this.permits => 1);
guard!(MappedRwLockWriteGuard<'a, U>, U, |this| part(&this.part), this.permits => ALL);
guard!(OwnedMappedRwLockReadGuard<T, U>, U, |this| part(&this.part), this.lock.permits => 1);
guard!(OwnedMappedRwLockWriteGuard<T, U>, U, |this| part(&this.part), this.lock.permits => ALL);

/// The value of a lock, for one of its guards.
#[inline]
fn shared<T>(lock: &RwLock<T>) -> &T {
    // SAFETY: the caller is a guard; while there is one that reads, there is none that writes.
    lock.value.with(|value| unsafe { &*value })
}

/// A part of a lock's value, for a guard of that part.
#[inline]
fn part<U>(part: &NonNull<U>) -> &U {
    // SAFETY: the caller is a guard, which holds the lock; while there is one that reads, there is
    // none that writes.
    unsafe { part.as_ref() }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard has every permit, so it is the only one.
        self.lock.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> DerefMut for OwnedRwLockWriteGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard has every permit, so it is the only one.
        self.lock.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<U> DerefMut for MappedRwLockWriteGuard<'_, U> {
    fn deref_mut(&mut self) -> &mut U {
        // SAFETY: this guard has every permit, so it is the only one.
        unsafe { self.part.as_mut() }
    }
}

impl<T, U> DerefMut for OwnedMappedRwLockWriteGuard<T, U> {
    fn deref_mut(&mut self) -> &mut U {
        // SAFETY: this guard has every permit, so it is the only one.
        unsafe { self.part.as_mut() }
    }
}
