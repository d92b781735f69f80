//! A promise is settled once, tells everybody who waits, and runs its callbacks later, in order
//! (FUT-01 to FUT-20).

mod common;

use std::sync::{Arc, Mutex};

use common::{Boom, Log, in_any_order, me, ms, simulate};
use filch::{Error, Handle, Promise, Result, Runtime};
use filch::{catch_cancelled, sleep, spawn, timeout, timeout_any, yield_now};

// upstream: test_futures.BaseFutureTests.test_initial_state
#[test]
fn promise_begins_pending() {
    // FUT-01
    in_any_order(async || {
        let promise = Promise::<()>::new();
        assert!(!promise.is_finished() && !promise.is_cancelled());
        assert!(promise.result().is_none() && promise.error().is_none());
        promise.cancel();
        assert!(promise.is_finished() && promise.is_cancelled());
        Ok(())
    });
}

// upstream: test_futures.BaseFutureTests.test_constructor_without_loop
#[test]
fn promise_needs_a_runtime() {
    // FUT-15
    let outside = std::panic::catch_unwind(|| drop(Promise::<()>::new()));
    let payload = outside.unwrap_err();
    assert!(payload.downcast_ref::<&str>().unwrap().contains("belongs to no runtime"));
}

// upstream: test_futures.BaseFutureTests.test_constructor_use_running_loop
#[test]
fn promise_is_the_present_runtimes_or_the_one_that_was_asked() {
    // FUT-15
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let promise = runtime.handle().promise();
    promise.set(1).unwrap();
    assert_eq!(runtime.block_on(promise).unwrap(), 1);
    let here = runtime.block_on(async { Ok(Promise::new()) }).unwrap();
    here.set(2).unwrap();
    assert_eq!(runtime.block_on(here).unwrap(), 2);
}

// upstream: test_futures.BaseFutureTests.test_cancel
#[test]
fn cancelled_promise_stays_so() {
    // FUT-02 to FUT-04
    in_any_order(async || {
        let promise = Promise::new();
        assert!(promise.cancel());
        assert!(promise.is_finished() && promise.is_cancelled());
        assert!(promise.result().unwrap().unwrap_err().is_cancelled());
        assert!(promise.error().unwrap().is_cancelled());
        let refused = promise.set(()).unwrap_err();
        assert_eq!(refused.to_string(), "promise has its result already, or is cancelled");
        assert_eq!(promise.set_error(Boom("late")), Err(refused));
        assert!(!promise.cancel());
        Ok(())
    });
}

// upstream: test_futures.BaseFutureTests.test_result
#[test]
fn result_is_set_once() {
    // FUT-02, FUT-03
    in_any_order(async || {
        let promise = Promise::new();
        assert!(promise.result().is_none());
        promise.set(42).unwrap();
        assert!(promise.is_finished() && !promise.is_cancelled());
        assert_eq!(promise.result().unwrap()?, 42);
        assert!(promise.error().is_none());
        assert!(promise.set(43).is_err() && promise.set_error(Boom("late")).is_err());
        assert!(!promise.cancel());
        assert_eq!((&promise).await?, 42);
        Ok(())
    });
}

// upstream: test_futures.BaseFutureTests.test_exception
#[test]
fn error_is_set_once() {
    // FUT-02, FUT-03
    in_any_order(async || {
        let promise = Promise::<u32>::new();
        promise.set_error(Boom("e")).unwrap();
        assert!(promise.is_finished() && !promise.is_cancelled());
        assert!(promise.result().unwrap().unwrap_err().is::<Boom>());
        assert!(promise.error().unwrap().is::<Boom>());
        assert!(promise.set(1).is_err() && promise.set_error(Boom("late")).is_err());
        assert!(!promise.cancel());
        assert_eq!((&promise).await.unwrap_err().to_string(), "e");
        Ok(())
    });
}

// upstream: test_futures.BaseFutureTests.test_future_cancel_message_getter
// upstream: test_futures.BaseFutureTests.test_future_cancel_message_setter
#[test]
fn cancel_message_arrives() {
    // FUT-04, CAN-20
    in_any_order(async || {
        let promise = Promise::<()>::new();
        assert!(promise.cancel_with("my message"));
        assert!(!promise.cancel_with("too late"));
        let error = (&promise).await.unwrap_err();
        assert_eq!(error.cancel_message(), Some("my message"));
        Ok(())
    });
}

