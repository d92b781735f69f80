//! Semaphores: what comes back belongs to the first in line, and no permit is lost or doubled
//! (SEM-01 to SEM-07).

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use common::{Log, in_any_order, ms, seconds, simulate};
use filch::sync::{BoundedSemaphore, ReleasedTooOften, Semaphore, WouldWait};
use filch::{Task, TaskRef, sleep, spawn, timeout, yield_now};

/// Takes a permit for good, and says so.
fn takes(log: &Log, semaphore: &Arc<Semaphore>, name: &'static str) -> Task<()> {
    let (log, semaphore) = (log.clone(), semaphore.clone());
    spawn(async move {
        semaphore.acquire().await.forget();
        log.add(name);
    })
}

// upstream: test_locks.SemaphoreTests.test_initial_value_zero
#[test]
fn a_semaphore_may_begin_empty() {
    // SEM-01, SEM-05
    assert!(Semaphore::new(0).is_locked());
    assert_eq!(Semaphore::default().available(), 1);
    assert_eq!(BoundedSemaphore::default().available(), 1);
}

// upstream: test_locks.SemaphoreTests.test_acquire
#[test]
fn permits_go_to_those_who_wait_in_turn() {
    // SEM-02, SEM-03
    simulate(async {
        let (log, semaphore) = (Log::new(), Arc::new(Semaphore::new(3)));
        semaphore.acquire().await.forget();
        semaphore.acquire().await.forget();
        assert!(!semaphore.is_locked());
        let first = ["1", "2", "3"].map(|name| takes(&log, &semaphore, name));
        yield_now().await;
        assert_eq!(log.lines(), ["1"]);
        assert!(semaphore.is_locked());
        assert_eq!((semaphore.waiting(), semaphore.available()), (2, 0));
        let last = takes(&log, &semaphore, "4");
        semaphore.release(1);
        semaphore.release(1);
        assert_eq!(semaphore.available(), 0, "they belong to those in line");
        yield_now().await;
        assert_eq!(log.lines(), ["1", "2", "3"]);
        assert!(semaphore.is_locked() && first.iter().all(|task| task.is_finished()));
        assert_eq!((semaphore.waiting(), semaphore.available()), (1, 0));
        semaphore.release(1);
        last.await
    });
}

// upstream: test_locks.SemaphoreTests.test_acquire_cancel
#[test]
fn one_who_is_cancelled_leaves_the_line() {
    // SEM-04
    in_any_order(async || {
        let (log, semaphore) = (Log::new(), Arc::new(Semaphore::default()));
        let _permit = semaphore.acquire().await;
        let waiter = takes(&log, &semaphore, "got it");
        yield_now().await;
        waiter.cancel();
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert_eq!(semaphore.waiting(), 0);
        Ok(())
    });
}

// upstream: test_locks.SemaphoreTests.test_acquire_cancel_before_awoken
#[test]
fn a_permit_passes_by_those_who_are_cancelled() {
    // SEM-04
    simulate(async {
        let (log, semaphore) = (Log::new(), Arc::new(Semaphore::new(0)));
        let tasks = ["1", "2", "3", "4"].map(|name| takes(&log, &semaphore, name));
        yield_now().await;
        tasks[0].cancel();
        tasks[1].cancel();
        semaphore.release(1);
        yield_now().await;
        yield_now().await;
        assert!(tasks[2].is_finished());
        assert!(!tasks[3].is_finished());
        assert_eq!(log.lines(), ["3"]);
        Ok(())
    });
}

// upstream: test_locks.SemaphoreTests.test_acquire_hang
#[test]
fn a_permit_is_not_lost_with_the_first_in_line() {
    // SEM-04
    simulate(async {
        let (log, semaphore) = (Log::new(), Arc::new(Semaphore::new(0)));
        let first = takes(&log, &semaphore, "1");
        let second = takes(&log, &semaphore, "2");
        yield_now().await;
        first.cancel();
        semaphore.release(1);
        yield_now().await;
        yield_now().await;
        assert!(semaphore.is_locked());
        assert!(second.is_finished());
        Ok(())
    });
}

#[test]
fn one_who_is_cancelled_with_a_permit_hands_it_on() {
    // SEM-04, section 27
    simulate(async {
        let (log, semaphore) = (Log::new(), Arc::new(Semaphore::new(0)));
        let first = takes(&log, &semaphore, "1");
        let second = takes(&log, &semaphore, "2");
        yield_now().await;
        semaphore.release(1);
        first.cancel();
        second.await?;
        assert!(first.is_cancelled());
        assert_eq!((log.lines(), semaphore.available()), (vec!["2".to_owned()], 0));
        Ok(())
    });
}

