//! Chance that repeats: the same throws for the same seed.

/// A generator of numbers that look random (xorshift).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// For choices among what is ready: seed 0 always takes the first.
    pub(super) fn in_order_for_zero(seed: u64) -> Self {
        // Spreads neighbouring seeds apart; 0 stays 0, which means "in order".
        Dice(seed.wrapping_mul(SPREAD))
    }

    /// Does it always take the first?
    pub(super) fn is_in_order(&self) -> bool {
        self.0 == 0
    }

    /// For the network, whose weather differs from seed to seed, 0 included.
    pub(super) fn always_random(seed: u64) -> Self {
        let mut mixed = seed.wrapping_add(1).wrapping_mul(SPREAD);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Dice((mixed ^ (mixed >> 31)).max(1))
    }

    /// One of the numbers below `sides`.
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        (self.next() % sides as u64) as usize
    }

    /// One of the numbers from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        match high.saturating_sub(low).checked_add(1) {
            Some(choices) => low + self.next() % choices,
            None => self.next(),
        }
    }

    /// True so many times in one.
    pub(super) fn happens(&mut self, likelihood: f64) -> bool {
        // 53 bits are what a double holds.
        let throw = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        throw < likelihood
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// The golden ratio, as a fraction of 2^64.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
