//! Is a second worker worth it?
//!
//! Short tasks that share memory, a counter or a group run faster on one core than on two: each
//! that is stolen takes its cache lines along. Others, just as short, gain a whole core, for they
//! go on for long once they are stolen. What a task is cannot be seen, but what came of it can.
//!
//! A thief that has nothing left, [`TRIAL`] after its steal or later, counts how many tasks all
//! have run since. If one worker alone would have run more, it has lost. After two losses it takes
//! a *leave*: nobody is woken for a surplus, and nobody steals, for a millisecond, then for two, up
//! to 32; then it is tried again. How fast one worker is alone is measured while all others sleep;
//! for that a thief takes a short leave now and then, less and less often while it wins.
//!
//! Only who shares is decided here, and nothing depends on that: whoever has a surplus runs it
//! before it parks, the guard looks after who stands still (`watch`), and a task from outside wakes
//! a sleeper in any case.

use std::time::Duration;

use crate::driver::clock::Instant;
use crate::sys::Ordering;
use crate::sys::quiet::{AtomicU32, AtomicU64};

/// Tasks that take longer are always worth it.
const SHORT: Duration = Duration::from_micros(2);

/// So long a thief looks at what comes of its steals, at least; a quarter, before it parks.
pub(crate) const TRIAL: Duration = Duration::from_micros(100);

/// So many losses in a row, and it leaves.
const LOSSES: u32 = 2;
/// For so long, and twice as long after each further loss.
const LEAVE: Duration = Duration::from_millis(1);
/// So long it leaves to find out how fast one worker is alone.
const LOOK_ON: Duration = Duration::from_micros(250);
/// So long that is believed, and twice as long after each time that two were faster.
const TRUST: Duration = Duration::from_millis(8);
/// The most that a span is doubled.
const MOST_DOUBLED: u32 = 5;

/// What a thief finds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial {
    /// The moment of its steal.
    pub(crate) since: Instant,
    /// What it and all had run by then.
    pub(crate) mine: u32,
    pub(crate) all: u32,
}

/// What came of all trials.
#[derive(Debug)]
pub(crate) struct Worth {
    /// How long a task takes a worker that is alone, in sixteenths of a nanosecond; 0: not known.
    alone: AtomicU32,
    /// Until when that is believed, in nanoseconds.
    believed: AtomicU64,
    /// So many times in a row a thief was worth it, or was not.
    wins: AtomicU32,
    losses: AtomicU32,
    /// The end of the present leave, in nanoseconds.
    until: AtomicU64,
}

impl Worth {
    pub(crate) fn new() -> Self {
        Worth {
            alone: AtomicU32::new(0),
            believed: AtomicU64::new(0),
            wins: AtomicU32::new(0),
            losses: AtomicU32::new(0),
            until: AtomicU64::new(0),
        }
    }

    /// A worker has run `count` tasks while all others slept.
    pub(crate) fn ran_alone(&self, count: u32, took: Duration) {
        let each = (took.as_nanos() * 16 / u128::from(count.max(1))).clamp(1, 1 << 24) as u32;
        let before = self.alone.load(Ordering::Relaxed);
        // Who was held up by the system for once must not spoil it.
        let next = if before == 0 { each } else { before - before / 4 + each.min(before * 4) / 4 };
        self.alone.store(next, Ordering::Relaxed);
    }

    /// With a thief, all workers have run `count` tasks in that time. Is it to leave?
    pub(crate) fn is_lost(&self, count: u32, took: Duration, now: Instant) -> bool {
        if took >= SHORT * count {
            return false;
        }
        if now.nanoseconds() >= self.believed.load(Ordering::Relaxed) {
            self.alone.store(0, Ordering::Relaxed);
            self.leave(now, LOOK_ON);
            return true;
        }
        let each = self.alone.load(Ordering::Relaxed);
        let alone = u64::from(each) * u64::from(count) / 16;
        // Where nobody was alone there is enough for many; and one in ten fewer may be chance.
        if each == 0 || alone + alone / 10 >= took.as_nanos() as u64 {
            self.losses.store(0, Ordering::Relaxed);
            one_more(&self.wins);
            return false;
        }
        self.wins.store(0, Ordering::Relaxed);
        let losses = one_more(&self.losses);
        if losses >= LOSSES {
            self.leave(now, doubled(LEAVE, losses - LOSSES));
        }
        losses >= LOSSES
    }

