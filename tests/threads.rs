//! Closures on threads, and tasks from threads (THR-01 to THR-05).

mod common;

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use common::{Boom, Log, in_any_order, me, seconds, simulate};
use filch::sync::{Event, Lock, Queue, Semaphore, oneshot};
use filch::{Handle, Result, Runtime, sleep, spawn, to_thread};
use futures::future::join_all;
use futures::poll;

fn runtime() -> Runtime {
    Runtime::builder().workers(2).build().unwrap()
}

// upstream: test_threads.ToThreadTests.test_to_thread
#[test]
fn closure_gives_its_value() {
    // THR-01
    let sum = async || Ok(to_thread(|| [40, 2].iter().sum::<i32>()).await?);
    assert_eq!(filch::run(sum()).unwrap(), 42);
    in_any_order(async || {
        assert_eq!(sum().await?, 42);
        Ok(())
    });
}

// upstream: test_threads.ToThreadTests.test_to_thread_exception
#[test]
fn closure_gives_its_error_and_its_panic() {
    // THR-01
    let fails = async || {
        let result: Result<(), Boom> = to_thread(|| Err(Boom("test"))).await?;
        assert_eq!(result, Err(Boom("test")));
        let panicked = to_thread(|| panic!("test")).await;
        let error: filch::Error = panicked.map(|never: ()| never).unwrap_err();
        assert!(error.is_panic());
        assert!(error.to_string().contains("test"));
        Ok(())
    };
    filch::run(fails()).unwrap();
    in_any_order(fails);
}

#[test]
#[should_panic(expected = "polled after its end")]
fn a_closure_that_has_ended_is_not_awaited_again() {
    let program = async {
        let mut closure = to_thread(|| 1);
        assert_eq!((&mut closure).await?, 1);
        (&mut closure).await
    };
    simulate(program);
}

// upstream: test_threads.ToThreadTests.test_to_thread_once
#[test]
fn closure_runs_once() {
    // THR-01
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    filch::run(async move { to_thread(move || counted.fetch_add(1, Ordering::Relaxed)).await })
        .unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

// upstream: test_threads.ToThreadTests.test_to_thread_concurrent
#[test]
fn closures_run_side_by_side() {
    // THR-01: each waits for all, so they end only if they run at once
    let barrier = Arc::new(std::sync::Barrier::new(10));
    let main = async move {
        let calls = (0..10).map(|_| {
            let barrier = barrier.clone();
            to_thread(move || {
                barrier.wait();
                1
            })
        });
        let calls: Result<Vec<u32>> = join_all(calls).await.into_iter().collect();
        Ok(calls?.into_iter().sum::<u32>())
    };
    let runtime = Runtime::builder().workers(2).blocking_threads(10).build().unwrap();
    assert_eq!(runtime.block_on(main).unwrap(), 10);
}

// upstream: test_threads.ToThreadTests.test_to_thread_args_kwargs
#[test]
fn closure_takes_what_it_captures() {
    // THR-01
    let (test, something) = ("test".to_owned(), true);
    let seen = filch::run(async move { to_thread(move || (test, something)).await }).unwrap();
    assert_eq!(seen, ("test".to_owned(), true));
}

#[test]
fn cancelled_awaiter_returns_while_the_closure_runs_on() {
    // THR-03, section 27
    let (begun, begins) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (finished, finishes) = mpsc::channel();
    runtime()
        .block_on(async move {
            let task = spawn(to_thread(move || {
                begun.send(()).unwrap();
                released.recv().unwrap();
                finished.send("to its end").unwrap();
            }));
            to_thread(move || begins.recv().unwrap()).await?;
            assert!(task.cancel());
            assert!(task.await.unwrap_err().is_cancelled());
            release.send(()).unwrap();
            Ok(())
        })
        .unwrap();
    assert_eq!(finishes.recv(), Ok("to its end"));
}

#[test]
fn withdrawn_closure_never_runs() {
    // THR-03, section 27: the only thread is busy, so the second closure is still queued
    let (begun, begins) = futures::channel::oneshot::channel();
    let (release, released) = mpsc::channel::<()>();
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let runtime = Runtime::builder().workers(2).blocking_threads(1).build().unwrap();
    let main = async move {
        let busy = spawn(to_thread(move || {
            begun.send(()).unwrap();
            released.recv().unwrap();
        }));
        begins.await?;
        let queued = spawn(async move {
            filch::timeout(seconds(0), to_thread(move || counted.fetch_add(1, Ordering::Relaxed)))
                .await
        });
        assert!(queued.await.unwrap_err().is_timeout());
        release.send(()).unwrap();
        busy.await?;
        to_thread(|| ()).await
    };
    runtime.block_on(main).unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 0);
}

/// Adds, as a task of the runtime; submitted by a plain thread, which blocks for the result.
async fn add(fails: bool, cancels: bool) -> Result<u32> {
    if fails {
        return Err(Boom("fail").into());
    }
    if cancels {
        me().cancel();
        filch::yield_now().await;
    }
    Ok(1 + 2)
}

fn submitted(fails: bool, cancels: bool) -> Result<u32> {
    let runtime = runtime();
    let handle = runtime.handle();
    let submitter = thread::spawn(move || handle.spawn(add(fails, cancels)).wait());
    submitter.join().unwrap()
}

// upstream: test_tasks.RunCoroutineThreadsafeTests.test_run_coroutine_threadsafe
#[test]
fn submitting_thread_gets_the_value() {
    // THR-04
    assert_eq!(submitted(false, false).unwrap(), 3);
}

