//! Semaphores: so many at a time.

use std::fmt;

use crate::sync::block::block_on;
use crate::sync::lock::WouldWait;
use crate::sync::permits::{MOST, Permits, TooMany};
use crate::sys::Arc;

/// Lets so many at a time go on; those who wait are served in the order of their arrival.
///
/// A permit that comes back while others wait belongs to the first of them at that moment: the
/// count stays at zero, and a newcomer stands behind (SEM-02, SEM-03). A waiter that goes away in
/// the moment it was given a permit hands it on (SEM-04). What is free beyond that can be taken at
/// once; asyncio lets nobody in until those who were given a permit have run. One who asks for
/// several permits holds up those behind him until he has them all.
///
/// # Examples
///
/// ```
/// use filch::sync::Semaphore;
///
/// filch::sim::run(0, async {
///     let tables = Semaphore::new(2);
///     let mine = tables.acquire().await;
///     let yours = tables.acquire().await;
///     assert!(tables.try_acquire().is_err());
///     drop(mine);
///     assert_eq!(tables.available(), 1);
///     drop(yours);
///     Ok(())
/// })
/// .unwrap();
/// ```
#[derive(Debug)]
#[doc(alias = "asyncio.Semaphore")]
pub struct Semaphore {
    permits: Permits,
}

/// Made with one permit, as asyncio's (SEM-01).
impl Default for Semaphore {
    fn default() -> Self {
        Semaphore::new(1)
    }
}

impl Semaphore {
    /// The most permits there can be.
    pub const MAX_PERMITS: usize = MOST;

    /// Makes a semaphore with so many permits.
    ///
    /// # Panics
    /// If they are more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    pub fn new(permits: usize) -> Self {
        Semaphore { permits: Permits::new(permits) }
    }

    /// Takes a permit, waiting in line for it; it comes back when it is dropped.
    ///
    /// # Cancellation
    /// Leaves the line; a permit already given to this call goes to the next in line.
    #[inline]
    pub async fn acquire(&self) -> Permit<'_> {
        self.acquire_many(1).await
    }

    /// Takes several permits at once, waiting in line until as many are free.
    ///
    /// # Cancellation
    /// Leaves the line; permits already given to this call go to the next in line.
    #[inline]
    pub async fn acquire_many(&self, count: usize) -> Permit<'_> {
        self.permits.acquire(count).await;
        Permit { permits: &self.permits, count, bound: MOST }
    }

    /// As [`acquire_many`](Semaphore::acquire_many), with permits that keep the semaphore alive.
    ///
    /// # Cancellation
    /// Leaves the line; permits already given to this call go to the next in line.
    pub async fn acquire_owned(semaphore: &Arc<Self>, count: usize) -> OwnedPermit {
        semaphore.permits.acquire(count).await;
        OwnedPermit { semaphore: semaphore.clone(), count }
    }

    /// Takes a permit if one is free and nobody waits.
    ///
    /// # Errors
    /// [`WouldWait`] otherwise.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>, WouldWait> {
        self.try_acquire_many(1)
    }

    /// Takes several permits if as many are free and nobody waits.
    ///
    /// # Errors
    /// [`WouldWait`] otherwise.
    #[inline]
    pub fn try_acquire_many(&self, count: usize) -> Result<Permit<'_>, WouldWait> {
        let taken = self.permits.try_acquire(count);
        if taken {
            Ok(Permit { permits: &self.permits, count, bound: MOST })
        } else {
            Err(WouldWait)
        }
    }

    /// Takes a permit, blocking this plain thread; it stands in the same line as tasks do.
    ///
    /// # Panics
    /// Inside a task.
    #[track_caller]
    pub fn acquire_blocking(&self) -> Permit<'_> {
        block_on(self.acquire())
    }

    /// Adds permits: those that somebody has [forgotten](Permit::forget), or new ones.
    ///
    /// # Panics
    /// If there are more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS) then.
    #[doc(alias = "add_permits")]
    pub fn release(&self, count: usize) {
        self.permits.release(count);
    }

    /// Returns whether one who asks for a permit has to wait (SEM-05).
    #[doc(alias = "locked")]
    pub fn is_locked(&self) -> bool {
        self.permits.would_wait(1)
    }

    /// Returns how many wait in line.
    pub fn waiting(&self) -> usize {
        self.permits.waiting()
    }

    /// Returns how many permits are free.
    #[doc(alias = "available_permits")]
    pub fn available(&self) -> usize {
        self.permits.free()
    }
}

