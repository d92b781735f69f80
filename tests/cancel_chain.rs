//! A request goes down the chain of tasks that await each other, and the outcome comes up (CAN-06,
//! CAN-17, CAN-18, CAN-22, CAN-23).

mod common;

use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex};

use common::{Boom, Log, in_any_order, me, ms, seconds, simulate};
use filch::{Join, Task, catch_cancelled, sleep, spawn, yield_now};
use futures::channel::oneshot;
use futures::{FutureExt, poll};

/// A task that sleeps for long.
fn sleeper() -> Task<()> {
    spawn(sleep(seconds(3600)))
}

// upstream: test_tasks.BaseTaskTests.test_cancel_inner_future
#[test]
fn somebody_elses_cancellation_of_what_is_awaited_ends_the_awaiter() {
    // CAN-18
    in_any_order(async || {
        let inner = sleeper();
        let asked = inner.task_ref();
        let mut task = spawn(async move {
            inner.await?;
            Ok(12)
        });
        sleep(ms(1)).await;
        asked.cancel();
        assert!((&mut task).await.unwrap_err().is_cancelled());
        assert!(asked.is_cancelled());
        assert!(task.is_cancelled());
        assert_eq!(task.cancelling(), 0);
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_cancel_both_task_and_inner_future
#[test]
fn task_and_what_it_awaits_are_cancelled_at_once() {
    // CAN-04, CAN-18
    in_any_order(async || {
        let inner = sleeper();
        let asked = inner.task_ref();
        let mut task = spawn(async move {
            inner.await?;
            Ok(12)
        });
        sleep(ms(1)).await;
        asked.cancel();
        task.cancel();
        assert!((&mut task).await.unwrap_err().is_cancelled());
        assert!(task.is_finished());
        assert!(asked.is_cancelled());
        assert!(task.is_cancelled());
        Ok(())
    });
}

#[test]
fn request_beats_the_result_that_is_there_but_not_taken() {
    // CAN-06, TASK-06, section 27
    simulate(async {
        for failed in [false, true] {
            let log = Log::new();
            let seen = log.clone();
            let inner = spawn(async move {
                sleep(seconds(1)).await;
                if failed { Err(Boom("lost").into()) } else { Ok(1) }
            });
            let awaited = inner.task_ref();
            let task = spawn(async move {
                match catch_cancelled(inner).await {
                    Err(_) => seen.add("cancelled"),
                    Ok(result) => seen.add(format!("{result:?}")),
                }
            });
            let asked = task.task_ref();
            // Registered before the waiter: it runs when that one is about to be woken.
            awaited.add_done_callback(move |_| _ = asked.cancel());
            task.await?;
            assert!(!awaited.is_cancelled());
            assert_eq!(log.lines(), ["cancelled"]);
        }
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_cancel_awaited_task
#[test]
fn request_made_while_running_reaches_the_task_awaited_next() {
    // CAN-07, CAN-17
    simulate(async {
        let (sender, receiver) = oneshot::channel::<()>();
        let nested = Arc::new(Mutex::new(None));
        let kept = nested.clone();
        let mut task = spawn(async move {
            let nested = spawn(async move { Ok(receiver.await?) });
            *kept.lock().unwrap() = Some(nested.task_ref());
            yield_now().await;
            me().cancel();
            nested.await
        });
        assert!((&mut task).await.unwrap_err().is_cancelled());
        assert!(task.is_cancelled());
        assert!(nested.lock().unwrap().take().unwrap().is_cancelled());
        assert!(sender.is_canceled());
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_task_cancel_sleeping_task
#[test]
fn awaiter_sees_the_cancellation_of_a_sleeper() {
    // CAN-17, CAN-18
    in_any_order(async || {
        let start = filch::time::Instant::now();
        let task = sleeper();
        let asked = task.task_ref();
        spawn(async move {
            sleep(ms(100)).await;
            asked.cancel();
        })
        .detach();
        let seen = match catch_cancelled(task).await {
            Err(_) => "cancelled",
            Ok(_) => "slept in",
        };
        assert_eq!(seen, "cancelled");
        assert_eq!(me().cancelling(), 0);
        assert_eq!(start.elapsed(), ms(100));
        Ok(())
    });
}

#[test]
fn request_goes_down_the_chain_and_the_outcome_comes_up() {
    // CAN-17, section 27: inner swallows and returns V; outer gets V, count 1, not cancelled
    in_any_order(async || {
        let mut outer = spawn(async {
            let inner = spawn(async {
                _ = catch_cancelled(sleep(seconds(10))).await;
                Ok("V")
            });
            let value = inner.await?;
            Ok((value, me().cancelling()))
        });
        sleep(seconds(1)).await;
        assert!(outer.cancel());
        assert_eq!((&mut outer).await?, ("V", 1));
        assert!(!outer.is_cancelled());
        Ok(())
    });
}

#[test]
fn inner_error_during_the_unwinding_is_what_the_outer_sees() {
    // CAN-17: inner raises E; outer gets E
    in_any_order(async || {
        let outer = spawn(async {
            let inner = spawn(async {
                _ = catch_cancelled(sleep(seconds(10))).await;
                Err::<(), _>(Boom("E").into())
            });
            inner.await
        });
        sleep(seconds(1)).await;
        assert!(outer.cancel());
        let error = outer.await.unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Boom("E")));
        Ok(())
    });
}

#[test]
fn own_cancellation_is_never_an_error_value() {
    // CAN-22: `if let Err(_)` does not swallow it
    in_any_order(async || {
        let log = Log::new();
        let seen = log.clone();
        let mut task = spawn(async move {
            let inner = sleeper();
            if inner.await.is_err() {
                seen.add("caught by accident");
            }
            seen.add("went on");
        });
        sleep(seconds(1)).await;
        task.cancel();
        assert!((&mut task).await.unwrap_err().is_cancelled());
        assert!(task.is_cancelled());
        assert_eq!(log.lines(), [] as [&str; 0]);
        Ok(())
    });
}

#[test]
fn tasks_that_await_each_other_both_end_cancelled() {
    // CAN-23, section 27: asyncio fails here
    in_any_order(async || {
        let (sender, receiver) = oneshot::channel::<Task<()>>();
        let first = spawn(async move { receiver.await?.await });
        let asked = first.task_ref();
        let second = spawn(first);
        let other = second.task_ref();
        sender.send(second).unwrap();
        sleep(seconds(1)).await;
        assert!(asked.cancel());
        sleep(seconds(1)).await;
        assert!(asked.is_cancelled());
        assert!(other.is_cancelled());
        Ok(())
    });
}

#[test]
fn long_chain_is_cancelled_from_its_head() {
    // CAN-23, MOD-11, section 27: 100 000 tasks
    simulate(async {
        let mut head = sleeper();
        let mut all = vec![head.task_ref()];
        for _ in 1..100_000 {
            let next = head;
            head = spawn(next);
            all.push(head.task_ref());
        }
        sleep(seconds(1)).await;
        assert!(head.cancel());
        assert!(head.await.unwrap_err().is_cancelled());
        assert_eq!(all.iter().filter(|task| task.is_cancelled()).count(), 100_000);
        assert!(all.iter().all(|task| task.cancelling() == 1));
        Ok(())
    });
}

#[test]
fn scope_that_takes_takes_what_was_passed_on_below_it() {
    // design 1: a clean-up is not interrupted by a request that came back from a dropped await
    in_any_order(async || {
        let log = Log::new();
        let (seen, outer_seen) = (log.clone(), log.clone());
        let slow = spawn(async {
            _ = catch_cancelled(sleep(seconds(10))).await;
            sleep(seconds(10)).await;
        });
        let mut task = spawn(async move {
            let awaits = async { drop(catch_cancelled(slow).await) };
            let raises = async {
                if let Err(cancelled) = catch_cancelled(sleep(seconds(10))).await {
                    seen.add("raises");
                    cancelled.raise().await;
                }
            };
            let both = async { _ = futures::join!(awaits, raises) };
            if catch_cancelled(both).await.is_err() {
                outer_seen.add("cleans up");
                sleep(seconds(1)).await;
                outer_seen.add("cleaned up");
            }
        });
        sleep(seconds(1)).await;
        assert!(task.cancel());
        (&mut task).await?;
        assert_eq!(log.lines(), ["raises", "cleans up", "cleaned up"]);
        assert_eq!(task.cancelling(), 1);
        Ok(())
    });
}

#[test]
fn task_left_by_a_select_is_no_longer_asked() {
    // design 1: a later request concerns the awaiter, not the task it once awaited
    in_any_order(async || {
        let other = sleeper();
        let kept = other.task_ref();
        let mut task = spawn(async move {
            let pause = Box::pin(sleep(seconds(1)));
            drop(futures::future::select(other, pause).await);
            sleep(seconds(100)).await;
        });
        sleep(seconds(2)).await;
        assert!(task.cancel());
        assert!((&mut task).await.unwrap_err().is_cancelled());
        assert!(!kept.is_finished());
        assert_eq!(kept.cancelling(), 0);
        Ok(())
    });
}

/// A task that is asked to end twice before it does, and tells how.
fn stubborn(log: &Log) -> Task<()> {
    let log = log.clone();
    spawn(async move {
        for _ in 0..2 {
            let requested = catch_cancelled(pending::<()>()).await.is_err();
            log.add(format!("requested {requested}, {} in all", me().cancelling()));
        }
        Ok(())
    })
}

/// A task that begins to wait for another one, and leaves how it waits to anybody.
fn begun_elsewhere(task: &Task<()>) -> (Task<()>, Arc<Mutex<Option<Join>>>) {
    let (mut join, kept) = (task.join(), Arc::new(Mutex::new(None)));
    let there = kept.clone();
    let other = spawn(async move {
        assert!(poll!(&mut join).is_pending());
        *there.lock().unwrap() = Some(join);
        pending::<()>().await;
    });
    (other, kept)
}

/// When does a task drop what another task waited with? In its first poll, before or after it
/// begins to wait for the same task itself; or in its next one, before it looks again.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Dropped {
    Before,
    After,
    Later,
}

#[test]
fn one_who_drops_anothers_wait_still_passes_requests_on() {
    for dropped in [Dropped::Before, Dropped::After, Dropped::Later] {
        simulate(async {
            let log = Log::new();
            let target = stubborn(&log);
            let (_other, kept) = begun_elsewhere(&target);
            yield_now().await;
            let (mut ours, mut alarm) = (target.join(), Box::pin(sleep(seconds(1))));
            let waiting = spawn(poll_fn(move |context| {
                let later = alarm.as_mut().poll(context).is_ready();
                if dropped == Dropped::Before || (dropped == Dropped::Later && later) {
                    drop(kept.lock().unwrap().take());
                }
                let polled = ours.poll_unpin(context);
                if dropped == Dropped::After {
                    drop(kept.lock().unwrap().take());
                }
                polled
            }));
            yield_now().await;
            waiting.cancel();
            sleep(seconds(2)).await;
            assert_eq!(log.lines(), ["requested true, 1 in all"], "{dropped:?}");
            assert!(!waiting.is_finished(), "{dropped:?}");
            waiting.cancel();
            waiting.await
        });
    }
}
