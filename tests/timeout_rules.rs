//! What a timeout owes to others: to requests that are not its own, to those who move its
//! deadline, to results that came in time (TMO-02 to TMO-17).

mod common;

use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use common::{Boom, Log, in_any_order, me, ms, seconds, simulate};
use filch::time::Instant;
use filch::{Deadline, Elapsed, NotActive, Result};
use filch::{catch_cancelled, sleep, sleep_until, spawn, spawn_eager};
use filch::{timeout, timeout_any, timeout_scope, to_thread, yield_now};
use futures::channel::oneshot;
use futures::executor::block_on;
use futures::poll;
use futures::stream::{FuturesUnordered, StreamExt};

type Kept = Arc<Mutex<Option<Deadline>>>;

/// A timeout scope whose deadline is kept.
fn keeping<F>(
    kept: &Kept,
    limit: impl Into<Option<std::time::Duration>>,
    body: F,
) -> filch::TimeoutScope<F>
where
    F: Future<Output = Result<()>>,
{
    timeout_scope(limit, |deadline| {
        *kept.lock().unwrap() = Some(deadline);
        body
    })
}

fn taken(kept: &Kept) -> Deadline {
    kept.lock().unwrap().clone().unwrap()
}

async fn sleeps(time: std::time::Duration) -> Result<()> {
    sleep(time).await;
    Ok(())
}

fn refusal(result: Result<(), NotActive>) -> String {
    result.unwrap_err().to_string()
}

// upstream: test_timeouts.TimeoutTests.test_reschedule
#[test]
fn deadline_is_moved_and_taken_away_by_another_task() {
    // TMO-14
    simulate(async {
        let start = Instant::now();
        let (sender, receiver) = oneshot::channel();
        let mut task = spawn(timeout_scope(seconds(10), |deadline| async move {
            _ = sender.send(deadline);
            sleeps(seconds(50)).await
        }));
        let deadline: Deadline = receiver.await?;
        assert_eq!(deadline.when(), Some(start + seconds(10)));
        deadline.reschedule(start + seconds(30))?;
        assert_eq!(deadline.when(), Some(start + seconds(30)));
        deadline.reschedule(None)?;
        assert_eq!(deadline.when(), None);
        sleep(seconds(40)).await;
        task.cancel();
        assert!((&mut task).await.unwrap_err().is_cancelled());
        assert!(!deadline.expired());
        assert_eq!(start.elapsed(), seconds(40));
        Ok(())
    });
}