// upstream: test_tasks.RunCoroutineThreadsafeTests.test_run_coroutine_threadsafe_with_exception
#[test]
fn submitting_thread_gets_the_error() {
    // THR-04
    assert_eq!(submitted(true, false).unwrap_err().downcast_ref(), Some(&Boom("fail")));
}

// upstream: test_tasks.RunCoroutineThreadsafeTests.test_run_coroutine_threadsafe_task_cancelled
#[test]
fn submitting_thread_gets_the_cancellation() {
    // THR-05
    assert!(submitted(false, true).unwrap_err().is_cancelled());
}

// upstream: test_tasks.RunCoroutineThreadsafeTests.test_run_coroutine_threadsafe_with_timeout
#[test]
fn submitting_thread_that_gives_up_cancels_the_task() {
    // THR-05: and no task is left
    let runtime = runtime();
    let handle = runtime.handle();
    let submitter = thread::spawn(move || {
        let task = handle.spawn(sleep(seconds(3600)));
        assert!(task.cancel());
        task.wait()
    });
    assert!(submitter.join().unwrap().unwrap_err().is_cancelled());
    let left = runtime.block_on(async { Ok(filch::all_tasks().len()) });
    assert_eq!(left.unwrap(), 1, "the main task alone");
}

#[test]
fn closures_of_a_simulation_have_turns_of_their_own() {
    // THR-01, THR-09, design 4: on the one thread, behind what is ready, and in no task
    let log = Log::new();
    let seen = log.clone();
    simulate(async move {
        let here = thread::current().id();
        let other = seen.clone();
        spawn(async move { other.add("a task that was ready") }).detach();
        let inside = seen.clone();
        to_thread(move || {
            assert_eq!(thread::current().id(), here);
            assert!(filch::current_task().is_none());
            inside.add("the closure");
        })
        .await?;
        seen.add("who waits for it");
        Ok(())
    });
    assert_eq!(log.lines(), ["a task that was ready", "the closure", "who waits for it"]);
}

#[test]
fn withdrawn_closure_of_a_simulation_never_runs() {
    // THR-03
    in_any_order(async || {
        let log = Log::new();
        let seen = log.clone();
        {
            let closure = pin!(to_thread(move || seen.add("runs")));
            assert!(poll!(closure).is_pending());
        }
        for _ in 0..10 {
            filch::yield_now().await;
        }
        assert!(log.lines().is_empty());
        Ok(())
    });
}

#[test]
fn closures_of_a_simulation_overtake_each_other() {
    // As they may on threads: some seed shows each order.
    let orders: BTreeSet<Vec<String>> = (0..50)
        .map(|seed| {
            let log = Log::new();
            let closures = ["a", "b"].map(|name| {
                let log = log.clone();
                to_thread(move || log.add(name))
            });
            filch::sim::run(seed, async { Ok(join_all(closures).await) }).unwrap();
            log.lines()
        })
        .collect();
    assert_eq!(orders.len(), 2);
}

/// What a closure says that would block the thread on which its own simulation runs.
fn refusal<T: Send + 'static>(closure: impl FnOnce() -> T + Send + 'static) -> String {
    let error = filch::sim::run(0, to_thread(closure)).map(drop).unwrap_err();
    assert!(error.is_panic(), "{error}");
    error.to_string()
}

#[test]
fn closure_of_a_simulation_runs_no_main_task() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let said = refusal(move || runtime.block_on(async { Ok(()) }));
    assert!(said.contains("would go by the simulation's clock"), "{said}");
    let said = refusal(|| filch::run(async { Ok(()) }));
    assert!(said.contains("would go by the simulation's clock"), "{said}");
}

#[test]
fn closure_of_a_simulation_that_would_wait_for_it_panics() {
    let says = |text: String| assert!(text.contains("a simulation runs on this thread"), "{text}");
    says(refusal(|| Handle::current().spawn(async { Ok(1) }).wait()));
    says(refusal(|| Queue::<u32>::unbounded().get_blocking()));
    says(refusal(|| Event::new().wait_blocking()));
    says(refusal(|| {
        let (_sender, receiver) = oneshot::channel::<u32>();
        receiver.recv_blocking()
    }));
    says(refusal(|| drop(Semaphore::new(0).acquire_blocking())));
    says(refusal(|| {
        let lock = Lock::new(());
        let _held = lock.try_lock();
        drop(lock.lock_blocking());
    }));
}

#[test]
fn closure_of_a_simulation_takes_what_is_there() {
    simulate(async {
        let (queue, task) = (Arc::new(Queue::unbounded()), spawn(async { Ok(2) }));
        queue.put(1).await?;
        while !task.is_finished() {
            filch::yield_now().await;
        }
        let there = queue.clone();
        let sum = to_thread(move || Ok::<_, filch::Error>(there.get_blocking()? + task.wait()?));
        assert_eq!(sum.await??, 3);
        // Who did not get anything stands in no line.
        let there = queue.clone();
        assert!(to_thread(move || there.get_blocking()).await.unwrap_err().is_panic());
        queue.put(4).await?;
        assert_eq!(queue.get().await?, 4);
        Ok(())
    });
}

#[test]
fn closure_of_a_simulation_may_wait_for_another_runtime() {
    simulate(async {
        let other = || {
            let inner = filch::sim::run(0, sleep(seconds(1)));
            let outer = runtime();
            let sum = outer.handle().spawn(async { Ok(42) }).wait();
            inner.and(sum)
        };
        assert_eq!(to_thread(other).await??, 42);
        // It was another simulation that ended.
        let wait = || Handle::current().spawn(async { Ok(1) }).wait();
        assert!(to_thread(wait).await.unwrap_err().is_panic());
        Ok(())
    });
}
