//! A timeout around a task ends the task, and waits until it has ended: asyncio's `wait_for`
//! (WFOR-01 to WFOR-08).

mod common;

use std::time::Duration;

use common::{Boom, Log, in_any_order, me, ms, seconds, simulate};
use filch::time::Instant;
use filch::{Elapsed, Error, Result, Task};
use filch::{ReturnWhen, TaskRef};
use filch::{catch_cancelled, shield, sleep, sleep_until, spawn, timeout, wait, yield_now};
use futures::channel::oneshot;

/// Runs for 200 ms, whatever anybody asks of it.
async fn stubborn(log: Log) -> Result<()> {
    let end = Instant::now() + ms(200);
    while catch_cancelled(sleep_until(end)).await.is_err() {}
    log.add("exited");
    Ok(())
}

/// Waits to be asked to end, cleans up for that long, and says so.
async fn cleans_up(time: Duration, log: Log) -> Result<()> {
    if let Err(cancelled) = catch_cancelled(sleep(seconds(10))).await {
        sleep(time).await;
        log.add("cleaned up");
        cancelled.raise().await;
    }
    log.add("not cancelled");
    Ok(())
}

// upstream: test_waitfor.AsyncioWaitForTest.test_asyncio_wait_for_cancelled
#[test]
fn cancelled_caller_waits_for_a_stubborn_task() {
    // WFOR-05
    in_any_order(async || {
        let log = Log::new();
        let caller = spawn(timeout(ms(400), spawn(stubborn(log.clone()))));
        yield_now().await;
        caller.cancel();
        wait([&caller.task_ref()], ReturnWhen::AllCompleted).await;
        // It may have been cancelled before it began.
        if caller.error().is_none() {
            assert_eq!(log.lines(), ["exited"]);
        }
        Ok(())
    });
}

