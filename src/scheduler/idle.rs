//! Who sleeps, who searches, who is woken, and who keeps watch.
//!
//! A worker with nothing to do announces itself, looks once more, and only then parks. Whoever
//! queues a task for anybody looks for sleepers after the push. The looks cross:
//! ~~~text
//! queue:  push the task               | fence | read `word`: a sleeper, and nobody searching?
//! sleep:  `word`: one sleeper more,   | fence | read the queue
//!         and searching no more       |       |
//! ~~~
//! Invariant: of these two reads, at least one sees the other's write.
//!
//! At most one worker *searches*. Who wakes a sleeper takes the search in the same step, and the
//! sleeper wakes up with it: so a burst of pushes wakes one worker, and who finds something while
//! it searches gives the search up, looks once more and wakes the next.
//!
//! One sleeper is the *guard*: it alone parks with a limit. While all sleep, that is the next
//! timer. While somebody is awake it is a short span, after which it looks whether a worker stands
//! still (`watch`). Who leaves an idle runtime does not wake the guard for that, it leaves
//! a reminder with the guard's driver, and calls it off if it is asleep again in time. An arming
//! thread and the guard, or who calls its reminder off, cross in the same way:
//! ~~~text
//! arm:    insert the timer            | fence | read `until`: does somebody sleep longer?
//! guard:  `until` = for ever          | fence | read the timers, then `until` = the limit
//! ~~~
//! Model: `loom-tests/idle.rs`.

use std::time::Duration;

use crate::driver::clock::Instant;
use crate::sys::{AtomicU64, AtomicUsize, Mutex, Ordering, fence, quiet};

/// Set in `word` while a worker searches, and while nobody is to be woken for a surplus. The
/// number of sleepers stands above them.
const SEARCHING: usize = 1;
const ALONE: usize = 2;
const SLEEPER: usize = 4;

/// How long the guard sleeps while somebody is awake. A worker that stands still is found out
/// at the second look.
pub(crate) const LOOK: Duration = Duration::from_micros(200);

/// While all sleep, it doubles its span, so often at most.
const MOST_QUIET: u32 = 3;

#[derive(Debug)]
pub(crate) struct Idle {
    /// The number of sleepers (changed under the lock only) and whether somebody searches.
    word: AtomicUsize,
    /// When the guard wakes up next, in nanoseconds; 0 if there is none.
    until: AtomicU64,
    sleepers: Mutex<Sleepers>,
    /// The same as in `word`, for those to whom an old answer is as good.
    asleep: quiet::AtomicUsize,
    alone: quiet::AtomicBool,
    workers: usize,
}

#[derive(Debug)]
struct Sleepers {
    /// In the order of falling asleep; the last is woken first, it is the warmest.
    parked: Vec<usize>,
    /// One of them.
    guard: Option<usize>,
    watch: Watching,
    /// So often the guard's span is doubled.
    quiet: u32,
    /// Somebody was awake when the guard lay down the last time.
    busy: bool,
}

/// Does the guard look after those who are awake?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watching {
    /// All sleep, and have for a while.
    No,
    /// It is asleep, and will be reminded of it.
    Reminded,
    /// It looks every [`LOOK`]; less and less often while all sleep whenever it does.
    Yes,
}

/// What a worker that wakes up finds.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// Somebody woke it: it searches now.
    pub(crate) searching: bool,
    /// A sleeper that must be reminded after [`LOOK`]: it is the guard.
    pub(crate) remind: Option<usize>,
}

/// How long a sleeper may sleep.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Until somebody wakes it.
    None,
    /// It is the guard: until then. It fires the due `timers`, if nobody awake does, and if it was
    /// `reminded` it looks around before.
    Guard { until: Instant, timers: bool, reminded: bool },
    /// It has been woken already.
    Awake,
}

impl Sleepers {
    /// How long the guard sleeps. Who is awake may stand still, and is looked at again soon; twice
    /// in a row, and it is quiet no more.
    fn span(&mut self, all_sleep: bool) -> Duration {
        let was_busy = std::mem::replace(&mut self.busy, !all_sleep);
        if all_sleep {
            self.quiet = (self.quiet + 1).min(MOST_QUIET);
            return LOOK * (1 << self.quiet);
        }
        if was_busy {
            self.quiet = 0;
        }
        LOOK
    }
}

