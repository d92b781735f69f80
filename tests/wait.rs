//! Waiting for some of several tasks, or all, tells which have ended and touches none of them
//! (WAIT-01 to WAIT-09).

mod common;

use common::{Boom, Log, in_any_order, me, ms, seconds, simulate};
use filch::time::Instant;
use filch::{Error, Promise, Result, ReturnWhen, Runtime, Task, TaskRef, Waited};
use filch::{as_completed, catch_cancelled, sleep, spawn, timeout, wait, yield_now};
use futures::channel::oneshot;
use futures::poll;

/// A task that gives its number after so many milliseconds.
fn gives(after: u64) -> Task<u64> {
    spawn(async move {
        sleep(ms(after)).await;
        Ok(after)
    })
}

fn fails(after: u64) -> Task<u64> {
    spawn(async move {
        sleep(ms(after)).await;
        Err(Boom("failed").into())
    })
}

/// How many are done, and how many are pending.
fn counts<H>(waited: &Waited<H>) -> (usize, usize) {
    (waited.done.len(), waited.pending.len())
}

// upstream: test_tasks.BaseTaskTests.test_wait
#[test]
fn waits_for_all_and_again_takes_no_time() {
    // WAIT-03, WAIT-04, WAIT-06
    in_any_order(async || {
        let start = Instant::now();
        let mut tasks = [gives(150), gives(100)];
        for _ in 0..2 {
            let waited = wait(&mut tasks, ReturnWhen::AllCompleted).await;
            assert_eq!(counts(&waited), (2, 0));
            assert_eq!(start.elapsed(), ms(150));
        }
        let [first, second] = tasks;
        assert_eq!((first.await?, second.await?), (150, 100));
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_wait_duplicate_coroutines
#[test]
fn task_given_twice_counts_once() {
    // WAIT-02
    in_any_order(async || {
        let tasks = [gives(1), gives(2)];
        let [one, two] = tasks.each_ref().map(|task| task.task_ref());
        let waited = wait([&one, &one, &two], ReturnWhen::AllCompleted).await;
        assert_eq!(waited.done, [&one, &two]);
        assert_eq!(waited.pending, [] as [&TaskRef; 0]);
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_wait_errors
// upstream: test_tasks.BaseTaskTests.test_wait_invalid_args
#[test]
#[should_panic = "`wait` is given no task"]
fn there_must_be_a_task_to_wait_for() {
    // WAIT-01
    drop(wait([] as [TaskRef; 0], ReturnWhen::AllCompleted));
}

// upstream: test_tasks.BaseTaskTests.test_wait_first_completed
#[test]
fn first_end_is_enough_if_one_says_so() {
    // WAIT-04
    in_any_order(async || {
        let start = Instant::now();
        let waited = wait([gives(10_000), gives(100)], ReturnWhen::FirstCompleted).await;
        assert_eq!(counts(&waited), (1, 1));
        assert_eq!(start.elapsed(), ms(100));
        for task in waited.done {
            assert_eq!(task.await?, 100);
        }
        assert!(!waited.pending[0].is_finished());
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_wait_really_done
#[test]
fn what_ends_before_the_waiter_goes_on_is_done_too() {
    // WAIT-05
    simulate(async {
        let first = spawn(yield_now());
        let second = spawn(async {
            yield_now().await;
            yield_now().await;
        });
        let waited = wait([second, first], ReturnWhen::FirstCompleted).await;
        assert_eq!(counts(&waited), (2, 0));
        for task in waited.done {
            task.await?;
        }
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_wait_first_exception
// upstream: test_tasks.BaseTaskTests.test_wait_first_exception_in_wait
#[test]
fn first_error_is_enough_if_one_says_so() {
    // WAIT-04
    for after in [0, 10] {
        in_any_order(async || {
            let start = Instant::now();
            let tasks = [gives(5), fails(after), gives(10_000)];
            let waited = wait(tasks, ReturnWhen::FirstError).await;
            assert_eq!(start.elapsed(), ms(after));
            assert_eq!(counts(&waited), if after == 0 { (1, 2) } else { (2, 1) });
            assert!(waited.done.last().unwrap().error().unwrap().is::<Boom>());
            Ok(())
        });
    }
}

#[test]
fn cancelled_task_is_no_error_to_wait_for() {
    // WAIT-04
    in_any_order(async || {
        let start = Instant::now();
        let tasks = [gives(60), gives(100)];
        tasks[0].cancel();
        let waited = wait(tasks, ReturnWhen::FirstError).await;
        assert_eq!(counts(&waited), (2, 0));
        assert_eq!(start.elapsed(), ms(100));
        assert!(waited.done[0].is_cancelled());
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_wait_with_exception
#[test]
fn errors_are_the_tasks_own() {
    // WAIT-03
    in_any_order(async || {
        let start = Instant::now();
        let mut tasks = [gives(100), fails(150)];
        for _ in 0..2 {
            let waited = wait(&mut tasks, ReturnWhen::AllCompleted).await;
            assert_eq!(counts(&waited), (2, 0));
            let failed = waited.done.iter().filter(|task| task.error().is_some());
            assert_eq!(failed.count(), 1);
            assert_eq!(start.elapsed(), ms(150));
        }
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_wait_with_timeout
#[test]
fn limit_is_no_error_and_leaves_tasks_alone() {
    // WAIT-07
    in_any_order(async || {
        let start = Instant::now();
        let waited =
            wait([gives(150), gives(100)], ReturnWhen::AllCompleted).timeout(ms(110)).await;
        assert_eq!(counts(&waited), (1, 1));
        assert_eq!(start.elapsed(), ms(110));
        assert_eq!(waited.pending[0].cancelling(), 0);
        for task in waited.pending {
            assert_eq!(task.await?, 150);
        }
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_wait_concurrent_complete
#[test]
fn end_in_the_last_instant_counts() {
    // WAIT-07
    simulate(async {
        let start = Instant::now();
        let tasks = [gives(150), gives(100)];
        // They are first to set their timers.
        yield_now().await;
        let waited = wait(tasks, ReturnWhen::AllCompleted).timeout(ms(100)).await;
        assert_eq!(counts(&waited), (1, 1));
        assert_eq!(start.elapsed(), ms(100));
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_wait_with_iterator_of_tasks
// upstream: test_tasks.BaseTaskTests.test_wait_generator
#[test]
fn tasks_come_from_any_iterator() {
    // WAIT-02
    in_any_order(async || {
        let start = Instant::now();
        let waited = wait((0..10).map(gives), ReturnWhen::AllCompleted).await;
        assert_eq!(counts(&waited), (10, 0));
        assert_eq!(start.elapsed(), ms(9));
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_yield_wait_does_not_shield_cancel
#[test]
fn cancelled_waiter_leaves_the_tasks_alone() {
    // WAIT-08
    in_any_order(async || {
        let log = Log::new();
        let (sender, receiver) = oneshot::channel::<()>();
        let told = log.clone();
        let inner = spawn(async move {
            receiver.await?;
            told.add("inner went on");
            Ok(())
        });
        let (kept, told) = (inner.task_ref(), log.clone());
        let outer = spawn(async move {
            wait([inner], ReturnWhen::AllCompleted).await;
            told.add("outer went on");
        });
        sleep(ms(1)).await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        assert!(!kept.is_finished());
        assert_eq!(kept.cancelling(), 0);
        sender.send(()).unwrap();
        kept.join().await?;
        assert_eq!(log.lines(), ["inner went on"]);
        Ok(())
    });
}

#[test]
fn waiting_for_what_is_done_takes_one_turn() {
    // WAIT-06
    in_any_order(async || {
        let task = gives(1);
        sleep(ms(2)).await;
        let mut waited = Box::pin(wait([task], ReturnWhen::AllCompleted));
        assert!(poll!(&mut waited).is_pending());
        assert_eq!(counts(&waited.await), (1, 0));
        Ok(())
    });
}

#[test]
fn dropped_wait_leaves_nothing_behind() {
    // WAIT-08
    in_any_order(async || {
        let mut task = gives(5);
        let limited = wait([&mut task], ReturnWhen::AllCompleted).timeout(seconds(1));
        let mut waited = Box::pin(limited);
        assert!(poll!(&mut waited).is_pending());
        drop(waited);
        assert_eq!(task.await?, 5);
        Ok(())
    });
}

#[test]
fn by_value_by_reference_and_through_a_task_ref() {
    in_any_order(async || {
        let mut task = gives(5);
        let reference = task.task_ref();
        assert_eq!(counts(&wait([reference.clone()], ReturnWhen::default()).await), (1, 0));
        assert_eq!(counts(&wait([&reference], ReturnWhen::default()).await), (1, 0));
        assert_eq!(counts(&wait([task.join()], ReturnWhen::default()).await), (1, 0));
        assert_eq!(counts(&wait([&mut task], ReturnWhen::default()).await), (1, 0));
        let waited = wait([task], ReturnWhen::default()).await;
        for task in waited.done {
            assert_eq!(task.await?, 5);
        }
        Ok(())
    });
}

#[test]
fn timeout_around_it_ends_only_the_waiting() {
    in_any_order(async || {
        let tasks = [gives(100), gives(200)];
        let kept = tasks.each_ref().map(|task| task.task_ref());
        let waiting = async { Ok::<_, Error>(wait(tasks, ReturnWhen::AllCompleted).await) };
        assert!(timeout(ms(5), waiting).await.unwrap_err().is_timeout());
        assert!(kept.iter().all(|task| task.cancelling() == 0));
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

#[test]
fn waiter_may_swallow_and_wait_again() {
    // WAIT-08, CAN-11
    in_any_order(async || {
        let waiter = spawn(async {
            let mut task = gives(100);
            let first = catch_cancelled(async {
                wait([&mut task], ReturnWhen::AllCompleted).await;
            });
            assert!(first.await.is_err());
            wait([&mut task], ReturnWhen::AllCompleted).await;
            Ok(task.await?) as Result<u64>
        });
        sleep(ms(50)).await;
        waiter.cancel();
        assert_eq!(waiter.await?, 100);
        Ok(())
    });
}

#[test]
fn a_promise_that_has_outlived_its_runtime_is_waited_for_in_another() {
    let first = Runtime::builder().workers(1).build().unwrap();
    let promise: Promise<u32> = first.handle().promise();
    promise.set(7).unwrap();
    drop(first);
    let second = Runtime::builder().workers(1).build().unwrap();
    let waited = second.block_on(async {
        let waited = wait([promise.task_ref()], ReturnWhen::AllCompleted).await;
        as_completed([promise.task_ref()]).next().await.unwrap().join().await?;
        Ok(waited.done.len())
    });
    assert_eq!(waited.unwrap(), 1);
}

#[test]
fn what_has_outlived_its_simulation_is_waited_for_elsewhere() {
    let left = filch::sim::run(0, async {
        let promise = Promise::new();
        promise.set(7)?;
        Ok((promise, spawn(async { Ok(7) }), spawn(sleep(seconds(9)))))
    });
    let (promise, done, cancelled): (Promise<u32>, _, _) = left.unwrap();
    let waited = filch::run(async {
        let tasks = [promise.task_ref(), done.task_ref(), cancelled.task_ref()];
        Ok(wait(tasks, ReturnWhen::AllCompleted).await)
    });
    assert_eq!(waited.unwrap().done.len(), 3);
}

#[test]
fn a_promise_is_waited_for_in_an_executor_inside_a_task() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let promise: Promise<u32> = runtime.handle().promise();
    promise.set(7).unwrap();
    let waits = runtime.handle().spawn(async move {
        let waited = wait([promise.task_ref()], ReturnWhen::AllCompleted);
        Ok(futures::executor::block_on(waited).done.len())
    });
    assert_eq!(waits.wait().unwrap(), 1);
}

#[test]
fn tasks_of_a_simulation_and_of_a_runtime_are_two_though_they_have_one_number() {
    let real = Runtime::builder().workers(1).build().unwrap();
    let there: Vec<_> = (0..20).map(|_| real.handle().spawn(async { Ok(1) })).collect();
    let there = there.last().unwrap().task_ref();
    real.handle().spawn(async {}).wait().unwrap();
    simulate(async move {
        let here = std::iter::repeat_with(|| spawn(async { Ok(1) }).task_ref());
        let here = here.take_while(|here| here.id() <= there.id()).last().unwrap();
        assert_eq!(here.id(), there.id());
        let waited = wait([here, there], ReturnWhen::AllCompleted).await;
        assert_eq!(waited.done.len(), 2);
        Ok(())
    });
}
