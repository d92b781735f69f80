//! Debug mode, on by the builder, the handle or the environment, tells of what is slow and of tasks
//! that are destroyed while they are pending (DBG-01 to DBG-08, RUN-05).

mod common;

use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use common::reports::told;
use common::{Log, ms, simulate};
use filch::{Handle, Report, Runtime, TaskBuilder, catch_cancelled, sleep, yield_now};
use tracing::Level;

const HOUR: Duration = Duration::from_secs(3600);

fn here() -> Handle {
    Handle::current()
}

/// A handler that logs what it is told.
fn logs(log: &Log) -> impl Fn(&Report) + Send + Sync + 'static {
    let log = log.clone();
    move |report| log.add(report.to_string())
}

// upstream: test_base_events.BaseEventLoopTests.test_set_debug
#[test]
fn debug_mode_is_switched_on_and_off() {
    // DBG-01
    simulate(async {
        let handle = here();
        handle.set_debug(true);
        assert!(handle.is_debug());
        handle.set_debug(false);
        assert!(!handle.is_debug());
        Ok(())
    });
}

// upstream: test_runners.RunTests.test_asyncio_run_debug
// upstream: test_runners.RunnerTests.test_debug
// upstream: test_runners.RunnerTests.test_non_debug
#[test]
fn builder_decides_about_debug_mode() {
    // RUN-05
    for debug in [false, true] {
        let runtime = Runtime::builder().workers(1).debug(debug).build().unwrap();
        assert_eq!(runtime.block_on(async { Ok(here().is_debug()) }).unwrap(), debug);
    }
}

// upstream: test_base_events.BaseEventLoopWithSelectorTests.test_log_slow_callbacks
#[test]
fn slow_polls_and_callbacks_are_reported_in_debug_mode() {
    // DBG-02: with a limit of zero, everything is slow
    let log = Log::new();
    let run = |debug| {
        let runtime = Runtime::builder()
            .workers(1)
            .debug(debug)
            .slow_callback_duration(Duration::ZERO)
            .exception_handler(logs(&log))
            .build()
            .unwrap();
        let handle = runtime.handle();
        let there = handle.clone();
        let (tell, told) = mpsc::channel();
        let task = handle.spawn(async move {
            filch::current_task().unwrap().set_name("slow one");
            there.call_soon(move || tell.send(()).unwrap());
            filch::current_task().unwrap().add_done_callback(|_| ());
        });
        task.wait().unwrap();
        told.recv().unwrap();
        drop(runtime);
    };
    run(false);
    assert_eq!(log.lines(), [] as [&str; 0]);
    run(true);
    let lines = log.lines();
    let count = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!(count("a poll was slow: slow one at tests/debug.rs:"), 1, "{lines:?}");
    assert_eq!(count("a done-callback was slow: slow one at tests/"), 1, "{lines:?}");
    assert_eq!(count("a callback was slow at tests/debug.rs:"), 1, "{lines:?}");
    assert!(lines.iter().all(|line| line.contains(" took ")), "{lines:?}");
}

#[test]
fn slow_polls_go_to_tracing_without_a_handler() {
    // DBG-02: the main task is polled on this thread
    let lines = told(Level::WARN, || {
        let runtime = Runtime::builder().workers(1).debug(true);
        let runtime = runtime.slow_callback_duration(HOUR).build().unwrap();
        runtime
            .block_on(async {
                filch::current_task().unwrap().set_name("quick, then slow");
                yield_now().await;
                // The first poll may have taken as long.
                here().set_slow_callback_duration(ms(20));
                std::thread::sleep(ms(25));
            })
            .unwrap();
    });
    let named = |line: &&String| line.contains("a poll was slow") && line.contains("then slow");
    assert_eq!(lines.iter().filter(named).count(), 1, "{lines:?}");
}

#[test]
fn an_exact_limit_is_slow_and_less_is_not() {
    // DBG-02: in a simulation nothing takes any time
    let log = Log::new();
    let handler = logs(&log);
    simulate(async {
        here().set_exception_handler(handler);
        here().set_debug(true);
        here().set_slow_callback_duration(Duration::from_nanos(1));
        yield_now().await;
        TaskBuilder::new().name("t").spawn(async {}).await?;
        assert_eq!(log.lines(), [] as [&str; 0]);
        here().set_slow_callback_duration(Duration::ZERO);
        TaskBuilder::new().name("t").spawn(async {}).await
    });
    let lines = log.lines();
    let told = |line: &String| line.starts_with("a poll was slow: t at tests/debug.rs:");
    assert!(lines.iter().any(told), "{lines:?}");
}