impl Idle {
    pub(crate) fn new(workers: usize) -> Self {
        let parked = Vec::with_capacity(workers);
        Idle {
            word: AtomicUsize::new(0),
            until: AtomicU64::new(0),
            asleep: quiet::AtomicUsize::new(0),
            alone: quiet::AtomicBool::new(false),
            sleepers: Mutex::new(Sleepers {
                parked,
                guard: None,
                watch: Watching::No,
                quiet: 0,
                busy: false,
            }),
            workers,
        }
    }

    /// A cheap look before [`wake`](Idle::wake), for those whose work would not be lost.
    #[inline]
    pub(crate) fn may_wake(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        word >= SLEEPER && word & (SEARCHING | ALONE) == 0
    }

    /// Is a surplus left to those who have it (`worth`)?
    pub(crate) fn is_alone(&self) -> bool {
        self.alone.load(Ordering::Relaxed)
    }

    pub(crate) fn set_alone(&self, alone: bool) {
        self.alone.store(alone, Ordering::Relaxed);
        match alone {
            true => self.word.fetch_or(ALONE, Ordering::Relaxed),
            false => self.word.fetch_and(!ALONE, Ordering::Relaxed),
        };
    }

    /// Do all but one sleep?
    pub(crate) fn one_is_awake(&self) -> bool {
        self.asleep.load(Ordering::Relaxed) + 1 == self.workers
    }

    /// After every change of the list.
    fn publish(&self, sleepers: &Sleepers) {
        self.asleep.store(sleepers.parked.len(), Ordering::Relaxed);
    }

    pub(crate) fn nobody_sleeps(&self) -> bool {
        self.word.load(Ordering::Relaxed) < SLEEPER
    }

    /// Begins to search, if nobody does.
    pub(crate) fn search(&self) -> bool {
        self.word.load(Ordering::Relaxed) & SEARCHING == 0
            && self.word.fetch_or(SEARCHING, Ordering::AcqRel) & SEARCHING == 0
    }

