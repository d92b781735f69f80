//! What goes wrong where nobody waits is told to the exception handler, else to `tracing` (LOOP-08,
//! LOOP-15, LOOP-16, DBG-06, DBG-08, DBG-10, CTX-05).

mod common;

use std::sync::{Arc, Mutex};

use common::reports::told;
use common::{Boom, Log, ms, simulate};
use filch::{Handle, Report, Result, Runtime, TaskBuilder, context_var, sleep, spawn, yield_now};
use tracing::Level;

fn here() -> Handle {
    Handle::current()
}

/// A handler that logs what it is told.
fn logs(log: &Log) -> impl Fn(&Report) + Send + Sync + 'static {
    let log = log.clone();
    move |report| log.add(report.to_string())
}

/// What `tracing` is told in the course of a simulation.
fn told_of(main: impl Future<Output = Result<()>>) -> Vec<String> {
    told(Level::WARN, || filch::sim::run(0, main).unwrap())
}

// upstream: test_base_events.BaseEventLoopTests.test_default_exc_handler_callback
#[test]
fn without_a_handler_tracing_is_told_of_failed_callbacks() {
    // LOOP-08, LOOP-15
    let lines = told_of(async {
        here().call_soon(|| panic!("zero"));
        here().call_later(ms(10), || panic!("another zero"));
        sleep(ms(20)).await;
        Ok(())
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, error) in lines.iter().zip(["panicked: zero", "panicked: another zero"]) {
        assert!(line.contains("panic in a callback place=tests/exception_handler.rs:"), "{line}");
        assert!(line.contains(error), "{line}");
    }
}

// upstream: test_base_events.BaseEventLoopTests.test_default_exc_handler_coro
#[test]
fn without_a_handler_tracing_is_told_of_unseen_errors() {
    // DBG-06, LOOP-15
    let lines = told_of(async {
        let task = TaskBuilder::new().name("fails").spawn(async {
            sleep(ms(10)).await;
            Err::<(), _>(Boom("zero").into())
        });
        sleep(ms(20)).await;
        drop(task);
        Ok(())
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("error was never retrieved"), "{lines:?}");
    assert!(lines[0].contains("name=\"fails\" place=tests/exception_handler.rs:"), "{lines:?}");
    assert!(lines[0].contains("error=zero"), "{lines:?}");
}

// upstream: test_base_events.BaseEventLoopTests.test_set_exc_handler_custom
#[test]
fn handler_is_told_instead_until_it_is_cleared() {
    // LOOP-08, LOOP-15
    let log = Log::new();
    let handler = logs(&log);
    let lines = told_of(async {
        here().set_exception_handler(handler);
        let handle = here().call_soon(|| panic!("zero"));
        yield_now().await;
        assert!(!handle.is_cancelled());
        here().clear_exception_handler();
        here().call_soon(|| panic!("one"));
        yield_now().await;
        Ok(())
    });
    assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
    let place = "panic in a callback at tests/exception_handler.rs:";
    assert!(log.lines()[0].starts_with(place) && log.lines()[0].ends_with(": panicked: zero"));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("panicked: one"));
}

// upstream: test_base_events.BaseEventLoopTests.test_set_exc_handler_broken
// upstream: test_base_events.BaseEventLoopTests.test_default_exc_handler_broken
#[test]
fn handler_that_fails_is_reported_with_what_it_was_told() {
    // LOOP-16
    let log = Log::new();
    let seen = log.clone();
    let lines = told_of(async {
        here().set_exception_handler(|_| panic!("spam"));
        here().call_soon(|| panic!("zero"));
        here().call_soon(move || seen.add("the next callback"));
        sleep(ms(1)).await;
        Ok(())
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("the exception handler panicked error=panicked: spam"), "{lines:?}");
    assert!(lines[1].contains("panic in a callback") && lines[1].contains("zero"), "{lines:?}");
    assert_eq!(log.lines(), ["the next callback"]);
}

context_var! {
    static NAME: &'static str = "foo";
}

/// What `NAME` is when the handler is called about what `start` starts.
fn name_in_the_handler(start: fn()) -> Vec<Option<&'static str>> {
    let names = Arc::new(Mutex::new(Vec::new()));
    let seen = names.clone();
    simulate(async move {
        here().set_exception_handler(move |_| seen.lock().unwrap().push(NAME.get()));
        start();
        sleep(ms(1)).await;
        assert_eq!(NAME.get(), Some("foo"));
        Ok(())
    });
    names.lock().unwrap().clone()
}

// upstream: test_futures2.FutureTests.test_task_exc_handler_correct_context
#[test]
fn handler_runs_in_the_context_of_the_task() {
    // CTX-05
    let task = || {
        let body = async {
            NAME.set("bar");
            Err::<(), _>(Boom("zero").into())
        };
        spawn(body).detach();
    };
    assert_eq!(name_in_the_handler(task), [Some("bar")]);
}

// upstream: test_futures2.FutureTests.test_handle_exc_handler_correct_context
#[test]
fn handler_runs_in_the_context_of_the_callback() {
    // CTX-05
    let callback = || {
        here().call_soon(|| {
            NAME.set("bar");
            panic!("zero");
        });
    };
    assert_eq!(name_in_the_handler(callback), [Some("bar")]);
    let done_callback = || {
        spawn(async {}).add_done_callback(|_| {
            NAME.set("bar");
            panic!("zero");
        });
    };
    assert_eq!(name_in_the_handler(done_callback), [Some("bar")]);
}

#[test]
fn handler_is_never_run_by_two_threads_at_once() {
    // DBG-10
    let inside = Arc::new(Mutex::new(()));
    let count = Arc::new(Mutex::new(0));
    let (there, counted) = (inside.clone(), count.clone());
    let runtime = Runtime::builder()
        .workers(4)
        .exception_handler(move |_| {
            let alone = there.try_lock().expect("somebody else is in the handler");
            std::thread::yield_now();
            *counted.lock().unwrap() += 1;
            drop(alone);
        })
        .build()
        .unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    for _ in 0..100 {
        let task = runtime.handle().spawn(async { Err::<(), _>(Boom("unseen").into()) });
        let tell = tell.clone();
        task.add_done_callback(move |_| tell.send(()).unwrap());
    }
    drop(tell);
    assert_eq!(told.iter().count(), 100);
    drop(runtime);
    while *count.lock().unwrap() < 100 {
        std::thread::yield_now();
    }
    assert_eq!(*count.lock().unwrap(), 100);
}

#[test]
fn report_from_inside_the_handler_goes_to_tracing() {
    // LOOP-16: no endless handling
    let log = Log::new();
    let seen = log.clone();
    let lines = told_of(async {
        here().set_exception_handler(move |report| {
            seen.add(report.error().unwrap().to_string());
            let fails = filch::spawn_eager(async { Err::<(), _>(Boom("inner").into()) });
            drop(fails);
        });
        spawn(async { Err::<(), _>(Boom("outer").into()) }).detach();
        sleep(ms(1)).await;
        Ok(())
    });
    assert_eq!(log.lines(), ["outer"]);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("error=inner"), "{lines:?}");
}