#[test]
fn moved_deadline_is_the_one_that_counts() {
    // TMO-14: later, earlier, and from inside
    in_any_order(async || {
        let start = Instant::now();
        let later = timeout_scope(seconds(1), |deadline| async move {
            deadline.reschedule(start + seconds(5))?;
            sleeps(seconds(60)).await
        });
        assert!(later.await.unwrap_err().is_timeout());
        assert_eq!(start.elapsed(), seconds(5));
        let kept = Kept::default();
        let task = spawn(keeping(&kept, seconds(50), sleeps(seconds(60))));
        sleep(seconds(1)).await;
        taken(&kept).reschedule(start + seconds(10))?;
        assert!(task.await.unwrap_err().is_timeout());
        assert_eq!(start.elapsed(), seconds(10));
        let past = timeout_scope(None, |deadline| async move {
            deadline.reschedule(start)?;
            sleeps(seconds(60)).await
        });
        assert!(past.await.unwrap_err().is_timeout());
        assert_eq!(start.elapsed(), seconds(10));
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_timeout_finished
#[test]
fn deadline_of_a_finished_timeout_is_not_moved() {
    // TMO-14
    in_any_order(async || {
        let kept = Kept::default();
        keeping(&kept, ms(10), async { Ok(()) }).await?;
        let refused = taken(&kept).reschedule(Instant::now());
        assert_eq!(refusal(refused), "cannot move the deadline of a timeout that is finished");
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_timeout_expired
#[test]
fn deadline_of_an_expired_timeout_is_not_moved() {
    // TMO-04, TMO-14
    in_any_order(async || {
        let kept = Kept::default();
        assert!(keeping(&kept, ms(10), sleeps(seconds(1))).await.unwrap_err().is_timeout());
        let refused = taken(&kept).reschedule(Instant::now());
        assert_eq!(refusal(refused), "cannot move the deadline of a timeout that has expired");
        assert!(taken(&kept).expired());
        Ok(())
    });
}

#[test]
fn deadline_has_run_out_when_its_timer_fires() {
    // TMO-04, TMO-16: before the task takes notice
    simulate(async {
        let kept = Kept::default();
        let end = Instant::now() + ms(10);
        let seen = kept.clone();
        // Its timer is the first, so it runs before the other task.
        let observer = spawn_eager(async move {
            sleep_until(end).await;
            assert!(taken(&seen).expired());
            Ok(refusal(taken(&seen).reschedule(None)))
        });
        let timed = spawn_eager(keeping(&kept, ms(10), sleeps(seconds(1))));
        let refused = observer.await?;
        assert_eq!(refused, "cannot move the deadline of a timeout that is expiring");
        assert!(timed.await.unwrap_err().is_timeout());
        Ok(())
    });
}

#[test]
fn deadline_of_a_timeout_that_is_over_is_not_moved() {
    simulate(async {
        let kept = Kept::default();
        let mut timed = pin!(keeping(&kept, ms(10), async { Ok(()) }));
        assert!(poll!(&mut timed).is_ready());
        let refused = taken(&kept).reschedule(None);
        assert_eq!(refusal(refused), "cannot move the deadline of a timeout that is finished");
        Ok(())
    });
}

// upstream: test_timeouts.TimeoutTests.test_timeout_expiring
#[test]
fn deadline_of_an_expiring_timeout_is_not_moved() {
    // TMO-04, TMO-08, TMO-14
    in_any_order(async || {
        let scope = timeout_scope(ms(10), |deadline| async move {
            assert!(catch_cancelled(sleep(seconds(1))).await.is_err());
            assert!(deadline.expired());
            let refused = deadline.reschedule(Instant::now());
            assert_eq!(refusal(refused), "cannot move the deadline of a timeout that is expiring");
            Ok(())
        });
        scope.await
    });
}

// upstream: test_timeouts.TimeoutTests.test_timeout_not_entered
#[test]
fn deadline_of_a_timeout_that_was_not_entered_is_not_moved() {
    // TMO-14
    in_any_order(async || {
        let kept = Kept::default();
        let scope = keeping(&kept, ms(10), async { Ok(()) });
        let refused = taken(&kept).reschedule(Instant::now());
        let not_entered = "cannot move the deadline of a timeout that has not been entered";
        assert_eq!(refusal(refused), not_entered);
        scope.await
    });
}

#[test]
fn block_that_swallows_the_expiry_ends_normally() {
    // TMO-08, section 27: expired() true, count 1 inside and 0 after
    in_any_order(async || {
        let kept = Kept::default();
        let log = Log::new();
        let seen = log.clone();
        let body = async move {
            assert!(catch_cancelled(sleep(seconds(1))).await.is_err());
            seen.add(format!("inside {}", me().cancelling()));
            sleeps(seconds(1)).await
        };
        keeping(&kept, ms(10), body).await?;
        log.add(format!("after {} {}", me().cancelling(), taken(&kept).expired()));
        assert_eq!(log.lines(), ["inside 1", "after 0 true"]);
        Ok(())
    });
}

/// A timeout around a slow clean-up; gives the task and the deadline.
fn slow_clean_up(limit: u64) -> (filch::Task<()>, Kept) {
    let kept = Kept::default();
    let body = async {
        if let Err(cancelled) = catch_cancelled(sleep(seconds(100))).await {
            sleep(seconds(10)).await;
            cancelled.raise().await;
        }
        Ok(())
    };
    let task = spawn(keeping(&kept, seconds(limit), body));
    (task, kept)
}

#[test]
fn foreign_request_and_expiry_in_either_order_are_a_cancellation() {
    // TMO-06, section 27: `Cancelled`, expired() true, count 1. The later one interrupts the
    // clean-up of the earlier.
    in_any_order(async || {
        for (asked, limit) in [(1, 5), (5, 1)] {
            let start = Instant::now();
            let (mut task, kept) = slow_clean_up(limit);
            sleep(seconds(asked)).await;
            task.cancel();
            assert!((&mut task).await.unwrap_err().is_cancelled());
            assert!(task.is_cancelled());
            assert!(taken(&kept).expired());
            assert_eq!(task.cancelling(), 1);
            assert_eq!(start.elapsed(), seconds(5));
        }
        Ok(())
    });
}

#[test]
fn result_that_was_not_taken_in_time_is_lost() {
    // TMO-09, section 27: the awaited task keeps its value
    simulate(async {
        let inner = spawn(async {
            sleep(seconds(1)).await;
            Ok(7)
        });
        let awaited = inner.task_ref();
        yield_now().await;
        // Its timer was set after the task's, so at one instant the task ends first.
        let limited = timeout(seconds(1), inner).await;
        assert!(limited.unwrap_err().is_timeout());
        assert!(awaited.is_finished());
        assert!(!awaited.is_cancelled());
        assert!(awaited.error().is_none());
        Ok(())
    });
}

#[test]
fn timeout_that_is_left_in_time_never_fires_later() {
    // TMO-09, TMO-16
    in_any_order(async || {
        timeout(seconds(1), sleep(ms(999))).await?;
        sleep(seconds(10)).await;
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

#[test]
fn timeout_around_a_task_cancels_the_task_and_waits_for_it() {
    // CAN-17, TMO-06
    in_any_order(async || {
        let start = Instant::now();
        let inner = spawn(async {
            if let Err(cancelled) = catch_cancelled(sleep(seconds(100))).await {
                sleep(seconds(2)).await;
                cancelled.raise().await;
            }
        });
        let awaited = inner.task_ref();
        assert!(timeout(seconds(1), inner).await.unwrap_err().is_timeout());
        assert!(awaited.is_cancelled());
        assert_eq!(start.elapsed(), seconds(3));
        Ok(())
    });
}

#[test]
fn task_that_swallows_the_expiry_gives_its_value() {
    // CAN-17, TMO-08
    in_any_order(async || {
        let inner = spawn(async {
            assert!(catch_cancelled(sleep(seconds(100))).await.is_err());
            Ok("V")
        });
        assert_eq!(timeout(seconds(1), inner).await?, "V");
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

#[test]
fn timeout_around_any_future_gives_its_output_as_it_is() {
    // TMO-06
    in_any_order(async || {
        assert_eq!(timeout_any(seconds(1), async { "plain" }).await.unwrap(), "plain");
        let mine: Result<(), Boom> = timeout_any(seconds(1), async { Err(Boom("mine")) }).await?;
        assert_eq!(mine, Err(Boom("mine")));
        let elapsed: Elapsed = timeout_any(seconds(1), sleep(seconds(2))).await.unwrap_err();
        assert!(filch::Error::from(elapsed).is_timeout());
        Ok(())
    });
}

#[test]
fn deadline_that_passes_during_a_blocking_step_does_not_interrupt_it() {
    // TMO-17, section 27: left without suspending, no error, expired() false
    filch::run(async {
        let kept = Kept::default();
        let body = async {
            let begin = Instant::now();
            while begin.elapsed() < ms(3) {
                std::hint::spin_loop();
            }
            Ok(())
        };
        keeping(&kept, ms(1), body).await?;
        assert!(!taken(&kept).expired());
        Ok(())
    })
    .unwrap();
}

#[test]
fn expiry_frees_what_is_inside_before_it_is_an_error() {
    // TASK-20, TMO-06
    in_any_order(async || {
        let log = Log::new();
        let guard = log.on_drop("dropped");
        let limited = timeout(ms(1), async move {
            let _guard = guard;
            sleep(seconds(1)).await;
        });
        futures::pin_mut!(limited);
        assert!(limited.as_mut().await.unwrap_err().is_timeout());
        log.add("timed out");
        assert_eq!(log.lines(), ["dropped", "timed out"]);
        Ok(())
    });
}

#[test]
fn timeout_that_let_a_request_pass_unwinds_whoever_polls_it_again() {
    // TMO-10, design 1: it was not dropped with the scope that it unwound
    in_any_order(async || {
        let start = Instant::now();
        let mut task = spawn(async {
            let mut limited = Box::pin(timeout(seconds(10), sleep(seconds(100))));
            assert!(catch_cancelled(&mut limited).await.is_err());
            assert!(catch_cancelled(&mut limited).await.is_err());
        });
        sleep(seconds(1)).await;
        task.cancel();
        (&mut task).await?;
        assert_eq!(start.elapsed(), seconds(1));
        Ok(())
    });
}

#[test]
fn task_that_moves_its_own_deadline_is_not_queued_by_that() {
    // TMO-14, CAN-14: it is suspended, so a request leaves at once and cannot be taken back
    simulate(async {
        let mut task = spawn(timeout_scope(seconds(10), |deadline| async move {
            deadline.reschedule(Instant::now() + seconds(20))?;
            sleeps(seconds(100)).await
        }));
        yield_now().await;
        assert!(task.cancel());
        assert_eq!(task.uncancel(), 0);
        assert!((&mut task).await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn outside_a_task_a_timeout_bounds_its_future_and_a_cancellation_is_an_error() {
    // Where no poll is to be unwound, another executor may block.
    let closure = || {
        let bounded = block_on(timeout(ms(1), sleep(seconds(3600))));
        assert!(bounded.unwrap_err().is_timeout());
        let task = spawn(pending::<()>());
        task.cancel();
        let cancelled = block_on(timeout(seconds(3600), task));
        assert!(cancelled.unwrap_err().is_cancelled());
    };
    filch::run(to_thread(closure)).unwrap();
}

#[test]
fn a_request_reaches_a_timeout_that_is_polled_with_another_waker() {
    // CAN-06: seen from the timeout, that is no other case than an executor inside the task
    in_any_order(async || {
        let log = Log::new();
        let seen = log.clone();
        let task = spawn(async move {
            let inside = async {
                if let Err(cancelled) = catch_cancelled(sleep(seconds(10))).await {
                    seen.add("the request came in");
                    cancelled.raise().await;
                }
            };
            let limited = timeout_any(seconds(20), inside);
            let ended = FuturesUnordered::from_iter([limited]).next().await;
            seen.add(format!("what is behind a cancellation: {ended:?}"));
        });
        sleep(seconds(1)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(log.lines(), ["the request came in"]);
        Ok(())
    });
}
