//! Conditions: a wait has its lock again however it ends, and no notification is lost
//! (COND-01 to COND-06).

mod common;

use std::sync::Arc;

use common::{Log, in_any_order, me, ms, simulate};
use filch::sync::{Condition, Lock, Semaphore};
use filch::{Task, catch_cancelled, spawn, timeout, yield_now};

/// A number, and word of its changes.
#[derive(Default)]
struct Shared {
    number: Lock<i32>,
    changed: Condition,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    async fn notify(&self, count: usize) {
        let _guard = self.number.lock().await;
        self.changed.notify(count);
    }
}

/// Waits for one notification, and says so.
fn waits(log: &Log, shared: &Arc<Shared>, name: &'static str) -> Task<()> {
    let (log, shared) = (log.clone(), shared.clone());
    spawn(async move {
        let mut guard = shared.number.lock().await;
        shared.changed.wait(&mut guard).await;
        log.add(name);
    })
}

/// Takes one from the number whenever there is something, until it is negative.
fn consumes(shared: &Arc<Shared>) -> Task<()> {
    let shared = shared.clone();
    spawn(async move {
        let mut number = shared.number.lock().await;
        loop {
            shared.changed.wait_for(&mut number, |number| *number != 0).await;
            if *number < 0 {
                return;
            }
            *number -= 1;
        }
    })
}

// upstream: test_locks.ConditionTests.test_wait
#[test]
fn who_is_notified_goes_on_once_the_lock_is_free() {
    // COND-02, COND-05: each has the lock until it is told to go
    simulate(async {
        let (log, shared, go) = (Log::new(), Shared::new(), Arc::new(Semaphore::new(0)));
        let tasks = ["1", "2", "3"].map(|name| {
            let (log, shared, go) = (log.clone(), shared.clone(), go.clone());
            spawn(async move {
                let mut guard = shared.number.lock().await;
                shared.changed.wait(&mut guard).await;
                log.add(name);
                go.acquire().await.forget();
            })
        });
        yield_now().await;
        assert_eq!((shared.changed.waiting(), shared.number.is_locked()), (3, false));
        let guard = shared.number.try_lock()?;
        shared.changed.notify(1);
        yield_now().await;
        assert_eq!(log.lines(), [] as [&str; 0]);
        drop(guard);
        yield_now().await;
        assert_eq!(log.lines(), ["1"]);
        shared.changed.notify(2);
        yield_now().await;
        assert_eq!(log.lines(), ["1"]);
        assert!(shared.number.is_locked());
        go.release(1);
        yield_now().await;
        yield_now().await;
        assert_eq!(log.lines(), ["1", "2"]);
        assert!(shared.number.is_locked());
        go.release(2);
        for task in tasks {
            task.await?;
        }
        assert_eq!(log.lines(), ["1", "2", "3"]);
        Ok(())
    });
}

// upstream: test_locks.ConditionTests.test_wait_cancel
#[test]
fn one_who_is_cancelled_has_the_lock() {
    // COND-03
    in_any_order(async || {
        let (log, shared) = (Log::new(), Shared::new());
        let waiter = spawn({
            let (log, shared) = (log.clone(), shared.clone());
            async move {
                let mut guard = shared.number.lock().await;
                let wait = catch_cancelled(shared.changed.wait(&mut guard)).await;
                log.add(format!("{} {}", wait.is_err(), shared.number.is_locked()));
                *guard += 1;
            }
        });
        while shared.changed.waiting() == 0 {
            yield_now().await;
        }
        assert!(!shared.number.is_locked());
        waiter.cancel();
        waiter.await?;
        assert_eq!(log.lines(), ["true true"]);
        assert_eq!((shared.changed.waiting(), *shared.number.lock().await), (0, 1));
        Ok(())
    });
}

// upstream: test_locks.ConditionTests.test_wait_cancel_contested
#[test]
fn one_who_is_cancelled_while_another_has_the_lock_waits_for_it() {
    // COND-03
    simulate(async {
        let (log, shared) = (Log::new(), Shared::new());
        let waiter = spawn({
            let (log, shared) = (log.clone(), shared.clone());
            async move {
                let mut guard = shared.number.lock().await;
                let wait = catch_cancelled(shared.changed.wait(&mut guard)).await;
                log.add(format!("{} {}", wait.is_err(), shared.number.is_locked()));
            }
        });
        yield_now().await;
        let guard = shared.number.lock().await;
        shared.changed.notify(1);
        waiter.cancel();
        yield_now().await;
        yield_now().await;
        assert_eq!(log.lines(), [] as [&str; 0]);
        drop(guard);
        waiter.await?;
        assert_eq!(log.lines(), ["true true"]);
        Ok(())
    });
}

// upstream: test_locks.ConditionTests.test_wait_cancel_after_notify
#[test]
fn a_cancellation_arrives_after_the_lock() {
    // COND-03
    simulate(async {
        let (log, shared) = (Log::new(), Shared::new());
        let waiter = waits(&log, &shared, "went on");
        yield_now().await;
        let guard = shared.number.lock().await;
        shared.changed.notify(1);
        yield_now().await;
        waiter.cancel();
        yield_now().await;
        assert!(!waiter.is_finished());
        drop(guard);
        yield_now().await;
        assert!(waiter.is_cancelled());
        assert_eq!(log.lines(), [] as [&str; 0]);
        assert!(!shared.number.is_locked());
        Ok(())
    });
}

