//! A group that is cancelled ends early, and that is no error: its body and its children are asked
//! to end, clean up and are waited for; what others ask of the task meanwhile is not lost.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use common::sweeps::{all, party, sweep};
use common::{Alive, Boom, Log, in_any_order, me, ms, seconds};
use filch::{Error, GroupCancelled, GroupRefused, Result, Runtime, TaskGroup};
use filch::{catch_cancelled, gather, sleep, spawn, task_group, timeout, yield_now};

/// Waits to be asked to end, cleans up for a second, and ends.
async fn cleans_up(log: Log, name: &'static str) -> Result<()> {
    let cancelled = catch_cancelled(sleep(seconds(1000))).await.unwrap_err();
    sleep(seconds(1)).await;
    log.add(format!("{name} is clean"));
    cancelled.raise().await
}

async fn cancels_later(group: TaskGroup) -> Result<()> {
    sleep(seconds(1)).await;
    assert!(group.cancel());
    Ok(())
}

/// The task that this runs in has been left as it was found.
async fn is_left_alone() {
    assert_eq!(me().cancelling(), 0);
    sleep(ms(1)).await;
}

#[test]
fn a_cancelled_group_interrupts_its_body_and_waits_for_its_children() {
    in_any_order(async || {
        let log = Log::new();
        let dropped = log.on_drop("body");
        let ended = task_group(async |group: TaskGroup| {
            let _dropped = dropped;
            group.spawn(cleans_up(log.clone(), "child"));
            group.spawn(cancels_later(group.clone()));
            sleep(seconds(1000)).await;
            log.add("never");
            Ok(1)
        });
        assert_eq!(ended.until_cancelled().await?, None);
        assert_eq!(log.lines(), ["body", "child is clean"]);
        is_left_alone().await;
        Ok(())
    });
}

#[test]
fn a_body_goes_on_to_its_next_await() {
    in_any_order(async || {
        let log = Log::new();
        let ended = task_group(async |group: TaskGroup| {
            assert!(group.cancel());
            assert!(!group.cancel(), "it was asked before");
            let late: GroupRefused = group.try_spawn(async {}).unwrap_err();
            assert_eq!(late.to_string(), "task group is shutting down");
            log.add("goes on");
            sleep(ms(1)).await;
            log.add("never");
            Ok(())
        });
        assert_eq!(ended.until_cancelled().await?, None);
        assert_eq!(log.lines(), ["goes on"]);
        // One that has no await left gives its value.
        let ended = task_group(async |group: TaskGroup| {
            group.cancel();
            Ok(1)
        });
        assert_eq!(ended.until_cancelled().await?, Some(1));
        is_left_alone().await;
        Ok(())
    });
}

#[test]
fn a_group_whose_body_has_ended_gives_its_value() {
    in_any_order(async || {
        let log = Log::new();
        let ended = task_group(async |group: TaskGroup| {
            group.spawn(cleans_up(log.clone(), "child"));
            group.spawn(cancels_later(group.clone()));
            Ok("value")
        });
        assert_eq!(ended.await?, "value");
        assert_eq!(log.lines(), ["child is clean"]);
        is_left_alone().await;
        Ok(())
    });
}

#[test]
fn a_group_without_a_value_says_so() {
    in_any_order(async || {
        let ended = task_group(async |group: TaskGroup| {
            group.cancel();
            sleep(ms(1)).await;
            Ok(1)
        });
        let error: Error = ended.await.unwrap_err();
        assert!(error.is::<GroupCancelled>() && !error.is_cancelled() && !error.is_group());
        is_left_alone().await;
        Ok(())
    });
}

#[test]
fn a_body_that_refuses_to_end_gives_its_value() {
    in_any_order(async || {
        let ended = task_group(async |group: TaskGroup| {
            group.cancel();
            assert!(catch_cancelled(sleep(ms(1))).await.is_err());
            assert_eq!(me().cancelling(), 1);
            sleep(ms(1)).await;
            Ok(7)
        });
        assert_eq!(ended.until_cancelled().await?, Some(7));
        is_left_alone().await;
        Ok(())
    });
}

#[test]
fn errors_are_told_all_the_same() {
    in_any_order(async || {
        let fails_in_clean_up = async || {
            let _ = catch_cancelled(sleep(seconds(1000))).await;
            Err::<(), _>(Boom("child").into())
        };
        let ended = task_group(async |group: TaskGroup| {
            group.spawn(fails_in_clean_up());
            yield_now().await;
            sleep(ms(1)).await;
            group.cancel();
            sleep(ms(1)).await;
            Ok(())
        });
        let error = ended.until_cancelled().await.unwrap_err();
        assert!(error.errors().len() == 1 && error.errors()[0].is::<Boom>(), "{error:?}");
        is_left_alone().await;
        let ended = task_group(async |group: TaskGroup| {
            group.cancel();
            Err::<(), Error>(Boom("body").into())
        });
        let error = ended.until_cancelled().await.unwrap_err();
        assert!(error.errors().len() == 1 && error.errors()[0].is::<Boom>(), "{error:?}");
        is_left_alone().await;
        Ok(())
    });
}