// upstream: test_futures.BaseFutureTests.test_yield_from_twice
#[test]
fn settled_promise_is_awaited_without_a_pause_again_and_again() {
    // FUT-14
    simulate(async {
        let log = Log::new();
        let promise = Promise::new();
        promise.set("done")?;
        let seen = log.clone();
        spawn(async move { seen.add("another task") }).detach();
        for _ in 0..3 {
            assert_eq!((&promise).await?, "done");
        }
        assert_eq!(log.lines(), [] as [&str; 0]);
        Ok(())
    });
}

// upstream: test_futures.BaseFutureTests.test_wrap_future
#[test]
fn plain_thread_sets_what_a_task_awaits() {
    // FUT-17, FUT-20
    let runtime = Runtime::builder().workers(2).build().unwrap();
    for _ in 0..50 {
        let promise = runtime.handle().promise();
        let there = promise.clone();
        let thread = std::thread::spawn(move || there.set("from a thread").is_ok());
        let waiters = [runtime.handle().spawn(promise.clone()), runtime.handle().spawn(promise)];
        for waiter in waiters {
            assert_eq!(waiter.wait().unwrap(), "from a thread");
        }
        assert!(thread.join().unwrap());
    }
}

// upstream: test_futures.BaseFutureTests.test_set_result_unless_cancelled
#[test]
fn late_value_is_refused_after_a_cancellation() {
    // FUT-16
    in_any_order(async || {
        let promise = Promise::new();
        let there = promise.clone();
        Handle::current().call_later(ms(10), move || assert!(there.set(2).is_err()));
        promise.cancel();
        sleep(ms(20)).await;
        assert!(promise.is_cancelled());
        Ok(())
    });
}

// upstream: test_futures.BaseFutureTests.test_future_source_traceback
#[test]
fn promise_knows_where_it_was_made() {
    // DBG-05
    in_any_order(async || {
        let (promise, line) = (Promise::<()>::new(), line!());
        assert_eq!((promise.location().file(), promise.location().line()), (file!(), line));
        let text = format!("{promise:?}");
        assert!(text.starts_with("<Promise-") && text.contains(" pending at tests/promise.rs"));
        Ok(())
    });
}