#[test]
fn cancelled_twice_while_the_lock_is_held() {
    // COND-03, section 27: it stays suspended, then both requests count
    simulate(async {
        let (log, shared) = (Log::new(), Shared::new());
        let waiter = spawn({
            let (log, shared) = (log.clone(), shared.clone());
            async move {
                let mut guard = shared.number.lock().await;
                let wait = catch_cancelled(shared.changed.wait(&mut guard)).await;
                log.add(format!("{:?} {}", wait.unwrap_err().message(), me().cancelling()));
                assert!(shared.number.is_locked());
            }
        });
        yield_now().await;
        let guard = shared.number.lock().await;
        waiter.cancel_with("first");
        yield_now().await;
        waiter.cancel_with("second");
        yield_now().await;
        assert!(!waiter.is_finished());
        drop(guard);
        let _ = waiter.await;
        assert_eq!(log.lines(), ["Some(\"second\") 2"]);
        Ok(())
    });
}

// upstream: test_locks.ConditionTests.test_wait_for
#[test]
fn a_wait_for_something_looks_after_every_notification() {
    // COND-06
    simulate(async {
        let (log, shared) = (Log::new(), Shared::new());
        let waiter = spawn({
            let (log, shared) = (log.clone(), shared.clone());
            async move {
                let mut number = shared.number.lock().await;
                shared.changed.wait_for(&mut number, |number| *number > 0).await;
                log.add("met");
            }
        });
        yield_now().await;
        shared.notify(1).await;
        yield_now().await;
        assert_eq!(log.lines(), [] as [&str; 0]);
        *shared.number.lock().await = 1;
        shared.notify(1).await;
        yield_now().await;
        assert_eq!(log.lines(), ["met"]);
        waiter.await
    });
}

// upstream: test_locks.ConditionTests.test_wait_for_unacquired
#[test]
fn what_is_met_already_is_not_waited_for() {
    // COND-06; without the lock there is no guard to wait with
    simulate(async {
        let shared = Shared::new();
        let mut number = shared.number.lock().await;
        shared.changed.wait_for(&mut number, |number| *number == 0).await;
        Ok(())
    });
}

// upstream: test_locks.ConditionTests.test_notify
#[test]
fn the_first_in_line_are_notified() {
    // COND-05
    simulate(async {
        let (log, shared) = (Log::new(), Shared::new());
        let tasks = ["1", "2", "3"].map(|name| waits(&log, &shared, name));
        yield_now().await;
        shared.notify(1).await;
        yield_now().await;
        assert_eq!(log.lines(), ["1"]);
        shared.notify(1).await;
        shared.notify(2_048).await;
        for task in tasks {
            task.await?;
        }
        assert_eq!(log.lines(), ["1", "2", "3"]);
        Ok(())
    });
}

// upstream: test_locks.ConditionTests.test_notify_all
#[test]
fn all_are_notified() {
    // COND-05
    simulate(async {
        let (log, shared) = (Log::new(), Shared::new());
        let tasks = ["1", "2"].map(|name| waits(&log, &shared, name));
        yield_now().await;
        let guard = shared.number.lock().await;
        shared.changed.notify_all();
        drop(guard);
        for task in tasks {
            task.await?;
        }
        assert_eq!(log.lines(), ["1", "2"]);
        Ok(())
    });
}

// upstream: test_locks.ConditionTests.test_context_manager
#[test]
fn the_lock_is_an_ordinary_lock() {
    // COND-01
    simulate(async {
        let shared = Shared::new();
        assert!(!shared.number.is_locked());
        {
            let _guard = shared.number.lock().await;
            assert!(shared.number.is_locked());
        }
        assert!(!shared.number.is_locked());
        Ok(())
    });
}

// upstream: test_locks.ConditionTests.test_explicit_lock
#[test]
fn two_conditions_may_share_a_lock() {
    // COND-01
    simulate(async {
        let log = Log::new();
        let shared = Arc::new((Lock::new(0), Condition::new(), Condition::default()));
        let waiter = spawn({
            let (log, shared) = (log.clone(), shared.clone());
            async move {
                let (number, risen, fallen) = &*shared;
                let mut number = number.lock().await;
                risen.wait_for(&mut number, |number| *number > 0).await;
                log.add("risen");
                fallen.wait_for(&mut number, |number| *number < 0).await;
                log.add("fallen");
            }
        });
        let (number, risen, fallen) = &*shared;
        *number.lock().await = 1;
        fallen.notify_all();
        risen.notify_all();
        while log.lines().is_empty() {
            yield_now().await;
            risen.notify_all();
        }
        *number.lock().await = -1;
        fallen.notify_all();
        waiter.await?;
        assert_eq!(log.lines(), ["risen", "fallen"]);
        assert!(!number.is_locked());
        Ok(())
    });
}

