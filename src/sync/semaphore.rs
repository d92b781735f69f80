//! Semaphores: so many at a time.

use std::fmt;
use std::panic::Location;

use crate::sync::block::block_on;
use crate::sync::lock::WouldWait;
use crate::sync::permit::{Keeper, OwnedPermit, Permit};
use crate::sync::permits::{MOST, Permits, TooMany, Want, Why};
use crate::sys::{PublicArc as Arc, constant};

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
#[doc(alias = "asyncio.Semaphore")]
pub struct Semaphore {
    permits: Permits,
}

impl Semaphore {
    /// The most permits there can be.
    pub const MAX_PERMITS: usize = MOST;

    constant! {
        /// Makes a semaphore with so many permits.
        ///
        /// # Panics
        /// If they are more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
        #[track_caller]
        pub fn new(permits: usize) -> Self {
            Semaphore { permits: Permits::new(permits) }
        }
    }

    /// Adds permits: those that somebody has [forgotten](Permit::forget), or new ones.
    ///
    /// # Panics
    /// If there are more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS) then.
    #[doc(alias = "add_permits")]
    pub fn release(&self, count: usize) {
        self.permits.release(count);
    }

    /// The permits, and how many of them there may be.
    #[inline]
    pub(super) fn permits(&self) -> (&Permits, usize) {
        (&self.permits, MOST)
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

impl BoundedSemaphore {
    constant! {
        /// Makes a semaphore that never has more than so many permits.
        ///
        /// # Panics
        /// If they are more than [`Semaphore::MAX_PERMITS`].
        #[track_caller]
        pub fn new(permits: usize) -> Self {
            BoundedSemaphore { permits: Permits::new(permits), bound: permits }
        }
    }

    /// Returns a permit that was [forgotten](Permit::forget).
    ///
    /// # Errors
    /// [`ReleasedTooOften`] if as many are free as there ever were; nothing changes then.
    pub fn release(&self) -> Result<(), ReleasedTooOften> {
        self.permits.release_within(1, self.bound).map_err(|TooMany| ReleasedTooOften)
    }

    /// The permits, and how many of them there may be.
    #[inline]
    pub(super) fn permits(&self) -> (&Permits, usize) {
        (&self.permits, self.bound)
    }
}

/// What both semaphores do alike.
macro_rules! take_permits {
    ($semaphore:ident, $keeper:path) => {
        impl $semaphore {
            /// Takes a permit, waiting in line for it; it comes back when it is dropped.
            ///
            /// # Cancellation
            /// Leaves the line; a permit already given to this call goes to the next in line.
            #[inline]
            #[track_caller]
            pub fn acquire(&self) -> impl Future<Output = Permit<'_>> {
                self.acquire_many(1)
            }

            /// Takes several permits at once, waiting in line until as many are free.
            ///
            /// # Cancellation
            /// Leaves the line; permits already given to this call go to the next in line.
            ///
            /// # Panics
            /// If they are more than the bound; that of a `Semaphore` is `MAX_PERMITS`.
            #[inline]
            #[track_caller]
            pub fn acquire_many(&self, count: usize) -> impl Future<Output = Permit<'_>> {
                self.check(count);
                let why = Why(Want::Permits, Location::caller());
                async move {
                    let (permits, bound) = self.permits();
                    permits.acquire_within(count, bound, why).await;
                    Permit::new(self.permits(), count)
                }
            }

            /// As `acquire`, with a permit that keeps the semaphore alive.
            ///
            /// # Cancellation
            /// Leaves the line; a permit already given to this call goes to the next in line.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::sync::Arc;
            #[doc = concat!("use filch::sync::", stringify!($semaphore), ";")]
            ///
            /// filch::sim::run(0, async {
            #[doc = concat!("    let semaphore = Arc::new(", stringify!($semaphore), "::new(2));")]
            ///     let permit = semaphore.acquire_owned().await;
            ///     assert_eq!(semaphore.available(), 1);
            ///     filch::spawn(async move { drop(permit) }).await?;
            ///     assert_eq!(semaphore.available(), 2);
            ///     Ok(())
            /// })
            /// .unwrap();
            /// ```
            #[track_caller]
            pub fn acquire_owned(self: &Arc<Self>) -> impl Future<Output = OwnedPermit> {
                self.acquire_many_owned(1)
            }

            /// As `acquire_many`, with permits that keep the semaphore alive.
            ///
            /// # Cancellation
            /// Leaves the line; permits already given to this call go to the next in line.
            ///
            /// # Panics
            /// If they are more than the bound; that of a `Semaphore` is `MAX_PERMITS`.
            #[track_caller]
            pub fn acquire_many_owned(
                self: &Arc<Self>,
                count: usize,
            ) -> impl Future<Output = OwnedPermit> {
                self.check(count);
                let why = Why(Want::Permits, Location::caller());
                async move {
                    let (permits, bound) = self.permits();
                    permits.acquire_within(count, bound, why).await;
                    OwnedPermit::new($keeper(self.clone()), count)
                }
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
            ///
            /// # Panics
            /// If they are more than the bound; that of a `Semaphore` is `MAX_PERMITS`.
            #[inline]
            #[track_caller]
            pub fn try_acquire_many(&self, count: usize) -> Result<Permit<'_>, WouldWait> {
                self.check(count);
                let taken = self.permits.try_acquire(count);
                if taken { Ok(Permit::new(self.permits(), count)) } else { Err(WouldWait) }
            }

            /// As `try_acquire`, with a permit that keeps the semaphore alive.
            ///
            /// # Errors
            /// [`WouldWait`] if none is free, or somebody waits.
            pub fn try_acquire_owned(self: &Arc<Self>) -> Result<OwnedPermit, WouldWait> {
                self.try_acquire_many_owned(1)
            }

            /// As `try_acquire_many`, with permits that keep the semaphore alive.
            ///
            /// # Errors
            /// [`WouldWait`] if fewer are free, or somebody waits.
            ///
            /// # Panics
            /// If they are more than the bound; that of a `Semaphore` is `MAX_PERMITS`.
            #[track_caller]
            pub fn try_acquire_many_owned(
                self: &Arc<Self>,
                count: usize,
            ) -> Result<OwnedPermit, WouldWait> {
                self.check(count);
                let taken = self.permits.try_acquire(count);
                let owned = || OwnedPermit::new($keeper(self.clone()), count);
                taken.then(owned).ok_or(WouldWait)
            }

            /// Takes a permit, blocking this plain thread; it stands in the same line as tasks do.
            ///
            /// # Panics
            /// Inside a task or a callback.
            #[track_caller]
            pub fn acquire_blocking(&self) -> Permit<'_> {
                block_on(self.acquire())
            }

            /// Takes several permits, blocking this plain thread.
            ///
            /// # Panics
            /// Inside a task or a callback; if they are more than the bound.
            #[track_caller]
            pub fn acquire_many_blocking(&self, count: usize) -> Permit<'_> {
                block_on(self.acquire_many(count))
            }

            /// One permit is never too many: with none at all, one waits, as in asyncio.
            #[inline]
            #[track_caller]
            fn check(&self, count: usize) {
                let (_, bound) = self.permits();
                assert!(count <= bound.max(1), "more permits than the bound");
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

        /// Made with one permit, as asyncio's (SEM-01).
        impl Default for $semaphore {
            fn default() -> Self {
                $semaphore::new(1)
            }
        }

        impl fmt::Debug for $semaphore {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut semaphore = f.debug_struct(stringify!($semaphore));
                semaphore.field("available", &self.available());
                semaphore.field("waiting", &self.waiting()).finish()
            }
        }
    };
}

take_permits!(Semaphore, Keeper::Any);
take_permits!(BoundedSemaphore, Keeper::Bounded);
