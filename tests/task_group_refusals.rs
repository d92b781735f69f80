//! A group takes children from its first poll until it shuts down, and refuses all others, whose
//! futures are dropped (TG-15, TG-16, TG-19).

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{Boom, Log, in_any_order, ms, seconds, simulate};
use filch::{CallbackId, Error, GroupRefused, Result, TaskGroup};
use filch::{catch_cancelled, sleep, spawn, task_group, yield_now};

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

/// A group's handle, after the group has ended.
async fn finished() -> Result<TaskGroup> {
    task_group(async |group| Ok(group)).await
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_no_create_task_after_failure
#[test]
fn group_that_shuts_down_takes_no_more_children() {
    in_any_order(async || {
        let log = Log::new();
        let error = task_group(async |group| {
            group.spawn(fails(1, "child"));
            let (log, own) = (log.clone(), group.clone());
            group.spawn(async move {
                if catch_cancelled(sleep(seconds(1))).await.is_err() {
                    let refused = own.try_spawn(fails(1, "late")).unwrap_err();
                    log.add(refused.to_string());
                    let task = own.spawn(fails(1, "late"));
                    assert!(task.await.unwrap_err().is::<GroupRefused>());
                }
            });
            Ok(())
        });
        assert_eq!(texts(&error.await.unwrap_err()), ["child"]);
        assert_eq!(log.lines(), ["task group is shutting down"]);
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_finished
// upstream: test_taskgroups.TestTaskGroup.test_coro_closed_when_tg_closed
#[test]
fn finished_group_drops_what_it_is_given() {
    in_any_order(async || {
        let log = Log::new();
        let group = finished().await?;
        let end = log.on_drop("dropped");
        let refused = group.try_spawn(async move { drop(end) }).unwrap_err();
        assert_eq!(refused.to_string(), "task group is finished");
        assert_eq!(log.lines(), ["dropped"]);
        assert!(group.spawn(async {}).await.unwrap_err().is::<GroupRefused>());
        assert!(group.spawn_eager(async {}).error().unwrap().is::<GroupRefused>());
        Ok(())
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_not_entered
#[test]
fn group_takes_no_children_before_its_first_poll() {
    in_any_order(async || {
        let mut kept = None;
        let entered = task_group(|group: TaskGroup| {
            kept = Some(group);
            async { Ok(()) }
        });
        let refused = kept.unwrap().try_spawn(async {}).unwrap_err();
        assert_eq!(refused.to_string(), "task group has not been entered");
        entered.await
    });
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_without_parent_task
#[test]
fn group_needs_a_task_around_it() {
    simulate(async {
        let log = Log::new();
        let told = log.clone();
        let mut task = spawn(async {});
        task.add_done_callback(move |_| {
            let mut group = std::pin::pin!(task_group(async |_| Ok(())));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let poll = AssertUnwindSafe(|| group.as_mut().poll(&mut context));
            told.add(if catch_unwind(poll).is_err() { "panicked" } else { "polled" });
        });
        (&mut task).await?;
        yield_now().await;
        assert_eq!(log.lines(), ["panicked"]);
        Ok(())
    });
}

#[test]
fn eager_child_that_fails_at_once_does_not_interrupt_its_maker() {
    // TG-16
    in_any_order(async || {
        let log = Log::new();
        let error = task_group(async |group| {
            let child = group.spawn_eager(async { boom::<()>("child") });
            log.add(if child.is_finished() { "failed" } else { "pending" });
            let sibling = group.try_spawn(sleep(seconds(9)));
            log.add(if sibling.is_ok() { "admitted" } else { "refused" });
            sleep(seconds(9)).await;
            log.add("slept");
            Ok(())
        });
        assert_eq!(texts(&error.await.unwrap_err()), ["child"]);
        assert_eq!(log.lines(), ["failed", "admitted"]);
        Ok(())
    });
}

#[test]
fn group_accepts_children_that_have_ended() {
    // EAG-09
    in_any_order(async || {
        let sum = task_group(async |group| {
            let children: Vec<_> =
                (0..10).map(|n| group.spawn_eager(async move { Ok(n) })).collect();
            assert!(children.iter().all(|child| child.is_finished()));
            Ok(filch::gather(children).await?.into_iter().sum::<u32>())
        });
        assert_eq!(sum.await?, 45);
        Ok(())
    });
}

#[test]
fn plain_thread_may_start_children_too() {
    // TG-19
    let sum = filch::run(task_group(async |group| {
        let there = group.clone();
        let far = std::thread::spawn(move || there.spawn(async { Ok(2) }));
        let near = group.spawn(async { Ok(1) });
        Ok(near.await? + far.join().unwrap().await?)
    }));
    assert_eq!(sum.unwrap(), 3);
}

/// A group notes its children's ends where callbacks stand, too: no id of a callback leads there.
#[test]
fn a_child_stays_known_to_its_group_whoever_removes_callbacks() {
    simulate(async {
        let other = spawn(std::future::pending::<()>());
        task_group(async |group| {
            let child = group.spawn(sleep(ms(1)));
            let first = other.add_done_callback(|_| ());
            assert!(!child.remove_done_callback(first));
            assert!(!child.remove_done_callback(CallbackId::default()));
            Ok(())
        })
        .await?;
        other.cancel();
        Ok(())
    });
}
