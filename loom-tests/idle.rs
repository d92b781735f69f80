//! Sleep and wake: between a look at the queue and a look at the sleepers, nothing is lost.

use super::common::explore;
use crate::driver::clock::Instant;
use crate::scheduler::idle::{Idle, LOOK, Limit};
use crate::sys::deque::Injector;
use crate::sys::{Arc, AtomicBool, AtomicU64, Ordering, thread};

const NOW: Instant = Instant::from_nanoseconds(1);

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
        let _ = shared.0.announce(0, true, false);
        let seen = !shared.1.is_empty();
        assert!(pusher.join().unwrap() || seen);
    });
}

/// Breaks without the fence in `found`.
#[test]
fn searcher_sees_the_task_or_the_pusher_wakes_the_next() {
    explore(|| {
        let shared = Arc::new((Idle::new(2), Injector::new()));
        let _ = shared.0.announce(1, false, false);
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
        let _ = idle.announce(0, false, false);
        let _ = idle.announce(1, false, false);
        let other = thread::spawn({
            let idle = idle.clone();
            move || idle.wake()
        });
        let mine = idle.wake();
        let woken: Vec<_> = [mine, other.join().unwrap()].into_iter().flatten().collect();
        assert_eq!(woken, [1], "the guard sleeps on");
        assert!(idle.leave(1, NOW).searching && !idle.search());
    });
}

/// While a surplus is left to those who have it, a task from outside wakes a sleeper all the same.
/// Breaks if `wake` asks for more than a sleeper and no searcher.
#[test]
fn whoever_comes_from_outside_is_heard() {
    explore(|| {
        let idle = Arc::new(Idle::new(2));
        let _ = idle.announce(0, false, false);
        assert!(idle.may_wake());
        let thief = thread::spawn({
            let idle = idle.clone();
            move || idle.set_alone(true)
        });
        assert_eq!(idle.wake(), Some(0));
        thief.join().unwrap();
        let _ = idle.announce(0, true, false);
        assert!(idle.is_alone() && !idle.may_wake());
        assert_eq!(idle.wake(), Some(0));
    });
}

/// Breaks if `leave` takes the worker for woken whenever it was, or never.
#[test]
fn worker_that_gets_up_knows_whether_it_searches() {
    explore(|| {
        let idle = Arc::new(Idle::new(1));
        let _ = idle.announce(0, false, false);
        let waker = thread::spawn({
            let idle = idle.clone();
            move || idle.wake().is_some()
        });
        let left = idle.leave(0, NOW);
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
        let _ = shared.0.announce(0, false, false);
        let next = || Some(Instant::from_nanoseconds(shared.1.load(Ordering::Relaxed)));
        let Limit::Guard { until, .. } = shared.0.limit(0, NOW, next) else { panic!("no guard") };
        assert!(arming.join().unwrap() == Some(0) || until <= at);
    });
}

/// All sleep, and have for a while.
fn three_that_rest() -> Arc<Idle> {
    let idle = Idle::new(3);
    (0..3).for_each(|worker| assert_eq!(idle.announce(worker, false, false), None));
    idle.rest();
    Arc::new(idle)
}

/// Breaks if `leave` looks for no new guard, or starts no watch.
#[test]
fn while_one_is_awake_a_sleeper_keeps_watch() {
    explore(|| {
        let idle = three_that_rest();
        let threads: Vec<_> = (0..2)
            .map(|worker| {
                let idle = idle.clone();
                thread::spawn(move || idle.leave(worker, NOW).remind)
            })
            .collect();
        let reminded: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(reminded.contains(&Some(2)));
        let never = || -> Option<Instant> { None };
        let limit = idle.limit(2, NOW, never);
        assert!(
            matches!(limit, Limit::Guard { until, reminded: true, .. } if until < Instant::NEVER)
        );
    });
}

/// One leaves while another falls asleep: there is a guard, and it knows. Breaks if `leave` tells
/// nobody of a guard's leaving, or `announce` makes nobody the guard.
#[test]
fn whoever_sleeps_last_is_guarded() {
    explore(|| {
        let idle = Arc::new(Idle::new(2));
        let _ = idle.announce(0, false, false);
        let leaving = thread::spawn({
            let idle = idle.clone();
            move || idle.leave(0, NOW).remind
        });
        let _ = idle.announce(1, false, false);
        let before = idle.limit(1, NOW, || None);
        let reminded = leaving.join().unwrap();
        let after = idle.limit(1, NOW, || None);
        assert!(before == after || reminded == Some(1), "it sleeps as if it were not the guard");
        let Limit::Guard { until, .. } = after else { panic!("no guard") };
        assert!(until < Instant::NEVER, "the other one is awake, and must be watched");
    });
}