#[test]
fn report_tells_what_it_knows() {
    // LOOP-15
    let log = Log::new();
    let seen = log.clone();
    simulate(async move {
        here().set_exception_handler(move |report| {
            let error = report.error().map(ToString::to_string);
            let line = report.location().map(|place| place.line());
            seen.add(format!(
                "{:?} {:?} {error:?}",
                report.task_name(),
                report.task_id().is_some()
            ));
            assert!(line.is_some() && report.duration().is_none());
            assert_eq!(report.message(), "error was never retrieved");
        });
        TaskBuilder::new().name("t").spawn(async { Err::<(), _>(Boom("e").into()) }).detach();
        sleep(ms(1)).await;
        Ok(())
    });
    assert_eq!(log.lines(), ["Some(\"t\") true Some(\"e\")"]);
}

#[test]
fn task_that_refuses_to_end_is_reported() {
    // DBG-08
    let log = Log::new();
    let builder = Runtime::builder().workers(1).grace(ms(10)).exception_handler(logs(&log));
    let runtime = builder.build().unwrap();
    let task = runtime.block_on(async {
        Ok(TaskBuilder::new().name("stubborn").spawn_eager(async {
            loop {
                let _refused = filch::catch_cancelled(std::future::pending::<()>()).await;
            }
        }))
    });
    drop(runtime);
    assert!(task.unwrap().wait().unwrap_err().is_cancelled());
    assert_eq!(log.lines().len(), 1);
    assert!(log.lines()[0].starts_with("task refuses to end: stubborn at tests/"));
}
