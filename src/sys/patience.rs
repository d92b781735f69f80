//! How to wait for a lock that is held for a few stores.

use super::machine::{SPINS, spin_loop, thread};

/// Spins first; then lets others run, because the holder may be off its core.
pub(crate) struct Patience(u32);

impl Patience {
    pub(crate) fn new() -> Self {
        Patience(0)
    }

    pub(crate) fn wait(&mut self) {
        if self.0 < SPINS {
            self.0 += 1;
            spin_loop();
        } else {
            thread::yield_now();
        }
    }
}