/// A runtime in debug mode, or not, that tells this log.
fn runtime(debug: bool, log: &Log) -> Runtime {
    let builder = Runtime::builder().workers(1).debug(debug).grace(ms(10));
    let builder = builder.slow_callback_duration(HOUR);
    builder.exception_handler(logs(log)).build().unwrap()
}

// upstream: test_tasks.BaseTaskTests.test_log_destroyed_pending_task
#[test]
fn tasks_destroyed_while_they_are_pending_are_reported() {
    // DBG-08
    for debug in [false, true] {
        let log = Log::new();
        let runtime = runtime(debug, &log);
        let handle = runtime.handle();
        let stubborn = handle.promise::<()>();
        runtime
            .block_on(async {
                let waits = stubborn.clone();
                let refuses = async move {
                    loop {
                        drop(catch_cancelled(sleep(HOUR)).await);
                        if waits.is_finished() {
                            return;
                        }
                    }
                };
                TaskBuilder::new().name("stubborn").spawn_eager(refuses).detach();
            })
            .unwrap();
        assert_eq!(handle.all_tasks().len(), 1);
        drop(runtime);
        // Its worker destroys it, later, if that has been inside a poll for all this time.
        while !handle.all_tasks().is_empty() {
            std::thread::yield_now();
        }
        assert!(handle.spawn(async {}).is_cancelled(), "it is too late for this one");
        let lines = log.lines();
        assert!(lines[0].starts_with("task refuses to end: stubborn at tests/debug.rs:"));
        let destroyed =
            |line: &&String| line.starts_with("task was destroyed while it was pending");
        let destroyed: Vec<_> = lines.iter().filter(destroyed).collect();
        assert_eq!(destroyed.len(), if debug { 2 } else { 0 }, "{lines:?}");
        if debug {
            assert!(destroyed[0].contains("stubborn at tests/debug.rs:"), "{lines:?}");
        }
    }
}

#[test]
fn promises_that_nobody_keeps_are_no_news() {
    // FUT-13, DBG-08: the library ends them, and whoever waits is told
    let log = Log::new();
    let runtime = runtime(true, &log);
    drop(runtime.handle().promise::<()>());
    drop(runtime);
    assert_eq!(log.lines(), [] as [&str; 0]);
}

#[test]
fn debug_mode_of_one_runtime_is_not_anothers() {
    let (log, other) = (Log::new(), Log::new());
    let debugged = runtime(true, &log);
    let builder = Runtime::builder().workers(1).debug(false).exception_handler(logs(&other));
    let quiet = builder.slow_callback_duration(Duration::ZERO).build().unwrap();
    quiet.block_on(async { yield_now().await }).unwrap();
    drop((debugged, quiet));
    assert_eq!(other.lines(), [] as [&str; 0]);
}

#[test]
fn environment_decides_where_the_builder_does_not() {
    // RUN-05, DBG-01: the environment is the whole process's, so this is told to another one
    if let Some(expected) = std::env::var_os("FILCH_EXPECTED") {
        let expected = expected == "1";
        let debug = || Ok(here().is_debug());
        assert_eq!(filch::run(async { debug() }).unwrap(), expected);
        assert_eq!(filch::sim::run(0, async { debug() }).unwrap(), expected);
        let runtime = Runtime::builder().workers(1).debug(!expected).build().unwrap();
        assert_eq!(runtime.block_on(async { debug() }).unwrap(), !expected);
        return;
    }
    for (value, expected) in [(None, "0"), (Some(""), "0"), (Some("0"), "0"), (Some("1"), "1")] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "environment_decides_where_the_builder_does_not"]);
        child.env_remove("FILCH_DEBUG").env("FILCH_EXPECTED", expected);
        if let Some(value) = value {
            child.env("FILCH_DEBUG", value);
        }
        let output = child.output().unwrap();
        assert!(output.status.success(), "{value:?}: {output:?}");
    }
}
