//! A task that is started eagerly runs to its first suspension inside the one who makes it (EAG-01
//! to EAG-12).

mod common;

use std::sync::{Arc, Mutex};

use common::{Boom, Log, in_any_order, me, ms, seconds, simulate};
use filch::{Task, TaskRef, all_tasks, catch_cancelled, sleep, spawn, spawn_eager, yield_now};
use futures::channel::oneshot;
use futures::future::BoxFuture;

type Kept<T> = Arc<Mutex<Option<T>>>;

// upstream: test_eager_task_factory.EagerTaskFactoryLoopTests.test_await_future_during_eager_step
#[test]
fn eager_step_completes_what_its_maker_awaits_next() {
    // EAG-01, EAG-02
    in_any_order(async || {
        let (sender, receiver) = oneshot::channel();
        let task = spawn_eager(async move { sender.send("my message").unwrap() });
        assert!(task.is_finished());
        assert_eq!(receiver.await?, "my message");
        Ok(())
    });
}

// upstream: test_eager_task_factory.EagerTaskFactoryLoopTests.test_eager_completion
#[test]
fn eager_task_that_never_suspends_is_done_when_it_is_made() {
    // EAG-01, EAG-02: awaiting it does not suspend
    simulate(async {
        let log = Log::new();
        let other = log.clone();
        let task = spawn_eager(async { Ok("hello") });
        assert!(task.is_finished());
        spawn(async move { other.add("other") }).detach();
        assert_eq!(task.await?, "hello");
        log.add("awaited");
        yield_now().await;
        assert_eq!(log.lines(), ["awaited", "other"]);
        Ok(())
    });
}

#[test]
fn eager_task_fails_when_it_is_made() {
    // EAG-02
    in_any_order(async || {
        let task = spawn_eager(async { Err::<(), _>(Boom("at once").into()) });
        assert!(task.is_finished());
        assert_eq!(task.await.unwrap_err().downcast_ref(), Some(&Boom("at once")));
        Ok(())
    });
}

#[test]
fn callback_added_to_a_finished_eager_task_is_queued() {
    // EAG-02
    simulate(async {
        let log = Log::new();
        let seen = log.clone();
        let task = spawn_eager(async { Ok(()) });
        task.add_done_callback(move |_| seen.add("callback"));
        log.add("maker");
        yield_now().await;
        assert_eq!(log.lines(), ["maker", "callback"]);
        Ok(())
    });
}

// upstream: test_eager_task_factory.EagerTaskFactoryLoopTests.test_block_after_eager_step
#[test]
fn eager_task_that_suspends_goes_on_like_any_other() {
    // EAG-03
    in_any_order(async || {
        let mut task = spawn_eager(async {
            sleep(ms(100)).await;
            Ok("finished after blocking")
        });
        assert!(!task.is_finished());
        assert_eq!((&mut task).await?, "finished after blocking");
        assert!(task.is_finished());
        Ok(())
    });
}

// upstream: test_eager_task_factory.EagerTaskFactoryLoopTests.test_cancellation_after_eager_completion
#[test]
fn finished_eager_task_cannot_be_cancelled() {
    // EAG-02, EAG-04
    in_any_order(async || {
        let mut task = spawn_eager(async { Ok("finished without blocking") });
        assert!(!task.cancel());
        assert_eq!((&mut task).await?, "finished without blocking");
        assert!(!task.is_cancelled());
        assert_eq!(task.cancelling(), 0);
        Ok(())
    });
}

// upstream: test_eager_task_factory.EagerTaskFactoryLoopTests.test_cancellation_after_eager_step_blocks
#[test]
fn suspended_eager_task_is_cancelled_with_its_message() {
    // EAG-04
    in_any_order(async || {
        let task = spawn_eager(async {
            sleep(ms(100)).await;
            Ok("finished after blocking")
        });
        assert!(task.cancel_with("cancellation message"));
        assert_eq!(task.cancelling(), 1);
        assert_eq!(task.await.unwrap_err().cancel_message(), Some("cancellation message"));
        Ok(())
    });
}

