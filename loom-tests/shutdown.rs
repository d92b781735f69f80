//! The end of a scheduler: nobody sleeps through it, and nothing is left in a queue.

use std::ptr::NonNull;
use std::time::Duration;

use super::common::{explore, spawn};
use crate::driver::Driver;
use crate::scheduler::{Config, Shared};
use crate::sys::{Arc, AtomicBool, Condvar, Mutex, Ordering, thread};
use crate::task::memory::{Home, Kind};
use crate::task::{Runnable, Schedule, Why};

/// A driver with one instance and no outside world.
struct Seat(Arc<(Mutex<bool>, Condvar)>);

impl Driver for Seat {
    fn poll(&self, _instance: usize) -> bool {
        false
    }

    fn wait(&self, _instance: usize, _limit: Option<Duration>) {
        let mut permit = self.0.0.lock();
        while !*permit {
            permit = self.0.1.wait(permit);
        }
        *permit = false;
    }

    fn notify(&self, _instance: usize) {
        *self.0.0.lock() = true;
        self.0.1.notify_one();
    }
}

/// A scheduler whose one worker is nowhere.
fn deserted() -> Arc<Shared> {
    let seat = Arc::new((Mutex::new(false), Condvar::new()));
    let driver = Box::new(Seat(seat));
    Shared::new(Config { driver, workers: 1, processors: 1 }).0
}

/// Never run; only counted.
fn task() -> Runnable {
    // SAFETY: it is never turned into a pointer that is followed.
    unsafe { Runnable::from_raw(NonNull::dangling()) }
}

/// Breaks if `stop` notifies before it sets the flag, or does not notify.
#[test]
fn stop_reaches_a_worker_that_is_about_to_sleep() {
    explore(|| {
        let seat = Arc::new((Mutex::new(false), Condvar::new()));
        let driver = Box::new(Seat(seat.clone()));
        let (shared, _worker) = Shared::new(Config { driver, workers: 1, processors: 1 });
        let worker = thread::spawn({
            let shared = shared.clone();
            move || {
                while !shared.is_stopped() {
                    Seat(seat.clone()).wait(0, None);
                }
            }
        });
        shared.stop();
        worker.join().unwrap();
    });
}

/// Breaks if `next_leftover` leaves out the injector.
#[test]
fn task_that_is_woken_during_the_end_is_handed_out() {
    explore(|| {
        let shared = deserted();
        let waker = thread::spawn({
            let shared = shared.clone();
            move || shared.schedule(task(), Why::Woken)
        });
        shared.close();
        let early = shared.next_leftover();
        shared.stop();
        waker.join().unwrap();
        let late = shared.next_leftover();
        assert!(early.is_some() != late.is_some());
    });
}

/// Breaks if `enter` looks at the gate before it counts itself, or `close` does not wait.
#[test]
fn who_is_let_in_is_done_when_the_gate_is_closed() {
    explore(|| {
        let shared = deserted();
        let seen = Arc::new(AtomicBool::new(false));
        let spawner = thread::spawn({
            let (shared, seen) = (shared.clone(), seen.clone());
            move || {
                let pass = shared.gate().enter();
                let entered = pass.is_some();
                if entered {
                    seen.store(true, Ordering::Relaxed);
                }
                drop(pass);
                entered
            }
        });
        shared.close();
        let early = seen.load(Ordering::Relaxed);
        assert_eq!(early, spawner.join().unwrap());
    });
}

/// Breaks if `inject` does not look whether it is over, or `end` is called after the last kill.
#[test]
fn task_that_is_queued_when_it_is_over_is_killed_by_somebody() {
    explore(|| {
        let shared = deserted();
        let spawner = thread::spawn({
            let home = Home::new_with_own_numbers(Box::new(shared.clone()), Kind::Shared);
            move || {
                let task = spawn(&home, std::future::pending::<()>());
                (home, task)
            }
        });
        shared.end();
        shared.kill_leftovers();
        let (_home, task) = spawner.join().unwrap();
        assert!(task.is_cancelled());
    });
}
