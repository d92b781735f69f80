//! What is started in a group ends in the group; the first failure ends all of it, and all errors
//! come out together (TG-01 to TG-15).

mod common;

use std::sync::{Arc, Mutex};

use common::{Boom, Log, in_any_order, me, ms, seconds, simulate};
use filch::time::Instant;
use filch::{Error, Result, TaskBuilder, TaskGroup};
use filch::{catch_cancelled, sleep, spawn, task_group, yield_now};

/// What the error is made of, as text.
fn texts(error: &Error) -> Vec<String> {
    error.errors().iter().map(Error::to_string).collect()
}

async fn gives(after: u64, value: u32) -> Result<u32> {
    sleep(ms(after)).await;
    Ok(value)
}

async fn fails(after: u64, error: &'static str) -> Result<()> {
    sleep(ms(after)).await;
    Err(Boom(error).into())
}

/// Waits to be asked to end, and then fails.
async fn fails_in_the_end(error: &'static str) -> Result<()> {
    let _ = catch_cancelled(sleep(seconds(10))).await;
    Err(Boom(error).into())
}

/// Waits to be asked to end, and says so.
async fn waits(log: Log, name: &'static str) -> Result<()> {
    if let Err(cancelled) = catch_cancelled(sleep(seconds(10))).await {
        log.add(name);
        cancelled.raise().await;
    }
    Ok(())
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_01
#[test]
fn leaving_waits_for_all_children() {
    in_any_order(async || {
        let start = Instant::now();
        let (first, second) = task_group(async |group| {
            Ok((group.spawn(gives(100, 42)), group.spawn(gives(200, 11))))
        })
        .await?;
        assert!(first.is_finished() && second.is_finished());
        assert_eq!((first.await?, second.await?), (42, 11));
        assert_eq!(start.elapsed(), ms(200));
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_02
#[test]
fn children_may_come_later() {
    in_any_order(async || {
        let (first, second) = task_group(async |group| {
            let first = group.spawn(gives(100, 42));
            sleep(ms(150)).await;
            Ok((first, group.spawn(gives(200, 11))))
        })
        .await?;
        assert_eq!((first.await?, second.await?), (42, 11));
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_03
#[test]
fn cancelled_child_is_no_failure() {
    in_any_order(async || {
        let (first, second) = task_group(async |group| {
            let first = group.spawn(gives(1000, 42));
            sleep(ms(150)).await;
            first.cancel();
            Ok((first, group.spawn(gives(200, 11))))
        })
        .await?;
        assert!(first.is_cancelled());
        assert_eq!(second.await?, 11);
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_04
#[test]
fn failing_child_cancels_its_sibling() {
    in_any_order(async || {
        let log = Log::new();
        let end = log.clone();
        let runner = spawn(async move {
            task_group(async |group| {
                group.spawn(fails(100, "child"));
                group.spawn(waits(log.clone(), "sibling"));
                Ok(())
            })
            .await?;
            log.add("after");
            Ok(())
        });
        assert_eq!(texts(&runner.await.unwrap_err()), ["child"]);
        assert_eq!(end.lines(), ["sibling"]);
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_cancel_children_on_child_error
#[test]
fn failing_children_cancel_the_body_too() {
    simulate(async {
        let log = Log::new();
        let end = log.clone();
        let runner = spawn(task_group(async move |group| {
            for child in ["first", "second", "third"] {
                group.spawn(fails(100, child));
            }
            group.spawn(waits(log.clone(), "sibling"));
            waits(log, "body").await
        }));
        // They end in one instant: none is asked to end before it fails.
        assert_eq!(texts(&runner.await.unwrap_err()), ["first", "second", "third"]);
        let mut asked = end.lines();
        asked.sort();
        assert_eq!(asked, ["body", "sibling"]);
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_cancellation
#[test]
fn cancelled_parent_cancels_its_children() {
    in_any_order(async || {
        let log = Log::new();
        let children = log.clone();
        let runner = spawn(task_group(async move |group| {
            for _ in 0..5 {
                group.spawn(waits(children.clone(), "child"));
            }
            Ok(())
        }));
        sleep(ms(100)).await;
        assert!(!runner.is_finished());
        runner.cancel();
        assert!(runner.await.unwrap_err().is_cancelled());
        assert_eq!(log.lines(), ["child"; 5]);
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_07
#[test]
fn cancelled_body_cancels_the_children() {
    in_any_order(async || {
        let log = Log::new();
        let inside = log.clone();
        let runner = spawn(task_group(async move |group| {
            for _ in 0..5 {
                group.spawn(waits(inside.clone(), "child"));
            }
            waits(inside, "body").await
        }));
        sleep(ms(100)).await;
        runner.cancel();
        assert!(runner.await.unwrap_err().is_cancelled());
        assert_eq!(log.lines(), ["body", "child", "child", "child", "child", "child"]);
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_08
#[test]
fn errors_beat_a_cancellation() {
    in_any_order(async || {
        let runner = spawn(task_group(async |group| {
            for _ in 0..5 {
                group.spawn(fails_in_the_end("child"));
            }
            sleep(seconds(10)).await;
            Ok(())
        }));
        sleep(ms(100)).await;
        runner.cancel();
        assert_eq!(texts(&runner.await.unwrap_err()), ["child"; 5]);
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_09
// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_10
#[test]
fn failing_body_cancels_the_children() {
    for suspends in [true, false] {
        in_any_order(async || {
            let children = Mutex::new(Vec::new());
            let error = task_group(async |group| {
                let spawned = [gives(1000, 42), gives(2000, 11)].map(|child| group.spawn(child));
                children.lock().unwrap().extend(spawned);
                if suspends {
                    sleep(ms(100)).await;
                }
                Err::<(), Error>(Boom("body").into())
            })
            .await
            .unwrap_err();
            assert_eq!(texts(&error), ["body"]);
            assert!(children.lock().unwrap().iter().all(|child| child.is_cancelled()));
            Ok(())
        });
    }
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_11
// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_12
#[test]
fn inner_groups_errors_stand_in_the_outer_groups() {
    for with_sibling in [false, true] {
        in_any_order(async || {
            let runner = spawn(task_group(async move |outer| {
                if with_sibling {
                    outer.spawn(sleep(seconds(10)));
                }
                task_group(async |inner| {
                    for _ in 0..5 {
                        inner.spawn(fails_in_the_end("child"));
                    }
                    sleep(seconds(10)).await;
                    Ok(())
                })
                .await
            }));
            sleep(ms(100)).await;
            runner.cancel();
            let error = runner.await.unwrap_err();
            assert_eq!(error.errors().len(), 1);
            assert_eq!(texts(&error.errors()[0]), ["child"; 5]);
            Ok(())
        });
    }
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_13
#[test]
fn outer_child_ends_the_inner_group() {
    in_any_order(async || {
        let runner = spawn(task_group(async |outer| {
            outer.spawn(fails(100, "outer"));
            task_group(async |inner| {
                inner.spawn(fails(10_000, "inner"));
                Ok(())
            })
            .await
        }));
        assert_eq!(texts(&runner.await.unwrap_err()), ["outer"]);
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_14
#[test]
fn inner_child_ends_the_outer_group() {
    in_any_order(async || {
        let runner = spawn(task_group(async |outer| {
            outer.spawn(fails(10_000, "outer"));
            task_group(async |inner| {
                inner.spawn(fails(100, "inner"));
                Ok(())
            })
            .await
        }));
        let error = runner.await.unwrap_err();
        assert_eq!(error.errors().len(), 1);
        assert_eq!(texts(&error.errors()[0]), ["inner"]);
        Ok(())
    });
}

/// A group whose child fails while its body, which was asked to end, takes long to do so.
async fn fails_during_clean_up() -> Result<()> {
    task_group(async |group| {
        group.spawn(fails(300, "child"));
        if let Err(cancelled) = catch_cancelled(sleep(seconds(10))).await {
            sleep(ms(500)).await;
            cancelled.raise().await;
        }
        Ok(())
    })
    .await
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_15
// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_16
#[test]
fn child_fails_while_the_body_cleans_up() {
    for nested in [false, true] {
        in_any_order(async || {
            let runner = spawn(async move {
                match nested {
                    true => spawn(fails_during_clean_up()).await,
                    false => fails_during_clean_up().await,
                }
            });
            sleep(ms(100)).await;
            runner.cancel();
            assert_eq!(texts(&runner.await.unwrap_err()), ["child"]);
            Ok(())
        });
    }
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_17
#[test]
fn empty_group_lets_a_cancellation_through() {
    in_any_order(async || {
        let log = Log::new();
        let runner = spawn(task_group({
            let log = log.clone();
            async move |_| waits(log, "body").await
        }));
        sleep(ms(100)).await;
        runner.cancel();
        assert!(runner.await.unwrap_err().is_cancelled());
        assert_eq!(log.lines(), ["body"]);
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_18
#[test]
fn body_may_turn_a_cancellation_into_an_error() {
    in_any_order(async || {
        let runner = spawn(task_group(async |_| fails_in_the_end("body").await));
        sleep(ms(100)).await;
        runner.cancel();
        assert_eq!(texts(&runner.await.unwrap_err()), ["body"]);
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_19
#[test]
fn bodys_own_error_comes_last() {
    in_any_order(async || {
        let runner = spawn(task_group(async |group| {
            group.spawn(fails(100, "child"));
            fails_in_the_end("body").await
        }));
        assert_eq!(texts(&runner.await.unwrap_err()), ["child", "body"]);
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_20a
// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_21a
#[test]
fn panics_are_errors_like_others() {
    async fn panics(after: u64) -> Result<()> {
        let _ = catch_cancelled(sleep(ms(after))).await;
        panic!("out of the ordinary");
    }
    in_any_order(async || {
        let error = task_group(async |group| {
            group.spawn(fails(100, "child"));
            panics(10_000).await
        });
        let error = error.await.unwrap_err();
        assert_eq!(texts(&error), ["child", "panicked: out of the ordinary"]);

        let error = task_group(async |group| {
            group.spawn(panics(100));
            fails_in_the_end("body").await
        });
        let error = error.await.unwrap_err();
        assert_eq!(texts(&error), ["panicked: out of the ordinary", "body"]);
        assert!(error.errors()[0].is_panic());
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_22
#[test]
fn waiting_parent_is_cancelled() {
    in_any_order(async || {
        let runner = spawn(task_group(async |group| {
            group.spawn(gives(1000, 42));
            group.spawn(gives(2000, 11));
            Ok(())
        }));
        sleep(ms(50)).await;
        runner.cancel();
        assert!(runner.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_23
#[test]
fn group_forgets_children_that_have_ended() {
    in_any_order(async || {
        let live = |group: &TaskGroup| format!("{group:?}").matches("pending at").count();
        task_group(async |group| {
            for count in 0..10 {
                sleep(ms(100)).await;
                group.spawn(sleep(ms(300)));
                if count == 5 {
                    assert!((3..5).contains(&live(&group)), "{group:?}");
                }
            }
            sleep(ms(1350)).await;
            assert_eq!(live(&group), 0, "{group:?}");
            Ok(())
        })
        .await
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_24
#[test]
fn children_start_children() {
    in_any_order(async || {
        let start = Instant::now();
        task_group(async |group| {
            group.clone().spawn(async move {
                sleep(ms(100)).await;
                group.spawn(sleep(ms(100)));
                group.spawn(sleep(ms(200)));
            });
            Ok(())
        })
        .await?;
        assert_eq!(start.elapsed(), ms(300));
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_25
#[test]
fn children_that_multiply_end_with_a_failure() {
    fn hydra(group: TaskGroup, heads: Arc<Mutex<u32>>) {
        group.clone().spawn(async move {
            *heads.lock().unwrap() += 1;
            sleep(ms(10)).await;
            hydra(group.clone(), heads.clone());
            hydra(group, heads);
        });
    }
    in_any_order(async || {
        let heads = Arc::new(Mutex::new(0));
        let counted = heads.clone();
        let error = task_group(async |group| {
            hydra(group.clone(), heads.clone());
            group.spawn(async move {
                while *counted.lock().unwrap() < 10 {
                    sleep(ms(15)).await;
                }
                Err::<(), Error>(Boom("hercules").into())
            });
            Ok(())
        })
        .await
        .unwrap_err();
        assert_eq!(texts(&error), ["hercules"]);
        assert!(*heads.lock().unwrap() >= 10);
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_task_name
#[test]
fn child_has_the_name_it_is_given() {
    in_any_order(async || {
        task_group(async |group| {
            let task = group.spawn_with(TaskBuilder::new().name("yolo"), yield_now());
            assert_eq!(task.name(), "yolo");
            Ok(())
        })
        .await
    });
}
