//! A request is delivered at the next suspension, to the innermost scope, which may clean up,
//! swallow it, or let it go on (CAN-01 to CAN-11, CAN-27).

mod common;

use common::{Boom, Log, in_any_order, me, ms, seconds, simulate};
use filch::{Task, catch_cancelled, catch_cancelled_any, sleep, spawn, yield_now};
use futures::channel::oneshot;

/// A task that sleeps for long.
fn sleeper() -> Task<()> {
    spawn(sleep(seconds(3600)))
}

// upstream: test_tasks.BaseTaskTests.test_cancel
#[test]
fn cancelled_sleeper_ends_cancelled_and_refuses_another_request() {
    // CAN-01, CAN-03, CAN-21
    in_any_order(async || {
        let start = filch::time::Instant::now();
        let mut task = sleeper();
        sleep(seconds(10)).await;
        assert!(task.cancel());
        assert!(!task.is_finished());
        assert!(!task.is_cancelled());
        assert!((&mut task).await.unwrap_err().is_cancelled());
        assert!(task.is_finished());
        assert!(task.is_cancelled());
        assert!(!task.cancel());
        assert_eq!(task.cancelling(), 1);
        assert_eq!(start.elapsed(), seconds(10));
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_cancel_yield
#[test]
fn task_that_has_yielded_is_cancelled_at_its_next_step() {
    // CAN-05, TASK-08
    simulate(async {
        let log = Log::new();
        let seen = log.clone();
        let mut task = spawn(async move {
            seen.add("begins");
            yield_now().await;
            yield_now().await;
            seen.add("goes on");
        });
        yield_now().await;
        assert!(task.cancel());
        assert!((&mut task).await.unwrap_err().is_cancelled());
        assert!(task.is_cancelled());
        assert_eq!(log.lines(), ["begins"]);
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_cancel_task_catching
#[test]
fn caught_request_lets_the_task_return_its_value() {
    // CAN-03, CAN-11
    simulate(async {
        let (first, first_receiver) = oneshot::channel::<()>();
        let (second, second_receiver) = oneshot::channel::<()>();
        let mut task = spawn(async move {
            first_receiver.await?;
            match catch_cancelled_any(second_receiver).await {
                Err(_) => Ok(42),
                Ok(_) => Ok(0),
            }
        });
        yield_now().await;
        first.send(()).unwrap();
        yield_now().await;
        assert!(!second.is_canceled());
        task.cancel();
        assert_eq!((&mut task).await?, 42);
        assert!(second.is_canceled());
        assert!(!task.is_cancelled());
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_cancel_task_ignoring
#[test]
fn swallowed_request_leaves_the_next_await_alone() {
    // CAN-11, CAN-12
    simulate(async {
        let (first, first_receiver) = oneshot::channel::<()>();
        let (second, second_receiver) = oneshot::channel::<()>();
        let (third, third_receiver) = oneshot::channel::<u32>();
        let mut task = spawn(async move {
            first_receiver.await?;
            assert!(catch_cancelled_any(second_receiver).await.is_err());
            Ok(third_receiver.await?)
        });
        yield_now().await;
        first.send(()).unwrap();
        yield_now().await;
        task.cancel();
        yield_now().await;
        assert!(second.is_canceled());
        assert!(!third.is_canceled());
        third.send(42).unwrap();
        assert_eq!((&mut task).await?, 42);
        assert!(!task.is_cancelled());
        assert_eq!(task.cancelling(), 1);
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_cancel_current_task
#[test]
fn task_that_cancels_itself_is_interrupted_at_its_next_suspension() {
    // CAN-04, CAN-07
    in_any_order(async || {
        let start = filch::time::Instant::now();
        let mut task = spawn(async {
            me().cancel();
            assert!(!me().is_cancelled());
            sleep(seconds(100)).await;
            Ok(12)
        });
        assert!((&mut task).await.unwrap_err().is_cancelled());
        assert!(task.is_cancelled());
        assert!(!task.cancel());
        assert_eq!(start.elapsed(), ms(0));
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_cancel_at_end
#[test]
fn task_that_cancels_itself_and_returns_ends_cancelled() {
    // CAN-09
    in_any_order(async || {
        let mut task = spawn(async {
            me().cancel();
            Ok(12)
        });
        assert!((&mut task).await.unwrap_err().is_cancelled());
        assert!(task.is_cancelled());
        assert!(!task.cancel());
        Ok(())
    });
}

#[test]
fn task_that_cancels_itself_and_fails_keeps_its_error() {
    // CAN-10, section 27
    in_any_order(async || {
        let mut task = spawn(async {
            me().cancel();
            Err::<(), _>(Boom("e").into())
        });
        assert_eq!((&mut task).await.unwrap_err().downcast_ref(), Some(&Boom("e")));
        assert!(!task.is_cancelled());
        Ok(())
    });
}

#[test]
fn await_that_does_not_suspend_delivers_nothing() {
    // CAN-07, section 27: the value comes first, the cancellation at the yield
    in_any_order(async || {
        let log = Log::new();
        let seen = log.clone();
        let task = spawn(async move {
            let (sender, receiver) = oneshot::channel();
            sender.send("value").unwrap();
            me().cancel();
            seen.add(receiver.await.unwrap());
            seen.add(match catch_cancelled(yield_now()).await {
                Err(_) => "cancelled",
                Ok(()) => "yielded",
            });
        });
        task.await?;
        assert_eq!(log.lines(), ["value", "cancelled"]);
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_task_cancel_waiter_future
#[test]
fn request_drops_what_the_task_waits_for() {
    // CAN-03
    simulate(async {
        let (sender, receiver) = oneshot::channel::<()>();
        let task = spawn(async move { Ok(receiver.await?) });
        yield_now().await;
        assert!(!sender.is_canceled());
        task.cancel();
        yield_now().await;
        assert!(sender.is_canceled());
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_yield_future_passes_cancel
#[test]
fn request_unwinds_scope_by_scope() {
    // CAN-03, CAN-11
    simulate(async {
        let log = Log::new();
        let seen = log.clone();
        let (sender, receiver) = oneshot::channel::<()>();
        let mut task = spawn(async move {
            let inner = async {
                if let Err(cancelled) = catch_cancelled_any(receiver).await {
                    seen.add("inner");
                    cancelled.raise().await;
                }
                seen.add("got past the await");
            };
            if catch_cancelled(inner).await.is_err() {
                seen.add("outer");
            }
        });
        yield_now().await;
        task.cancel();
        (&mut task).await?;
        assert_eq!(log.lines(), ["inner", "outer"]);
        assert!(sender.is_canceled());
        assert!(!task.is_cancelled());
        Ok(())
    });
}

#[test]
fn clean_up_is_not_interrupted_again() {
    // CAN-27
    in_any_order(async || {
        let start = filch::time::Instant::now();
        let mut task = spawn(async {
            if let Err(cancelled) = catch_cancelled(sleep(seconds(10))).await {
                sleep(seconds(5)).await;
                cancelled.raise().await;
            }
        });
        sleep(seconds(1)).await;
        task.cancel();
        assert!((&mut task).await.unwrap_err().is_cancelled());
        assert_eq!(start.elapsed(), seconds(6));
        Ok(())
    });
}

#[test]
fn new_request_interrupts_clean_up() {
    // CAN-27
    in_any_order(async || {
        let start = filch::time::Instant::now();
        let mut task = spawn(async {
            if catch_cancelled(sleep(seconds(10))).await.is_err() {
                sleep(seconds(5)).await;
            }
        });
        sleep(seconds(1)).await;
        task.cancel();
        sleep(seconds(1)).await;
        task.cancel();
        assert!((&mut task).await.unwrap_err().is_cancelled());
        assert_eq!(start.elapsed(), seconds(2));
        assert_eq!(task.cancelling(), 2);
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_baseexception_during_cancel
#[test]
fn panic_in_answer_to_a_request_is_the_tasks_error() {
    // CAN-10, CAN-26
    in_any_order(async || {
        let mut task = spawn(async {
            if catch_cancelled(sleep(seconds(10))).await.is_err() {
                std::panic::resume_unwind(Box::new("exit"));
            }
        });
        sleep(seconds(1)).await;
        assert!(task.cancel());
        assert!(!task.is_finished());
        let error = (&mut task).await.unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert!(task.is_finished() && !task.is_cancelled());
        assert!(task.error().unwrap().to_string().contains("exit"));
        Ok(())
    });
}

#[test]
fn of_several_awaits_at_once_those_in_a_scope_are_told() {
    let told = async |log: Log, name: &str| {
        if catch_cancelled(sleep(seconds(9))).await.is_err() {
            log.add(format!("{name} is told"));
        }
    };
    let goes_on = async |log: Log| {
        sleep(seconds(5)).await;
        log.add("goes on");
    };
    in_any_order(async || {
        let log = Log::new();
        let (a, b, c) = (log.clone(), log.clone(), log.clone());
        let both = spawn(async move { _ = futures::join!(told(a, "a"), told(b, "b"), goes_on(c)) });
        sleep(seconds(1)).await;
        both.cancel();
        both.await?;
        assert_eq!(log.lines().len(), 3);
        assert_eq!(log.lines()[2], "goes on");
        Ok(())
    });
    in_any_order(async || {
        let (log, again) = (Log::new(), Log::new());
        let (a, b) = (log.clone(), log.clone());
        let none = spawn(async move { _ = futures::join!(goes_on(a), goes_on(b)) });
        let (a, b) = (again.clone(), again.clone());
        let one = spawn(async move {
            let both = async { Ok(_ = futures::join!(goes_on(a), goes_on(b))) };
            Ok(catch_cancelled(both).await.is_err())
        });
        sleep(seconds(1)).await;
        assert!(none.cancel() && one.cancel());
        assert!(none.await.unwrap_err().is_cancelled() && one.await?);
        assert!(log.lines().is_empty() && again.lines().is_empty());
        Ok(())
    });
}