// upstream: test_waitfor.AsyncioWaitForTest.test_asyncio_wait_for_timeout
#[test]
fn expiry_waits_for_a_stubborn_task() {
    // WFOR-04
    in_any_order(async || {
        let log = Log::new();
        timeout(ms(100), spawn(stubborn(log.clone()))).await?;
        assert_eq!(log.lines(), ["exited"]);
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

// upstream: test_waitfor.AsyncioWaitForTest.test_wait_for_timeout_less_then_0_or_0_future_done
#[test]
fn no_time_is_enough_for_what_is_done() {
    // WFOR-03
    in_any_order(async || {
        let task = spawn(async { Ok("done") });
        sleep(ms(1)).await;
        assert_eq!(timeout(Duration::ZERO, task).await?, "done");
        Ok(())
    });
}

// upstream: test_waitfor.AsyncioWaitForTest.test_wait_for_timeout_less_then_0_or_0
// upstream: test_waitfor.AsyncioWaitForTest.test_wait_for
#[test]
fn expiry_cancels_the_task() {
    // WFOR-03, WFOR-04
    for limit in [Duration::ZERO, ms(100)] {
        in_any_order(async || {
            let log = Log::new();
            let (started, start) = oneshot::channel();
            let end = log.on_drop("dropped");
            let mut task = spawn(async move {
                let _end = end;
                started.send(()).unwrap();
                sleep(seconds(10)).await;
                Ok("done")
            });
            start.await?;
            assert!(timeout(limit, &mut task).await.unwrap_err().is_timeout());
            assert!(task.is_finished() && task.is_cancelled());
            assert_eq!(log.lines(), ["dropped"]);
            Ok(())
        });
    }
}

// upstream: test_waitfor.AsyncioWaitForTest.test_wait_for_blocking
#[test]
fn there_need_be_no_limit() {
    // WFOR-01, WFOR-02
    in_any_order(async || {
        assert_eq!(timeout(None, async { Ok("done") }).await?, "done");
        assert_eq!(timeout(None, spawn(async { Ok("done") })).await?, "done");
        let me = me();
        for limit in [None, Some(seconds(10))] {
            let inside = timeout(limit, async { Ok(common::me()) }).await?;
            assert_eq!(inside, me, "a future runs in the caller's task");
        }
        Ok(())
    });
}

// upstream: test_waitfor.AsyncioWaitForTest.test_wait_for_race_condition
#[test]
fn value_that_comes_in_time_is_given() {
    // WFOR-01
    in_any_order(async || {
        let (sender, receiver) = oneshot::channel();
        spawn(async { sender.send("ok").unwrap() }).detach();
        let result = timeout(ms(200), async { Ok(receiver.await?) }).await;
        assert_eq!(result?, "ok");
        Ok(())
    });
}

// upstream: test_waitfor.AsyncioWaitForTest.test_wait_for_cancellation_race_condition
// upstream: test_waitfor.AsyncioWaitForTest.test_wait_for_cancel_suppressed
#[test]
fn value_of_what_swallows_the_expiry_is_given() {
    // WFOR-04
    async fn swallows() -> Result<u32> {
        assert!(catch_cancelled(sleep(seconds(10))).await.is_err());
        Ok(42)
    }
    in_any_order(async || {
        assert_eq!(timeout(ms(10), swallows()).await?, 42);
        assert_eq!(timeout(ms(10), spawn(swallows())).await?, 42);
        let running = spawn(swallows());
        sleep(ms(1)).await;
        // WFOR-03
        assert_eq!(timeout(Duration::ZERO, running).await?, 42);
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

// upstream: test_waitfor.AsyncioWaitForTest.test_wait_for_waits_for_task_cancellation
// upstream: test_waitfor.AsyncioWaitForTest.test_wait_for_waits_for_task_cancellation_w_timeout_0
#[test]
fn expiry_waits_for_the_tasks_clean_up() {
    // WFOR-03, WFOR-04
    for limit in [Duration::ZERO, ms(1)] {
        in_any_order(async || {
            let log = Log::new();
            let mut task = spawn(cleans_up(ms(1), log.clone()));
            sleep(ms(1)).await;
            let error = timeout(limit, &mut task).await.unwrap_err();
            assert!(error.is_timeout() && error.is::<Elapsed>());
            assert!(task.is_cancelled());
            assert_eq!(log.lines(), ["cleaned up"]);
            Ok(())
        });
    }
}

// upstream: test_waitfor.AsyncioWaitForTest.test_wait_for_reraises_exception_during_cancellation
#[test]
fn error_of_the_clean_up_takes_the_timeouts_place() {
    // WFOR-04
    in_any_order(async || {
        let task = spawn(async {
            let _ = catch_cancelled(sleep(ms(200))).await;
            Err::<(), Error>(Boom("clean-up").into())
        });
        assert!(timeout(ms(1), task).await.unwrap_err().is::<Boom>());
        Ok(())
    });
}

// upstream: test_waitfor.AsyncioWaitForTest.test_cancel_blocking_wait_for
// upstream: test_waitfor.AsyncioWaitForTest.test_cancel_wait_for
#[test]
fn cancelled_caller_cancels_the_task() {
    // WFOR-05
    for limit in [None, Some(seconds(60))] {
        in_any_order(async || {
            let task = spawn(std::future::pending::<()>());
            let inside = task.task_ref();
            let caller = spawn(timeout(limit, task));
            sleep(ms(1)).await;
            caller.cancel();
            assert!(caller.await.unwrap_err().is_cancelled());
            assert!(inside.is_cancelled());
            Ok(())
        });
    }
}

#[test]
fn cancelled_caller_is_not_timed_out_even_if_the_limit_passes_meanwhile() {
    // WFOR-05, TMO-06
    in_any_order(async || {
        let log = Log::new();
        let task = spawn(cleans_up(seconds(5), log.clone()));
        let caller = spawn(timeout(seconds(2), task));
        sleep(seconds(1)).await;
        caller.cancel();
        let error = caller.await.unwrap_err();
        assert!(error.is_cancelled() && !error.is_timeout());
        Ok(())
    });
}

// upstream: test_waitfor.AsyncioWaitForTest.test_wait_for_issue86296
#[test]
fn request_wins_over_a_value_that_has_not_been_taken() {
    // WFOR-06, CAN-06
    simulate(async {
        let log = Log::new();
        let inner = spawn(async { Ok("done") });
        let (awaited, told) = (inner.task_ref(), log.clone());
        let caller = spawn(async move {
            timeout(seconds(100), awaited.join()).await?;
            sleep(seconds(1)).await;
            told.add("reached the end");
            Ok(())
        });
        assert!(!caller.is_finished());
        yield_now().await;
        caller.cancel();
        assert!(caller.await.unwrap_err().is_cancelled());
        assert_eq!(inner.await?, "done");
        assert_eq!(log.lines(), [""; 0]);
        Ok(())
    });
}

/// Gives "done" after that time.
fn done_after(time: Duration) -> Task<&'static str> {
    spawn(async move {
        sleep(time).await;
        Ok("done")
    })
}

// upstream: test_waitfor.WaitForShieldTests.test_zero_timeout
// upstream: test_waitfor.WaitForShieldTests.test_shielded_timeout
#[test]
fn expiry_ends_the_shield_only() {
    // WFOR-08
    for limit in [Duration::ZERO, ms(10)] {
        in_any_order(async || {
            let mut task = done_after(ms(100));
            let error = timeout(limit, shield(&mut task)).await.unwrap_err();
            assert!(error.is_timeout());
            assert!(!task.is_finished());
            assert_eq!(task.cancelling(), 0);
            assert_eq!(task.await?, "done");
            Ok(())
        });
    }
}

// upstream: test_waitfor.WaitForShieldTests.test_none_timeout
#[test]
fn shielded_task_ends_in_its_own_time() {
    // WFOR-08
    in_any_order(async || {
        let task = done_after(ms(100));
        timeout(None, shield(task.task_ref())).await?;
        assert!(task.is_finished());
        assert_eq!(task.await?, "done");
        Ok(())
    });
}

#[test]
fn value_is_lost_if_the_limit_passes_before_the_caller_goes_on() {
    // WFOR-07, TMO-09
    simulate(async {
        let task = done_after(seconds(1));
        let kept: TaskRef = task.task_ref();
        let result = timeout(seconds(1), shield(task.task_ref())).await;
        assert!(result.unwrap_err().is_timeout());
        sleep(ms(1)).await;
        assert!(kept.is_finished() && kept.error().is_none());
        assert_eq!(task.await?, "done");
        Ok(())
    });
}
