//! A group keeps count: it takes back what it asked for, and hands on what others asked for (TG-02
//! to TG-18).

mod common;

use std::sync::{Arc, Mutex};

use common::{Boom, Log, in_any_order, me, ms, seconds, simulate};
use filch::{Error, Result, Task, TaskGroup};
use filch::{catch_cancelled, shield, sleep, spawn, spawn_eager, task_group, timeout, yield_now};
use futures::channel::oneshot;
use futures::poll;

fn texts(error: &Error) -> Vec<String> {
    error.errors().iter().map(Error::to_string).collect()
}

fn boom<T>(text: &'static str) -> Result<T> {
    Err(Boom(text).into())
}

async fn fails(after: u64, error: &'static str) -> Result<()> {
    sleep(ms(after)).await;
    boom(error)
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_context_manager_exit_raises
#[test]
fn clean_up_that_fails_adds_its_error() {
    in_any_order(async || {
        let error = task_group(async |group| {
            // A resource whose giving back fails, whatever happens inside.
            let _ = catch_cancelled(async {
                group.spawn(async { boom::<()>("child") });
                sleep(seconds(1)).await;
            })
            .await;
            boom::<()>("clean-up")
        });
        assert_eq!(texts(&error.await.unwrap_err()), ["child", "clean-up"]);
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_cancelling_level_preserved
#[test]
fn count_after_is_the_count_before() {
    in_any_order(async || {
        let error = task_group(async |group| {
            group.spawn(fails(0, "child"));
            Ok(())
        });
        assert_eq!(texts(&error.await.unwrap_err()), ["child"]);
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_nested_groups_both_cancelled
#[test]
fn two_groups_fail_at_once() {
    simulate(async {
        let outer = task_group(async |outer| {
            let inner = task_group(async |inner| {
                inner.spawn(fails(0, "inner"));
                outer.spawn(fails(0, "outer"));
                Ok(())
            });
            assert_eq!(texts(&inner.await.unwrap_err()), ["inner"]);
            assert_eq!(me().cancelling(), 1);
            Ok(())
        });
        assert_eq!(texts(&outer.await.unwrap_err()), ["outer"]);
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_error_and_cancel
#[test]
fn errors_come_first_and_the_request_after_them() {
    // TG-10
    simulate(async {
        let (started, start) = oneshot::channel();
        let log = Log::new();
        let inside = log.clone();
        let inner = spawn(async move {
            let error = task_group(async |group| {
                group.spawn(async {
                    started.send(()).unwrap();
                    yield_now().await;
                    boom::<()>("child")
                });
                sleep(seconds(1)).await;
                inside.add("not cancelled in the group");
                Ok(())
            });
            assert_eq!(texts(&error.await.unwrap_err()), ["child"]);
            assert_eq!(me().cancelling(), 1);
            sleep(seconds(1)).await;
            inside.add("not cancelled after the group");
            Ok(())
        });
        start.await?;
        assert_eq!(inner.cancelling(), 0);
        inner.cancel();
        assert_eq!(inner.cancelling(), 1);
        assert!(inner.await.unwrap_err().is_cancelled());
        assert_eq!(log.lines(), [""; 0]);
        Ok(())
    });
}

#[test]
fn request_beside_errors_ends_even_a_task_that_suspends_no_more() {
    // TG-10
    in_any_order(async || {
        let task = spawn(async {
            let error = task_group(async |group| {
                group.spawn(async {
                    let _ = catch_cancelled(sleep(seconds(9))).await;
                    boom::<()>("child")
                });
                Ok(())
            });
            assert!(error.await.is_err());
            Ok("lost")
        });
        sleep(ms(1)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn body_that_awaits_a_failing_child_is_cancelled_there() {
    // TG-12
    in_any_order(async || {
        let log = Log::new();
        let error = task_group(async |group| {
            let child = group.spawn(fails(1, "child"));
            let awaited = catch_cancelled(child).await;
            log.add(if awaited.is_err() { "cancelled" } else { "went on" });
            Ok(())
        });
        assert_eq!(texts(&error.await.unwrap_err()), ["child"]);
        assert_eq!(log.lines(), ["cancelled"]);
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

#[test]
fn body_may_swallow_the_groups_request() {
    // TG-09
    in_any_order(async || {
        let log = Log::new();
        let error = task_group(async |group| {
            group.spawn(fails(1, "child"));
            let _ = catch_cancelled(sleep(seconds(9))).await;
            log.add(format!("count {}", me().cancelling()));
            sleep(seconds(1)).await;
            log.add("slept");
            Ok(())
        });
        assert_eq!(texts(&error.await.unwrap_err()), ["child"]);
        assert_eq!(log.lines(), ["count 1", "slept"]);
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

#[test]
fn first_of_two_requests_in_the_wait_goes_on() {
    // TG-06
    in_any_order(async || {
        let log = Log::new();
        let inside = log.clone();
        let task = spawn(async move {
            let group = task_group(async |group| {
                group.spawn(async {
                    if let Err(cancelled) = catch_cancelled(sleep(seconds(9))).await {
                        sleep(seconds(1)).await;
                        cancelled.raise().await;
                    }
                    Ok(())
                });
                Ok(())
            });
            let cancelled = catch_cancelled(group).await.unwrap_err();
            inside.add(format!("{} of {}", cancelled.message().unwrap(), me().cancelling()));
            Ok(())
        });
        sleep(ms(1)).await;
        task.cancel_with("1");
        sleep(ms(1)).await;
        task.cancel_with("2");
        assert_eq!(task.cancelling(), 2);
        task.await?;
        assert_eq!(log.lines(), ["1 of 2"]);
        Ok(())
    });
}

#[test]
fn child_that_ends_cancelled_by_itself_is_no_failure() {
    // TG-02
    in_any_order(async || {
        task_group(async |group| {
            group.spawn(async {
                me().cancel();
                let cancelled = catch_cancelled(yield_now()).await.unwrap_err();
                me().uncancel();
                cancelled.raise().await;
            });
            Ok(())
        })
        .await
    });
}

#[test]
fn child_that_was_not_polled_yet_never_runs() {
    // TG-05
    in_any_order(async || {
        let log = Log::new();
        let child = log.clone();
        let error = task_group(async move |group| {
            group.spawn(async move { child.add("ran") });
            boom::<()>("body")
        });
        assert_eq!(texts(&error.await.unwrap_err()), ["body"]);
        assert_eq!(log.lines(), [""; 0]);
        Ok(())
    });
}

#[test]
fn childs_error_in_clean_up_stands_before_the_bodys() {
    // TG-04
    in_any_order(async || {
        let error = task_group(async |group| {
            group.spawn(async {
                let _ = catch_cancelled(sleep(seconds(9))).await;
                boom::<()>("child")
            });
            sleep(ms(1)).await;
            boom::<()>("body")
        });
        assert_eq!(texts(&error.await.unwrap_err()), ["child", "body"]);
        Ok(())
    });
}

#[test]
fn group_asks_each_child_once_and_says_nothing() {
    // TG-08, TG-18
    in_any_order(async || {
        let log = Log::new();
        let error = task_group(async |group| {
            for _ in 0..2 {
                group.spawn(fails(1, "child"));
            }
            let log = log.clone();
            group.spawn(async move {
                let cancelled = catch_cancelled(sleep(seconds(9))).await.unwrap_err();
                sleep(seconds(1)).await;
                log.add(format!("{:?} {}", cancelled.message(), me().cancelling()));
            });
            Ok(())
        });
        assert!(error.await.is_err());
        assert_eq!(log.lines(), ["None 1"]);
        Ok(())
    });
}

#[test]
fn group_dropped_while_its_children_clean_up_does_not_interrupt_them() {
    in_any_order(async || {
        let log = Log::new();
        let cleaned = log.clone();
        let mut group = Box::pin(task_group(async move |group: TaskGroup| {
            group.spawn(fails(1, "first"));
            group.spawn(async move {
                let cancelled = catch_cancelled(sleep(seconds(1))).await.unwrap_err();
                sleep(ms(10)).await;
                cleaned.add("cleaned up");
                cancelled.raise().await;
            });
            Ok(())
        }));
        assert!(poll!(&mut group).is_pending());
        sleep(ms(5)).await;
        assert!(poll!(&mut group).is_pending());
        drop(group);
        sleep(ms(20)).await;
        assert_eq!(log.lines(), ["cleaned up"]);
        Ok(())
    });
}

#[test]
fn group_dropped_half_way_cancels_its_children_which_clean_up() {
    in_any_order(async || {
        let log = Log::new();
        let child = log.clone();
        let mut kept = None;
        let mut group = Box::pin(task_group(async |group: TaskGroup| {
            kept = Some(group.spawn(async move {
                if let Err(cancelled) = catch_cancelled(sleep(seconds(9))).await {
                    sleep(seconds(1)).await;
                    child.add("cleaned up");
                    cancelled.raise().await;
                }
                Ok(())
            }));
            Ok(())
        }));
        assert!(poll!(&mut group).is_pending());
        sleep(ms(1)).await;
        drop(group);
        let child: Task<()> = kept.unwrap();
        assert_eq!((child.cancelling(), me().cancelling()), (1, 0));
        assert!(child.await.unwrap_err().is_cancelled());
        assert_eq!(log.lines(), ["cleaned up"]);
        Ok(())
    });
}

#[test]
fn group_that_is_never_polled_leaves_nothing() {
    in_any_order(async || {
        let log = Log::new();
        let end = log.on_drop("dropped");
        drop(task_group(async move |_| {
            drop(end);
            Ok(())
        }));
        assert_eq!(log.lines(), ["dropped"]);
        Ok(())
    });
}

#[test]
fn timeout_around_a_group_ends_it() {
    in_any_order(async || {
        let log = Log::new();
        let end = log.on_drop("child dropped");
        let result = timeout(
            seconds(1),
            task_group(async |group| {
                group.spawn(async move {
                    let _end = end;
                    sleep(seconds(9)).await;
                });
                Ok(())
            }),
        );
        assert!(result.await.unwrap_err().is_timeout());
        assert_eq!(log.lines(), ["child dropped"]);
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_timeout_taskgroup
#[test]
fn errors_in_clean_up_beat_the_timeout() {
    in_any_order(async || {
        let result = timeout(
            ms(10),
            task_group(async |group| {
                group.spawn(async {
                    let _ = catch_cancelled(sleep(seconds(2))).await;
                    boom::<()>("clean-up")
                });
                sleep(seconds(1)).await;
                Ok(())
            }),
        );
        assert_eq!(texts(&result.await.unwrap_err()), ["clean-up"]);
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

// upstream: test_eager_task_factory.BaseTaskCountingTests.test_recursive_taskgroups
#[test]
fn groups_in_groups_start_every_task_once() {
    fn tree(
        width: u32,
        depth: u32,
        count: Arc<Mutex<u32>>,
    ) -> futures::future::BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            *count.lock().unwrap() += 1;
            if depth == 0 {
                return Ok(());
            }
            task_group(async |group| {
                for _ in 0..width {
                    group.spawn_eager(tree(width, depth - 1, count.clone()));
                }
                Ok(())
            })
            .await
        })
    }
    in_any_order(async || {
        let count = Arc::new(Mutex::new(0));
        spawn_eager(tree(5, 4, count.clone())).await?;
        assert_eq!(*count.lock().unwrap(), 1 + 5 + 25 + 125 + 625);
        Ok(())
    });
}

#[test]
fn child_can_be_shielded_from_the_body_but_not_from_the_group() {
    in_any_order(async || {
        let task = spawn(task_group(async |group| {
            let child = group.spawn(sleep(seconds(9)));
            let _ = catch_cancelled(shield(child.task_ref())).await;
            assert_eq!(child.cancelling(), 0);
            Ok(child.task_ref())
        }));
        sleep(ms(1)).await;
        task.cancel();
        let child = task.await?;
        assert!(!child.is_cancelled() && child.is_finished());
        Ok(())
    });
}

/// Waits to be asked to end, and says so.
async fn says(log: Log, name: &'static str) -> Result<()> {
    if let Err(cancelled) = catch_cancelled(sleep(seconds(10))).await {
        log.add(name);
        cancelled.raise().await;
    }
    Ok(())
}

#[test]
fn children_are_asked_in_the_order_of_their_spawning_whoever_left_before() {
    simulate(async {
        let log = Log::new();
        let group = task_group(async |group| {
            // More than an empty group keeps place for, and fewer.
            for count in [3_000, 10] {
                let gone: Vec<_> = (0..count).map(|_| group.spawn(yield_now())).collect();
                for child in gone {
                    child.await?;
                }
            }
            let names = ["a", "b", "c", "d"];
            let first = names.map(|name| group.spawn(says(log.clone(), name)));
            yield_now().await;
            first[1].cancel();
            first[3].cancel();
            yield_now().await;
            yield_now().await;
            for name in ["e", "f", "g"] {
                group.spawn(says(log.clone(), name));
            }
            yield_now().await;
            Err::<(), _>(Boom("body").into())
        });
        assert_eq!(group.await.unwrap_err().errors().len(), 1);
        assert_eq!(log.lines(), ["b", "d", "a", "c", "e", "f", "g"]);
        Ok(())
    });
}
