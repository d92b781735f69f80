//! The end of a scheduler: nobody sleeps through it, and nothing is left in a queue.

use std::ptr::NonNull;
use std::time::Duration;

use super::common::explore;
use crate::driver::Driver;
use crate::scheduler::{Config, Shared};
use crate::sys::{Arc, Condvar, Mutex, thread};
use crate::task::{Runnable, Schedule, Why};

/// A driver with one instance and no outside world.
struct Seat(Arc<(Mutex<bool>, Condvar)>);

impl Driver for Seat {
    fn poll(&self, _instance: usize) {}

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
        let seat = Arc::new((Mutex::new(false), Condvar::new()));
        let driver = Box::new(Seat(seat));
        let (shared, _worker) = Shared::new(Config { driver, workers: 1, processors: 1 });
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
