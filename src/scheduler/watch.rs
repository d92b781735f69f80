//! No hostages: whose tick stands still, and what stands behind it.
//!
//! A worker that computes or blocks inside one poll keeps what waits behind it: the tasks in its
//! slot and its line, the timers, the events of its driver instance. The guard (`idle`) looks at
//! those who are awake every [`LOOK`]; if all are awake, each of them looks in passing.
//! A tick that has not moved since the last look belongs to such a worker, and who found it out
//! takes over.
//!
//! A worker whose tick moves is left alone: taking its tasks would only slow it down. Unless its
//! tasks are long, and at every look some wait: then the guard, who has nothing else to do, shares
//! them.

use crate::driver::clock::Instant;
use crate::scheduler::idle::LOOK;
use crate::scheduler::queue::Lane;
use crate::sys::{AtomicU64, CachePadded, Mutex, Ordering};

/// Tasks of this length, in nanoseconds, are worth the way to another core.
const LONG: u64 = 5_000;

/// So many looks in a row have to find long tasks that wait.
const WAITED: u32 = 2;

#[derive(Debug)]
pub(crate) struct Watch {
    /// When the last look was, in nanoseconds.
    looked: AtomicU64,
    last: Mutex<Last>,
}

/// What the last look saw.
#[derive(Debug)]
struct Last {
    lanes: Vec<Glimpse>,
    looked: Instant,
}

#[derive(Debug, Clone, Copy, Default)]
struct Glimpse {
    tick: u32,
    /// So many looks in a row have found long tasks, and some that wait.
    waited: u32,
}

/// A worker that cannot do alone what it has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// It stands still: everything behind it waits.
    Still(usize),
    /// It goes on, slowly, and tasks wait.
    Slow(usize),
}

/// What a look has found out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It is not time yet, or somebody else looks.
    Nothing,
    /// Nobody is awake, or has been since the last look.
    Calm,
    Work,
}

impl Watch {
    pub(crate) fn new(workers: usize) -> Self {
        let start = Instant::from_nanoseconds(0);
        let last = Last { lanes: vec![Glimpse::default(); workers], looked: start };
        Watch { looked: AtomicU64::new(0), last: Mutex::new(last) }
    }

    /// Has the last look been so long ago?
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now.nanoseconds() >= self.looked.load(Ordering::Relaxed) + LOOK.as_nanos() as u64
    }

    /// Looks at all lanes but `me`, and puts those into `held` that stand still, and if `me` has
    /// nothing to do, those that are slow.
    pub(crate) fn look(
        &self,
        lanes: &[CachePadded<Lane>],
        me: usize,
        now: Instant,
        held: &mut Vec<Held>,
    ) -> Seen {
        held.clear();
        let Some(mut last) = self.last.try_lock() else { return Seen::Nothing };
        // A guard that was told something early must not judge.
        let passed = now.duration_since(last.looked);
        if passed < LOOK / 2 {
            return Seen::Nothing;
        }
        let few = passed.as_nanos() as u64 / LONG;
        let may_share = lanes[me].is_parked();
        let mut seen = Seen::Calm;
        for (index, (lane, before)) in lanes.iter().zip(&mut last.lanes).enumerate() {
            let tick = lane.tick();
            let ran = tick.wrapping_sub(std::mem::replace(&mut before.tick, tick));
            let awake = index != me && !lane.is_parked();
            if ran > 0 || awake {
                seen = Seen::Work;
            }
            let waits = awake && ran > 0 && u64::from(ran) <= few && !lane.is_empty();
            before.waited = if waits { before.waited + 1 } else { 0 };
            if awake && ran == 0 {
                held.push(Held::Still(index));
            } else if before.waited >= WAITED && may_share {
                held.push(Held::Slow(index));
            }
        }
        last.looked = now;
        self.looked.store(now.nanoseconds(), Ordering::Relaxed);
        seen
    }
}
