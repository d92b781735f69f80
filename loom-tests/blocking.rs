//! The blocking threads: every closure gets one, even if the others wait for it.

use super::common::explore;
use crate::blocking::Pool;
use crate::sys::{Arc, Condvar, Mutex};

use std::time::Duration;

/// How many steps have been done, and a bell.
#[derive(Clone)]
struct Steps(Arc<(Mutex<usize>, Condvar)>);

impl Steps {
    fn new() -> Self {
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

/// Breaks if one idle thread is enough for any number of closures (`idle > 0`).
#[test]
fn closure_that_another_waits_for_gets_a_thread() {
    explore(|| {
        let pool = Pool::new(2, Duration::MAX, "model");
        let steps = Steps::new();
        let first = steps.clone();
        pool.submit(Box::new(move || first.step())).unwrap();
        // From here on its thread may be idle, or not yet.
        steps.wait_for(1);
        let (waits, does) = (steps.clone(), steps.clone());
        pool.submit(Box::new(move || waits.wait_for(2))).unwrap();
        pool.submit(Box::new(move || does.step())).unwrap();
        steps.wait_for(2);
        assert_eq!(pool.shut_down(Duration::MAX), 0);
    });
}

/// Breaks if a thread that takes a closure does not tell the next idle one.
#[test]
fn closures_that_wait_for_each_other_wake_two_threads() {
    explore(|| {
        let pool = Pool::new(2, Duration::MAX, "model");
        let steps = Steps::new();
        // The first time two threads are started; the second time they may be idle.
        for before in [0, 2] {
            for _ in 0..2 {
                let meets = steps.clone();
                let meet = move || {
                    meets.step();
                    meets.wait_for(before + 2);
                };
                pool.submit(Box::new(meet)).unwrap();
            }
            steps.wait_for(before + 2);
        }
        assert_eq!(pool.shut_down(Duration::MAX), 0);
    });
}

/// Breaks if a thread ends without being counted out, or without ringing `ended`.
#[test]
fn closure_runs_or_is_dropped_in_the_end() {
    struct Guard(Steps);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.step();
        }
    }
    explore(|| {
        let pool = Pool::new(1, Duration::MAX, "model");
        let steps = Steps::new();
        for _ in 0..2 {
            let guard = Guard(steps.clone());
            pool.submit(Box::new(move || drop(guard))).unwrap();
        }
        assert_eq!(pool.shut_down(Duration::MAX), 0);
        assert_eq!(*steps.0.0.lock(), 2);
    });
}

/// Breaks if a closure that ends its own pool waits for its thread, too.
#[test]
fn closure_that_ends_its_pool_does_not_wait_for_itself() {
    explore(|| {
        let pool = Arc::new(Pool::new(2, Duration::MAX, "model"));
        let steps = Steps::new();
        let (there, ends) = (pool.clone(), steps.clone());
        let end = move || {
            assert_eq!(there.shut_down(Duration::MAX), 0);
            ends.step();
        };
        pool.submit(Box::new(end)).unwrap();
        steps.wait_for(1);
        assert_eq!(pool.shut_down(Duration::MAX), 0);
    });
}