// upstream: test_locks.ConditionTests.test_timeout_in_block
#[test]
fn a_wait_that_times_out_has_the_lock() {
    // COND-03, WFOR-04
    in_any_order(async || {
        let shared = Shared::new();
        let mut number = shared.number.lock().await;
        let wait = timeout(ms(500), shared.changed.wait(&mut number)).await;
        assert!(wait.unwrap_err().is_timeout());
        assert!(shared.number.is_locked());
        *number += 1;
        Ok(())
    });
}

// upstream: test_locks.ConditionTests.test_cancelled_error_wakeup
#[test]
fn a_cancellation_goes_on_with_its_message() {
    // COND-03, CAN-20
    simulate(async {
        let (log, shared) = (Log::new(), Shared::new());
        let waiter = waits(&log, &shared, "went on");
        yield_now().await;
        waiter.cancel_with("foo");
        assert_eq!(waiter.await.unwrap_err().cancel_message(), Some("foo"));
        Ok(())
    });
}

// upstream: test_locks.ConditionTests.test_cancelled_error_re_aquire
#[test]
fn a_cancellation_during_the_wait_for_the_lock_goes_on_with_its_message() {
    // COND-03, CAN-20
    simulate(async {
        let (log, shared) = (Log::new(), Shared::new());
        let waiter = waits(&log, &shared, "went on");
        yield_now().await;
        let guard = shared.number.lock().await;
        shared.changed.notify(1);
        yield_now().await;
        waiter.cancel_with("foo");
        drop(guard);
        assert_eq!(waiter.await.unwrap_err().cancel_message(), Some("foo"));
        assert_eq!(log.lines(), [] as [&str; 0]);
        Ok(())
    });
}

// upstream: test_locks.ConditionTests.test_cancelled_wakeup
#[test]
fn a_notification_is_not_lost_with_one_who_is_cancelled() {
    // COND-04
    simulate(async {
        let shared = Shared::new();
        let [first, second] = [(); 2].map(|()| consumes(&shared));
        yield_now().await;
        let mut number = shared.number.lock().await;
        *number += 1;
        shared.changed.notify(1);
        first.cancel();
        let consumed = shared.changed.wait_for(&mut number, |number| *number == 0);
        let _ = timeout(ms(10), consumed).await;
        assert_eq!(*number, 0);
        *number = -1;
        shared.changed.notify_all();
        drop(number);
        second.await
    });
}

// upstream: test_locks.ConditionTests.test_cancelled_wakeup_relock
#[test]
fn a_notification_is_not_lost_with_one_who_is_cancelled_at_the_lock() {
    // COND-04
    simulate(async {
        let shared = Shared::new();
        let [first, second] = [(); 2].map(|()| consumes(&shared));
        yield_now().await;
        let mut number = shared.number.lock().await;
        *number += 1;
        shared.changed.notify(1);
        yield_now().await;
        first.cancel();
        let consumed = shared.changed.wait_for(&mut number, |number| *number == 0);
        let _ = timeout(ms(10), consumed).await;
        assert_eq!(*number, 0);
        *number = -1;
        shared.changed.notify_all();
        drop(number);
        second.await
    });
}

#[test]
fn a_guard_whose_wait_was_dropped_says_so() {
    simulate(async {
        let shared = Shared::new();
        let looks = spawn(async move {
            let mut guard = shared.number.lock().await;
            {
                let mut wait = std::pin::pin!(shared.changed.wait(&mut guard));
                let pending = std::future::poll_fn(|context| {
                    std::task::Poll::Ready(wait.as_mut().poll(context).is_pending())
                });
                assert!(pending.await);
            }
            assert!(!shared.number.is_locked(), "nobody has it");
            *guard += 1;
        });
        let error = looks.await.unwrap_err();
        assert!(error.is_panic() && error.to_string().contains("the lock was lost"), "{error}");
        Ok(())
    });
}

#[test]
fn an_owned_guard_waits_as_well() {
    in_any_order(async || {
        let lock = Arc::new(Lock::new(0));
        let changed = Arc::new(Condition::new());
        let waiter = spawn({
            let (mut guard, changed) = (lock.lock_owned().await, changed.clone());
            async move {
                changed.wait_for(&mut guard, |number| *number > 0).await;
                *guard += 1;
            }
        });
        // The guard is in the task: nobody gets here before it waits.
        *lock.lock().await += 1;
        changed.notify_all();
        waiter.await?;
        assert_eq!(*lock.lock().await, 2);
        Ok(())
    });
}

#[test]
fn plain_threads_wait_as_well() {
    let shared = Shared::new();
    let thread = std::thread::spawn({
        let shared = shared.clone();
        move || {
            let mut number = shared.number.lock_blocking();
            while *number == 0 {
                shared.changed.wait_blocking(&mut number);
            }
            *number
        }
    });
    filch::run({
        let shared = shared.clone();
        async move {
            *shared.number.lock().await = 7;
            shared.changed.notify_all();
            drop(shared.number.lock().await)
        }
    })
    .unwrap();
    assert_eq!(thread.join().unwrap(), 7);
}
