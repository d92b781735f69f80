//! The simulated world: its ready queue, its dice, its clock.
//!
//! The queue is locked, though one thread runs everything: wakers may be carried to other threads,
//! and a wake from there must be safe, if it is not repeatable.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::pin::Pin;
use std::task::Waker;
use std::time::Duration;

use super::belongings::Belongings;
use super::course::Course;
use super::dice::Dice;
use super::homes::Homes;
use super::network::{Network, Weather};
use super::place::Place;
use super::queue::{ClosureId, Entry, Queue, What};
use super::strike::Strike;
use crate::driver::clock::{Instant, VirtualClock};
use crate::driver::timers::{Bell, Timer, Timers};
use crate::probe;
use crate::sys::{Arc, AtomicBool, AtomicU64, Mutex, Ordering};
use crate::task::hooks::Callback;
use crate::task::jobs;
use crate::task::live;
use crate::task::memory::Home;
use crate::task::raw::TaskRef;
use crate::task::reasons;
use crate::task::report::Settings;
use crate::task::{Job, Runnable, Schedule, Why};

/// How many turns without any time passing the end of a run allows to tasks that do not end.
const PATIENCE: u32 = 1_000_000;

/// The end of a home's wires: where the tasks of a host are queued.
pub(super) struct Wire {
    host: usize,
    queue: Arc<Mutex<Queue>>,
    numbers: Arc<AtomicU64>,
    settings: Arc<Settings>,
    belongings: std::sync::Arc<Belongings>,
}

impl Schedule for Wire {
    fn schedule(&self, task: Runnable, _why: Why) {
        let refused = self.queue.lock().offer(self.host, What::Task(task));
        if let Some(What::Task(task)) = refused {
            task.kill();
        }
    }

    fn job(&self, job: Job) {
        let refused = self.queue.lock().offer(self.host, What::Job(job));
        if let Some(What::Job(job)) = refused {
            jobs::run(job);
        }
    }

    fn own(&self, callback: Callback) -> Callback {
        self.belongings.own(callback)
    }

    fn settings(&self) -> Option<&Settings> {
        Some(&self.settings)
    }

    fn is_single(&self) -> bool {
        true
    }

    fn queues_listeners(&self) -> bool {
        self.queue.lock().is_in_order()
    }

    /// One at a time, so that ids tell the order of spawning on all hosts.
    fn numbers(&self) -> Range<u64> {
        take_one(&self.numbers)
    }
}

fn take_one(numbers: &AtomicU64) -> Range<u64> {
    let number = numbers.fetch_add(1, Ordering::Relaxed);
    number..number + 1
}

/// Why a run ends before its program does.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Nothing can ever happen again.
    Stuck,
    /// It went on for longer than it may.
    Limit,
}

/// How long a run may go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) turns: u64,
    pub(crate) until: Instant,
}

/// One simulated run.
pub(crate) struct World {
    queue: Arc<Mutex<Queue>>,
    numbers: Arc<AtomicU64>,
    settings: Arc<Settings>,
    timers: Timers,
    homes: Homes,
    belongings: std::sync::Arc<Belongings>,
    network: Arc<Network>,
    /// What programs draw from; nothing else does, so that drawing more changes nothing else.
    lots: Mutex<Dice>,
    closed: AtomicBool,
    /// What is being woken was due when it was set.
    late: AtomicBool,
    /// In a sweep: who is struck, and when.
    strike: Option<Arc<Strike>>,
}

impl World {
    pub(crate) fn new(course: Course, weather: Weather, settings: Arc<Settings>) -> Self {
        let seed = course.seed;
        let queue = Arc::new(Mutex::new(Queue::new(course)));
        let numbers = Arc::new(AtomicU64::new(1));
        let belongings = std::sync::Arc::new(Belongings::new(queue.clone()));
        let wire = Wire {
            host: 0,
            queue: queue.clone(),
            numbers: numbers.clone(),
            settings: settings.clone(),
            belongings: belongings.clone(),
        };
        World {
            queue,
            numbers,
            settings,
            timers: Timers::exact(),
            homes: Homes::new(wire),
            belongings,
            network: Arc::new(Network::new(seed, weather)),
            lots: Mutex::new(Dice::always_random(!seed)),
            closed: AtomicBool::new(false),
            late: AtomicBool::new(false),
            strike: None,
        }
    }