// upstream: test_locks.SemaphoreTests.test_acquire_no_hang
#[test]
fn one_who_is_woken_and_cancelled_returns_its_permit() {
    // SEM-04
    simulate(async {
        let (log, semaphore) = (Log::new(), Arc::new(Semaphore::new(1)));
        let victim = Arc::new(Mutex::new(None::<TaskRef>));
        let user = spawn({
            let (semaphore, victim) = (semaphore.clone(), victim.clone());
            async move {
                let permit = semaphore.acquire().await;
                yield_now().await;
                drop(permit);
                victim.lock().unwrap().take().expect("it waits").cancel();
            }
        });
        let other = takes(&log, &semaphore, "never");
        *victim.lock().unwrap() = Some((*other).clone());
        assert!(other.await.unwrap_err().is_cancelled());
        user.await?;
        assert_eq!(log.lines(), [] as [&str; 0]);
        timeout(seconds(1), async { drop(semaphore.acquire().await) }).await
    });
}

// upstream: test_locks.SemaphoreTests.test_release_not_acquired
#[test]
fn a_bounded_semaphore_notices_a_release_too_many() {
    // SEM-06
    let semaphore = BoundedSemaphore::new(2);
    assert_eq!(semaphore.release(), Err(ReleasedTooOften));
    assert_eq!(semaphore.available(), 2);
    semaphore.try_acquire().unwrap().forget();
    assert_eq!(semaphore.release(), Ok(()));
    assert_eq!(semaphore.release(), Err(ReleasedTooOften));
    let permit = semaphore.try_acquire().unwrap();
    assert_eq!(semaphore.release(), Ok(()));
    drop(permit);
    assert_eq!(semaphore.available(), 2, "it came back once");
}

#[test]
fn of_several_permits_those_come_back_that_fit_under_the_bound() {
    let semaphore = BoundedSemaphore::new(3);
    let permits = semaphore.try_acquire_many(3).unwrap();
    semaphore.release().unwrap();
    drop(permits);
    assert_eq!(semaphore.available(), 3);
    assert_eq!(semaphore.release(), Err(ReleasedTooOften));
    simulate(async {
        // The same while somebody stands in line.
        let semaphore = Arc::new(BoundedSemaphore::new(3));
        let permits = semaphore.acquire_many_owned(3).await;
        let first = spawn({
            let semaphore = semaphore.clone();
            async move { semaphore.acquire_many(2).await.forget() }
        });
        yield_now().await;
        semaphore.release().unwrap();
        drop(permits);
        first.await?;
        assert_eq!((semaphore.waiting(), semaphore.available()), (0, 1));
        Ok(())
    });
}

#[test]
fn nobody_waits_for_more_permits_than_the_bound() {
    let semaphore = Arc::new(BoundedSemaphore::new(2));
    let refused = |ask: &dyn Fn()| {
        let payload = catch_unwind(AssertUnwindSafe(ask)).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"more permits than the bound"));
    };
    refused(&|| drop(semaphore.acquire_many(3)));
    refused(&|| drop(semaphore.acquire_many_owned(3)));
    refused(&|| drop(semaphore.acquire_many_blocking(3)));
    refused(&|| drop(semaphore.try_acquire_many(3)));
    refused(&|| drop(semaphore.try_acquire_many_owned(3)));
    assert_eq!((semaphore.waiting(), semaphore.available()), (0, 2));
    drop(semaphore.acquire_many_blocking(2));
    // One that is always empty is locked, as asyncio's.
    assert!(matches!(BoundedSemaphore::new(0).try_acquire(), Err(WouldWait)));
}

// upstream: test_locks.SemaphoreTests.test_release_no_waiters
#[test]
fn a_release_without_waiters_frees_a_permit() {
    // SEM-03
    simulate(async {
        let semaphore = Semaphore::default();
        let permit = semaphore.acquire().await;
        assert!(semaphore.is_locked());
        drop(permit);
        assert!(!semaphore.is_locked());
        Ok(())
    });
}

// upstream: test_locks.SemaphoreTests.test_acquire_fifo_order
#[test]
fn nobody_is_overtaken_by_one_who_comes_back() {
    // SEM-02
    simulate(async {
        let (log, semaphore) = (Log::new(), Arc::new(Semaphore::new(1)));
        let tasks = ["a", "b", "c"].map(|name| {
            let (log, semaphore) = (log.clone(), semaphore.clone());
            spawn(async move {
                for round in 1..=2 {
                    let _permit = semaphore.acquire().await;
                    log.add(format!("{name}{round}"));
                    sleep(ms(10)).await;
                }
            })
        });
        for task in tasks {
            task.await?;
        }
        assert_eq!(log.lines(), ["a1", "b1", "c1", "a2", "b2", "c2"]);
        Ok(())
    });
}