/// While all sleep whenever it looks, the guard looks less and less often; who is awake once is
/// looked at again soon. Breaks if it goes on so when somebody is awake twice.
#[test]
fn a_guard_of_sleepers_takes_its_time() {
    explore(|| {
        let idle = Idle::new(2);
        let span = || match idle.limit(0, NOW, || None) {
            Limit::Guard { until, .. } => until - NOW,
            other => panic!("no guard: {other:?}"),
        };
        let _ = idle.announce(0, false, false);
        assert_eq!(span(), LOOK);
        let _ = idle.announce(1, false, false);
        assert_eq!([(); 4].map(|()| span()), [2, 4, 8, 8].map(|often| LOOK * often));
        assert!(!idle.leave(1, NOW).searching);
        assert_eq!(span(), LOOK);
        let _ = idle.announce(1, false, false);
        assert_eq!(span(), LOOK * 8);
        assert!(!idle.leave(1, NOW).searching);
        assert_eq!([span(), span()], [LOOK; 2]);
        let _ = idle.announce(1, false, false);
        assert_eq!(span(), LOOK * 2);
    });
}

/// All sleep again, and call the guard off that was to be reminded, while a thread arms a timer
/// that comes after the reminder would have: somebody learns of it. Breaks if `announce` leaves
/// `until` as it was, or without its fence.
#[test]
fn a_guard_that_is_called_off_learns_of_a_timer() {
    explore(|| {
        let never = Instant::NEVER.nanoseconds();
        let shared = Arc::new((Idle::new(2), AtomicU64::new(never)));
        let _ = shared.0.announce(0, false, false);
        let _ = shared.0.announce(1, false, false);
        shared.0.rest();
        assert_eq!(shared.0.leave(1, NOW).remind, Some(0));
        let at = NOW + LOOK * 2;
        let arming = thread::spawn({
            let shared = shared.clone();
            move || {
                shared.1.store(at.nanoseconds(), Ordering::Relaxed);
                shared.0.oversleeps(at).is_some()
            }
        });
        assert_eq!(shared.0.announce(1, false, true), Some(0));
        let next = || Some(Instant::from_nanoseconds(shared.1.load(Ordering::Relaxed)));
        let limit = shared.0.limit(1, NOW, next);
        let sees = matches!(limit, Limit::Guard { until, .. } if until <= at);
        assert!(arming.join().unwrap() || sees);
    });
}

/// One falls asleep and another gets up: who is awake is watched. Breaks if `announce` calls
/// a guard off though somebody is awake.
#[test]
fn no_guard_is_called_off_while_one_is_awake() {
    explore(|| {
        let idle = three_that_rest();
        assert_eq!(idle.leave(1, NOW).remind, Some(0));
        let leaving = thread::spawn({
            let idle = idle.clone();
            move || idle.leave(2, NOW).remind
        });
        let forgotten = idle.announce(1, false, true);
        let reminded = leaving.join().unwrap();
        assert!(forgotten.is_none() || reminded == Some(0));
        let limit = idle.limit(0, NOW, || None);
        assert!(matches!(limit, Limit::Guard { reminded: true, .. }));
    });
}

/// One falls asleep and calls the guard off, another gets up and leaves it a reminder, and the two
/// calls come to the driver in any order: the reminder stays. Breaks if who has called it off does
/// not look once more.
#[test]
fn no_reminder_is_called_off_with_the_one_before() {
    explore(|| {
        let idle = three_that_rest();
        let alarm = Arc::new(AtomicBool::new(true));
        assert_eq!(idle.leave(1, NOW).remind, Some(0));
        let leaving = thread::spawn({
            let (idle, alarm) = (idle.clone(), alarm.clone());
            move || {
                if idle.leave(2, NOW).remind == Some(0) {
                    alarm.store(true, Ordering::Relaxed);
                }
            }
        });
        if idle.announce(1, false, true) == Some(0) {
            alarm.store(false, Ordering::Relaxed);
            if idle.is_reminded(0) {
                alarm.store(true, Ordering::Relaxed);
            }
        }
        leaving.join().unwrap();
        assert!(alarm.load(Ordering::Relaxed), "nobody looks after the one that is awake");
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
            let _ = shared.0.announce(worker, false, false);
            let next = || Some(Instant::from_nanoseconds(shared.1.load(Ordering::Relaxed)));
            match shared.0.limit(worker, NOW, next) {
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
        let _ = idle.announce(0, false, false);
        let waker = thread::spawn({
            let idle = idle.clone();
            move || idle.wake()
        });
        let _ = idle.announce(1, false, false);
        let before = idle.limit(1, NOW, || None);
        let woken = waker.join().unwrap().expect("somebody slept");
        let left = idle.leave(woken, NOW);
        assert!(left.searching);
        let sleeper = 1 - woken;
        let after = idle.limit(sleeper, NOW, || None);
        assert!(matches!(after, Limit::Guard { until, .. } if until < Instant::NEVER));
        assert!(sleeper == 0 || before == after || left.remind == Some(1));
    });
}
