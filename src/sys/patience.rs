//! How to wait for a lock that is held for a few stores.

use super::machine::{SPINS, spin_loop, thread};

/// Spins first; then lets others run, because the holder may be off its core.
pub(crate) struct Patience {
    spins_left: u32,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Patience { spins_left: SPINS }
    }

    pub(crate) fn wait(&mut self) {
        match self.spins_left.checked_sub(1) {
            Some(left) => {
                self.spins_left = left;
                spin_loop();
            }
            None => thread::yield_now(),
        }
    }
}
