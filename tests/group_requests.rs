//! The requests of one group that meet in one task: its members and its parent are asked in one
//! step, so those requests count one by one and are delivered once (TG-03, CAN-02, CAN-12).

mod common;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use common::{Boom, in_any_order, me, ms, simulate};
use filch::{Result, Runtime, Task, TaskGroup, TaskId};
use filch::{catch_cancelled, gather, sim, sleep, spawn, task_group};

/// A task that, asked to end, cleans up in peace, and tells how often it was asked.
fn counting() -> Task<u32> {
    spawn(async {
        let Err(_) = catch_cancelled(sleep(ms(1000))).await else { return Ok(0) };
        let interrupted = catch_cancelled(sleep(ms(5))).await.is_err();
        assert!(!interrupted, "its clean-up was interrupted");
        Ok(me().cancelling())
    })
}

async fn fails_later() -> Result<()> {
    sleep(ms(100)).await;
    Err(Boom("later").into())
}

/// The errors of the group, which must be one.
fn only_boom(ended: Result<()>) {
    let error = ended.unwrap_err();
    assert_eq!(error.errors().len(), 1, "{error:?}");
    assert!(error.errors()[0].is::<Boom>());
}

/// A member that awaits `task`; a request to it goes on.
fn member(group: &TaskGroup, task: &Task<u32>) -> Task<()> {
    let awaited = task.task_ref();
    group.spawn(async move { awaited.join().await })
}

#[test]
fn what_an_awaited_member_awaits_is_asked_by_the_group_and_by_the_parent() {
    in_any_order(async || {
        let far = counting();
        let ended = task_group(async |group| {
            let child = member(&group, &far);
            group.spawn(fails_later());
            child.await
        });
        only_boom(ended.await);
        assert_eq!(far.await?, 2);
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

#[test]
fn what_a_member_awaits_through_others_is_asked_by_each() {
    in_any_order(async || {
        let far = counting();
        let between = far.task_ref();
        let between = spawn(async move { between.join().await });
        let ended = task_group(async |group| {
            let awaited = between.task_ref();
            let first = group.spawn(async move { awaited.join().await });
            let awaited = first.task_ref();
            let second = group.spawn(async move { awaited.join().await });
            group.spawn(fails_later());
            second.await
        });
        only_boom(ended.await);
        assert_eq!(between.cancelling(), 3);
        assert_eq!(far.await?, 3);
        Ok(())
    });
}

#[test]
fn members_ask_each_other_whichever_came_first() {
    in_any_order(async || {
        let far = counting();
        let ended = task_group(async |group| {
            let (tell, told) = futures::channel::oneshot::channel::<filch::TaskRef>();
            let early = group.spawn(async move { told.await?.join().await });
            let late = member(&group, &far);
            tell.send(late.task_ref()).unwrap();
            sleep(ms(10)).await;
            assert!(!early.is_finished());
            Err::<(), _>(Boom("body").into())
        });
        only_boom(ended.await);
        assert_eq!(far.await?, 2);
        Ok(())
    });
}

#[test]
fn ways_that_part_and_meet_again_all_count() {
    // As many as there are ways from the group and its parent to the last one.
    in_any_order(async || {
        let far = counting();
        let ended = task_group(async |group| {
            let last = member(&group, &far);
            let awaited = last.task_ref();
            let middle = group.spawn(async move { awaited.join().await });
            let both = [middle.task_ref(), last.task_ref()];
            let first = group.spawn(async move { gather(both).await.map(drop) });
            let both = [first.task_ref(), middle.task_ref()];
            group.spawn(fails_later());
            gather(both).await.map(drop)
        });
        only_boom(ended.await);
        assert_eq!(far.await?, 7);
        Ok(())
    });
}

#[test]
fn group_in_a_group_asks_on() {
    in_any_order(async || {
        let far = counting();
        let awaited = far.task_ref();
        let ended = task_group(async |group| {
            let inner = group.spawn(task_group(async move |group| {
                group.spawn(async move { awaited.join().await }).await
            }));
            group.spawn(fails_later());
            inner.await
        });
        only_boom(ended.await);
        assert_eq!(far.await?, 2);
        Ok(())
    });
}

#[test]
fn parent_that_awaits_something_else_adds_nothing() {
    simulate(async {
        let far = counting();
        let ended = task_group(async |group| {
            let child = member(&group, &far);
            group.spawn(fails_later());
            sleep(ms(2000)).await;
            child.await
        });
        only_boom(ended.await);
        assert_eq!(far.await?, 1);
        Ok(())
    });
}

async fn never<T>(_kept: T) -> Result<()> {
    std::future::pending().await
}

#[test]
fn children_of_two_worlds_that_have_one_number_are_all_asked() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let handle = runtime.handle().clone();
    let ended = sim::run(0, async move {
        let group = task_group(async |group| {
            let ours: Vec<_> = (0..900).map(|_| group.spawn(never(()))).collect();
            let (tell, told) = mpsc::channel();
            let (inside, ids) = (group.clone(), tell.clone());
            // In the runtime the children are the runtime's, whose numbers begin at one, too.
            handle.call_soon(move || {
                for _ in 0..30 {
                    let tell = tell.clone();
                    ids.send(inside.spawn(never(tell)).id()).unwrap();
                }
            });
            let theirs: Vec<TaskId> = told.iter().take(30).collect();
            assert!(ours.iter().any(|task| theirs.contains(&task.id())));
            group.cancel();
            // They have ended when nobody can tell anything any more.
            let silence = told.recv_timeout(Duration::from_secs(60));
            assert_eq!(silence, Err(RecvTimeoutError::Disconnected));
            Ok(())
        });
        group.until_cancelled().await
    });
    ended.unwrap();
}
