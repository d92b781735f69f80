//! What time it is: the wall's time, or a simulation's.
//!
//! The only caller of `std::time::Instant::now` in the house. A thread that runs a simulation
//! enters a [`VirtualClock`]; everywhere else time is the machine's monotonic clock.

use std::cell::Cell;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::sync::OnceLock;
use std::time::Duration;

std::thread_local! {
    /// The simulated clock of this thread, if it runs a simulation, in nanoseconds.
    static VIRTUAL: Cell<Option<u64>> = const { Cell::new(None) };
}

/// A moment on the runtime's monotonic clock, to the nanosecond.
///
/// On real threads it is the machine's clock; inside [`sim::run`](crate::sim::run) it is the
/// simulation's, which stands still while tasks run and jumps to the next timer when none can.
/// Moments of the two must not be mixed. Arithmetic saturates: adding [`Duration::MAX`] gives a
/// moment that never comes.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use filch::time::Instant;
///
/// let start = Instant::now();
/// assert!(start + Duration::from_secs(1) > start);
/// assert!(start + Duration::MAX > start);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The moment that never comes.
    pub(crate) const NEVER: Instant = Instant(u64::MAX);

    /// Returns the present moment.
    #[doc(alias = "loop.time")]
    pub fn now() -> Self {
        Instant(VIRTUAL.get().unwrap_or_else(|| {
            static START: OnceLock<std::time::Instant> = OnceLock::new();
            nanoseconds(START.get_or_init(std::time::Instant::now).elapsed())
        }))
    }

    /// Returns how long ago this moment was; zero if it is still to come.
    pub fn elapsed(self) -> Duration {
        Instant::now().duration_since(self)
    }

    /// Returns the time from `earlier` to this moment; zero if `earlier` is later.
    pub fn duration_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Nanoseconds since the clock began.
    pub(crate) fn nanoseconds(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_nanoseconds(nanoseconds: u64) -> Self {
        Instant(nanoseconds)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, time: Duration) -> Instant {
        Instant(self.0.saturating_add(nanoseconds(time)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, time: Duration) {
        *self = *self + time;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, time: Duration) -> Instant {
        Instant(self.0.saturating_sub(nanoseconds(time)))
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, time: Duration) {
        *self = *self - time;
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// The time between; zero if the right-hand moment is later.
    fn sub(self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}

#[inline]
fn nanoseconds(time: Duration) -> u64 {
    // As all of `u128` would do it, at a third of the price.
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(time.subsec_nanos()))
}

/// A clock that stands still until it is told to go on; this thread's time while it lives.
#[derive(Debug)]
pub(crate) struct VirtualClock {
    before: Option<u64>,
}

impl VirtualClock {
    /// Makes this thread's time virtual, beginning at zero.
    pub(crate) fn enter() -> Self {
        VirtualClock { before: VIRTUAL.replace(Some(0)) }
    }

    /// Moves this thread's virtual time on, from wherever it is; the wall's cannot be moved.
    pub(crate) fn jump(by: Duration) {
        VIRTUAL.set(VIRTUAL.get().map(|now| (Instant(now) + by).0));
    }

    /// Moves time on; it never goes back.
    pub(crate) fn advance_to(&self, to: Instant) {
        VIRTUAL.set(VIRTUAL.get().map(|now| now.max(to.0)));
    }
}

impl Drop for VirtualClock {
    fn drop(&mut self) {
        VIRTUAL.set(self.before);
    }
}