#[test]
fn a_group_that_shuts_down_is_not_cancelled() {
    in_any_order(async || {
        let ended = task_group(async |group: TaskGroup| {
            let child = group.spawn(async { Err::<(), _>(Boom("child").into()) });
            while !child.is_finished() {
                let _ = catch_cancelled(yield_now()).await;
            }
            sleep(ms(1)).await;
            assert!(!group.cancel());
            Ok(())
        });
        let error = ended.until_cancelled().await.unwrap_err();
        assert!(error.errors()[0].is::<Boom>());
        is_left_alone().await;
        Ok(())
    });
}

// ---- requests of others ----------------------------------------------------------------------

#[test]
fn a_request_of_somebody_else_goes_on() {
    in_any_order(async || {
        // Before, with, and after that of the group.
        for when in 0..3 {
            let log = Log::new();
            let seen = log.clone();
            let task = spawn(async move {
                let ended = task_group(async |group: TaskGroup| {
                    group.spawn(cleans_up(seen.clone(), "child"));
                    group.spawn({
                        let group = group.clone();
                        async move {
                            sleep(seconds(1)).await;
                            assert!(group.cancel());
                        }
                    });
                    sleep(seconds(1000)).await;
                    Ok(())
                });
                drop(ended.until_cancelled().await);
                seen.add("never");
            });
            sleep(ms([999, 1000, 1500][when])).await;
            task.cancel();
            let task_ref = task.task_ref();
            assert!(task.await.unwrap_err().is_cancelled(), "{when}");
            assert_eq!(task_ref.cancelling(), 1);
            assert_eq!(log.lines(), ["child is clean"]);
        }
        Ok(())
    });
}

#[test]
fn a_request_that_comes_while_children_clean_up_goes_on_though_there_is_a_value() {
    in_any_order(async || {
        let log = Log::new();
        let body = async |group: TaskGroup| {
            group.spawn(cleans_up(log.clone(), "child"));
            sleep(ms(1)).await;
            group.cancel();
            Ok(1)
        };
        let ended = timeout(ms(500), task_group(body).until_cancelled()).await;
        assert!(ended.unwrap_err().is_timeout());
        assert_eq!(log.lines(), ["child is clean"]);
        is_left_alone().await;
        Ok(())
    });
}

