//! Tasks come back one after the other, as they end, each once, and the very ones that went in
//! (ASC-01 to ASC-07).

mod common;

use common::{Boom, Log, in_any_order, ms, seconds, simulate};
use filch::time::Instant;
use filch::{Result, Task, TaskRef};
use filch::{as_completed, catch_cancelled, sleep, spawn, timeout};
use futures::{Stream, StreamExt, poll};

/// A task that gives its name after so many milliseconds.
fn gives(after: u64, name: &'static str) -> Task<&'static str> {
    spawn(async move {
        sleep(ms(after)).await;
        Ok(name)
    })
}

// upstream: test_tasks.BaseTaskTests.test_as_completed
#[test]
fn tasks_come_in_the_order_of_their_ends() {
    // ASC-02, ASC-04
    in_any_order(async || {
        let start = Instant::now();
        let mut ended = as_completed([gives(10, "b"), gives(150, "c"), gives(5, "a")]);
        let mut order = Vec::new();
        while let Some(task) = ended.next().await {
            assert!(task.is_finished());
            order.push(task.await?);
        }
        assert_eq!(order, ["a", "b", "c"]);
        assert_eq!(start.elapsed(), ms(150));
        assert!(ended.next().await.is_none());
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_as_completed_same_tasks_in_as_out
#[test]
fn what_comes_out_is_what_went_in() {
    // ASC-02
    in_any_order(async || {
        let tasks = ["a", "b", "c", "d"].map(|name| gives(1, name));
        let mut went_in: Vec<TaskRef> = tasks.iter().map(|task| task.task_ref()).collect();
        let mut came_out: Vec<TaskRef> =
            as_completed(tasks).map(|task| task.task_ref()).collect().await;
        went_in.sort_by_key(|task| task.id());
        came_out.sort_by_key(|task| task.id());
        assert_eq!(went_in, came_out);
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_as_completed_with_timeout
#[test]
fn limit_is_an_error_once_and_then_the_end() {
    // ASC-05
    in_any_order(async || {
        let start = Instant::now();
        let tasks = [gives(100, "a"), gives(150, "b")];
        let late = tasks[1].task_ref();
        let mut ended = as_completed(tasks).timeout(ms(120));
        assert_eq!(ended.next().await.unwrap()?.await?, "a");
        assert!(ended.next().await.unwrap().unwrap_err().is_timeout());
        assert_eq!(start.elapsed(), ms(120));
        assert!(ended.next().await.is_none());
        assert!(!late.is_finished());
        assert_eq!(late.cancelling(), 0);
        late.join().await
    });
}

#[test]
fn what_ended_before_the_limit_is_given_before_it() {
    // ASC-05
    in_any_order(async || {
        let mut ended =
            as_completed([gives(10, "a"), gives(20, "b"), gives(90, "c")]).timeout(ms(50));
        sleep(ms(70)).await;
        assert_eq!(ended.next().await.unwrap()?.await?, "a");
        assert_eq!(ended.next().await.unwrap()?.await?, "b");
        assert!(ended.next().await.unwrap().unwrap_err().is_timeout());
        assert!(ended.next().await.is_none());
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_as_completed_with_unused_timeout
#[test]
fn limit_that_is_not_reached_changes_nothing() {
    // ASC-05
    in_any_order(async || {
        for limit in [None, Some(seconds(1))] {
            let mut ended = as_completed([gives(10, "a")]).timeout(limit);
            assert_eq!(ended.next().await.unwrap()?.await?, "a");
            assert!(ended.next().await.is_none());
        }
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_as_completed_resume_iterator
#[test]
fn one_may_stop_and_go_on() {
    // ASC-06
    in_any_order(async || {
        let mut ended = as_completed(["a", "b", "c", "d"].map(|name| gives(1, name)));
        let mut names = Vec::new();
        while names.len() < 2 {
            names.push(ended.next().await.unwrap().await?);
        }
        while let Some(task) = ended.next().await {
            names.push(task.await?);
        }
        names.sort();
        assert_eq!(names, ["a", "b", "c", "d"]);
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_as_completed_reverse_wait
// upstream: test_tasks.BaseTaskTests.test_as_completed_concurrent
#[test]
fn many_may_take_from_it_and_each_gets_another() {
    // ASC-03: the one who asks first gets what ends first.
    in_any_order(async || {
        let start = Instant::now();
        let mut ended = as_completed([gives(100, "b"), gives(50, "a")]);
        let first = ended.next().await.unwrap();
        assert_eq!(start.elapsed(), ms(50));
        let second = ended.next().await.unwrap();
        assert_eq!(start.elapsed(), ms(100));
        assert_eq!((second.await?, first.await?), ("b", "a"));
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_as_completed_duplicate_coroutines
#[test]
fn task_given_twice_comes_once() {
    // ASC-01
    in_any_order(async || {
        let (ham, spam) = (gives(1, "ham"), gives(2, "spam"));
        let (ham, spam) = (ham.task_ref(), spam.task_ref());
        let ended: Vec<&TaskRef> = as_completed([&ham, &ham, &spam]).collect().await;
        assert_eq!(ended, [&ham, &spam]);
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_as_completed_coroutine_use_running_loop
#[test]
fn it_is_a_stream() {
    simulate(async {
        let ended = as_completed([gives(2, "b"), gives(1, "a")]);
        assert_eq!(ended.size_hint(), (2, Some(2)));
        let names: Vec<Result<&str>> = ended.then(|task| task).collect().await;
        assert_eq!(names.into_iter().collect::<Result<Vec<&str>>>()?, ["a", "b"]);
        assert!(as_completed([] as [TaskRef; 0]).next().await.is_none());
        Ok(())
    });
}

#[test]
fn errors_and_cancellations_are_the_tasks_own() {
    in_any_order(async || {
        let failed = spawn(async { Err::<(), _>(Boom("failed").into()) });
        let cancelled = spawn(sleep(seconds(9)));
        cancelled.cancel();
        let mut ended = as_completed([failed, cancelled]);
        let mut errors = Vec::new();
        while let Some(task) = ended.next().await {
            errors.push(task.await.unwrap_err().to_string());
        }
        errors.sort();
        assert_eq!(errors, ["cancelled", "failed"]);
        Ok(())
    });
}

#[test]
fn cancelled_taker_takes_nothing() {
    // ASC-07
    in_any_order(async || {
        let log = Log::new();
        let told = log.clone();
        let taker = spawn(async move {
            let mut ended = as_completed([gives(10, "a"), gives(30, "b")]);
            while told.lines().len() < 2 {
                let next = catch_cancelled(async { ended.next().await.unwrap().await });
                match next.await {
                    Ok(name) => told.add(name?),
                    Err(_) => sleep(ms(40)).await,
                }
            }
            assert!(ended.next().await.is_none());
            Ok(())
        });
        sleep(ms(5)).await;
        taker.cancel();
        taker.await?;
        assert_eq!(log.lines(), ["a", "b"]);
        Ok(())
    });
}

#[test]
fn stopping_early_leaves_the_others_alone() {
    // ASC-06
    in_any_order(async || {
        let mut tasks = [gives(10, "a"), gives(30, "b")];
        let mut ended = as_completed(&mut tasks);
        assert!(poll!(Box::pin(ended.next())).is_pending());
        assert!(timeout(ms(20), async { Ok(ended.next().await.is_some()) }).await?);
        drop(ended);
        let [_, second] = tasks;
        assert_eq!(second.cancelling(), 0);
        assert_eq!(second.await?, "b");
        Ok(())
    });
}
