//! A lock that owns what it protects, and waits without blocking its thread.
//!
//! A lock is one permit: see `permits.rs` for how it is taken and handed over.

use std::fmt;
use std::panic::Location;

use crate::sync::block::block_on;
use crate::sync::guards::{LockGuard, OwnedLockGuard};
use crate::sync::permits::{Acquire, Permits, Want, Why};
use crate::sys::{PublicArc as Arc, UnsafeCell, constant};

/// A lock that owns what it protects; those who wait are served in the order of their arrival.
///
/// Whoever releases it while others wait makes the first of them its owner at that moment:
/// [`is_locked`](Lock::is_locked) stays true, and a newcomer stands behind (LOCK-02, LOCK-06). A
/// waiter that goes away in the moment it was promised the lock hands it on (LOCK-04). The guard
/// may be held across awaits, sent to other threads and released by any task (LOCK-03).
///
/// A panic does not poison the lock: the next one finds the value as it was left. So `&Lock` is not
/// [`UnwindSafe`](std::panic::UnwindSafe), as nearly everything else here is. Taking it when nobody
/// has it is one exchange of a word and no allocation.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use filch::sync::Lock;
///
/// filch::sim::run(0, async {
///     let sum = Arc::new(Lock::new(0));
///     let tasks: Vec<_> = (1..=4)
///         .map(|number| {
///             let sum = sum.clone();
///             filch::spawn(async move { *sum.lock().await += number })
///         })
///         .collect();
///     for task in tasks {
///         task.await?;
///     }
///     assert_eq!(*sum.lock().await, 10);
///     Ok(())
/// })
/// .unwrap();
/// ```
#[doc(alias("asyncio.Lock", "Mutex"))]
pub struct Lock<T> {
    pub(super) permits: Permits,
    pub(super) value: UnsafeCell<T>,
}

// SAFETY: `value` is reached through a guard, and there is one guard at a time; it may give the
// value to any thread.
unsafe impl<T: Send> Sync for Lock<T> {}
// SAFETY: as for any owner of a `T`.
unsafe impl<T: Send> Send for Lock<T> {}

/// The lock, or as many permits, could not be had without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WouldWait;

impl fmt::Display for WouldWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot be taken without waiting")
    }
}

impl std::error::Error for WouldWait {}

impl<T> Lock<T> {
    constant! {
        /// Makes a lock that nobody holds.
        pub fn new(value: T) -> Self {
            Lock { permits: Permits::new(1), value: UnsafeCell::new(value) }
        }
    }

    /// Takes the lock, waiting in line for it.
    ///
    /// It does not suspend if the lock is free (LOCK-01).
    ///
    /// # Cancellation
    /// Leaves the line; a lock already promised to this call goes to the next in line.
    #[inline]
    #[doc(alias = "acquire")]
    #[track_caller]
    pub fn lock(&self) -> impl Future<Output = LockGuard<'_, T>> {
        let why = Why(Want::Lock, Location::caller());
        async move {
            if !self.permits.try_acquire(1) && !self.permits.acquire_soon() {
                Acquire::new(&self.permits, 1, why).await;
            }
            LockGuard::new(self)
        }
    }

    /// As [`lock`](Lock::lock), with a guard that keeps the lock alive and borrows nothing.
    ///
    /// # Cancellation
    /// Leaves the line; a lock already promised to this call goes to the next in line.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use filch::sync::Lock;
    ///
    /// filch::sim::run(0, async {
    ///     let lock = Arc::new(Lock::new(1));
    ///     let guard = lock.lock_owned().await;
    ///     filch::spawn(async move { assert_eq!(*guard, 1) }).await
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn lock_owned(self: &Arc<Self>) -> impl Future<Output = OwnedLockGuard<T>> {
        let why = Why(Want::Lock, Location::caller());
        async move {
            self.permits.acquire(1, why).await;
            OwnedLockGuard::new(self.clone())
        }
    }

    /// Takes the lock if it is free and nobody waits for it.
    ///
    /// # Errors
    /// [`WouldWait`] otherwise.
    #[inline]
    pub fn try_lock(&self) -> Result<LockGuard<'_, T>, WouldWait> {
        if self.permits.try_acquire(1) { Ok(LockGuard::new(self)) } else { Err(WouldWait) }
    }

    /// As [`try_lock`](Lock::try_lock), with a guard that keeps the lock alive.
    ///
    /// # Errors
    /// [`WouldWait`] if the lock is taken or somebody waits for it.
    pub fn try_lock_owned(self: &Arc<Self>) -> Result<OwnedLockGuard<T>, WouldWait> {
        let taken = self.permits.try_acquire(1);
        if taken { Ok(OwnedLockGuard::new(self.clone())) } else { Err(WouldWait) }
    }

    /// Takes the lock, blocking this plain thread; it stands in the same line as tasks do.
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn lock_blocking(&self) -> LockGuard<'_, T> {
        block_on(self.lock())
    }

    /// Returns whether somebody holds the lock, or has been promised it.
    #[doc(alias = "locked")]
    pub fn is_locked(&self) -> bool {
        self.permits.would_wait(1)
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

impl<T: Default> Default for Lock<T> {
    fn default() -> Self {
        Lock::new(T::default())
    }
}

impl<T> From<T> for Lock<T> {
    fn from(value: T) -> Self {
        Lock::new(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lock = f.debug_struct("Lock");
        match self.try_lock() {
            Ok(guard) => lock.field("value", &*guard),
            Err(_) => lock.field("value", &format_args!("<locked>")),
        };
        lock.field("waiting", &self.permits.waiting()).finish()
    }
}
