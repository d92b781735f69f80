//! Whole workers, from the loop down: whatever is queued is run though all of them go to sleep.
//!
//! Nothing here ends by itself: a driver's wait has no limit in these models, so the guard's looks
//! do not save what the protocol has lost, and the model is then a deadlock.

use std::panic::Location;
use std::time::Duration;

use super::common::{all_gone, explore_at_most};
use crate::driver::Driver;
use crate::driver::clock::VirtualClock;
use crate::error::Outcome;
use crate::scheduler::{Config, Shared};
use crate::sys::{Arc, Condvar, Mutex, thread};
use crate::task::memory::{Home, HomeHandle, Kind};
use crate::task::raw::{self, First};

/// A permit per worker, and no outside world.
struct Seats {
    permits: Vec<(Mutex<bool>, Condvar)>,
    waits: Steps,
}

impl Driver for Seats {
    fn poll(&self, _instance: usize) -> bool {
        false
    }

    fn wait(&self, instance: usize, _limit: Option<Duration>) {
        self.waits.step();
        let (permit, bell) = &self.permits[instance];
        let mut permit = permit.lock();
        while !*permit {
            permit = bell.wait(permit);
        }
        *permit = false;
    }

    fn notify(&self, instance: usize) {
        let (permit, bell) = &self.permits[instance];
        *permit.lock() = true;
        bell.notify_one();
    }
}

/// Workers that run, and where their tasks live. Time stands still.
struct Rig {
    shared: Arc<Shared>,
    home: HomeHandle,
    threads: Vec<thread::JoinHandle<()>>,
    /// Tasks that have run.
    done: Steps,
    /// Workers that have gone to sleep.
    waits: Steps,
    _clock: VirtualClock,
}

/// How many steps have been taken, and a bell.
#[derive(Clone)]
struct Steps(Arc<(Mutex<usize>, Condvar)>);

impl Steps {
    fn new() -> Steps {
        Steps(Arc::new((Mutex::new(0), Condvar::new())))
    }

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
        let waits = Steps::new();
        let permits = (0..workers).map(|_| (Mutex::new(false), Condvar::new())).collect();
        let seats = Seats { permits, waits: waits.clone() };
        // With one processor nobody spins.
        let config = Config { driver: Box::new(seats), workers, processors: 1 };
        let (shared, workers) = Shared::new(config);
        let home = Home::new_with_own_numbers(Box::new(shared.clone()), Kind::Shared);
        let threads = workers.into_iter().map(|worker| thread::spawn(move || worker.run()));
        let threads = threads.collect();
        Rig { shared, home, threads, done: Steps::new(), waits, _clock: clock }
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
        all_gone(&self.home);
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

/// A task blocks until the next one has run, as it should not: the second worker is woken for that
/// by the first, which found both. Breaks if `Turn::found` does not look once more.
#[test]
fn a_blocked_worker_does_not_keep_what_it_found() {
    explore_at_most(0, || {
        let rig = Rig::new(2);
        rig.waits.wait_for(2);
        let done = rig.done.clone();
        rig.spawn(async move { done.wait_for(1) });
        rig.spawn_step();
        rig.end(1);
    });
}

/// The same, but the next one comes when the first runs: whoever brings it wakes the second worker.
/// Breaks if `work` goes on as the searcher with its task.
#[test]
fn a_blocked_worker_does_not_keep_others_asleep() {
    explore_at_most(0, || {
        let rig = Rig::new(2);
        rig.waits.wait_for(2);
        let (begun, done) = (Steps::new(), rig.done.clone());
        rig.spawn({
            let begun = begun.clone();
            async move {
                begun.step();
                done.wait_for(1);
            }
        });
        begun.wait_for(1);
        rig.spawn_step();
        rig.end(1);
    });
}
