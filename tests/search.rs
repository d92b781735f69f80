//! A search finds the seed with which a program fails, says in few words who overtook whom, and
//! runs it again.

use std::sync::{Arc, Mutex};

use filch::sim::{self, Schedule};
use filch::sync::{Lock, Queue};
use filch::{Result, TaskBuilder, spawn, yield_now};

/// One task reads, goes away, and writes; in order of arrival, the other one comes later.
async fn loses_an_update() -> Result<()> {
    let sum = Arc::new(Lock::new(0));
    let noise: Vec<_> = (0..8).map(|_| spawn(async { yield_now().await })).collect();
    let there = sum.clone();
    let slow = TaskBuilder::new().name("slow").spawn(async move {
        let before = *there.lock().await;
        yield_now().await;
        *there.lock().await = before + 1;
    });
    let there = sum.clone();
    let late = TaskBuilder::new().name("late").spawn(async move {
        for _ in 0..5 {
            yield_now().await;
        }
        *there.lock().await += 1;
    });
    for task in noise.into_iter().chain([slow, late]) {
        task.await?;
    }
    assert_eq!(*sum.lock().await, 2, "an update was lost");
    Ok(())
}

/// Fails if the last of three tasks runs first, and only then.
async fn wants_the_first_first() -> Result<()> {
    let first = Arc::new(Mutex::new(None));
    let tasks: Vec<_> = ["a", "b", "c", "d"]
        .map(|name| {
            let first = first.clone();
            TaskBuilder::new().name(name).spawn(async move {
                first.lock().unwrap().get_or_insert(name);
                for _ in 0..20 {
                    yield_now().await;
                }
            })
        })
        .into();
    for task in tasks {
        task.await?;
    }
    assert_ne!(*first.lock().unwrap(), Some("d"), "the last one was first");
    Ok(())
}

#[test]
fn a_program_that_never_fails_is_run_with_each_seed() {
    let mut runs = 0;
    let searched = sim::search(5..25, || {
        runs += 1;
        yield_now()
    });
    assert_eq!((searched.unwrap(), runs), (20, 20));
}

#[test]
fn a_failure_is_told_with_one_deviation_where_one_is_enough() {
    let failure = sim::search(0..1000, wants_the_first_first).unwrap_err();
    assert!(failure.error().is_panic());
    assert_eq!(failure.schedule().deviations(), 1, "{failure}");
    let text = failure.to_string();
    assert!(text.starts_with("with seed "), "{text}");
    assert!(text.contains("the last one was first"), "{text}");
    assert!(text.contains("tests/search.rs"), "{text}");
    assert!(failure.story().contains("d (tests/search.rs"), "{text}");
    assert!(failure.story().contains("before a (tests/search.rs"), "{text}");
}

#[test]
fn its_schedule_repeats_it_also_from_its_text() {
    let failure = sim::search(0..1000, wants_the_first_first).unwrap_err();
    let schedule: Schedule = failure.schedule().to_string().parse().unwrap();
    assert_eq!(schedule, *failure.schedule());
    let again = sim::replay(&schedule, wants_the_first_first()).unwrap_err();
    assert_eq!(again.to_string(), failure.error().to_string());
    // Without its deviation, it is the order of arrival.
    let plain: Schedule = failure.seed().to_string().parse().unwrap();
    sim::replay(&plain, wants_the_first_first()).unwrap();
}

#[test]
fn a_failure_in_the_order_of_arrival_has_no_deviation() {
    let failure = sim::search(0..10, std::future::pending::<()>).unwrap_err();
    assert!(failure.error().is_deadlock());
    assert_eq!((failure.seed(), failure.schedule().deviations()), (0, 0));
}

#[test]
fn few_deviations_are_left_of_hundreds() {
    let mut program = || async {
        let queue = Arc::new(Queue::unbounded());
        let workers: Vec<_> = (0..6)
            .map(|number| {
                let queue = queue.clone();
                spawn(async move {
                    for turn in 0..20 {
                        yield_now().await;
                        queue.try_put((number, turn)).unwrap();
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await?;
        }
        // Nobody said that two in a row come from two workers.
        let (mut last, mut row) = (usize::MAX, 0);
        while let Ok((number, _)) = queue.try_get() {
            row = if number == last { row + 1 } else { 0 };
            last = number;
            assert!(row < 2, "three in a row");
        }
        Ok(())
    };
    let failure = sim::search(1..1000, &mut program).unwrap_err();
    assert!(failure.schedule().deviations() <= 4, "{failure}");
    assert!(sim::replay(failure.schedule(), program()).is_err());
}

#[test]
fn a_lost_update_is_found() {
    let failure = sim::search(0..2000, loses_an_update).unwrap_err();
    assert_eq!(failure.schedule().deviations(), 1, "{failure}");
    let held = "before slow (tests/search.rs";
    assert!(failure.story().contains(held), "{failure}");
    assert!(failure.story().contains("which is held up"), "{failure}");
    assert!(failure.schedule().to_string().ends_with(":hold"), "{failure}");
}

#[test]
fn what_is_no_schedule_is_refused() {
    for text in ["", "x", "1 2", "1 2:", "1 2:x", "1 2:3 4", "1 0:1", "1 2:1 3:1 2:4"] {
        assert!(text.parse::<Schedule>().is_err(), "{text:?}");
    }
    assert_eq!("1 9:3 2:1".parse::<Schedule>().unwrap().to_string(), "1 2:1 9:3");
}
