//! On real threads, groups and those who await several tasks agree with whoever ends and asks them
//! (TG-19, TG-20, GAT-12, WAIT-08, STAG-03).
//!
//! Each test runs a bounded number of rounds; whichever side wins a round, the outcome must fit.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use common::{Alive, Boom, me};
use filch::{Error, GroupRefused, Result, ReturnWhen, Runtime, Task, TaskGroup};
use filch::{as_completed, catch_cancelled, gather, shield, spawn, staggered_race, wait};
use filch::{task_group, yield_now};

const ROUNDS: u32 = if cfg!(miri) { 5 } else { 1_000 };

fn runtime() -> Runtime {
    Runtime::builder().workers(4).build().unwrap()
}

async fn yields<T>(times: u32, value: T) -> Result<T> {
    for _ in 0..times {
        yield_now().await;
    }
    Ok(value)
}

async fn fails(times: u32) -> Result<()> {
    yields(times, ()).await?;
    Err(Boom("child").into())
}

/// A child that has children, each of which may fail.
fn grow(group: &TaskGroup, depth: u32, round: u32, alive: &Arc<AtomicU32>) {
    let (inside, kept, counted) = (group.clone(), Alive::new(alive), alive.clone());
    let child = group.try_spawn(async move {
        let _kept = kept;
        for times in 0..depth {
            yields((round + times) % 5, ()).await?;
            grow(&inside, depth - 1, round + times, &counted);
        }
        match round % 7 {
            3 if depth == 1 => fails(round % 3).await,
            _ => Ok(()),
        }
    });
    drop(child);
}

#[test]
fn no_child_outlives_its_group_and_the_count_is_the_callers() {
    // TG-19, TG-20
    let runtime = runtime();
    let handle = runtime.handle();
    for round in 0..ROUNDS {
        let alive = Arc::new(AtomicU32::new(0));
        let counted = alive.clone();
        let task = handle.spawn(async move {
            let ended = catch_cancelled(task_group(async |group| {
                grow(&group, 3, round, &counted);
                yields(round % 9, ()).await
            }));
            let ended = ended.await;
            assert_eq!(counted.load(Ordering::SeqCst), 0, "a child lives");
            Ok((me().cancelling(), ended.map_err(drop)))
        });
        let asked = round % 3 == 0;
        for _ in 0..round % 13 {
            thread::yield_now();
        }
        let known = task.task_ref();
        let accepted = asked && known.cancel();
        match task.wait() {
            Ok((count, Ok(ended))) => {
                assert!(count <= u32::from(accepted), "round {round}");
                let errors = ended.err().map_or(0, |error| error.errors().len());
                assert!(errors > 0 || count == 0 || known.cancelling() == 1, "round {round}");
            }
            Ok((count, Err(()))) => assert_eq!((count, accepted), (1, true), "round {round}"),
            Err(error) => assert!(error.is_cancelled() && accepted, "round {round}: {error}"),
        }
        assert_eq!(known.cancelling(), u32::from(accepted), "round {round}");
    }
}

#[test]
fn first_failure_is_in_the_group_and_the_rest_is_cancelled() {
    // TG-03, TG-08
    let runtime = runtime();
    let handle = runtime.handle();
    for round in 0..ROUNDS {
        let task = handle.spawn(async move {
            let mut children = Vec::new();
            let ended = task_group(async |group| {
                for child in 0..4 {
                    children.push(group.spawn(fails((child + round) % 6)).task_ref());
                }
                std::future::pending::<Result<()>>().await
            });
            let error: Error = ended.await.unwrap_err();
            // Who came after the first failure was refused.
            let refused = |error: &Error| error.is::<GroupRefused>();
            let failed = children.iter().filter_map(|child| child.error());
            let failed = failed.filter(|error| !error.is_cancelled() && !refused(error)).count();
            assert_eq!(error.errors().len(), failed, "round {round}");
            assert!(children.iter().all(|child| child.cancelling() <= 1), "round {round}");
            assert_eq!(me().cancelling(), 0, "round {round}");
            Ok(())
        });
        task.wait().unwrap();
    }
}

