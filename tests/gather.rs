//! Gathered tasks give all their values in order, or the first error; a request to whoever gathers
//! them goes to all of them (GAT-01 to GAT-12).

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use common::{Boom, Log, in_any_order, me, ms, seconds, simulate};
use filch::time::Instant;
use filch::{Error, Result, Task, TaskHandle, TaskRef, spawn_eager};
use filch::{catch_cancelled, gather, sleep, spawn, timeout, yield_now};
use futures::channel::oneshot;
use futures::future::BoxFuture;
use futures::poll;

/// A task that gives `value` after so many milliseconds.
fn gives<T: Send + 'static>(after: u64, value: T) -> Task<T> {
    spawn(async move {
        sleep(ms(after)).await;
        Ok(value)
    })
}

fn fails(after: u64, error: &'static str) -> Task<u32> {
    spawn(async move {
        sleep(ms(after)).await;
        Err(Boom(error).into())
    })
}

/// A task that swallows what it is asked, and gives its value that much later.
fn swallows(after: u64, value: u32) -> Task<u32> {
    spawn(async move {
        if catch_cancelled(sleep(seconds(60))).await.is_err() {
            sleep(ms(after)).await;
        }
        Ok(value)
    })
}

// upstream: test_tasks.GatherTestsBase.test_success
#[test]
fn values_come_in_the_order_of_the_tasks() {
    // GAT-03
    in_any_order(async || {
        let start = Instant::now();
        assert_eq!(
            gather([gives(30, 'a'), gives(10, 'b'), gives(20, 'c')]).await?,
            ['a', 'b', 'c']
        );
        assert_eq!(start.elapsed(), ms(30));
        Ok(())
    });
}

// upstream: test_tasks.GatherTestsBase.test_result_exception_success
#[test]
fn results_come_in_the_order_of_the_tasks() {
    // GAT-03, GAT-06
    in_any_order(async || {
        let results = gather([gives(30, 'a'), gives(10, 'b')]).return_errors().await;
        let values: Result<Vec<char>> = results.into_iter().collect();
        assert_eq!(values?, ['a', 'b']);
        Ok(())
    });
}

// upstream: test_tasks.GatherTestsBase.test_one_exception
#[test]
fn first_error_ends_it_and_the_others_run_on() {
    // GAT-04
    in_any_order(async || {
        let start = Instant::now();
        let mut tasks =
            [gives(1, 1), fails(2, "first"), gives(3, 3), gives(9, 4), fails(5, "later")];
        let error = gather(&mut tasks).await.unwrap_err();
        assert_eq!(error.to_string(), "first");
        assert_eq!(start.elapsed(), ms(2));
        assert!(tasks[2..].iter().all(|task| task.cancelling() == 0 && !task.is_finished()));
        tasks[3].cancel();
        sleep(ms(10)).await;
        let [_, _, third, fourth, fifth] = tasks;
        assert_eq!(third.await?, 3);
        assert!(fourth.is_cancelled() && fifth.error().unwrap().is::<Boom>());
        Ok(())
    });
}

// upstream: test_tasks.GatherTestsBase.test_return_exceptions
#[test]
fn errors_may_be_results() {
    // GAT-06
    in_any_order(async || {
        let start = Instant::now();
        let tasks = [gives(3, 3), gives(1, 1), fails(2, "one"), fails(4, "two")];
        let results = gather(tasks).return_errors().await;
        assert_eq!(start.elapsed(), ms(4));
        let shown = results.iter().map(|result| match result {
            Ok(value) => value.to_string(),
            Err(error) => error.to_string(),
        });
        assert_eq!(shown.collect::<Vec<_>>(), ["3", "1", "one", "two"]);
        Ok(())
    });
}

// upstream: test_tasks.FutureGatherTests.test_constructor_empty_sequence_use_running_loop
#[test]
fn nothing_is_gathered_at_once() {
    // GAT-02
    simulate(async {
        let mut gathered = gather([] as [TaskRef; 0]);
        assert!(
            matches!(poll!(&mut gathered), std::task::Poll::Ready(Ok(values)) if values.is_empty())
        );
        filch::gather!().await?;
        Ok(())
    });
}

// upstream: test_tasks.FutureGatherTests.test_constructor_homogenous_futures
#[test]
fn tasks_may_be_gathered_twice() {
    in_any_order(async || {
        let tasks = [gives(5, 1), gives(5, 2), gives(5, 3)];
        let (mut first, mut second) =
            (gather(tasks.iter().map(|task| task.task_ref())), gather(tasks));
        assert!(poll!(&mut first).is_pending());
        assert!(poll!(&mut second).is_pending());
        first.await?;
        assert_eq!(second.await?, [1, 2, 3]);
        Ok(())
    });
}

