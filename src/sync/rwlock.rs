//! A lock for one writer or many readers.
//!
//! It is a store of many permits (`permits.rs`): a reader takes one, a writer all of them. One
//! line for both keeps the order of arrival, so neither kind can starve the other.

use std::fmt;
use std::panic::Location;

use crate::sync::block::block_on;
use crate::sync::lock::WouldWait;
use crate::sync::permits::{Permits, Want, Why};
use crate::sync::rwlock_guards::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard};
use crate::sync::rwlock_guards::{RwLockReadGuard, RwLockWriteGuard};
use crate::sys::{PublicArc as Arc, UnsafeCell, constant};

/// How many may read at once; all of them together are the right to write.
pub(super) const ALL: usize = u32::MAX as usize >> 2;

/// A lock for one writer or many readers, served in the order of their arrival.
///
/// A reader who comes while a writer waits stands behind him; readers next to each other in line
/// go in together. What holds for [`Lock`](crate::sync::Lock) holds here: a promise is handed on
/// by one who goes away, guards may be sent and kept across awaits, a panic does not poison.
///
/// # Examples
///
/// ```
/// use filch::sync::RwLock;
///
/// filch::sim::run(0, async {
///     let table = RwLock::new(vec![1]);
///     {
///         let (one, other) = (table.read().await, table.read().await);
///         assert_eq!(one.len(), other.len());
///         assert!(table.try_write().is_err());
///     }
///     table.write().await.push(2);
///     Ok(())
/// })
/// .unwrap();
/// ```
pub struct RwLock<T> {
    pub(super) permits: Permits,
    pub(super) value: UnsafeCell<T>,
}

// SAFETY: readers share the value, one writer has it alone; either may be any thread.
unsafe impl<T: Send + Sync> Sync for RwLock<T> {}
// SAFETY: as for any owner of a `T`.
unsafe impl<T: Send> Send for RwLock<T> {}

impl<T> RwLock<T> {
    constant! {
        /// Makes a lock that nobody holds.
        pub fn new(value: T) -> Self {
            RwLock { permits: Permits::new(ALL), value: UnsafeCell::new(value) }
        }
    }

    /// Takes the lock for reading, waiting in line for it.
    ///
    /// # Cancellation
    /// Leaves the line; a lock already promised to this call is given back.
    #[inline]
    #[track_caller]
    pub fn read(&self) -> impl Future<Output = RwLockReadGuard<'_, T>> {
        let why = Why(Want::Read, Location::caller());
        async move {
            self.permits.acquire(1, why).await;
            RwLockReadGuard::new(self)
        }
    }

    /// Takes the lock for writing, waiting in line for it.
    ///
    /// # Cancellation
    /// Leaves the line; a lock already promised to this call goes to the next in line.
    #[inline]
    #[track_caller]
    pub fn write(&self) -> impl Future<Output = RwLockWriteGuard<'_, T>> {
        let why = Why(Want::Write, Location::caller());
        async move {
            self.permits.acquire(ALL, why).await;
            RwLockWriteGuard::new(self)
        }
    }

    /// As [`read`](RwLock::read), with a guard that keeps the lock alive.
    ///
    /// # Cancellation
    /// Leaves the line; a lock already promised to this call is given back.
    #[track_caller]
    pub fn read_owned(self: &Arc<Self>) -> impl Future<Output = OwnedRwLockReadGuard<T>> {
        let why = Why(Want::Read, Location::caller());
        async move {
            self.permits.acquire(1, why).await;
            OwnedRwLockReadGuard::new(self.clone())
        }
    }

    /// As [`write`](RwLock::write), with a guard that keeps the lock alive.
    ///
    /// # Cancellation
    /// Leaves the line; a lock already promised to this call goes to the next in line.
    #[track_caller]
    pub fn write_owned(self: &Arc<Self>) -> impl Future<Output = OwnedRwLockWriteGuard<T>> {
        let why = Why(Want::Write, Location::caller());
        async move {
            self.permits.acquire(ALL, why).await;
            OwnedRwLockWriteGuard::new(self.clone())
        }
    }

    /// Takes the lock for reading if nobody writes or waits.
    ///
    /// # Errors
    /// [`WouldWait`] otherwise.
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, WouldWait> {
        let taken = self.permits.try_acquire(1);
        if taken { Ok(RwLockReadGuard::new(self)) } else { Err(WouldWait) }
    }

    /// Takes the lock for writing if nobody reads, writes or waits.
    ///
    /// # Errors
    /// [`WouldWait`] otherwise.
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, WouldWait> {
        let taken = self.permits.try_acquire(ALL);
        if taken { Ok(RwLockWriteGuard::new(self)) } else { Err(WouldWait) }
    }

    /// As [`try_read`](RwLock::try_read), with a guard that keeps the lock alive.
    ///
    /// # Errors
    /// [`WouldWait`] if somebody writes or waits.
    pub fn try_read_owned(self: &Arc<Self>) -> Result<OwnedRwLockReadGuard<T>, WouldWait> {
        let taken = self.permits.try_acquire(1);
        if taken { Ok(OwnedRwLockReadGuard::new(self.clone())) } else { Err(WouldWait) }
    }

    /// As [`try_write`](RwLock::try_write), with a guard that keeps the lock alive.
    ///
    /// # Errors
    /// [`WouldWait`] if somebody reads, writes or waits.
    pub fn try_write_owned(self: &Arc<Self>) -> Result<OwnedRwLockWriteGuard<T>, WouldWait> {
        let taken = self.permits.try_acquire(ALL);
        if taken { Ok(OwnedRwLockWriteGuard::new(self.clone())) } else { Err(WouldWait) }
    }

    /// Takes the lock for reading, blocking this plain thread.
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn read_blocking(&self) -> RwLockReadGuard<'_, T> {
        block_on(self.read())
    }

    /// Takes the lock for writing, blocking this plain thread.
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn write_blocking(&self) -> RwLockWriteGuard<'_, T> {
        block_on(self.write())
    }

    /// Returns how many wait in line.
    pub fn waiting(&self) -> usize {
        self.permits.waiting()
    }

    /// Reaches the value through the only reference there is.
    pub fn get_mut(&mut self) -> &mut T {
        // SAFETY: `&mut self`: there is no guard.
        self.value.with_mut(|value| unsafe { &mut *value })
    }

    /// Gives the value back.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        RwLock::new(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lock = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => lock.field("value", &*guard),
            Err(_) => lock.field("value", &format_args!("<locked>")),
        };
        lock.field("waiting", &self.permits.waiting()).finish()
    }
}
