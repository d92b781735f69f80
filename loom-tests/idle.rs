//! Sleep and wake: between a look at the queue and a look at the sleepers, nothing is lost.

use super::common::explore;
use crate::driver::clock::Instant;
use crate::scheduler::idle::{Idle, Limit};
use crate::sys::deque::Injector;
use crate::sys::{Arc, AtomicU64, Ordering, thread};

/// Breaks without the fence in `announce`, or the one in `wake`.
#[test]
fn sleeper_sees_the_task_or_the_pusher_sees_the_sleeper() {
    explore(|| {
        let shared = Arc::new((Idle::new(1), Injector::new()));
        assert!(shared.0.search());
        let pusher = thread::spawn({
            let shared = shared.clone();
            move || {
                shared.1.push(1);
                shared.0.wake().is_some()
            }
        });
        shared.0.announce(0, true);
        let seen = !shared.1.is_empty();
        assert!(pusher.join().unwrap() || seen);
    });
}

/// Breaks without the fence in `found`.
#[test]
fn searcher_sees_the_task_or_the_pusher_wakes_the_next() {
    explore(|| {
        let shared = Arc::new((Idle::new(2), Injector::new()));
        shared.0.announce(1, false);
        assert!(shared.0.search());
        let pusher = thread::spawn({
            let shared = shared.clone();
            move || {
                shared.1.push(1);
                shared.0.wake().is_some()
            }
        });
        shared.0.found();
        let seen = !shared.1.is_empty();
        assert!(pusher.join().unwrap() || seen);
    });
}

/// Breaks if `wake` takes the search without looking whether somebody has it.
#[test]
fn two_pushers_wake_one_searcher() {
    explore(|| {
        let idle = Arc::new(Idle::new(2));
        idle.announce(0, false);
        idle.announce(1, false);
        let other = thread::spawn({
            let idle = idle.clone();
            move || idle.wake()
        });
        let mine = idle.wake();
        let woken: Vec<_> = [mine, other.join().unwrap()].into_iter().flatten().collect();
        assert_eq!(woken, [1], "the guard sleeps on");
        assert!(idle.leave(1).searching && !idle.search());
    });
}

/// Breaks if `leave` takes the worker for woken whenever it was, or never.
#[test]
fn worker_that_gets_up_knows_whether_it_searches() {
    explore(|| {
        let idle = Arc::new(Idle::new(1));
        idle.announce(0, false);
        let waker = thread::spawn({
            let idle = idle.clone();
            move || idle.wake().is_some()
        });
        let left = idle.leave(0);
        assert_eq!(waker.join().unwrap(), left.searching);
        assert_eq!(idle.search(), !left.searching, "a search is neither lost nor doubled");
        assert!(idle.nobody_sleeps());
    });
}

/// Breaks without the fence in `limit`, or the one in `oversleeps`.
#[test]
fn guard_sees_the_timer_or_is_told() {
    explore(|| {
        let never = Instant::NEVER.nanoseconds();
        let shared = Arc::new((Idle::new(1), AtomicU64::new(never)));
        let at = Instant::from_nanoseconds(5);
        let arming = thread::spawn({
            let shared = shared.clone();
            move || {
                shared.1.store(at.nanoseconds(), Ordering::Relaxed);
                shared.0.oversleeps(at)
            }
        });
        shared.0.announce(0, false);
        let now = Instant::from_nanoseconds(1);
        let next = || Some(Instant::from_nanoseconds(shared.1.load(Ordering::Relaxed)));
        let Limit::Guard { until, .. } = shared.0.limit(0, now, next) else { panic!("no guard") };
        assert!(arming.join().unwrap() == Some(0) || until <= at);
    });
}

/// Breaks if `leave` looks for no new guard, or starts no watch.
#[test]
fn while_one_is_awake_a_sleeper_keeps_watch() {
    explore(|| {
        let idle = Arc::new(Idle::new(3));
        (0..3).for_each(|worker| idle.announce(worker, false));
        idle.rest();
        let threads: Vec<_> = (0..2)
            .map(|worker| {
                let idle = idle.clone();
                thread::spawn(move || idle.leave(worker).tell)
            })
            .collect();
        let told: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(told.contains(&Some(2)));
        let never = || -> Option<Instant> { None };
        let now = Instant::from_nanoseconds(1);
        let Limit::Guard { until, .. } = idle.limit(2, now, never) else { panic!("no guard") };
        assert!(until < Instant::NEVER);
    });
}