#[test]
fn eager_task_that_cancels_itself_and_returns_is_cancelled_at_once() {
    // EAG-05, section 27
    in_any_order(async || {
        let task = spawn_eager(async {
            me().cancel();
            Ok(1)
        });
        assert!(task.is_cancelled());
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn eager_task_that_cancels_itself_and_suspends_is_pending() {
    // EAG-05, section 27: what it awaits is cancelled at its next step
    simulate(async {
        let (sender, receiver) = oneshot::channel::<()>();
        let task = spawn_eager(async move {
            me().cancel();
            Ok(receiver.await?)
        });
        assert!(!task.is_finished());
        assert_eq!(task.cancelling(), 1);
        assert_eq!(task.uncancel(), 0);
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(sender.is_canceled());
        Ok(())
    });
}

// upstream: test_eager_task_factory.EagerTaskFactoryLoopTests.test_current_task
#[test]
fn current_task_is_the_eager_one_and_then_its_maker_again() {
    // EAG-06
    in_any_order(async || {
        let maker = me();
        let captured = Kept::<TaskRef>::default();
        let kept = captured.clone();
        let task = spawn_eager(async move {
            *kept.lock().unwrap() = Some(me());
            sleep(ms(100)).await;
            assert_eq!(Some(me()), *kept.lock().unwrap());
        });
        assert_eq!(captured.lock().unwrap().as_ref(), Some(&task.task_ref()));
        assert_eq!(me(), maker);
        task.await?;
        Ok(())
    });
}

#[test]
fn panic_in_the_eager_step_is_the_tasks_error_and_its_maker_goes_on() {
    // EAG-10
    in_any_order(async || {
        let maker = me();
        let panicked = spawn_eager(async { panic!("in the eager step") });
        assert_eq!(me(), maker);
        assert!(panicked.is_finished());
        assert!(panicked.await.unwrap_err().is_panic());
        Ok(())
    });
}

// upstream: test_eager_task_factory.EagerTaskFactoryLoopTests.test_all_tasks_with_eager_completion
#[test]
fn finished_eager_task_was_listed_during_its_step_only() {
    // EAG-07
    in_any_order(async || {
        let captured = Kept::<Vec<TaskRef>>::default();
        let kept = captured.clone();
        let task = spawn_eager(async move { *kept.lock().unwrap() = Some(all_tasks()) });
        assert!(captured.lock().unwrap().take().unwrap().contains(&task.task_ref()));
        assert!(!all_tasks().contains(&task.task_ref()));
        Ok(())
    });
}

// upstream: test_eager_task_factory.EagerTaskFactoryLoopTests.test_all_tasks_with_blocking
#[test]
fn suspended_eager_task_is_listed_until_it_is_done() {
    // EAG-07
    simulate(async {
        let captured = Kept::<Vec<TaskRef>>::default();
        let kept = captured.clone();
        let (first, first_receiver) = oneshot::channel::<()>();
        let (second, second_receiver) = oneshot::channel();
        let task = spawn_eager(async move {
            *kept.lock().unwrap() = Some(all_tasks());
            first_receiver.await?;
            second.send(()).unwrap();
            Ok(())
        });
        assert!(captured.lock().unwrap().take().unwrap().contains(&task.task_ref()));
        assert!(all_tasks().contains(&task.task_ref()));
        first.send(()).unwrap();
        second_receiver.await?;
        assert!(!all_tasks().contains(&task.task_ref()));
        Ok(())
    });
}

// upstream: test_eager_task_factory.CEagerTaskFactoryLoopTests.test_issue122332
#[test]
fn finished_eager_task_has_dropped_its_body() {
    // EAG-12
    in_any_order(async || {
        let log = Log::new();
        let guard = log.on_drop("body dropped");
        let task: Task<()> = spawn_eager(async move {
            let _guard = guard;
        });
        log.add("made");
        task.await?;
        assert_eq!(log.lines(), ["body dropped", "made"]);
        Ok(())
    });
}

// upstream: test_eager_task_factory.BaseTaskCountingTests.test_awaitables_chain
#[test]
fn chain_of_awaits_makes_no_tasks() {
    // EAG-09
    fn chain(depth: u32) -> BoxFuture<'static, u32> {
        Box::pin(async move { if depth == 0 { 0 } else { 1 + chain(depth - 1).await } })
    }
    in_any_order(async || {
        let before = all_tasks().len();
        let task = spawn_eager(async {
            let depth = chain(100).await;
            Ok((depth, all_tasks().len()))
        });
        assert_eq!(task.await?, (100, before + 1));
        Ok(())
    });
}

#[test]
fn eager_step_is_not_a_step_of_its_maker() {
    // EAG-11, TMO-03: a request to the maker does not touch what it starts
    in_any_order(async || {
        let log = Log::new();
        let seen = log.clone();
        let maker = spawn(async move {
            if let Err(cancelled) = catch_cancelled(sleep(seconds(10))).await {
                let seen = seen.clone();
                let child = spawn_eager(async move {
                    match catch_cancelled(sleep(seconds(1))).await {
                        Ok(()) => seen.add("child slept"),
                        Err(_) => seen.add("child was hit"),
                    }
                });
                child.detach();
                cancelled.raise().await;
            }
        });
        sleep(seconds(1)).await;
        maker.cancel();
        assert!(maker.await.unwrap_err().is_cancelled());
        sleep(seconds(2)).await;
        assert_eq!(log.lines(), ["child slept"]);
        Ok(())
    });
}

#[test]
fn eager_starts_nest_until_they_would_be_too_deep() {
    // MOD-11, design 6: at most 64 deep, then scheduled normally; all run
    fn nest(left: u32, log: Log) -> BoxFuture<'static, filch::Result<u32>> {
        Box::pin(async move {
            if left == 0 {
                return Ok(0);
            }
            let task = spawn_eager(nest(left - 1, log.clone()));
            if !task.is_finished() {
                log.add("waits");
            }
            Ok(1 + task.await?)
        })
    }
    in_any_order(async || {
        assert_eq!(nest(20, Log::new()).await?, 20);
        let shallow = Log::new();
        nest(20, shallow.clone()).await?;
        assert_eq!(shallow.lines(), [] as [&str; 0]);
        let deep = Log::new();
        assert_eq!(nest(10_000, deep.clone()).await?, 10_000);
        assert!(!deep.lines().is_empty());
        Ok(())
    });
}
