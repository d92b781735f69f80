//! A shield keeps requests from the task behind it, and ends at once when its awaiter is asked to
//! end (SHD-01 to SHD-07).

mod common;

use std::sync::{Arc, Mutex};

use common::{Boom, Log, in_any_order, me, ms, seconds, simulate};
use filch::{Error, Result, Task, gather, shield, sleep, spawn, wait};
use filch::{ReturnWhen, catch_cancelled};
use futures::channel::oneshot;
use futures::poll;

/// A task that ends when it is told, with what it is told.
fn told() -> (oneshot::Sender<Result<u32>>, Task<u32>) {
    let (sender, receiver) = oneshot::channel();
    (sender, spawn(async { receiver.await? }))
}

// upstream: test_tasks.BaseTaskTests.test_shield_result
// upstream: test_tasks.BaseTaskTests.test_shield_coroutine_use_running_loop
#[test]
fn shield_gives_the_value() {
    // SHD-01, SHD-02
    in_any_order(async || {
        let (sender, task) = told();
        let mut outer = shield(task);
        assert!(poll!(&mut outer).is_pending());
        sender.send(Ok(42)).unwrap();
        assert_eq!(outer.await?, 42);
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_shield_exception
#[test]
fn shield_gives_the_error() {
    // SHD-02
    in_any_order(async || {
        let (sender, task) = told();
        sender.send(Err(Boom("expected").into())).unwrap();
        assert!(shield(task).await.unwrap_err().is::<Boom>());
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_shield_cancel_inner
#[test]
fn cancelled_task_shows_through_its_shield() {
    // SHD-02, SHD-05
    in_any_order(async || {
        let (_sender, task) = told();
        let inner = task.task_ref();
        let outer = spawn(async move {
            let error = shield(task).await.unwrap_err();
            assert_eq!(me().cancelling(), 0);
            Err::<(), _>(error)
        });
        sleep(ms(1)).await;
        inner.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_shield_cancel_outer
// upstream: test_tasks.BaseTaskTests.test_shield_effect
#[test]
fn cancelled_awaiter_ends_at_once_and_the_task_runs_on() {
    // SHD-03
    in_any_order(async || {
        let log = Log::new();
        let (sender, task) = told();
        let (inside, inner) = (log.clone(), task.task_ref());
        let outer = spawn(async move {
            let shielded = catch_cancelled(shield(task)).await;
            inside.add(if shielded.is_err() { "cancelled" } else { "went on" });
            assert_eq!(me().cancelling(), 1);
            shielded?
        });
        sleep(ms(1)).await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        assert!(!inner.is_finished());
        assert_eq!(inner.cancelling(), 0);
        sender.send(Ok(1)).unwrap();
        inner.join().await?;
        assert_eq!(log.lines(), ["cancelled"]);
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_shield_shortcut
#[test]
fn shield_of_what_is_done_does_not_wait() {
    // SHD-01
    in_any_order(async || {
        let mut task = spawn(async { Ok(42) });
        wait([&task.task_ref()], ReturnWhen::AllCompleted).await;
        assert!(matches!(poll!(shield(&mut task)), std::task::Poll::Ready(Ok(42))));
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_shield_gather
#[test]
fn shielded_gathering_goes_on() {
    // SHD-03: what gathers is spawned, and that task is shielded.
    in_any_order(async || {
        let ((first, one), (second, two)) = (told(), told());
        let mut parent = spawn(gather([one, two]));
        let behind = parent.task_ref();
        let outer = spawn(async move { shield(behind).await });
        sleep(ms(1)).await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        first.send(Ok(1)).unwrap();
        second.send(Ok(2)).unwrap();
        assert_eq!((&mut parent).await?, [1, 2]);
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_gather_shield
#[test]
fn gathered_shields_end_and_what_is_behind_them_goes_on() {
    // SHD-03: each shield stands in a task of its own.
    in_any_order(async || {
        let ((first, one), (second, two)) = (told(), told());
        let children = [one.task_ref(), two.task_ref()];
        let shields = [one, two].map(|child| spawn(shield(child)));
        let behind = shields.each_ref().map(Task::task_ref);
        let parent = spawn(gather(shields));
        sleep(ms(1)).await;
        parent.cancel();
        assert!(parent.await.unwrap_err().is_cancelled());
        sleep(ms(1)).await;
        assert!(behind.iter().all(|shield| shield.is_cancelled()));
        assert!(children.iter().all(|child| child.cancelling() == 0));
        first.send(Ok(1)).unwrap();
        second.send(Ok(2)).unwrap();
        for child in children {
            child.join().await?;
        }
        Ok(())
    });
}

#[test]
fn shield_by_value_by_reference_and_through_a_task_ref() {
    in_any_order(async || {
        let mut task = spawn(async { Ok(1) });
        shield(task.task_ref()).await?;
        shield(&task.task_ref()).await?;
        shield(task.join()).await?;
        assert_eq!(shield(&mut task).await?, 1);
        assert_eq!(shield(spawn(async { Ok(2) })).await?, 2);
        Ok(())
    });
}

#[test]
fn dropped_shield_leaves_nothing_behind() {
    // The listener goes with the shield.
    in_any_order(async || {
        let (sender, mut task) = told();
        let count = Arc::new(Mutex::new(0));
        for _ in 0..3 {
            let mut outer = shield(&mut task);
            assert!(poll!(&mut outer).is_pending());
        }
        let counted = count.clone();
        task.add_done_callback(move |_| *counted.lock().unwrap() += 1);
        sender.send(Ok(7)).unwrap();
        assert_eq!(task.await?, 7);
        sleep(ms(1)).await;
        assert_eq!(*count.lock().unwrap(), 1);
        Ok(())
    });
}

#[test]
fn error_behind_an_abandoned_shield_is_the_tasks_own() {
    // SHD-04
    simulate(async {
        let task = spawn(async {
            sleep(seconds(2)).await;
            Err::<(), Error>(Boom("late").into())
        });
        let inner = task.task_ref();
        let outer = spawn(shield(task));
        sleep(seconds(1)).await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        sleep(seconds(2)).await;
        assert!(inner.error().unwrap().is::<Boom>());
        Ok(())
    });
}
