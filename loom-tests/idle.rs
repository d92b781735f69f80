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

/// One leaves while another falls asleep: there is a guard, and it knows. Breaks if `leave` tells
/// nobody of a guard's leaving, or `announce` makes nobody the guard.
#[test]
fn whoever_sleeps_last_is_guarded() {
    explore(|| {
        let idle = Arc::new(Idle::new(2));
        idle.announce(0, false);
        let now = Instant::from_nanoseconds(1);
        let leaving = thread::spawn({
            let idle = idle.clone();
            move || idle.leave(0).tell
        });
        idle.announce(1, false);
        let before = idle.limit(1, now, || None);
        let told = leaving.join().unwrap();
        let after = idle.limit(1, now, || None);
        assert!(before == after || told == Some(1), "it sleeps as if it were not the guard");
        let Limit::Guard { until, .. } = after else { panic!("no guard") };
        assert!(until < Instant::NEVER, "the other one is awake, and must be watched");
    });
}

/// A worker arms a timer, tells nobody and falls asleep, beside another that does too: one of them
/// looks at the timers in time. Breaks if `limit` does not make the last one the guard.
#[test]
fn the_last_to_sleep_looks_after_the_timers() {
    explore(|| {
        let never = Instant::NEVER.nanoseconds();
        let shared = Arc::new((Idle::new(2), AtomicU64::new(never)));
        let at = Instant::from_nanoseconds(5);
        let park = move |worker: usize, shared: &(Idle, AtomicU64)| {
            shared.0.announce(worker, false);
            let next = || Some(Instant::from_nanoseconds(shared.1.load(Ordering::Relaxed)));
            match shared.0.limit(worker, Instant::from_nanoseconds(1), next) {
                Limit::Guard { until, .. } => until <= at,
                Limit::None | Limit::Awake => false,
            }
        };
        let other = thread::spawn({
            let shared = shared.clone();
            move || park(0, &shared)
        });
        shared.1.store(at.nanoseconds(), Ordering::Relaxed);
        let mine = park(1, &shared);
        assert!(other.join().unwrap() || mine);
    });
}

/// A pusher wakes the only sleeper, which is the guard, while another worker falls asleep: that one
/// is the guard then, or woken. Breaks if `wake` leaves the guard it wakes the guard.
#[test]
fn a_guard_that_is_woken_is_no_guard() {
    explore(|| {
        let idle = Arc::new(Idle::new(2));
        idle.announce(0, false);
        let waker = thread::spawn({
            let idle = idle.clone();
            move || idle.wake()
        });
        idle.announce(1, false);
        let now = Instant::from_nanoseconds(1);
        let before = idle.limit(1, now, || None);
        let woken = waker.join().unwrap().expect("somebody slept");
        let left = idle.leave(woken);
        assert!(left.searching);
        let sleeper = 1 - woken;
        let after = idle.limit(sleeper, now, || None);
        assert!(matches!(after, Limit::Guard { until, .. } if until < Instant::NEVER));
        assert!(sleeper == 0 || before == after || left.tell == Some(1));
    });
}