#[test]
fn requests_from_before_the_group_do_not_concern_it() {
    in_any_order(async || {
        let log = Log::new();
        let seen = log.clone();
        let task = spawn(async move {
            let Err(cancelled) = catch_cancelled(sleep(seconds(1000))).await else { return Ok(()) };
            // It cleans up with a group, which it ends early.
            let ended = task_group(async |group: TaskGroup| {
                group.cancel();
                sleep(ms(1)).await;
                Ok(())
            });
            assert_eq!(ended.until_cancelled().await?, None);
            assert_eq!(me().cancelling(), 1);
            sleep(ms(1)).await;
            seen.add("clean");
            cancelled.raise().await
        });
        sleep(ms(1)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(log.lines(), ["clean"]);
        Ok(())
    });
}

// ---- whoever cancels it ----------------------------------------------------------------------

#[test]
fn a_group_that_is_cancelled_before_it_begins_ends_at_its_first_await() {
    in_any_order(async || {
        let log = Log::new();
        let ended = task_group(|group: TaskGroup| {
            assert!(group.cancel());
            assert!(!group.cancel());
            let log = log.clone();
            async move {
                assert!(group.try_spawn(async {}).is_err());
                log.add("begins");
                sleep(ms(1)).await;
                log.add("never");
                Ok(())
            }
        });
        assert_eq!(ended.until_cancelled().await?, None);
        assert_eq!(log.lines(), ["begins"]);
        is_left_alone().await;
        Ok(())
    });
}

#[test]
fn a_group_that_is_over_cannot_be_cancelled() {
    in_any_order(async || {
        let group = task_group(async |group: TaskGroup| Ok(group)).await?;
        assert!(!group.cancel());
        is_left_alone().await;
        // Nor one that was dropped.
        let mut kept = None;
        let dropped = task_group(|group: TaskGroup| {
            kept = Some(group);
            async { Ok(()) }
        });
        drop(dropped);
        assert!(!kept.unwrap().cancel());
        is_left_alone().await;
        Ok(())
    });
}

#[test]
fn a_child_that_cancels_its_group_is_cancelled_too() {
    in_any_order(async || {
        for eagerly in [false, true] {
            let ended = task_group(async |group: TaskGroup| {
                let own = group.clone();
                let child = async move {
                    own.cancel();
                    sleep(seconds(1000)).await;
                };
                let child = if eagerly { group.spawn_eager(child) } else { group.spawn(child) };
                // It is interrupted here, and does not see how the child ended.
                let child = child.await;
                panic!("the child has ended: {child:?}");
                #[expect(unreachable_code, reason = "it says what the block would end with")]
                Ok(())
            });
            assert_eq!(ended.until_cancelled().await?, None);
            is_left_alone().await;
        }
        Ok(())
    });
}

#[test]
fn a_group_in_a_group_ends_alone_or_with_the_outer_one() {
    in_any_order(async || {
        for outer_ends in [false, true] {
            let log = Log::new();
            let ended = task_group(async |outer: TaskGroup| {
                let inner = task_group(async |inner: TaskGroup| {
                    inner.spawn(cleans_up(log.clone(), "inner"));
                    let ends = if outer_ends { outer.clone() } else { inner };
                    outer.spawn(cancels_later(ends));
                    sleep(seconds(1000)).await;
                    Ok(())
                });
                let inner = inner.until_cancelled().await?;
                log.add("inner is over");
                Ok(inner)
            });
            let ended = ended.until_cancelled().await?;
            assert_eq!(ended, (!outer_ends).then_some(None));
            let lines = log.lines();
            assert_eq!(lines[0], "inner is clean");
            assert_eq!(lines.len(), 2 - usize::from(outer_ends));
            is_left_alone().await;
        }
        Ok(())
    });
}

#[test]
fn what_the_body_awaits_outside_the_group_is_asked_as_well() {
    in_any_order(async || {
        let (log, other) = (Log::new(), Log::new());
        let tasks = ["a", "b"].map(|name| spawn(cleans_up(other.clone(), name)));
        let refs = tasks.each_ref().map(|task| task.task_ref());
        let ended = task_group(async |group: TaskGroup| {
            group.spawn(cancels_later(group.clone()));
            gather(refs).await?;
            log.add("never");
            Ok(())
        });
        assert_eq!(ended.until_cancelled().await?, None);
        for task in tasks {
            assert!(task.await.unwrap_err().is_cancelled());
        }
        assert_eq!(other.lines().len(), 2);
        assert_eq!(log.lines(), [] as [&str; 0]);
        is_left_alone().await;
        Ok(())
    });
}

// ---- everywhere ------------------------------------------------------------------------------

#[test]
fn whoever_is_struck_at_whatever_moment_leaves_nothing_behind() {
    sweep(async || {
        let counts = [(); 2].map(|()| Arc::new(AtomicU32::new(0)));
        let parties: Vec<_> = (0..2)
            .map(|number| {
                let alive = counts[number].clone();
                party(async move {
                    let before = me().cancelling();
                    let ended = task_group(async |group: TaskGroup| {
                        for _ in 0..2 {
                            let counted = Alive::new(&alive);
                            group.spawn(async move {
                                let _counted = counted;
                                sleep(seconds(1000)).await;
                            });
                        }
                        yield_now().await;
                        group.cancel();
                        if number == 0 {
                            yield_now().await;
                        }
                        Ok(())
                    });
                    let ended = ended.until_cancelled().await;
                    assert_eq!(alive.load(Ordering::SeqCst), 0);
                    assert!(ended.is_ok());
                    assert_eq!(me().cancelling(), before, "{number} {ended:?}");
                })
            })
            .collect();
        all(parties).await;
        assert!(counts.iter().all(|alive| alive.load(Ordering::SeqCst) == 0));
    });
}

#[test]
fn a_group_is_cancelled_from_another_thread_at_any_moment() {
    const ROUNDS: u32 = if cfg!(miri) { 5 } else { 500 };
    let runtime = Runtime::builder().workers(3).build().unwrap();
    for round in 0..ROUNDS {
        let (tell, told) = std::sync::mpsc::channel::<TaskGroup>();
        let canceller = thread::spawn(move || {
            let group = told.recv().unwrap();
            (0..round % 50).for_each(|_| std::hint::spin_loop());
            group.cancel();
            assert!(!group.cancel());
        });
        let task = runtime.handle().spawn(async move {
            let alive = Arc::new(AtomicU32::new(0));
            let ended = task_group(async |group: TaskGroup| {
                tell.send(group.clone())?;
                let children: Vec<_> = (0..round % 4)
                    .map(|_| {
                        let counted = Alive::new(&alive);
                        group.spawn(async move {
                            let _counted = counted;
                            sleep(seconds(1000)).await;
                        })
                    })
                    .collect();
                for child in children {
                    // Its end may come before the group's own request does.
                    child.await?;
                }
                sleep(seconds(1000)).await;
                Ok(())
            });
            let ended = ended.until_cancelled().await;
            assert_eq!(alive.load(Ordering::SeqCst), 0);
            assert_eq!(me().cancelling(), 0);
            yield_now().await;
            match ended {
                Ok(None) => Ok(()),
                // A child that came too late is a refusal.
                Err(error) if error.errors().iter().all(Error::is::<GroupRefused>) => Ok(()),
                other => panic!("{other:?}"),
            }
        });
        task.wait().unwrap();
        canceller.join().unwrap();
    }
}
