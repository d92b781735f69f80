//! Time that others are given to get something done.
//!
//! It is spent in small parts, and no part costs more than its length, however long it took: when
//! the whole machine, or the process, stands still in the midst of it, nothing is taken from those
//! who are waited for.

use std::time::Duration;

use crate::driver::clock::Instant;
use crate::sys::{Condvar, MutexGuard};

/// So many parts there are, if they are not too short.
const PARTS: u32 = 100;
const LEAST: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(crate) struct Allowance {
    left: Duration,
    part: Duration,
}

impl Allowance {
    pub(crate) fn new(time: Duration) -> Self {
        Allowance { left: time, part: (time / PARTS).max(LEAST) }
    }

    pub(crate) fn left(&self) -> Duration {
        self.left
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.left.is_zero()
    }

    /// Waits to be notified, for a part of what is left at most.
    pub(crate) fn wait<'a, T>(
        &mut self,
        bell: &Condvar,
        guard: MutexGuard<'a, T>,
    ) -> MutexGuard<'a, T> {
        let (start, part) = (Instant::now(), self.part.min(self.left));
        let (guard, passed) = bell.wait_for(guard, part);
        self.left -= if passed { part } else { start.elapsed().min(part) };
        guard
    }
}