// upstream: test_tasks.FutureGatherTests.test_one_cancellation
#[test]
fn cancelled_task_is_an_error_to_those_who_gather_it() {
    // GAT-05
    in_any_order(async || {
        let tasks = [gives(1, 1), gives(60, 2), gives(90, 3), gives(90, 4), fails(90, "too late")];
        let [_, second, third, fourth, fifth] = tasks.each_ref().map(|task| task.task_ref());
        let outer = spawn(async move {
            let error = gather(tasks).await.unwrap_err();
            assert!(error.is_cancelled());
            assert_eq!(me().cancelling(), 0);
            assert!(!third.is_finished());
            assert_eq!(third.cancelling(), 0);
            // What becomes of the others is their own affair.
            fourth.cancel();
            third.join().await?;
            assert!(fourth.is_cancelled());
            assert!(fifth.join().await.unwrap_err().is::<Boom>());
            Ok(())
        });
        sleep(ms(30)).await;
        second.cancel();
        outer.await
    });
}

// upstream: test_tasks.FutureGatherTests.test_result_exception_one_cancellation
#[test]
fn cancellations_may_be_results() {
    // GAT-06
    in_any_order(async || {
        let tasks = [gives(1, 1), fails(1, "one"), gives(60, 2), gives(2, 3), fails(90, "two")];
        let third = tasks[2].task_ref();
        let outer = spawn(async move { Ok(gather(tasks).return_errors().await) });
        sleep(ms(30)).await;
        third.cancel();
        let results = outer.await?;
        assert!(results[2].as_ref().unwrap_err().is_cancelled());
        let errors =
            results.iter().filter_map(|result| result.as_ref().err()).map(Error::to_string);
        assert_eq!(errors.collect::<Vec<_>>(), ["one", "cancelled", "two"]);
        Ok(())
    });
}

// upstream: test_tasks.CoroutineGatherTests.test_constructor_use_running_loop
#[test]
fn unlike_tasks_are_gathered_into_a_tuple() {
    in_any_order(async || {
        let mut number = gives(2, 6);
        let (text, number, ()) =
            filch::gather!(gives(1, "abc"), &mut number, gives(3, '!').task_ref()).await?;
        assert_eq!((text, number), ("abc", 6));
        let (fine, failed) = filch::gather!(gives(1, "abc"), fails(2, "no")).return_errors().await;
        assert_eq!(fine?, "abc");
        assert!(failed.unwrap_err().is::<Boom>());
        Ok(())
    });
}

// upstream: test_tasks.CoroutineGatherTests.test_duplicate_coroutines
#[test]
fn task_given_twice_is_one_task_in_two_places() {
    // GAT-01
    in_any_order(async || {
        let (mut abc, def) = (gives(1, "abc"), fails(2, "def"));
        let (one, two) = (abc.task_ref(), def.task_ref());
        let results = gather([&one, &one, &two, &one]).return_errors().await;
        let fine: Vec<bool> = results.iter().map(Result::is_ok).collect();
        assert_eq!(fine, [true, true, false, true]);
        let (value, (), ()) = filch::gather!(&mut abc, &one, one.join()).await?;
        assert_eq!(value, "abc");
        Ok(())
    });
}

