//! The story of a runnable, on real threads: queued, found, run.
//!
//! A task that is woken on a worker goes to that worker's next-slot or line, one that is woken
//! elsewhere to the injector (`queue`). Each worker runs what is its own, then searches, and parks
//! in the driver (`worker`). Who pushes decides whether a sleeper is worth waking (`idle`); a task
//! behind a worker that computes on is taken over by the guard (`watch`). In the end the runtime
//! closes the scheduler, stops the workers and empties the queues (`shutdown`).
//!
//! Wake on surplus: a worker that has [`SURPLUS`] tasks queued wakes a sleeper, for fewer it does
//! not. No task is lost by that, its worker runs it before it parks; none is late by more than two
//! looks of the guard. A worker whose polls are long calls for help with each task, and keeps none
//! in its slot. Where thieves find that they are only in the way, a surplus stays where it is
//! (`worth`). What others queue stands in the injector, and for that a sleeper is woken.

pub(crate) mod idle;
pub(crate) mod line;
pub(crate) mod queue;
mod shutdown;
mod watch;
mod worker;
mod worth;

#[cfg(all(test, not(loom)))]
mod tests;

use std::pin::Pin;
use std::task::Waker;

use crate::driver::Driver;
use crate::driver::clock::Instant;
use crate::driver::timers::{Bell, Timer, Timers};
use crate::sys::deque::Injector;
use crate::sys::{Arc, AtomicBool, CachePadded, Ordering};
use crate::task::{Job, Runnable, Schedule, Why, jobs};

use idle::Idle;
use line::Line;
use queue::{Lane, Local, SURPLUS};
use shutdown::Gate;
use watch::Watch;
use worth::Worth;

pub(crate) use shutdown::Pass;
pub(crate) use worker::Worker;

/// What a scheduler is made of.
pub(crate) struct Config {
    pub(crate) driver: Box<dyn Driver>,
    /// How many workers; at least one.
    pub(crate) workers: usize,
    /// How many processors they share: with one, nobody spins.
    pub(crate) processors: usize,
}

/// What the workers of one runtime share, and everybody who wakes its tasks.
pub(crate) struct Shared {
    driver: Box<dyn Driver>,
    timers: Timers,
    idle: Idle,
    watch: Watch,
    worth: Worth,
    injector: Injector<Runnable>,
    lanes: Box<[CachePadded<Lane>]>,
    spins: bool,
    /// Apart from what workers read all the time.
    gate: CachePadded<Gate>,
    closed: AtomicBool,
    stopped: AtomicBool,
    over: AtomicBool,
}

impl Shared {
    /// Makes a scheduler, and its workers: each waits for a thread to [run](Worker::run) it, which
    /// has entered the home of its number before.
    pub(crate) fn new(config: Config) -> (Arc<Shared>, Vec<Worker>) {
        let workers = config.workers;
        let lines: Vec<_> = (0..workers).map(|_| Line::new(line::LONG)).collect();
        let lane = |line: &Line| CachePadded::new(Lane::new(line.thief()));
        let shared = Arc::new(Shared {
            driver: config.driver,
            timers: Timers::new(workers),
            idle: Idle::new(workers),
            watch: Watch::new(workers),
            worth: Worth::new(),
            injector: Injector::new(),
            lanes: lines.iter().map(lane).collect(),
            spins: config.processors > 1,
            gate: CachePadded::new(Gate::new()),
            closed: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            over: AtomicBool::new(false),
        });
        let worker = |(index, line)| {
            let local = Local::new(shared.address(), index, line);
            Worker::new(shared.clone(), local)
        };
        let workers = lines.into_iter().enumerate().map(worker).collect();
        (shared, workers)
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.lanes.len()
    }

    /// The number of the worker whose thread this is, if it is one of this runtime's.
    pub(crate) fn this_worker(&self) -> Option<usize> {
        Local::with(self.address(), |local| local.map(|local| local.index))
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Arms a timer, and tells the guard if it would sleep too long. From any thread.
    pub(crate) fn arm(&self, timer: Pin<&Timer>, at: Instant, bell: impl Into<Bell>) {
        let worker = self.this_worker();
        let earlier = self.timers.arm(worker.unwrap_or(self.workers()), timer, at, bell);
        // A worker looks at the timers before it parks, and the guard looks after it until then.
        if earlier
            && worker.is_none()
            && let Some(guard) = self.idle.oversleeps(at)
        {
            self.driver.notify(guard);
        }
    }

    fn address(&self) -> *const () {
        std::ptr::from_ref(self).cast()
    }

    /// Wakes whose moment has come.
    fn fire(&self, now: Instant) {
        self.timers.fire(now, &mut Waker::wake);
    }

    /// Queues a task from a thread that is no worker.
    fn inject(&self, task: Runnable) {
        self.injector.push(task);
        self.wake_one();
        // Crosses with `end`; the fence between is in `wake_one`.
        if self.over.load(Ordering::Relaxed) {
            self.kill_leftovers();
        }
    }

    #[inline]
    fn queue_here(&self, local: &Local, task: Runnable, why: Why) {
        let next = match why {
            Why::Woken => !local.coarse.get(),
            // Behind the others: their ends may be all that it goes on to wait for.
            Why::Ended => local.line.is_empty() && !local.coarse.get(),
            Why::Yielded => false,
        };
        let task = if next {
            match self.lanes[local.index].slot.put(task) {
                Some(displaced) => displaced,
                None => return,
            }
        } else {
            task
        };
        local.line.push(task);
        if self.idle.may_wake() && (local.line.len() >= SURPLUS || local.coarse.get()) {
            self.share(local.index);
        }
    }

    /// There is a surplus. A worker that comes from its driver looks at that later, all at once.
    #[cold]
    fn share(&self, worker: usize) {
        if !self.lanes[worker].is_parked() {
            self.wake_one();
        }
    }

    /// Wakes a sleeper to search, if nobody does.
    fn wake_one(&self) {
        if let Some(sleeper) = self.idle.wake() {
            self.driver.notify(sleeper);
        }
    }

    /// Is there something for which a worker should not sleep?
    fn has_work(&self) -> bool {
        !self.injector.is_empty() || self.has_surplus()
    }

    /// Has a worker more than it should keep?
    fn has_surplus(&self) -> bool {
        !self.idle.is_alone() && self.lanes.iter().any(|lane| lane.has_surplus())
    }

    /// How many tasks have been run so far, by all; it wraps around.
    fn ran(&self) -> u32 {
        self.lanes.iter().fold(0, |sum, lane| sum.wrapping_add(lane.ran()))
    }
}

impl Schedule for Arc<Shared> {
    #[inline]
    fn schedule(&self, task: Runnable, why: Why) {
        let shared: &Shared = self;
        Local::with(shared.address(), |local| match local {
            Some(local) => shared.queue_here(local, task, why),
            None => shared.inject(task),
        });
    }

    fn job(&self, job: Job) {
        jobs::run(job);
    }
}