// upstream: test_locks.SemaphoreTests.test_acquire_fifo_order_2
#[test]
fn one_who_releases_and_wants_more_stands_behind() {
    // SEM-02; a permit that was promised is owned, here: with two released at once the third has
    // its own, and the second would take the other without overtaking anybody
    simulate(async {
        let (log, semaphore) = (Log::new(), Arc::new(Semaphore::new(1)));
        let first = takes(&log, &semaphore, "1");
        let again = spawn({
            let (log, semaphore) = (log.clone(), semaphore.clone());
            async move {
                let permit = semaphore.acquire().await;
                log.add("2");
                drop(permit);
                semaphore.acquire().await.forget();
                log.add("4");
            }
        });
        let third = takes(&log, &semaphore, "3");
        yield_now().await;
        semaphore.release(1);
        yield_now().await;
        assert_eq!((again.is_finished(), semaphore.waiting()), (false, 1));
        semaphore.release(1);
        for task in [first, again, third] {
            task.await?;
        }
        assert_eq!(log.lines(), ["1", "2", "3", "4"]);
        Ok(())
    });
}

// upstream: test_locks.SemaphoreTests.test_acquire_fifo_order_3
#[test]
fn the_order_stays_when_the_first_goes_away() {
    // SEM-04
    simulate(async {
        let (log, semaphore) = (Log::new(), Arc::new(Semaphore::new(0)));
        let [first, second, third] = ["1", "2", "3"].map(|name| takes(&log, &semaphore, name));
        yield_now().await;
        first.cancel();
        yield_now().await;
        semaphore.release(1);
        semaphore.release(1);
        second.await?;
        third.await?;
        assert_eq!(log.lines(), ["2", "3"]);
        Ok(())
    });
}

// upstream: test_locks.SemaphoreTests.test_acquire_fifo_order_4
#[test]
fn several_permits_wake_several_who_wait() {
    // SEM-03, SEM-05; the second takes one of its own at once: the first has its promise
    simulate(async {
        let (log, semaphore) = (Log::new(), Arc::new(Semaphore::new(0)));
        let first = takes(&log, &semaphore, "1");
        let second = spawn({
            let (log, semaphore) = (log.clone(), semaphore.clone());
            async move {
                semaphore.release(3);
                assert_eq!(semaphore.available(), 2, "one belongs to the first");
                semaphore.acquire().await.forget();
                log.add("2");
            }
        });
        let third = takes(&log, &semaphore, "3");
        yield_now().await;
        assert_eq!((semaphore.available(), semaphore.waiting()), (0, 0));
        for task in [first, second, third] {
            task.await?;
        }
        let mut lines = log.lines();
        lines.sort();
        assert_eq!(lines, ["1", "2", "3"]);
        Ok(())
    });
}

#[test]
fn one_who_wants_several_holds_up_those_behind() {
    simulate(async {
        let (log, semaphore) = (Log::new(), Arc::new(Semaphore::new(1)));
        let greedy = spawn({
            let (log, semaphore) = (log.clone(), semaphore.clone());
            async move {
                let permit = semaphore.acquire_many_owned(2).await;
                log.add(format!("has {}", permit.count()));
                sleep(seconds(1)).await;
            }
        });
        yield_now().await;
        let modest = takes(&log, &semaphore, "modest");
        yield_now().await;
        assert_eq!(semaphore.try_acquire().unwrap_err(), WouldWait);
        assert_eq!((semaphore.available(), semaphore.waiting()), (1, 2));
        semaphore.release(1);
        greedy.await?;
        modest.await?;
        assert_eq!(log.lines(), ["has 2", "modest"]);
        Ok(())
    });
}

#[test]
fn those_behind_one_who_gives_up_are_served() {
    simulate(async {
        let (log, semaphore) = (Log::new(), Arc::new(Semaphore::new(1)));
        let greedy = spawn({
            let semaphore = semaphore.clone();
            async move { drop(semaphore.acquire_many(2).await) }
        });
        yield_now().await;
        let modest = takes(&log, &semaphore, "modest");
        yield_now().await;
        greedy.cancel();
        modest.await?;
        assert_eq!((semaphore.available(), semaphore.waiting()), (0, 0));
        Ok(())
    });
}

#[test]
fn plain_threads_stand_in_the_same_line() {
    let semaphore = Arc::new(BoundedSemaphore::new(2));
    let threads = [(); 3].map(|()| {
        let semaphore = semaphore.clone();
        std::thread::spawn(move || {
            for _ in 0..500 {
                drop(semaphore.acquire_blocking());
            }
        })
    });
    filch::run({
        let semaphore = semaphore.clone();
        async move {
            for _ in 0..500 {
                drop(semaphore.acquire().await);
            }
        }
    })
    .unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!((semaphore.available(), semaphore.waiting()), (2, 0));
}

#[test]
fn a_permit_that_nobody_came_to_take_goes_back_within_the_bound() {
    simulate(async {
        let semaphore = Arc::new(BoundedSemaphore::new(1));
        let held = semaphore.acquire().await;
        let there = semaphore.clone();
        let waits = spawn(async move { drop(there.acquire().await) });
        yield_now().await;
        // It is handed on, one too many is released, and then nobody takes the first one.
        drop(held);
        semaphore.release()?;
        waits.cancel();
        assert!(waits.await.unwrap_err().is_cancelled());
        assert_eq!(semaphore.available(), 1);
        Ok(())
    });
}
