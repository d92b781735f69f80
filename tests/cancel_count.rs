//! Requests are counted, and can be taken back as long as they have not left (CAN-02, CAN-13 to
//! CAN-16, CAN-25).

mod common;

use std::sync::{Arc, Mutex};

use common::{Log, in_any_order, me, ms, seconds, simulate};
use filch::{Task, catch_cancelled, sleep, spawn, yield_now};
use futures::channel::oneshot;

/// A task that sleeps for long.
fn sleeper() -> Task<()> {
    spawn(sleep(seconds(3600)))
}

// upstream: test_tasks.BaseTaskTests.test_cancelling
#[test]
fn every_request_counts_until_the_end() {
    // CAN-02
    in_any_order(async || {
        let task = sleeper();
        assert_eq!(task.cancelling(), 0);
        assert!(!format!("{:?}", task.task_ref()).contains("cancelling"));
        assert!(task.cancel());
        assert_eq!(task.cancelling(), 1);
        assert!(format!("{:?}", task.task_ref()).contains("cancelling"));
        assert!(task.cancel());
        assert_eq!(task.cancelling(), 2);
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_uncancel_basic
#[test]
fn request_taken_back_after_delivery_leaves_the_task_alive() {
    // CAN-13, CAN-16, CAN-21
    in_any_order(async || {
        let mut task = spawn(async {
            if catch_cancelled(sleep(seconds(10))).await.is_err() {
                me().uncancel();
                sleep(seconds(10)).await;
            }
        });
        sleep(ms(10)).await;
        assert!(task.cancel());
        assert_eq!((task.cancelling(), task.is_cancelled()), (1, false));
        sleep(ms(10)).await;
        assert!(!format!("{:?}", task.task_ref()).contains("cancelling"));
        assert_eq!((task.cancelling(), task.is_cancelled()), (0, false));
        assert!(task.cancel());
        assert_eq!((task.cancelling(), task.is_cancelled()), (1, false));
        assert!((&mut task).await.unwrap_err().is_cancelled());
        task.uncancel();
        assert!(task.is_cancelled());
        assert!(task.is_finished());
        Ok(())
    });
}

/// A timeout as one would write it by hand. Gives: timed out, block finished.
async fn request_with_timeout(
    time: std::time::Duration,
    limit: std::time::Duration,
) -> filch::Result<(bool, bool)> {
    let task = me();
    let timed_out = Arc::new(Mutex::new(false));
    let alarm = spawn({
        let (timed_out, task) = (timed_out.clone(), task.clone());
        async move {
            sleep(limit).await;
            *timed_out.lock().unwrap() = true;
            task.cancel();
        }
    });
    let block = catch_cancelled(sleep(time)).await;
    alarm.cancel();
    let expired = *timed_out.lock().unwrap();
    let finished = block.is_ok();
    if let Err(cancelled) = block
        && !(expired && task.uncancel() == 0)
    {
        cancelled.raise().await;
    }
    yield_now().await;
    Ok((expired, finished))
}

// upstream: test_tasks.BaseTaskTests.test_uncancel_structured_blocks
#[test]
fn structured_block_takes_its_own_request_back() {
    // CAN-25
    simulate(async {
        let mut late = spawn(request_with_timeout(seconds(10), ms(100)));
        assert_eq!((&mut late).await?, (true, false));
        assert_eq!(late.cancelling(), 0);
        let mut prompt = spawn(request_with_timeout(ms(0), seconds(10)));
        assert_eq!((&mut prompt).await?, (false, true));
        assert_eq!(prompt.cancelling(), 0);
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_uncancel_resets_must_cancel
#[test]
fn request_taken_back_before_delivery_never_was() {
    // CAN-13: awaited future done, not resumed; cancel, uncancel: the body gets the value
    simulate(async {
        let (sender, receiver) = oneshot::channel::<u32>();
        let task = spawn(async move { Ok(receiver.await?) });
        yield_now().await;
        sender.send(42).unwrap();
        assert!(task.cancel());
        assert_eq!(task.cancelling(), 1);
        assert_eq!(task.uncancel(), 0);
        assert_eq!(task.cancelling(), 0);
        assert_eq!(task.await?, 42);
        Ok(())
    });
}

#[test]
fn fresh_task_runs_if_its_request_is_taken_back() {
    // CAN-13, section 27
    in_any_order(async || {
        let task = spawn(async { Ok(7) });
        assert!(task.cancel());
        assert_eq!(task.uncancel(), 0);
        assert_eq!(task.await?, 7);
        Ok(())
    });
}

#[test]
fn request_that_has_left_cannot_be_taken_back() {
    // CAN-14, section 27: Cancelled(m) arrives although the count is zero
    simulate(async {
        let log = Log::new();
        let seen = log.clone();
        let task = spawn(async move {
            let cancelled = catch_cancelled(sleep(seconds(10))).await.unwrap_err();
            seen.add(format!("{:?} {}", cancelled.message(), me().cancelling()));
        });
        sleep(seconds(1)).await;
        assert!(task.cancel_with("m"));
        assert_eq!(task.uncancel(), 0);
        task.await?;
        assert_eq!(log.lines(), ["Some(\"m\") 0"]);
        Ok(())
    });
}

#[test]
fn taking_back_one_of_two_requests_leaves_one_to_deliver() {
    // CAN-15
    in_any_order(async || {
        let task = sleeper();
        task.cancel();
        task.cancel();
        assert_eq!(task.uncancel(), 1);
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn taking_back_what_was_never_asked_does_nothing() {
    // CAN-13: never below zero
    in_any_order(async || {
        let task = sleeper();
        assert_eq!(task.uncancel(), 0);
        assert_eq!(task.cancelling(), 0);
        task.cancel();
        assert_eq!(task.cancelling(), 1);
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    });
}
