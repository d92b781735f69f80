//! Whole workers, from the loop down: whatever is queued is run though all of them go to sleep.
//!
//! Nothing here ends by itself: a driver's wait has no limit in these models, so the guard's looks
//! do not save what the protocol has lost, and the model is then a deadlock.

use std::panic::Location;
use std::time::Duration;

use super::common::explore_at_most;
use crate::driver::Driver;
use crate::driver::clock::VirtualClock;
use crate::error::Outcome;
use crate::scheduler::{Config, Shared};
use crate::sys::{Arc, Condvar, Mutex, thread};
use crate::task::memory::{Home, HomeHandle, Kind};
use crate::task::raw::{self, First};

/// A permit per worker, and no outside world.
struct Seats(Vec<(Mutex<bool>, Condvar)>);

impl Driver for Seats {
    fn poll(&self, _instance: usize) {}

    fn wait(&self, instance: usize, _limit: Option<Duration>) {
        let (permit, bell) = &self.0[instance];
        let mut permit = permit.lock();
        while !*permit {
            permit = bell.wait(permit);
        }
        *permit = false;
    }

    fn notify(&self, instance: usize) {
        let (permit, bell) = &self.0[instance];
        *permit.lock() = true;
        bell.notify_one();
    }
}

/// Workers that run, and where their tasks live. Time stands still.
struct Rig {
    shared: Arc<Shared>,
    home: HomeHandle,
    threads: Vec<thread::JoinHandle<()>>,
    done: Steps,
    _clock: VirtualClock,
}

/// How many tasks have run, and a bell.
#[derive(Clone)]
struct Steps(Arc<(Mutex<usize>, Condvar)>);

impl Steps {
    fn step(&self) {
        *self.0.0.lock() += 1;
        self.0.1.notify_all();
    }

    fn wait_for(&self, count: usize) {
        let mut done = self.0.0.lock();
        while *done < count {
            done = self.0.1.wait(done);
        }
    }
}

impl Rig {
    fn new(workers: usize) -> Rig {
        let clock = VirtualClock::enter();
        let seats = (0..workers).map(|_| (Mutex::new(false), Condvar::new())).collect();
        // With one processor nobody spins.
        let config = Config { driver: Box::new(Seats(seats)), workers, processors: 1 };
        let (shared, workers) = Shared::new(config);
        let home = Home::new_with_own_numbers(Box::new(shared.clone()), Kind::Shared);
        let threads = workers.into_iter().map(|worker| thread::spawn(move || worker.run()));
        let threads = threads.collect();
        let done = Steps(Arc::new((Mutex::new(0), Condvar::new())));
        Rig { shared, home, threads, done, _clock: clock }
    }

    fn spawn<F>(&self, future: F)
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        // SAFETY: the future is `Send` and owns all it uses; nobody takes its value.
        let (task, _) = unsafe { raw::new(&self.home, future, Location::caller(), First::Queued) };
        task.queue();
    }

    /// Spawns a task that counts itself as done.
    fn spawn_step(&self) {
        let done = self.done.clone();
        self.spawn(async move { done.step() });
    }

    fn end(self, tasks: usize) {
        self.done.wait_for(tasks);
        self.shared.stop();
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(self.shared.next_leftover().is_none());
        self.home.collect();
        assert_eq!(self.home.outstanding(), 0);
    }
}

/// Tasks come from outside while the only worker falls asleep.
#[test]
fn one_worker_runs_what_is_injected() {
    explore_at_most(3, || {
        let rig = Rig::new(1);
        rig.spawn_step();
        rig.spawn_step();
        rig.end(2);
    });
}

/// The same with two: the one who is awake, or searches, does not go to sleep over the task.
#[test]
fn two_workers_run_what_is_injected() {
    explore_at_most(1, || {
        let rig = Rig::new(2);
        rig.spawn_step();
        rig.end(1);
    });
}

/// A task that blocks until another has run, as it should not: the second worker is woken for what
/// came from outside, by whoever pushes it or by the one that finds the first. Breaks if
/// `Turn::found` does not look once more, or if `work` goes on as the searcher with its task.
#[test]
fn a_blocked_worker_does_not_keep_what_was_injected() {
    explore_at_most(1, || {
        let rig = Rig::new(2);
        let done = rig.done.clone();
        rig.spawn(async move { done.wait_for(1) });
        rig.spawn_step();
        rig.end(1);
    });
}
