//! Done-callbacks of a promise: later, in order, each once; and errors that nobody looks at
//! (FUT-05 to FUT-10, FUT-13, DBG-06).

mod common;

use std::sync::{Arc, Mutex};

use common::{Boom, Log, in_any_order, ms, simulate};
use filch::{
    CallbackId, Handle, Promise, Report, Result, TaskRef, context_var, sleep, spawn, yield_now,
};

/// Registers callbacks that log their names.
fn register<const N: usize>(
    promise: &Promise<&'static str>,
    log: &Log,
    names: [&'static str; N],
) -> [CallbackId; N] {
    names.map(|name| {
        let seen = log.clone();
        promise.add_done_callback(move |_| seen.add(name))
    })
}

/// What is called of `a`, `b` and `c` if some of them are removed, each twice.
fn called_without(removed: &'static [usize]) -> Vec<String> {
    let log = Log::new();
    simulate(async {
        let promise = Promise::new();
        let ids = register(&promise, &log, ["a", "b", "c"]);
        for number in removed {
            assert!(promise.remove_done_callback(ids[*number]));
            assert!(!promise.remove_done_callback(ids[*number]));
        }
        promise.set("foo")?;
        assert_eq!(log.lines(), [] as [&str; 0]);
        yield_now().await;
        assert_eq!(promise.result().unwrap()?, "foo");
        Ok(())
    });
    log.lines()
}

// upstream: test_futures.BaseFutureDoneCallbackTests.test_callbacks_remove_first_callback
#[test]
fn removed_first_callback_is_not_called() {
    assert_eq!(called_without(&[0]), ["b", "c"]);
}

// upstream: test_futures.BaseFutureDoneCallbackTests.test_callbacks_remove_first_and_second_callback
#[test]
fn removed_callbacks_are_not_called() {
    assert_eq!(called_without(&[0, 1]), ["c"]);
}

// upstream: test_futures.BaseFutureDoneCallbackTests.test_callbacks_remove_third_callback
#[test]
fn removed_last_callback_is_not_called() {
    assert_eq!(called_without(&[2]), ["a", "b"]);
}

// upstream: test_futures.BaseFutureDoneCallbackTests.test_callbacks_invoked_on_set_result
#[test]
fn callbacks_are_called_later_in_their_order() {
    // FUT-05
    assert_eq!(called_without(&[]), ["a", "b", "c"]);
}

// upstream: test_futures.BaseFutureDoneCallbackTests.test_callbacks_invoked_on_set_exception
#[test]
fn callbacks_are_called_after_an_error() {
    // FUT-05
    simulate(async {
        let log = Log::new();
        let promise = Promise::new();
        register(&promise, &log, ["a"]);
        promise.set_error(Boom("e"))?;
        assert_eq!(log.lines(), [] as [&str; 0]);
        yield_now().await;
        assert_eq!(log.lines(), ["a"]);
        assert!(promise.error().unwrap().is::<Boom>());
        Ok(())
    });
}

// upstream: test_futures.BaseFutureDoneCallbackTests.test_remove_done_callback
#[test]
fn each_registration_is_removed_by_its_own_id() {
    // FUT-07
    simulate(async {
        let log = Log::new();
        let (promise, other) = (Promise::new(), Promise::new());
        let [one, two] = register(&promise, &log, ["1", "2"]);
        let [same, _, unknown] = register(&other, &log, ["x", "y", "z"]);
        assert!(promise.remove_done_callback(two));
        assert!(!promise.remove_done_callback(unknown), "there is no third one");
        assert!(!promise.remove_done_callback(same), "another promise's first one");
        register(&promise, &log, ["2"]);
        for id in register(&promise, &log, ["1"; 5]).into_iter().chain([one]) {
            assert!(promise.remove_done_callback(id));
        }
        promise.set("foo")?;
        yield_now().await;
        assert_eq!(log.lines(), ["2"]);
        Ok(())
    });
}

#[test]
fn callback_is_not_removed_any_more_once_the_promise_is_set() {
    // FUT-07, section 27
    simulate(async {
        let (log, promise) = (Log::new(), Promise::new());
        let ids = register(&promise, &log, ["a", "b"]);
        promise.set("foo")?;
        assert!(!ids.into_iter().any(|id| promise.remove_done_callback(id)));
        assert_eq!(log.lines(), [] as [&str; 0]);
        yield_now().await;
        assert_eq!(log.lines(), ["a", "b"]);
        Ok(())
    });
}

// upstream: test_futures.BaseFutureDoneCallbackTests.test_schedule_callbacks_list_mutation_1
#[test]
fn callback_that_removes_others_is_too_late() {
    // FUT-07, FUT-08: they are queued by then
    simulate(async {
        let log = Log::new();
        let promise = Promise::new();
        let ids = Arc::new(Mutex::new(Vec::new()));
        let (there, seen) = (ids.clone(), log.clone());
        promise.add_done_callback(move |promise: TaskRef| {
            let removed = |id: &CallbackId| promise.remove_done_callback(*id);
            seen.add(format!(
                "removed {}",
                there.lock().unwrap().iter().filter(|id| removed(id)).count()
            ));
        });
        ids.lock().unwrap().extend(register(&promise, &log, ["a", "b"]));
        promise.set("foo")?;
        yield_now().await;
        assert_eq!(log.lines(), ["removed 0", "a", "b"]);
        Ok(())
    });
}

#[test]
fn order_is_waiters_and_callbacks_then_what_was_queued_then_what_callbacks_add() {
    // FUT-05, FUT-06, section 27
    simulate(async {
        let log = Log::new();
        let promise = Promise::new();
        for (callback, waiter) in [("callback 1", "waiter 1"), ("callback 2", "waiter 2")] {
            let (seen, known) = (log.clone(), log.clone());
            promise.add_done_callback(move |promise: TaskRef| {
                seen.add(callback);
                promise.add_done_callback(move |_| seen.add(format!("added by {callback}")));
            });
            let promise = promise.clone();
            spawn(async move {
                promise.await?;
                known.add(waiter);
                Ok(())
            })
            .detach();
            yield_now().await;
        }
        promise.set(())?;
        let seen = log.clone();
        promise.add_done_callback(move |_| seen.add("registered late"));
        log.add("set");
        sleep(ms(1)).await;
        let order = ["set", "callback 1", "waiter 1", "callback 2", "waiter 2", "registered late"];
        assert_eq!(log.lines()[..6], order);
        assert_eq!(log.lines()[6..], ["added by callback 1", "added by callback 2"]);
        Ok(())
    });
}

#[test]
fn callbacks_keep_their_order_and_never_overlap_on_threads() {
    // FUT-05, FUT-20, LOOP-23
    let runtime = filch::Runtime::builder().workers(4).build().unwrap();
    for _ in 0..20 {
        let promise = runtime.handle().promise();
        let (log, end) = (Log::new(), runtime.handle().promise());
        for number in 0..10 {
            let seen = log.clone();
            promise.add_done_callback(move |_| seen.add(number.to_string()));
        }
        let there = promise.clone();
        runtime.handle().spawn(async move { Ok(there.set(())?) }).wait().unwrap();
        let done = end.clone();
        promise.add_done_callback(move |_| done.set(()).unwrap());
        runtime.handle().spawn(end).wait().unwrap();
        let expected: Vec<String> = (0..10).map(|number: u32| number.to_string()).collect();
        assert_eq!(log.lines(), expected);
    }
}

#[test]
fn callback_sees_no_task_and_the_values_of_its_registration() {
    // INTRO-01, FUT-09
    context_var! { static VAR: u32 = 0; }
    in_any_order(async || {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let promise = Promise::new();
        for value in [1, 2] {
            VAR.set(value);
            let seen = seen.clone();
            promise.add_done_callback(move |_| {
                seen.lock().unwrap().push((VAR.get(), filch::current_task()));
            });
        }
        VAR.set(3);
        promise.set(())?;
        sleep(ms(1)).await;
        assert_eq!(*seen.lock().unwrap(), [(Some(1), None), (Some(2), None)]);
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_context_2
#[test]
fn callback_does_not_change_the_context_of_who_registers_it() {
    // CTX-01, FUT-09
    context_var! { static VAR: String = "nope".into(); }
    in_any_order(async || {
        for round in 0..2 {
            let promise = Promise::new();
            promise.add_done_callback(|_| drop(VAR.set("something else".into())));
            VAR.set(format!("yes{round}"));
            let there = promise.clone();
            Handle::current().call_soon(move || there.set(()).unwrap());
            promise.await?;
            assert_eq!(VAR.get(), Some(format!("yes{round}")));
            for step in 0..3 {
                VAR.set(format!("yes{step}-{round}"));
                sleep(ms(1)).await;
                assert_eq!(VAR.get(), Some(format!("yes{step}-{round}")));
            }
        }
        Ok(())
    });
    assert_eq!(VAR.get().as_deref(), Some("nope"));
}

/// What is reported while `main` runs.
fn reported(main: impl Future<Output = Result<()>>) -> Vec<String> {
    let reports = Log::new();
    let seen = reports.clone();
    simulate(async move {
        let tell = move |report: &Report| seen.add(report.to_string());
        Handle::current().set_exception_handler(tell);
        main.await?;
        sleep(ms(1)).await;
        Ok(())
    });
    reports.lines()
}

#[test]
fn callback_that_panics_is_reported_and_disturbs_nobody() {
    // FUT-10, LOOP-08
    let log = Log::new();
    let reports = reported(async {
        let promise = Promise::new();
        promise.add_done_callback(|_| panic!("in a callback"));
        register(&promise, &log, ["after it"]);
        promise.set("foo")?;
        assert_eq!((&promise).await?, "foo");
        yield_now().await;
        Ok(())
    });
    assert_eq!(log.lines(), ["after it"]);
    assert_eq!(reports.len(), 1);
    assert!(reports[0].starts_with("panic in a done-callback: Promise-2 at tests/"), "{reports:?}");
    assert!(reports[0].ends_with(": panicked: in a callback"), "{reports:?}");
}

// upstream: test_futures.BaseFutureTests.test_tb_logger_abandoned
#[test]
fn pending_promise_is_dropped_silently() {
    let reports = reported(async {
        drop(Promise::<()>::new());
        Ok(())
    });
    assert_eq!(reports, [] as [&str; 0]);
}

/// What is reported of a failed promise that was treated so before it was dropped.
fn reported_after(look: impl FnOnce(&Promise<()>)) -> Vec<String> {
    reported(async {
        let promise = Promise::new();
        promise.set_error(Boom("unseen"))?;
        look(&promise);
        Ok(())
    })
}

// upstream: test_futures.BaseFutureTests.test_tb_logger_not_called_after_cancel
#[test]
fn request_silences_the_report() {
    // FUT-04
    assert_eq!(reported_after(|promise| assert!(!promise.cancel())), [] as [&str; 0]);
}

// upstream: test_futures.BaseFutureTests.test_tb_logger_result_unretrieved
// upstream: test_futures.BaseFutureTests.test_tb_logger_result_retrieved
#[test]
fn value_need_not_be_looked_at() {
    for looks in [false, true] {
        let reports = reported(async {
            let promise = Promise::new();
            promise.set(42)?;
            assert!(!looks || promise.result().unwrap().is_ok());
            Ok(())
        });
        assert_eq!(reports, [] as [&str; 0]);
    }
}

// upstream: test_futures.BaseFutureTests.test_tb_logger_exception_unretrieved
// upstream: test_futures.BaseFutureTests.test_future_exception_never_retrieved
// upstream: test_futures.BaseFutureTests.test_future_exception_never_retrieved_debug
#[test]
fn error_that_nobody_looks_at_is_reported_with_its_place() {
    // FUT-13, DBG-05, DBG-06
    for debug in [false, true] {
        let reports = reported(async {
            Handle::current().set_debug(debug);
            Promise::<()>::new().set_error(Boom("unseen"))?;
            Ok(())
        });
        assert_eq!(reports.len(), 1, "{reports:?}");
        let place = "error was never retrieved: Promise-2 at tests/promise_callbacks.rs:";
        assert!(reports[0].starts_with(place), "{reports:?}");
        assert!(reports[0].ends_with(": unseen"), "{reports:?}");
    }
}

// upstream: test_futures.BaseFutureTests.test_tb_logger_exception_retrieved
// upstream: test_futures.BaseFutureTests.test_tb_logger_exception_result_retrieved
#[test]
fn error_that_was_looked_at_is_not_reported() {
    assert_eq!(reported_after(|promise| drop(promise.error())), [] as [&str; 0]);
    assert_eq!(reported_after(|promise| drop(promise.result())), [] as [&str; 0]);
}

#[test]
fn what_a_callback_was_given_may_be_the_last_to_go() {
    let kept = Arc::new(Mutex::new(None));
    let there = kept.clone();
    simulate(async move {
        let promise = Promise::new();
        promise.add_done_callback(move |task| *there.lock().unwrap() = Some(task));
        promise.set("foo")?;
        drop(promise);
        yield_now().await;
        Ok(())
    });
    // It frees the memory: Miri looks whether it may.
    assert!(kept.lock().unwrap().take().is_some_and(|task: TaskRef| task.is_finished()));
}