/// Permits of a [`Semaphore`] or a [`BoundedSemaphore`], which come back when this is dropped.
#[derive(Debug)]
#[must_use = "a permit comes back at once if it is not kept"]
pub struct Permit<'a> {
    permits: &'a Permits,
    count: usize,
    /// So many may be free once it has come back.
    bound: usize,
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
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.count > 0 {
            // Who released it by hand as well has been given it back already.
            let _ = self.permits.release_within(self.count, self.bound);
        }
    }
}

/// Permits that keep their [`Semaphore`] alive, and come back when this is dropped.
#[derive(Debug)]
#[must_use = "a permit comes back at once if it is not kept"]
pub struct OwnedPermit {
    semaphore: Arc<Semaphore>,
    count: usize,
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
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        if self.count > 0 {
            self.semaphore.permits.release(self.count);
        }
    }
}

/// A [`Semaphore`] that notices when more comes back than was ever taken (SEM-06).
///
/// # Examples
///
/// ```
/// use filch::sync::BoundedSemaphore;
///
/// let seats = BoundedSemaphore::new(1);
/// let seat = seats.try_acquire().unwrap();
/// seat.forget();
/// assert!(seats.release().is_ok());
/// assert!(seats.release().is_err());
/// ```
#[derive(Debug)]
#[doc(alias = "asyncio.BoundedSemaphore")]
pub struct BoundedSemaphore {
    permits: Permits,
    bound: usize,
}

/// More was released than had been taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReleasedTooOften;

impl fmt::Display for ReleasedTooOften {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("semaphore was released more often than acquired")
    }
}

impl std::error::Error for ReleasedTooOften {}

/// Made with one permit, as asyncio's (SEM-01).
impl Default for BoundedSemaphore {
    fn default() -> Self {
        BoundedSemaphore::new(1)
    }
}

impl BoundedSemaphore {
    /// Makes a semaphore that never has more than so many permits.
    ///
    /// # Panics
    /// If they are more than [`Semaphore::MAX_PERMITS`].
    pub fn new(permits: usize) -> Self {
        BoundedSemaphore { permits: Permits::new(permits), bound: permits }
    }

    /// Takes a permit, waiting in line for it; it comes back when it is dropped.
    ///
    /// # Cancellation
    /// Leaves the line; a permit already given to this call goes to the next in line.
    pub async fn acquire(&self) -> Permit<'_> {
        self.permits.acquire(1).await;
        Permit { permits: &self.permits, count: 1, bound: self.bound }
    }

    /// Takes a permit if one is free and nobody waits.
    ///
    /// # Errors
    /// [`WouldWait`] otherwise.
    pub fn try_acquire(&self) -> Result<Permit<'_>, WouldWait> {
        let taken = self.permits.try_acquire(1);
        if taken {
            Ok(Permit { permits: &self.permits, count: 1, bound: self.bound })
        } else {
            Err(WouldWait)
        }
    }

    /// Takes a permit, blocking this plain thread.
    ///
    /// # Panics
    /// Inside a task.
    #[track_caller]
    pub fn acquire_blocking(&self) -> Permit<'_> {
        block_on(self.acquire())
    }

    /// Returns a permit that was [forgotten](Permit::forget).
    ///
    /// # Errors
    /// [`ReleasedTooOften`] if as many are free as there ever were; nothing changes then.
    pub fn release(&self) -> Result<(), ReleasedTooOften> {
        self.permits.release_within(1, self.bound).map_err(|TooMany| ReleasedTooOften)
    }

    /// Returns whether one who asks for a permit has to wait (SEM-05).
    #[doc(alias = "locked")]
    pub fn is_locked(&self) -> bool {
        self.permits.would_wait(1)
    }

    /// Returns how many wait in line.
    pub fn waiting(&self) -> usize {
        self.permits.waiting()
    }

    /// Returns how many permits are free.
    pub fn available(&self) -> usize {
        self.permits.free()
    }
}
