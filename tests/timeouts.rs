//! A timeout is a request of its own: it becomes an error when nobody else's remains (TMO-01 to
//! TMO-17).

mod common;

use std::sync::{Arc, Mutex};

use common::{Boom, Log, in_any_order, me, ms, seconds, simulate};
use filch::time::Instant;
use filch::{Deadline, Elapsed, Result};
use filch::{catch_cancelled, sleep, spawn, timeout, timeout_at, timeout_scope};

/// Runs a timeout scope, and gives its deadline with its result: asyncio's `cm`.
async fn scope<F>(
    limit: impl Into<Option<std::time::Duration>>,
    body: impl FnOnce(Deadline) -> F,
) -> (Deadline, Result<()>)
where
    F: Future<Output = Result<()>>,
{
    let mut kept = None;
    let scope = timeout_scope(limit, |deadline| {
        kept = Some(deadline.clone());
        body(deadline)
    });
    let result = scope.await;
    (kept.unwrap(), result)
}

async fn sleeps(time: std::time::Duration) -> Result<()> {
    sleep(time).await;
    Ok(())
}

// upstream: test_timeouts.TimeoutTests.test_timeout_basic
#[test]
fn expiry_is_an_error_and_the_deadline_says_so() {
    // TMO-01, TMO-06
    in_any_order(async || {
        let start = Instant::now();
        let (deadline, result) = scope(ms(10), |_| sleeps(seconds(10))).await;
        assert!(result.unwrap_err().is_timeout());
        assert!(deadline.expired());
        assert_eq!(deadline.when(), Some(start + ms(10)));
        assert_eq!(start.elapsed(), ms(10));
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_timeout_at_basic
#[test]
fn deadline_may_be_a_moment() {
    // TMO-01
    in_any_order(async || {
        let start = Instant::now();
        let error = timeout_at(start + ms(10), sleep(seconds(10))).await.unwrap_err();
        assert!(error.is_timeout());
        assert!(error.is::<Elapsed>());
        assert_eq!(start.elapsed(), ms(10));
        let moment = start + ms(30);
        let (deadline, result) = scope(None, async |deadline| {
            deadline.reschedule(moment)?;
            sleeps(seconds(10)).await
        })
        .await;
        assert!(result.unwrap_err().is_timeout());
        assert!(deadline.expired());
        assert_eq!((deadline.when(), Instant::now()), (Some(moment), moment));
        Ok(())
    });
}

#[test]
fn deadline_is_fixed_by_the_call() {
    // TMO-01: not by the first poll
    in_any_order(async || {
        let start = Instant::now();
        let limited = timeout(seconds(10), sleep(seconds(60)));
        sleep(seconds(4)).await;
        assert!(limited.await.unwrap_err().is_timeout());
        assert_eq!(start.elapsed(), seconds(10));
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_nested_timeouts
#[test]
fn of_two_nested_timeouts_with_one_deadline_the_outer_raises() {
    // TMO-04, TMO-06, TMO-11, section 27: one Timeout, both expired, count 0
    in_any_order(async || {
        let log = Log::new();
        let seen = log.clone();
        let inner_deadline = Arc::new(Mutex::new(None));
        let kept = inner_deadline.clone();
        let (outer, result) = scope(ms(10), |_| async move {
            let inner = timeout_scope(ms(10), |deadline| {
                *kept.lock().unwrap() = Some(deadline);
                sleeps(seconds(10))
            });
            match catch_cancelled(inner).await {
                Err(cancelled) => {
                    seen.add("cancelled");
                    cancelled.raise().await
                }
                Ok(result) => {
                    seen.add("timed out");
                    result
                }
            }
        })
        .await;
        assert!(result.unwrap_err().is_timeout());
        assert_eq!(log.lines(), ["cancelled"]);
        assert!(outer.expired());
        assert!(inner_deadline.lock().unwrap().take().unwrap().expired());
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_waiter_cancelled
#[test]
fn what_is_inside_sees_a_cancellation_first() {
    // TMO-03
    in_any_order(async || {
        let log = Log::new();
        let limited = timeout(ms(10), async {
            if let Err(cancelled) = catch_cancelled(sleep(seconds(10))).await {
                log.add(format!("cancelled {}", me().cancelling()));
                cancelled.raise().await;
            }
        });
        assert!(limited.await.unwrap_err().is_timeout());
        assert_eq!(log.lines(), ["cancelled 1"]);
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_timeout_not_called
#[test]
fn block_in_time_knows_nothing_of_its_timeout() {
    // TMO-01, TMO-10
    in_any_order(async || {
        let start = Instant::now();
        let (deadline, result) = scope(seconds(10), |_| sleeps(ms(10))).await;
        result?;
        assert!(!deadline.expired());
        assert_eq!(deadline.when(), Some(start + seconds(10)));
        assert_eq!(start.elapsed(), ms(10));
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_timeout_disabled
#[test]
fn timeout_without_limit_never_expires() {
    // TMO-01
    in_any_order(async || {
        let (deadline, result) = scope(None, |_| sleeps(seconds(1 << 30))).await;
        result?;
        assert!(!deadline.expired());
        assert_eq!(deadline.when(), None);
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_timeout_at_disabled
#[test]
fn timeout_without_moment_never_expires() {
    // TMO-01
    in_any_order(async || timeout_at(None, sleep(seconds(1 << 30))).await);
}

// upstream: test_timeouts.TimeoutTests.test_timeout_zero
#[test]
fn no_time_at_all_expires_at_the_first_suspension() {
    // TMO-02
    in_any_order(async || {
        let start = Instant::now();
        let (deadline, result) = scope(ms(0), |_| sleeps(seconds(10))).await;
        assert!(result.unwrap_err().is_timeout());
        assert!(deadline.expired());
        assert_eq!(deadline.when(), Some(start));
        assert_eq!(start.elapsed(), ms(0));
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_timeout_zero_sleep_zero
#[test]
fn no_time_at_all_expires_at_a_bare_yield() {
    // TMO-02
    simulate(async {
        let start = Instant::now();
        let (deadline, result) = scope(ms(0), |_| sleeps(ms(0))).await;
        assert!(result.unwrap_err().is_timeout());
        assert!(deadline.expired());
        assert_eq!(start.elapsed(), ms(0));
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_timeout_in_the_past_sleep_zero
#[test]
fn moment_in_the_past_expires_at_a_bare_yield() {
    // TMO-02
    simulate(async {
        sleep(seconds(20)).await;
        let start = Instant::now();
        let past = timeout_at(start - seconds(11), sleep(ms(0)));
        assert!(past.await.unwrap_err().is_timeout());
        assert_eq!(start.elapsed(), ms(0));
        Ok(())
    });
}

#[test]
fn block_that_never_suspends_is_not_affected() {
    // TMO-02, section 27
    in_any_order(async || {
        let (deadline, result) = scope(ms(0), |_| async { Ok(()) }).await;
        result?;
        assert!(!deadline.expired());
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_foreign_exception_passed
#[test]
fn other_error_passes() {
    // TMO-10
    in_any_order(async || {
        let (deadline, result) = scope(ms(10), |_| async { Err(Boom("key").into()) }).await;
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&Boom("key")));
        assert!(!deadline.expired());
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_foreign_exception_on_timeout
#[test]
fn error_of_the_clean_up_passes_after_expiry() {
    // TMO-07: the type that leaves the block is the error's
    in_any_order(async || {
        let (deadline, result) = scope(ms(10), |_| async {
            match catch_cancelled(sleep(seconds(1))).await {
                Err(_) => Err(Boom("division by zero").into()),
                Ok(()) => Ok(()),
            }
        })
        .await;
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&Boom("division by zero")));
        assert!(deadline.expired());
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_foreign_exception_on_timeout_2
#[test]
fn latest_error_of_nested_clean_ups_passes_after_expiry() {
    // TMO-07
    in_any_order(async || {
        let log = Log::new();
        let limited = timeout(ms(10), async {
            let inner = async {
                let failed: Result<()> = Err(Boom("value").into());
                // The clean-up after the first error is what the timeout interrupts.
                sleep(seconds(1)).await;
                failed
            };
            let outcome = catch_cancelled(inner).await;
            log.add(format!("cancelled {}", outcome.is_err()));
            let key: Result<()> = Err(Boom("key").into());
            key.or(Err(Boom("division by zero").into()))
        });
        let error = limited.await.unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Boom("division by zero")));
        assert_eq!(log.lines(), ["cancelled true"]);
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_foreign_cancel_doesnt_timeout_if_not_expired
#[test]
fn foreign_request_passes_a_timeout_that_has_not_expired() {
    // TMO-10
    in_any_order(async || {
        let kept = Arc::new(Mutex::new(None));
        let deadline = kept.clone();
        let mut task = spawn(async move {
            let (_, result) = scope(seconds(10), |inner| {
                *deadline.lock().unwrap() = Some(inner);
                async {
                    me().cancel();
                    sleeps(seconds(10)).await
                }
            })
            .await;
            result
        });
        assert!((&mut task).await.unwrap_err().is_cancelled());
        assert!(task.is_cancelled());
        assert!(!kept.lock().unwrap().take().unwrap().expired());
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_outer_task_is_not_cancelled
#[test]
fn task_that_handles_its_timeout_ends_normally() {
    // TMO-06
    in_any_order(async || {
        let mut task = spawn(async {
            assert!(timeout(ms(1), sleep(seconds(10))).await.unwrap_err().is_timeout());
        });
        (&mut task).await?;
        assert!(!task.is_cancelled());
        assert!(task.is_finished());
        assert_eq!(task.cancelling(), 0);
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_nested_timeouts_loop_busy
#[test]
fn outer_timeout_interrupts_what_follows_the_inner_one() {
    // TMO-12
    in_any_order(async || {
        let start = Instant::now();
        let log = Log::new();
        let outer = timeout(ms(100), async {
            let inner = timeout(ms(10), sleep(seconds(1))).await;
            log.add(format!("inner {}", inner.unwrap_err().is_timeout()));
            sleep(seconds(10)).await;
        });
        assert!(outer.await.unwrap_err().is_timeout());
        assert_eq!(log.lines(), ["inner true"]);
        assert_eq!(start.elapsed(), ms(100));
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_nested_timeouts_concurrent
#[test]
fn outer_timeout_passes_an_inner_one_that_has_time_left() {
    // TMO-11
    in_any_order(async || {
        let start = Instant::now();
        let log = Log::new();
        let outer = timeout(ms(2), async {
            let inner = catch_cancelled(timeout(ms(100), sleep(seconds(1)))).await;
            log.add(if inner.is_err() { "inner is unwound" } else { "inner returns" });
            if let Err(cancelled) = inner {
                cancelled.raise().await;
            }
        });
        assert!(outer.await.unwrap_err().is_timeout());
        assert_eq!(log.lines(), ["inner is unwound"]);
        assert_eq!(start.elapsed(), ms(2));
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_nested_timeout_in_finally
#[test]
fn timeout_works_in_the_clean_up_of_an_expired_one() {
    // TMO-07, TMO-12
    in_any_order(async || {
        let start = Instant::now();
        let log = Log::new();
        let outer = timeout(ms(10), async {
            if let Err(cancelled) = catch_cancelled(sleep(seconds(1))).await {
                let inner = timeout(ms(10), sleep(seconds(10))).await;
                log.add(format!("inner {} {}", inner.unwrap_err().is_timeout(), me().cancelling()));
                cancelled.raise().await;
            }
        });
        assert!(outer.await.unwrap_err().is_timeout());
        assert_eq!(log.lines(), ["inner true 1"]);
        assert_eq!(start.elapsed(), ms(20));
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_timeout_after_cancellation
#[test]
fn timeout_works_in_a_task_that_was_cancelled() {
    // TMO-05, CAN-27
    in_any_order(async || {
        let mut task = spawn(async {
            me().cancel();
            assert!(catch_cancelled(sleep(seconds(1))).await.is_err());
            assert!(timeout(ms(0), sleep(seconds(1))).await.unwrap_err().is_timeout());
        });
        (&mut task).await?;
        assert_eq!(task.cancelling(), 1);
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_cancel_in_timeout_after_cancellation
#[test]
fn new_request_in_a_timeout_of_a_clean_up_stays_a_cancellation() {
    // TMO-05, TMO-06, CAN-27
    in_any_order(async || {
        let mut task = spawn(async {
            me().cancel();
            assert!(catch_cancelled(sleep(seconds(1))).await.is_err());
            let limited = timeout(seconds(1), async {
                me().cancel();
                sleep(seconds(2)).await;
            });
            assert!(catch_cancelled(limited).await.is_err());
        });
        (&mut task).await?;
        assert_eq!(task.cancelling(), 2);
        Ok(())
    });
}

/// What counts on the task's own memory must not do so elsewhere: futures in boxes are polled by a
/// task that ends before them.
#[test]
fn what_waits_outlives_the_task_that_began_it() {
    simulate(async {
        let start = Instant::now();
        let begun = spawn(async {
            let pause = Box::pin(sleep(seconds(5)));
            let limited = Box::pin(timeout(seconds(3), sleeps(seconds(9))));
            let caught = Box::pin(catch_cancelled(sleeps(seconds(2))));
            let mut begun = (pause, limited, caught);
            std::future::poll_fn(|context| {
                assert!(begun.0.as_mut().poll(context).is_pending());
                assert!(begun.1.as_mut().poll(context).is_pending());
                assert!(begun.2.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            Ok(begun)
        });
        let (pause, limited, caught) = begun.await?;
        sleep(seconds(1)).await;
        caught.await.unwrap()?;
        assert_eq!(start.elapsed(), seconds(2));
        assert!(limited.await.unwrap_err().is_timeout());
        assert_eq!(start.elapsed(), seconds(3));
        pause.await;
        assert_eq!(start.elapsed(), seconds(5));
        Ok(())
    });
}
