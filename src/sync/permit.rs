//! What holds permits of a semaphore, borrowing it or keeping it alive.

use std::fmt;

use crate::sync::permits::Permits;
use crate::sync::semaphore::{BoundedSemaphore, Semaphore};
use crate::sys::PublicArc as Arc;

/// Permits of a [`Semaphore`] or a [`BoundedSemaphore`], which come back when this is dropped.
#[must_use = "a permit comes back at once if it is not kept"]
pub struct Permit<'a> {
    permits: &'a Permits,
    count: usize,
    /// So many may be free once it has come back.
    bound: usize,
}

/// Permits that keep their [`Semaphore`] or [`BoundedSemaphore`] alive, and come back when this is
/// dropped.
#[must_use = "a permit comes back at once if it is not kept"]
pub struct OwnedPermit {
    keeper: Keeper,
    count: usize,
}

/// Which semaphore it is that an [`OwnedPermit`] keeps alive.
#[derive(Clone)]
pub(super) enum Keeper {
    Any(Arc<Semaphore>),
    Bounded(Arc<BoundedSemaphore>),
}

impl Keeper {
    fn permits(&self) -> (&Permits, usize) {
        match self {
            Keeper::Any(semaphore) => semaphore.permits(),
            Keeper::Bounded(semaphore) => semaphore.permits(),
        }
    }
}

impl<'a> Permit<'a> {
    #[inline]
    pub(super) fn new((permits, bound): (&'a Permits, usize), count: usize) -> Self {
        Permit { permits, count, bound }
    }
}

impl OwnedPermit {
    pub(super) fn new(keeper: Keeper, count: usize) -> Self {
        OwnedPermit { keeper, count }
    }
}

impl Permit<'_> {
    /// Keeps the permits from coming back by themselves.
    pub fn forget(mut self) {
        self.count = 0;
    }

    /// Returns how many permits these are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes so many of these permits apart, to come back by themselves; `None`, if these are
    /// fewer.
    pub fn split(&mut self, count: usize) -> Option<Self> {
        self.count = self.count.checked_sub(count)?;
        Some(Permit { count, ..*self })
    }

    /// Takes in other permits of the same semaphore: they come back together.
    ///
    /// # Panics
    /// If they are of another semaphore.
    #[track_caller]
    pub fn merge(&mut self, mut other: Self) {
        let same = std::ptr::eq(self.permits, other.permits);
        assert!(same, "permits of two semaphores are merged");
        self.count += std::mem::take(&mut other.count);
    }
}

impl OwnedPermit {
    /// Keeps the permits from coming back by themselves.
    pub fn forget(mut self) {
        self.count = 0;
    }

    /// Returns how many permits these are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes so many of these permits apart, to come back by themselves; `None`, if these are
    /// fewer.
    pub fn split(&mut self, count: usize) -> Option<Self> {
        self.count = self.count.checked_sub(count)?;
        Some(OwnedPermit { keeper: self.keeper.clone(), count })
    }

    /// Takes in other permits of the same semaphore: they come back together.
    ///
    /// # Panics
    /// If they are of another semaphore.
    #[track_caller]
    pub fn merge(&mut self, mut other: Self) {
        let same = std::ptr::eq(self.keeper.permits().0, other.keeper.permits().0);
        assert!(same, "permits of two semaphores are merged");
        self.count += std::mem::take(&mut other.count);
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.count > 0 {
            // Those that were released by hand as well have come back already.
            self.permits.release_up_to(self.count, self.bound);
        }
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        let (permits, bound) = self.keeper.permits();
        drop(Permit { permits, count: self.count, bound });
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.count).finish()
    }
}

impl fmt::Debug for OwnedPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPermit").field("count", &self.count).finish()
    }
}