#[test]
fn request_to_a_task_cancels_the_promise_at_once() {
    // CAN-03, FUT-04: the promise, and everybody else who awaits it
    in_any_order(async || {
        let promise = Promise::<()>::new();
        let (one, two) = (spawn(promise.clone()), spawn(promise.clone()));
        sleep(ms(1)).await;
        one.cancel_with("stop");
        assert!(promise.is_cancelled(), "before anybody runs");
        assert_eq!(one.await.unwrap_err().cancel_message(), Some("stop"));
        assert!(two.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn awaiter_of_a_cancelled_promise_may_go_on() {
    // CAN-17, CAN-18
    in_any_order(async || {
        let promise = Promise::<u32>::new();
        let inner = promise.clone();
        let task = spawn(async move {
            let caught = catch_cancelled(inner).await;
            assert!(caught.is_err());
            assert_eq!(me().cancelling(), 1);
            Ok("went on")
        });
        sleep(ms(1)).await;
        task.cancel();
        assert_eq!(task.await?, "went on");
        Ok(())
    });
}

#[test]
fn expired_timeout_cancels_the_promise_it_waits_for() {
    // WFOR-01, CAN-03
    in_any_order(async || {
        let promise = Promise::<u32>::new();
        let error = timeout(ms(10), promise.clone()).await.unwrap_err();
        assert!(error.is_timeout() && promise.is_cancelled());
        Ok(())
    });
}

#[test]
fn await_that_is_dropped_leaves_the_promise_alone() {
    in_any_order(async || {
        let promise = Promise::new();
        {
            let mut waits = std::pin::pin!(promise.clone());
            assert!(futures::poll!(&mut waits).is_pending());
        }
        assert!(!promise.is_finished());
        promise.set(1)?;
        assert_eq!(promise.await?, 1);
        Ok(())
    });
}

#[test]
fn error_that_is_a_cancellation_unwinds_who_awaits() {
    // FUT-11: the promise has failed, the task is cancelled
    in_any_order(async || {
        let cancelled = Promise::<()>::new();
        cancelled.cancel();
        let error = (&cancelled).await.unwrap_err();
        let promise = Promise::<()>::new();
        promise.set_error(error)?;
        assert!(promise.is_finished() && !promise.is_cancelled());
        let mut task = spawn(promise.clone());
        assert!((&mut task).await.unwrap_err().is_cancelled());
        assert!(task.is_cancelled());
        Ok(())
    });
}

#[test]
fn promise_whose_last_clone_is_gone_ends_cancelled() {
    in_any_order(async || {
        let promise = Promise::<()>::new();
        let known = promise.task_ref();
        drop(promise);
        assert!(known.is_cancelled());
        Ok(())
    });
}

#[test]
fn values_are_dropped_outside_locks_and_once() {
    // FUT-19
    simulate(async {
        let log = Log::new();
        let promise = Promise::new();
        promise.set(Arc::new(log.on_drop("kept")))?;
        assert!(promise.set(Arc::new(log.on_drop("refused"))).is_err());
        assert_eq!(log.lines(), ["refused"]);
        drop((&promise).await?);
        drop(promise);
        assert_eq!(log.lines(), ["refused", "kept"]);
        Ok(())
    });
}

#[test]
fn of_many_who_set_one_wins() {
    // FUT-02, FUT-20
    let runtime = Runtime::builder().workers(2).build().unwrap();
    for round in 0..100 {
        let promise = runtime.handle().promise();
        let winners = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for number in 0..3 {
                let (promise, winners) = (&promise, &winners);
                scope.spawn(move || {
                    let won = match number {
                        0 => promise.set(0).is_ok(),
                        1 => promise.set_error(Error::msg("no")).is_ok(),
                        _ => promise.cancel(),
                    };
                    assert!(promise.is_finished());
                    if won {
                        winners.lock().unwrap().push(number);
                    }
                });
            }
        });
        let outcome = match promise.result().unwrap() {
            Ok(_) => 0,
            Err(error) if error.is_cancelled() => 2,
            Err(_) => 1,
        };
        assert_eq!(winners.into_inner().unwrap(), [outcome], "in round {round}");
    }
}

#[test]
fn everybody_learns_of_the_end_once_on_threads() {
    // FUT-05, FUT-20, CAN-03: set, cancelled, awaited, called back and dropped, all at once
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let handle = runtime.handle();
    let calls = Arc::new(Mutex::new(0));
    for round in 0..500 {
        let promise = handle.promise();
        let waiters: Vec<_> = (0..4).map(|_| handle.spawn(promise.clone())).collect();
        let (counted, asked) = (calls.clone(), waiters[0].task_ref());
        promise.add_done_callback(move |_| *counted.lock().unwrap() += 1);
        let setter = handle.spawn({
            let promise = promise.clone();
            async move {
                if round % 3 == 0 {
                    yield_now().await;
                }
                Ok(promise.set(round).is_ok())
            }
        });
        // Awaiting the promise by then, it passes the request on; or it never runs.
        let requested = round % 2 == 0 && asked.cancel();
        let task = promise.task_ref();
        drop(promise);
        let set = setter.wait().unwrap();
        assert!(set || task.is_cancelled());
        for (number, waiter) in waiters.into_iter().enumerate() {
            match waiter.wait() {
                Ok(value) => assert!(set && value == round),
                Err(error) => {
                    assert!(error.is_cancelled() && requested, "{error} in round {round}");
                    assert!(number == 0 || !set, "only who was asked is cancelled if it is set");
                }
            }
        }
    }
    drop(runtime);
    assert_eq!(*calls.lock().unwrap(), 500);
}

#[test]
fn waiters_go_on_in_their_order() -> Result<()> {
    // FUT-05
    let log = Log::new();
    let seen = log.clone();
    filch::sim::run(0, async move {
        let promise = Promise::new();
        for name in ["a", "b", "c"] {
            let (seen, promise) = (seen.clone(), promise.clone());
            spawn(async move {
                promise.await?;
                seen.add(name);
                Ok(())
            })
            .detach();
        }
        yield_now().await;
        promise.set(())?;
        seen.add("set");
        sleep(ms(1)).await;
        Ok(())
    })?;
    assert_eq!(log.lines(), ["set", "a", "b", "c"]);
    Ok(())
}

#[test]
fn a_promise_by_reference_goes_where_a_future_goes() {
    in_any_order(async || {
        let promise: Promise<u32> = Promise::new();
        assert!(timeout(ms(1), &promise).await.unwrap_err().is_timeout());
        assert!(promise.is_cancelled());
        let promise = Promise::new();
        promise.set(7)?;
        assert_eq!(timeout(ms(1), &promise).await?, 7);
        assert_eq!(timeout_any(ms(1), &promise).await??, 7);
        assert_eq!(catch_cancelled(&promise).await.unwrap()?, 7);
        Ok(())
    });
}