// upstream: test_tasks.CoroutineGatherTests.test_cancellation_broadcast
#[test]
fn request_goes_to_all_tasks() {
    // GAT-07, GAT-08
    in_any_order(async || {
        let log = Log::new();
        let (_sender, receiver) = oneshot::channel::<()>();
        let waits = log.clone();
        let first = spawn(async move {
            receiver.await?;
            waits.add("went on");
            Ok(())
        });
        let second = spawn(std::future::pending::<()>());
        let tasks = [first.task_ref(), second.task_ref()];
        let end = log.clone();
        let outer = spawn(async move {
            gather([first, second]).await?;
            end.add("went on");
            Ok(())
        });
        sleep(ms(1)).await;
        assert!(outer.cancel());
        assert!(outer.await.unwrap_err().is_cancelled());
        // The first one to end has ended the gathering; the other one has been asked, too.
        for task in &tasks {
            task.join().await.unwrap_err();
            assert!(task.is_cancelled());
        }
        assert_eq!(log.lines(), [""; 0]);
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_cancel_gather_1
#[test]
fn request_after_the_last_end_is_the_awaiters_own() {
    // GAT-07: nobody is left to take it, so the awaiter does, as a task does whose awaited task is
    // done (CAN-04).
    simulate(async {
        let (sender, receiver) = oneshot::channel();
        let child = spawn(async { Ok(receiver.await?) });
        let gatherer: Arc<Mutex<Option<TaskRef>>> = Arc::default();
        let (kept, accepted) = (gatherer.clone(), Log::new());
        let told = accepted.clone();
        child.add_done_callback(move |_| {
            let gatherer = kept.lock().unwrap().take().unwrap();
            told.add(gatherer.cancel().to_string());
        });
        let task = spawn(gather([child]));
        *gatherer.lock().unwrap() = Some(task.task_ref());
        yield_now().await;
        sender.send(42).unwrap();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(accepted.lines(), ["true"]);
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_cancel_gather_2
#[test]
fn request_unwinds_whoever_takes_errors_as_results() {
    // GAT-08, CAN-20
    for message in [None, Some("my message")] {
        in_any_order(async || {
            let task = spawn(async {
                loop {
                    gather([gives(50, ())]).return_errors().await;
                }
            });
            sleep(ms(220)).await;
            match message {
                Some(message) => task.cancel_with(message),
                None => task.cancel(),
            };
            let error: Error = task.await.map(|never: std::convert::Infallible| never).unwrap_err();
            assert!(error.is_cancelled());
            assert_eq!(error.cancel_message(), message);
            Ok(())
        });
    }
}

#[test]
fn request_that_all_swallow_arrives_when_all_have_ended() {
    // GAT-08
    in_any_order(async || {
        for collect in [false, true] {
            let start = Instant::now();
            let task = spawn(async move {
                let tasks = [swallows(10, 1), swallows(20, 2)];
                match collect {
                    false => drop(gather(tasks).await?),
                    true => drop(gather(tasks).return_errors().await),
                }
                Ok(())
            });
            sleep(ms(5)).await;
            task.cancel();
            let error = task.await.unwrap_err();
            assert!(error.is_cancelled());
            assert_eq!(start.elapsed(), ms(25));
        }
        Ok(())
    });
}

#[test]
fn request_ends_it_with_the_first_that_ends() {
    // GAT-08
    in_any_order(async || {
        let (quick, slow) = (gives(60_000, 1), swallows(20, 2));
        let kept = slow.task_ref();
        let start = Instant::now();
        let task = spawn(gather([quick, slow]));
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(start.elapsed(), ms(5));
        assert!(!kept.is_finished());
        kept.join().await?;
        assert_eq!(start.elapsed(), ms(25));
        Ok(())
    });
}

#[test]
fn error_in_clean_up_beats_the_request_unless_errors_are_results() {
    // GAT-08
    in_any_order(async || {
        for collect in [false, true] {
            let fails = spawn(async {
                let _ = catch_cancelled(sleep(seconds(60))).await;
                Err(Boom("clean-up").into())
            });
            let tasks = [fails, swallows(1, 2)];
            let task = spawn(async move {
                match collect {
                    false => gather(tasks).await.map(drop),
                    true => {
                        gather(tasks).return_errors().await;
                        Ok(())
                    }
                }
            });
            sleep(ms(5)).await;
            task.cancel();
            let error = task.await.unwrap_err();
            assert_eq!((error.is::<Boom>(), error.is_cancelled()), (!collect, collect));
        }
        Ok(())
    });
}

#[test]
fn timeout_around_it_cancels_all_tasks() {
    in_any_order(async || {
        let tasks = [gives(60_000, 1), gives(60_000, 2)];
        let kept = tasks.each_ref().map(|task| task.task_ref());
        assert!(timeout(ms(5), gather(tasks)).await.unwrap_err().is_timeout());
        sleep(ms(1)).await;
        assert!(kept.iter().all(|task| task.is_cancelled()));
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

#[test]
fn what_is_done_already_needs_no_turn() {
    // GAT-09
    in_any_order(async || {
        let tasks = [gives(1, 1), gives(1, 2)];
        sleep(ms(2)).await;
        let mut gathered = gather(tasks);
        assert!(poll!(&mut gathered).is_ready());
        Ok(())
    });
}

// upstream: test_eager_task_factory.BaseTaskCountingTests.test_recursive_gather
#[test]
fn gatherings_in_gatherings_start_every_task_once() {
    fn tree(depth: u32, count: Arc<Mutex<u32>>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            *count.lock().unwrap() += 1;
            if depth > 0 {
                gather((0..5).map(|_| spawn_eager(tree(depth - 1, count.clone())))).await?;
            }
            Ok(())
        })
    }
    in_any_order(async || {
        let count = Arc::new(Mutex::new(0));
        spawn_eager(tree(4, count.clone())).await?;
        assert_eq!(*count.lock().unwrap(), 1 + 5 + 25 + 125 + 625);
        Ok(())
    });
}

#[test]
fn dropped_gathering_leaves_its_tasks_alone() {
    in_any_order(async || {
        let mut tasks = [gives(5, 1), gives(6, 2)];
        let mut gathered = gather(&mut tasks);
        assert!(poll!(&mut gathered).is_pending());
        drop(gathered);
        assert!(tasks.iter().all(|task| task.cancelling() == 0));
        assert_eq!(gather(tasks).await?, [1, 2]);
        Ok(())
    });
}

#[test]
fn an_outcome_that_is_not_there_is_not_taken() {
    simulate(async {
        let mut task = spawn(sleep(seconds(1)));
        let early = catch_unwind(AssertUnwindSafe(|| TaskHandle::outcome(&mut task)));
        assert!(early.is_err());
        task.await
    });
}