    fn leave(&self, now: Instant, time: Duration) {
        let until = now + time;
        let trust = doubled(TRUST, self.wins.load(Ordering::Relaxed));
        self.until.store(until.nanoseconds(), Ordering::Relaxed);
        self.believed.store((until + trust).nanoseconds(), Ordering::Relaxed);
    }

    /// Is the leave over? It is when tasks have become long, too.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now.nanoseconds() >= self.until.load(Ordering::Relaxed)
            || u128::from(self.alone.load(Ordering::Relaxed)) >= SHORT.as_nanos() * 16
    }
}

fn one_more(count: &AtomicU32) -> u32 {
    let more = count.load(Ordering::Relaxed).saturating_add(1);
    count.store(more, Ordering::Relaxed);
    more
}

fn doubled(time: Duration, often: u32) -> Duration {
    time * (1 << often.min(MOST_DOUBLED))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const TOOK: Duration = TRIAL;
    /// In that time, one worker alone.
    const ALONE: u32 = 1_000;
    const FEWER: u32 = 800;

    fn at(time: Duration) -> Instant {
        Instant::from_nanoseconds(time.as_nanos() as u64)
    }

    /// It has looked on, until the moment that is returned.
    fn known() -> (Worth, Duration) {
        let worth = Worth::new();
        assert!(worth.is_lost(ALONE, TOOK, at(TOOK)), "nothing is known yet");
        worth.ran_alone(ALONE, TOOK);
        let end = TOOK + LOOK_ON;
        assert!(!worth.is_over(at(end - Duration::from_nanos(1))) && worth.is_over(at(end)));
        (worth, end)
    }

    #[test]
    fn a_thief_that_brings_nothing_leaves_for_longer_and_longer() {
        let (worth, mut now) = known();
        assert!(!worth.is_lost(FEWER, TOOK, at(now)), "once may be chance");
        for leave in [1, 2, 4, 8, 16, 32, 32] {
            assert!(worth.is_lost(FEWER, TOOK, at(now)));
            now += Duration::from_millis(leave);
            assert!(!worth.is_over(at(now - Duration::from_nanos(1))) && worth.is_over(at(now)));
        }
        assert!(!worth.is_lost(ALONE, TOOK, at(now)));
        assert!(!worth.is_lost(FEWER, TOOK, at(now)), "it begins anew");
    }

    #[test]
    fn who_wins_looks_on_less_and_less_often() {
        let (worth, end) = known();
        assert!(!worth.is_lost(ALONE, TOOK, at(end)));
        let later = end + TRUST;
        assert!(worth.is_lost(ALONE, TOOK, at(later)));
        worth.ran_alone(ALONE, TOOK);
        let end = later + LOOK_ON;
        assert!(!worth.is_lost(ALONE, TOOK, at(end + TRUST)), "it is believed twice as long");
        assert!(worth.is_lost(ALONE, TOOK, at(end + TRUST * 2)));
    }

    #[test]
    fn long_tasks_are_always_worth_it() {
        let (worth, end) = known();
        let few = (TOOK.as_nanos() / SHORT.as_nanos()) as u32;
        (0..4).for_each(|_| assert!(!worth.is_lost(few, TOOK, at(end))));
        (0..2).for_each(|_| _ = worth.is_lost(few + 1, TOOK, at(end)));
        assert!(!worth.is_over(at(end)));
        (0..20).for_each(|_| worth.ran_alone(few / 2, TOOK));
        assert!(worth.is_over(at(end)), "they have become long meanwhile");
    }

    #[test]
    fn where_nobody_is_alone_there_is_nothing_to_lose() {
        let worth = Worth::new();
        assert!(worth.is_lost(FEWER, TOOK, at(TOOK)));
        (0..4).for_each(|_| assert!(!worth.is_lost(FEWER, TOOK, at(TOOK + LOOK_ON))));
    }
}
