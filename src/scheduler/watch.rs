//! No hostages: whose tick stands still, and what stands behind it.
//!
//! A worker that computes or blocks inside one poll keeps what waits behind it: the tasks in its
//! slot and its deque, the timers, the events of its driver instance. The guard (`idle`) looks at
//! those who are awake every [`LOOK`]; if all are awake, each of them looks in passing.
//! A tick that has not moved since the last look belongs to such a worker, and who found it out
//! takes over. A worker whose tick moves is left alone: taking its tasks would only slow it down.

use std::time::Duration;

use crate::driver::clock::Instant;
use crate::scheduler::idle::LOOK;
use crate::scheduler::queue::Lane;
use crate::sys::{AtomicU64, CachePadded, Mutex, Ordering};

/// So long the guard goes on looking though all sleep: work tends to come back, and starting the
/// watch anew costs a notification, which is as dear as a few looks.
const CALM: Duration = Duration::from_micros(400);

#[derive(Debug)]
pub(crate) struct Watch {
    /// When the last look was, in nanoseconds.
    looked: AtomicU64,
    last: Mutex<Last>,
}

/// What the last look saw.
#[derive(Debug)]
struct Last {
    ticks: Vec<u32>,
    looked: Instant,
    /// When somebody was last seen at work.
    busy: Instant,
}

/// What a look has found out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It is not time yet, or somebody else looks.
    Nothing,
    /// Nobody has done anything for a while.
    Calm,
    Work,
}

impl Watch {
    pub(crate) fn new(workers: usize) -> Self {
        let start = Instant::from_nanoseconds(0);
        let last = Last { ticks: vec![0; workers], looked: start, busy: start };
        Watch { looked: AtomicU64::new(0), last: Mutex::new(last) }
    }

    /// Has the last look been so long ago?
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now.nanoseconds() >= self.looked.load(Ordering::Relaxed) + LOOK.as_nanos() as u64
    }

    /// Looks at all lanes but `me`, and puts those into `still` that stand still.
    pub(crate) fn look(
        &self,
        lanes: &[CachePadded<Lane>],
        me: usize,
        now: Instant,
        still: &mut Vec<usize>,
    ) -> Seen {
        still.clear();
        let Some(mut last) = self.last.try_lock() else { return Seen::Nothing };
        // A guard that was told something early must not judge.
        if now.duration_since(last.looked) < LOOK / 2 {
            return Seen::Nothing;
        }
        let mut busy = false;
        for (index, lane) in lanes.iter().enumerate() {
            let tick = lane.tick();
            let moved = std::mem::replace(&mut last.ticks[index], tick) != tick;
            let awake = index != me && !lane.is_parked();
            busy |= moved || awake;
            if awake && !moved {
                still.push(index);
            }
        }
        if busy {
            last.busy = now;
        }
        last.looked = now;
        self.looked.store(now.nanoseconds(), Ordering::Relaxed);
        if now.duration_since(last.busy) > CALM { Seen::Calm } else { Seen::Work }
    }
}
