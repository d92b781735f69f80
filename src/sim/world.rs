//! The simulated world: its ready queue, its dice, its clock.
//!
//! The queue is locked, though one thread runs everything: wakers may be carried to other threads,
//! and a wake from there must be safe, if it is not repeatable.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::Waker;

use super::Strike;
use crate::driver::clock::{Instant, VirtualClock};
use crate::driver::timers::{Timer, Timers};
use crate::sys::{Arc, AtomicBool, Mutex, Ordering};
use crate::task::memory::{Home, HomeHandle, Kind};
use crate::task::raw::TaskRef;
use crate::task::{Job, Runnable, Schedule, Why};

/// How many turns without any time passing the end of a run allows to tasks that do not end.
const PATIENCE: u32 = 1_000_000;

/// What stands in the queue.
enum Entry {
    Task(Runnable),
    Job(Job),
    /// A timer was set to a moment that has passed.
    Fire,
}

struct Queue {
    entries: VecDeque<Entry>,
    dice: Dice,
}

/// Chooses who is next; the same for the same seed.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        // Spreads neighbouring seeds apart; 0 stays 0, which means "in order".
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn roll(&mut self, sides: usize) -> usize {
        if self.0 == 0 {
            return 0;
        }
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

impl Queue {
    fn take(&mut self) -> Option<Entry> {
        if self.entries.is_empty() {
            return None;
        }
        let mut place = self.dice.roll(self.entries.len());
        if !matches!(self.entries[place], Entry::Task(_)) {
            // Callbacks keep their order among themselves (MOD-04).
            place = self.entries.iter().position(|entry| !matches!(entry, Entry::Task(_)))?;
        }
        self.entries.remove(place)
    }
}

/// The end of a home's wires: where its tasks are queued.
struct Wire(Arc<Mutex<Queue>>);

impl Schedule for Wire {
    fn schedule(&self, task: Runnable, _why: Why) {
        self.0.lock().entries.push_back(Entry::Task(task));
    }

    fn job(&self, job: Job) {
        self.0.lock().entries.push_back(Entry::Job(job));
    }

    fn is_single(&self) -> bool {
        true
    }
}

/// Nothing can ever happen again.
#[derive(Debug)]
pub(crate) struct Stuck;

/// One simulated run.
pub(crate) struct World {
    queue: Arc<Mutex<Queue>>,
    timers: Timers,
    home: HomeHandle,
    closed: AtomicBool,
    strike: Option<Strike>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let queue = Queue { entries: VecDeque::new(), dice: Dice::new(seed) };
        let queue = Arc::new(Mutex::new(queue));
        let home = Home::new_with_own_numbers(Box::new(Wire(queue.clone())), Kind::Shared);
        let (timers, closed) = (Timers::exact(), AtomicBool::new(false));
        World { queue, timers, home, closed, strike: None }
    }

    /// A world in which somebody is struck.
    pub(crate) fn new_struck(seed: u64, strike: Strike) -> Self {
        World { strike: Some(strike), ..World::new(seed) }
    }

    pub(crate) fn strike(&self) -> Option<&Strike> {
        self.strike.as_ref()
    }

    /// Who was struck, if anybody.
    pub(crate) fn hit(&self) -> Option<String> {
        self.strike()?.hit()
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// No new task is let in any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn arm(&self, timer: Pin<&Timer>, at: Instant, waker: Waker) {
        self.timers.arm(0, timer, at, waker);
        if at <= Instant::now() {
            // It fires in its turn, behind what is ready now, and not at once (TMO-02, LOOP-03).
            self.queue.lock().entries.push_back(Entry::Fire);
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

    /// Time has passed. A timer's waker stands in the queue like any callback, and the task
    /// that it wakes goes behind it: two turns, as in asyncio.
    fn fire(&self) {
        let due = self.due();
        let mut queue = self.queue.lock();
        let jobs = due.into_iter().map(|waker| Entry::Job(Box::new(move || waker.wake())));
        queue.entries.extend(jobs);
    }

    /// Runs one task or callback, or lets time pass. The answer: did time pass?
    fn turn(&self, clock: &VirtualClock) -> Result<bool, Stuck> {
        let entry = self.queue.lock().take();
        match entry {
            Some(Entry::Task(task)) => task.run(),
            Some(Entry::Job(job)) => job(),
            Some(Entry::Fire) => self.due().into_iter().for_each(Waker::wake),
            None => {
                clock.advance_to(self.timers.next().ok_or(Stuck)?);
                self.fire();
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Runs until `main` has ended.
    pub(crate) fn run(&self, clock: &VirtualClock, main: &TaskRef) -> Result<(), Stuck> {
        while !main.is_finished() {
            if let Some(strike) = &self.strike {
                strike.moment(|| self.live());
            }
            self.turn(clock)?;
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
            match self.turn(clock) {
                Ok(true) => turns = 0,
                Ok(false) => turns += 1,
                Err(Stuck) => break,
            }
        }
        self.live()
    }

    /// Ends what is left without asking, callbacks included.
    pub(crate) fn kill(&self, tasks: Vec<TaskRef>) {
        for task in &tasks {
            task.kill();
        }
        loop {
            // Bound first: what is run may queue more.
            let entry = self.queue.lock().take();
            match entry {
                Some(Entry::Task(task)) => task.kill(),
                Some(Entry::Job(job)) => job(),
                Some(Entry::Fire) => {}
                None => return,
            }
        }
    }

    /// The unfinished tasks, in the order of their spawning.
    pub(crate) fn live(&self) -> Vec<TaskRef> {
        crate::task::live::tasks([&*self.home])
    }
}