    /// Searches no more. The caller looks at the queues once more and wakes the next.
    pub(crate) fn found(&self) {
        self.word.fetch_and(!SEARCHING, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    /// Announces a sleeper, which searches no more. The caller looks at the queues once more; if
    /// there is nothing, it asks for its [`limit`](Idle::limit) and parks.
    ///
    /// If all sleep now, it may `call_off` the guard, which is returned and need not be reminded.
    #[must_use]
    pub(crate) fn announce(&self, worker: usize, searching: bool, call_off: bool) -> Option<usize> {
        let mut sleepers = self.sleepers.lock();
        sleepers.parked.push(worker);
        self.publish(&sleepers);
        let all_sleep = sleepers.parked.len() == self.workers;
        let mut forget = None;
        if sleepers.guard.is_none() {
            sleepers.guard = Some(worker);
            sleepers.watch = if all_sleep { Watching::No } else { Watching::Yes };
        } else if call_off && all_sleep && sleepers.watch == Watching::Reminded {
            sleepers.watch = Watching::No;
            self.until.store(u64::MAX, Ordering::Relaxed);
            forget = sleepers.guard;
        }
        // One step for both: a waker must not find neither sleeper nor searcher.
        self.word.fetch_add(SLEEPER - usize::from(searching) * SEARCHING, Ordering::AcqRel);
        drop(sleepers);
        fence(Ordering::SeqCst);
        forget
    }

    /// Is it the guard, and to be reminded? Who has called a guard off looks once more: somebody
    /// may have got up between, and left a reminder that was called off with the one before.
    #[must_use]
    pub(crate) fn is_reminded(&self, worker: usize) -> bool {
        let sleepers = self.sleepers.lock();
        sleepers.guard == Some(worker) && sleepers.watch == Watching::Reminded
    }

    /// Wakes a sleeper if nobody searches: the caller, who has queued something, notifies it.
    #[must_use]
    pub(crate) fn wake(&self) -> Option<usize> {
        fence(Ordering::SeqCst);
        let word = self.word.load(Ordering::Relaxed);
        if word < SLEEPER || word & SEARCHING != 0 {
            return None;
        }
        let mut sleepers = self.sleepers.lock();
        if sleepers.parked.is_empty() || !self.search() {
            return None;
        }
        let last = sleepers.parked.len() - 1;
        // The guard stays where it is, if it is not alone.
        let guard_is_last = sleepers.guard == Some(sleepers.parked[last]);
        let place = if guard_is_last { last.saturating_sub(1) } else { last };
        let worker = sleepers.parked.remove(place);
        self.publish(&sleepers);
        self.word.fetch_sub(SLEEPER, Ordering::AcqRel);
        self.depose(&mut sleepers, worker);
        Some(worker)
    }

    /// Leaves sleep: because it was woken, or because it has found something to do.
    pub(crate) fn leave(&self, worker: usize, now: Instant) -> Left {
        let mut sleepers = self.sleepers.lock();
        let place = sleepers.parked.iter().rposition(|sleeper| *sleeper == worker);
        if let Some(place) = place {
            sleepers.parked.remove(place);
            self.publish(&sleepers);
            self.word.fetch_sub(SLEEPER, Ordering::AcqRel);
            self.depose(&mut sleepers, worker);
        }
        let mut remind = None;
        if let Some(last) = sleepers.parked.last().copied()
            && (sleepers.guard.is_none() || sleepers.watch == Watching::No)
        {
            remind = Some(*sleepers.guard.get_or_insert(last));
            sleepers.watch = Watching::Reminded;
            self.until.store((now + LOOK).nanoseconds(), Ordering::Relaxed);
        }
        Left { searching: place.is_none(), remind }
    }

    fn depose(&self, sleepers: &mut Sleepers, worker: usize) {
        if sleepers.guard == Some(worker) {
            sleepers.guard = None;
            // Who is awake looks at the timers; it names the next guard when it leaves, or is it.
            self.until.store(0, Ordering::Relaxed);
        }
    }

    /// How long a sleeper may sleep. Who falls asleep last becomes the guard if the next timer
    /// comes before the present guard looks.
    pub(crate) fn limit(
        &self,
        worker: usize,
        now: Instant,
        next_timer: impl Fn() -> Option<Instant>,
    ) -> Limit {
        let mut sleepers = self.sleepers.lock();
        if !sleepers.parked.contains(&worker) {
            return Limit::Awake;
        }
        let all_sleep = sleepers.parked.len() == self.workers;
        if sleepers.guard != Some(worker) {
            let until = Instant::from_nanoseconds(self.until.load(Ordering::Relaxed));
            if !all_sleep || next_timer().is_none_or(|next| next >= until) {
                return Limit::None;
            }
            sleepers.guard = Some(worker);
        }
        self.until.store(u64::MAX, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let reminded = sleepers.watch == Watching::Reminded;
        if !all_sleep || reminded {
            sleepers.watch = Watching::Yes;
        }
        let span = sleepers.span(all_sleep);
        let look = match sleepers.watch {
            Watching::Yes => now + span,
            _ => Instant::NEVER,
        };
        // Those who are awake look at the timers; the watch looks after them.
        let timer = if all_sleep { next_timer() } else { None };
        let until = timer.unwrap_or(Instant::NEVER).min(look);
        self.until.store(until.nanoseconds(), Ordering::Relaxed);
        Limit::Guard { until, timers: all_sleep, reminded }
    }

    /// The guard has seen that nobody did anything since it looked before: if all sleep, it will
    /// be reminded when somebody wakes up.
    pub(crate) fn rest(&self) {
        let mut sleepers = self.sleepers.lock();
        if sleepers.parked.len() == self.workers {
            sleepers.watch = Watching::No;
        }
    }

    /// A thread that is no worker has armed a timer: the guard to be notified, if it sleeps longer.
    #[must_use]
    pub(crate) fn oversleeps(&self, at: Instant) -> Option<usize> {
        fence(Ordering::SeqCst);
        if self.until.load(Ordering::Relaxed) <= at.nanoseconds() {
            return None;
        }
        self.sleepers.lock().guard
    }
}