    /// A world in which somebody is struck.
    pub(crate) fn struck(self, strike: Option<Arc<Strike>>) -> Self {
        World { strike, ..self }
    }

    pub(crate) fn strike(&self) -> Option<&Strike> {
        self.strike.as_deref()
    }

    /// The home of the tasks that are spawned now.
    pub(crate) fn home(&self) -> &Home {
        self.home_of(self.here())
    }

    fn home_of(&self, host: usize) -> &Home {
        self.homes.at(host, &|host| Wire {
            host,
            queue: self.queue.clone(),
            numbers: self.numbers.clone(),
            settings: self.settings.clone(),
            belongings: self.belongings.clone(),
        })
    }

    /// The number of the next task, or of what is one to others.
    pub(crate) fn take_number(&self) -> Range<u64> {
        take_one(&self.numbers)
    }

    pub(crate) fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// The host whose code is running.
    pub(crate) fn here(&self) -> usize {
        self.belongings.here()
    }

    pub(crate) fn belongings(&self) -> &std::sync::Arc<Belongings> {
        &self.belongings
    }

    /// Where on the network the running code stands.
    pub(crate) fn place(&self) -> Place {
        Place::new(self.network.clone(), self.here())
    }

    /// A number from `low` to `high`, for a program.
    pub(crate) fn draw(&self, low: u64, high: u64) -> u64 {
        self.lots.lock().between(low, high)
    }

    /// Does something as if it were done on another host.
    pub(crate) fn on<R>(&self, host: usize, act: impl FnOnce() -> R) -> R {
        self.belongings.on(host, act)
    }

    /// No new task is let in any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Queues a closure that, on real threads, would have one to itself.
    pub(crate) fn submit(&self, closure: Job) -> ClosureId {
        self.queue.lock().submit(self.here(), closure)
    }

    /// Takes a closure back that has not begun to run.
    pub(crate) fn withdraw(&self, closure: ClosureId) -> Option<Job> {
        self.queue.lock().withdraw(closure)
    }

    pub(crate) fn arm(&self, timer: Pin<&Timer>, at: Instant, bell: impl Into<Bell>) {
        self.timers.arm(0, timer, at, bell);
        if at <= Instant::now() {
            // It fires in its turn, behind what is ready now, and not at once (TMO-02, LOOP-03).
            self.queue.lock().put(self.here(), What::Fire);
        }
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Takes the wakers of the timers that are due.
    fn due(&self) -> Vec<Waker> {
        let mut due = Vec::new();
        self.timers.fire(Instant::now(), &mut |waker| due.push(waker));
        due
    }

    /// Time has passed. What is due on the network arrives. A timer's waker stands in the queue
    /// like any callback, and the task that it wakes goes behind it: two turns, as in asyncio.
    fn fire(&self) {
        self.queue.lock().pass(Instant::now());
        self.network.pass(Instant::now());
        let due = self.due();
        let mut queue = self.queue.lock();
        for waker in due {
            queue.put(0, What::Job(Box::new(move || probe::wake(waker))));
        }
    }

    /// Time is later than it was, all at once.
    pub(crate) fn jump(&self, by: Duration) {
        VirtualClock::jump(by);
        self.fire();
    }

    /// A host stands still for so long.
    pub(crate) fn pause(&self, host: usize, time: Duration) {
        self.queue.lock().pause(host, Instant::now() + time);
    }

    /// A timer was set to a moment that had passed: what it wakes goes behind what is ready.
    fn fire_late(&self) {
        self.late.store(true, Ordering::Relaxed);
        probe::wake_all(self.due());
        self.late.store(false, Ordering::Relaxed);
    }

    /// Is what is woken now behind its time?
    pub(crate) fn is_late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }

    /// Runs one task or callback, or lets time pass. The answer: did time pass?
    fn turn(&self, clock: &VirtualClock) -> Result<bool, Halt> {
        let entry = self.queue.lock().take();
        let Some(Entry { host, what }) = entry else {
            let goes_on = self.queue.lock().next();
            let next = self.timers.next().into_iter().chain(self.network.next()).chain(goes_on);
            let next = next.min();
            clock.advance_to(next.ok_or(Halt::Stuck)?);
            self.fire();
            return Ok(true);
        };
        self.belongings.go_to(host);
        match what {
            What::Task(task) => {
                reasons::forget(task.number());
                task.run();
            }
            What::Job(job) | What::Late(job) => jobs::run(job),
            What::Closure(_, job) => job(),
            What::Fire => self.fire_late(),
        }
        Ok(false)
    }

    /// Runs until `main` has ended.
    pub(crate) fn run(
        &self,
        clock: &VirtualClock,
        main: &TaskRef,
        limits: Limits,
    ) -> Result<(), Halt> {
        let mut turns = 0;
        while !main.is_finished() {
            if let Some(strike) = &self.strike {
                strike.moment(|| self.live());
            }
            self.turn(clock)?;
            turns += 1;
            if turns > limits.turns || Instant::now() > limits.until {
                return Err(Halt::Limit);
            }
        }
        Ok(())
    }

    /// Cancels what is left and lets it clean up, until `limit`; gives those who will not end.
    pub(crate) fn wind_up(&self, clock: &VirtualClock, limit: Instant) -> Vec<TaskRef> {
        for task in self.live() {
            task.cancel();
        }
        let mut turns = 0;
        while Instant::now() <= limit && turns < PATIENCE {
            // Callbacks that wait for their moment need not be waited for.
            if self.queue.lock().is_empty() && self.live().is_empty() {
                break;
            }
            match self.turn(clock) {
                Ok(true) => turns = 0,
                Ok(false) => turns += 1,
                Err(_) => break,
            }
        }
        self.live()
    }

    /// Ends what is left without asking, callbacks included; sockets fail from now on.
    pub(crate) fn kill(&self, tasks: Vec<TaskRef>) {
        for task in &tasks {
            task.kill();
        }
        loop {
            // No host stands still any more, whoever asks for it.
            self.queue.lock().pass(Instant::NEVER);
            // Bound first: what is run may queue more.
            let entry = self.queue.lock().take_or_end();
            match entry.map(|entry| entry.what) {
                Some(What::Task(task)) => task.kill(),
                Some(What::Job(job) | What::Late(job)) => jobs::run(job),
                Some(What::Closure(..) | What::Fire) => {}
                None => break,
            }
        }
        self.network.close();
    }

    /// Ends everything on one host without asking: its tasks and its callbacks are dropped, its
    /// sockets are gone without a word to anybody.
    pub(crate) fn crash(&self, host: usize) {
        self.network.crash(host);
        self.belongings.begin_crash(host);
        self.on(host, || {
            for task in live::tasks([self.home_of(host)]) {
                task.kill();
            }
            self.belongings.crash(host);
            // What is dropped may start more.
            loop {
                let gone = self.queue.lock().take_all_of(host);
                if gone.is_empty() {
                    break;
                }
                for entry in gone {
                    if let What::Task(task) = entry.what {
                        task.kill();
                    }
                }
            }
        });
        self.belongings.end_crash(host);
    }

    /// The tasks that could run if their hosts did not stand still: the names of these.
    pub(super) fn asleep(&self) -> BTreeMap<u64, String> {
        let asleep: Vec<_> = self.queue.lock().asleep().collect();
        let name = |host| self.network.name_and_address(host).0;
        asleep.into_iter().map(|(task, host)| (task, name(host))).collect()
    }

    /// The tasks that could run.
    pub(super) fn ready(&self) -> BTreeSet<u64> {
        self.queue.lock().ready().collect()
    }

    /// The unfinished tasks, in the order of their spawning.
    pub(crate) fn live(&self) -> Vec<TaskRef> {
        live::tasks(self.homes.all())
    }
}