#[test]
fn group_dropped_in_motion_leaves_no_request_behind() {
    // TG-20
    let runtime = runtime();
    let handle = runtime.handle();
    for round in 0..ROUNDS {
        let task = handle.spawn(async move {
            let group = task_group(async |group| {
                group.spawn(fails(round % 5));
                group.spawn(yields(round % 3, ()));
                std::future::pending::<Result<()>>().await
            });
            let mut group = Box::pin(group);
            for _ in 0..=round % 4 {
                if futures::poll!(&mut group).is_ready() {
                    break;
                }
                yield_now().await;
            }
            drop(group);
            assert_eq!(me().cancelling(), 0, "round {round}");
            yields(3, ()).await
        });
        task.wait().unwrap();
    }
}

#[test]
fn request_to_whoever_gathers_is_refused_or_unwinds_it() {
    // GAT-12
    let runtime = runtime();
    let handle = runtime.handle();
    for round in 0..ROUNDS {
        let collect = round % 2 == 0;
        let task = handle.spawn(async move {
            let tasks: Vec<Task<u32>> =
                (0..3).map(|place| spawn(yields((place + round) % 5, place))).collect();
            match collect {
                false => gather(tasks).await,
                true => gather(tasks).return_errors().await.into_iter().collect(),
            }
        });
        let known = task.task_ref();
        for _ in 0..round % 11 {
            thread::yield_now();
        }
        let accepted = known.cancel();
        match task.wait() {
            Ok(values) => assert!(!accepted && values == [0, 1, 2], "round {round}"),
            Err(error) => assert!(accepted && error.is_cancelled(), "round {round}"),
        }
        assert_eq!(known.cancelling(), u32::from(accepted), "round {round}");
    }
}

#[test]
fn waiters_and_shields_leave_tasks_alone() {
    // WAIT-08, SHD-03
    let runtime = runtime();
    let handle = runtime.handle();
    for round in 0..ROUNDS {
        let inner = handle.spawn(yields(round % 7, 9));
        let (waited, shielded, taken) = (inner.task_ref(), inner.task_ref(), inner.task_ref());
        let outers = [
            handle.spawn(async move {
                wait([waited], ReturnWhen::FirstCompleted).await;
                Ok(())
            }),
            handle.spawn(shield(shielded)),
            handle.spawn(async move {
                as_completed([taken]).next().await;
                Ok(())
            }),
        ];
        for outer in &outers {
            outer.cancel();
        }
        for outer in outers {
            let known = outer.task_ref();
            assert_eq!(outer.wait().is_err(), known.cancelling() == 1, "round {round}");
        }
        assert_eq!(inner.cancelling(), 0, "round {round}");
        assert_eq!(inner.wait().unwrap(), 9, "round {round}");
    }
}

#[test]
fn race_has_one_winner_and_leaves_nobody_running() {
    // STAG-02
    let runtime = runtime();
    let handle = runtime.handle();
    for round in 0..ROUNDS {
        let alive = Arc::new(AtomicU32::new(0));
        let attempts: Vec<_> = (0..4)
            .map(|place: u32| {
                let alive = alive.clone();
                move || async move {
                    let _alive = Alive::new(&alive);
                    yields((place + round) % 5, place).await
                }
            })
            .collect();
        let race =
            handle.spawn(staggered_race(attempts, std::time::Duration::ZERO)).wait().unwrap();
        let (number, value) = race.winner.unwrap();
        assert_eq!(number as u32, value, "round {round}");
        assert!(race.errors[number].is_none(), "round {round}");
        assert!(race.errors.iter().flatten().all(Error::is_cancelled), "round {round}");
        assert_eq!(alive.load(Ordering::SeqCst), 0, "round {round}");
    }
}
