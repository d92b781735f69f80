//! `run` and `Runtime` are asyncio's `run` and `Runner`: main's outcome comes out, and whatever way
//! it ends, what is left is cancelled, cleans up, and is awaited (RUN-01 to RUN-06, RUN-11).

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use common::{Boom, Log, ms, seconds};
use filch::sync::Queue;
use filch::{Handle, Report, Runtime, TaskBuilder};
use filch::{catch_cancelled, catch_cancelled_any, sleep, spawn, yield_now};
use futures::{StreamExt, stream};

const HOUR: Duration = Duration::from_secs(3600);

fn panic_text(work: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(work)).unwrap_err();
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap()
}

fn runtime() -> Runtime {
    Runtime::builder().workers(2).build().unwrap()
}

/// Reports of a runtime, each in one line.
fn logs(log: &Log) -> impl Fn(&Report) + Send + Sync + 'static {
    let log = log.clone();
    move |report| {
        let name = report.task_name().unwrap_or("?");
        log.add(format!("{}: {name}: {}", report.message(), report.error().unwrap()));
    }
}

// upstream: test_runners.RunTests.test_asyncio_run_return
#[test]
fn run_returns_what_main_returns() {
    let main = async {
        yield_now().await;
        Ok(42)
    };
    assert_eq!(filch::run(main).unwrap(), 42);
}

// upstream: test_runners.RunTests.test_asyncio_run_raises
#[test]
fn run_fails_as_main_fails() {
    let main = async {
        yield_now().await;
        Err::<(), _>(Boom("spam").into())
    };
    let error = filch::run(main).unwrap_err();
    assert_eq!(error.downcast_ref::<Boom>(), Some(&Boom("spam")));
}

// upstream: test_runners.RunTests.test_asyncio_run_from_running_loop
// upstream: test_base_events.RunningLoopTests.test_running_loop_within_a_loop
#[test]
fn run_inside_a_task_is_refused() {
    // RUN-01, LOOP-14
    let main = async { panic_text(|| drop(filch::run(async {}))) };
    let text = runtime().block_on(async { Ok(main.await) }).unwrap();
    assert!(text.contains("would block its worker"), "{text}");
}

#[test]
fn nothing_that_blocks_is_done_in_a_callback() {
    // LOOP-14: its worker may be the only one, and other callbacks stand behind it.
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let refused = |blocks: fn(&Handle)| {
        let (tell, told) = mpsc::channel();
        let handle = runtime.handle();
        runtime.handle().call_soon(move || tell.send(panic_text(|| blocks(&handle))).unwrap());
        let text = told.recv().unwrap();
        assert!(text.contains("or a callback"), "{text}");
    };
    refused(|_| drop(filch::run(async {})));
    refused(|_| drop(filch::sim::run(0, async {})));
    refused(|handle| drop(handle.spawn(async {}).wait()));
    refused(|_| assert!(Queue::<u32>::unbounded().get_blocking().is_err()));
    let (tell, told) = mpsc::channel();
    let blocks = move |_| tell.send(panic_text(|| drop(filch::run(async {})))).unwrap();
    runtime.handle().spawn(async {}).add_done_callback(blocks);
    assert!(told.recv().unwrap().contains("or a callback"));
    // In a simulation, too, though nobody would wait there.
    let (tell, told) = mpsc::channel();
    let there = tell.clone();
    let main = async move {
        let blocks = || assert!(Queue::unbounded().put_blocking(1).is_ok());
        Handle::current().call_soon(move || there.send(panic_text(blocks)).unwrap());
        let blocks = || drop(filch::run(async {}));
        spawn(async {}).add_done_callback(move |_| tell.send(panic_text(blocks)).unwrap());
        sleep(ms(1)).await;
        Ok(())
    };
    filch::sim::run(0, main).unwrap();
    assert_eq!(told.iter().filter(|text| text.contains("or a callback")).count(), 2);
}

// upstream: test_runners.RunnerTests.test_recursive_run
#[test]
fn a_runtime_is_not_entered_from_its_own_tasks() {
    // RUN-02
    let runtime = runtime();
    let text = runtime.block_on(async { Ok(panic_text(|| drop(runtime.block_on(async {})))) });
    assert!(text.unwrap().contains("would block its worker"));
}

// upstream: test_runners.RunTests.test_asyncio_run_cancels_hanging_tasks
#[test]
fn what_is_left_is_cancelled() {
    // RUN-03
    let main = async { Ok(spawn(sleep(HOUR)).task_ref()) };
    let left = filch::run(main).unwrap();
    assert!(left.is_finished() && left.is_cancelled());
}

// upstream: test_runners.RunTests.test_asyncio_run_reports_hanging_tasks_errors
#[test]
fn what_is_left_and_fails_is_reported() {
    // RUN-03
    let log = Log::new();
    let handler = logs(&log);
    let main = async {
        Handle::current().set_exception_handler(handler);
        let hangs = async {
            match catch_cancelled(sleep(HOUR)).await {
                Ok(()) => Ok(()),
                Err(_) => Err(Boom("division by zero").into()),
            }
        };
        let left = TaskBuilder::new().name("left").spawn_eager(hangs);
        Ok((123, left))
    };
    let (value, left) = filch::run(main).unwrap();
    assert_eq!(value, 123);
    assert!(left.is_finished());
    drop(left);
    let told = ["task failed while its runtime ended: left: division by zero"];
    assert_eq!(log.lines(), told);
}

#[test]
fn what_is_left_in_a_simulation_and_fails_is_reported() {
    // RUN-03
    let log = Log::new();
    let handler = logs(&log);
    filch::sim::run(0, async {
        Handle::current().set_exception_handler(handler);
        let hangs = async {
            drop(catch_cancelled(sleep(HOUR)).await);
            sleep(ms(1)).await;
            Err::<(), _>(Boom("oh").into())
        };
        TaskBuilder::new().name("left").spawn_eager(hangs).detach();
    })
    .unwrap();
    assert_eq!(log.lines(), ["task failed while its runtime ended: left: oh"]);
}

#[test]
fn what_is_left_and_swallows_its_cancellation_is_no_error() {
    // RUN-04
    let log = Log::new();
    let handler = logs(&log);
    let (tell, told) = mpsc::channel();
    filch::run(async {
        Handle::current().set_exception_handler(handler);
        filch::spawn_eager(async move {
            drop(catch_cancelled(sleep(HOUR)).await);
            tell.send(()).unwrap();
        })
        .detach();
    })
    .unwrap();
    told.recv().unwrap();
    assert_eq!(log.lines(), [] as [&str; 0]);
}

/// Leaves a task behind, whose clean-up takes two awaits, and ends as it is told.
fn cleans_up_after(log: &Log, end: impl FnOnce() -> filch::Result<()>) {
    let there = log.clone();
    let main = async {
        filch::spawn_eager(async move {
            if let Err(cancelled) = catch_cancelled(sleep(HOUR)).await {
                yield_now().await;
                sleep(ms(1)).await;
                there.add("cleaned up");
                cancelled.raise().await;
            }
        })
        .detach();
        end()
    };
    drop(filch::run(main));
    log.add("run is over");
}

#[test]
fn what_is_left_cleans_up_with_awaits_on_every_way_out() {
    // RUN-01, RUN-03
    let ends: [fn() -> filch::Result<()>; 4] = [
        || Ok(()),
        || Err(Boom("no").into()),
        || panic!("oh"),
        || {
            common::me().cancel();
            Ok(())
        },
    ];
    for end in ends {
        let log = Log::new();
        cleans_up_after(&log, end);
        assert_eq!(log.lines(), ["cleaned up", "run is over"]);
    }
}

#[test]
fn what_clean_up_spawns_is_refused_and_nothing_outlives_the_run() {
    // RUN-11
    let spawned = Arc::new(Mutex::new(None));
    let there = spawned.clone();
    filch::run(async {
        filch::spawn_eager(async move {
            drop(catch_cancelled(sleep(HOUR)).await);
            *there.lock().unwrap() = Some(spawn(sleep(HOUR)).task_ref());
        })
        .detach();
    })
    .unwrap();
    let late = spawned.lock().unwrap().take().expect("the clean-up ran");
    assert!(late.is_cancelled());
}

// upstream: test_runners.RunTests.test_asyncio_run_closes_gens_after_hanging_tasks_errors
#[test]
fn what_is_left_half_way_through_a_stream_closes_it_even_if_it_fails() {
    // RUN-03
    let (log, closed) = (Log::new(), Log::new());
    let handler = logs(&log);
    let place = Arc::new(Mutex::new(None));
    let (there, open) = (place.clone(), closed.on_drop("stream closed"));
    let main = async move {
        Handle::current().set_exception_handler(handler);
        let fidget = stream::unfold(open, |open| async move {
            sleep(seconds(1)).await;
            Some((1, open))
        });
        let spin = async move {
            match catch_cancelled_any(fidget.for_each(async |_| {})).await {
                Ok(()) => Ok(()),
                Err(_) => Err(Boom("division by zero").into()),
            }
        };
        let lazyboy = TaskBuilder::new().name("lazyboy").spawn_eager(spin);
        *there.lock().unwrap() = Some(lazyboy.task_ref());
        Err::<(), _>(Boom("fancy exit").into())
    };
    let error = filch::run(main).unwrap_err();
    assert_eq!(error.downcast_ref::<Boom>(), Some(&Boom("fancy exit")));
    let lazyboy = place.lock().unwrap().take().unwrap();
    assert!(lazyboy.is_finished() && !lazyboy.is_cancelled());
    assert_eq!(closed.lines(), ["stream closed"]);
    let told = ["task failed while its runtime ended: lazyboy: division by zero"];
    assert_eq!(log.lines(), told);
}

/// As if main was interrupted from the keyboard.
async fn interrupt() {
    resume_unwind(Box::new("interrupt"));
}

// upstream: test_base_events.BaseEventLoopTests.test_run_forever_keyboard_interrupt
#[test]
fn panic_of_main_goes_on_in_the_caller_and_is_not_reported() {
    // TASK-04
    let reports = Log::new();
    let runtime = Runtime::builder().exception_handler(logs(&reports)).build().unwrap();
    let error = runtime.block_on(interrupt()).unwrap_err();
    assert!(error.is_panic());
    assert_eq!(panic_text(|| drop(error.resume_panic())), "interrupt");
    drop(runtime);
    assert_eq!(reports.lines(), [] as [&str; 0]);
}

// upstream: test_base_events.BaseEventLoopTests.test_run_until_complete_baseexception
#[test]
fn runtime_runs_on_after_a_panic_of_main() {
    // TASK-04
    let runtime = runtime();
    assert!(runtime.block_on(interrupt()).unwrap_err().is_panic());
    let handle = runtime.handle();
    let called = handle.promise();
    let (inner, calls) = (handle.clone(), called.clone());
    handle.call_soon(move || {
        inner.call_soon(move || calls.set("called").unwrap());
    });
    assert_eq!(runtime.block_on(called).unwrap(), "called");
}

// upstream: test_runners.RunnerTests.test_run
#[test]
fn a_runtime_runs_until_it_is_dropped() {
    // RUN-02
    let runtime = runtime();
    for _ in 0..2 {
        let main = async {
            yield_now().await;
            Ok("done")
        };
        assert_eq!(runtime.block_on(main).unwrap(), "done");
    }
    let handle = runtime.handle();
    drop(runtime);
    assert!(handle.spawn(async {}).is_cancelled());
}

// upstream: test_base_events.BaseEventLoopTests.test_create_task_error_closes_coro
#[test]
fn what_is_spawned_after_the_end_is_dropped_in_silence() {
    // TASK-13
    let (log, reports) = (Log::new(), Log::new());
    let runtime = Runtime::builder().exception_handler(logs(&reports)).build().unwrap();
    let handle = runtime.handle();
    drop(runtime);
    let dropped = log.on_drop("dropped");
    let task = handle.spawn(async move {
        let _dropped = dropped;
        log_never_runs();
    });
    assert!(task.is_cancelled());
    assert_eq!(log.lines(), ["dropped"]);
    assert_eq!(reports.lines(), [] as [&str; 0]);
}

fn log_never_runs() {
    unreachable!("the future is never polled");
}

// upstream: test_base_events.BaseEventLoopTests.test_create_named_task_with_default_factory
#[test]
fn a_task_has_the_name_it_is_given() {
    // TASK-11
    let task = runtime().block_on(async {
        let task = TaskBuilder::new().name("test_task").spawn(async {});
        assert_eq!(task.name(), "test_task");
        Ok(task)
    });
    assert_eq!(task.unwrap().name(), "test_task");
}

// upstream: test_base_events.BaseEventLoopTests.test_shutdown_default_executor_timeout
#[test]
fn blocking_threads_that_do_not_end_are_left_behind_and_named() {
    // THR-08
    let (end, ended) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let lines = common::reports::told(tracing::Level::WARN, || {
        let runtime = Runtime::builder().workers(1).grace(ms(10)).build().unwrap();
        let blocks = async move {
            filch::spawn_eager(async move {
                let closure = move || {
                    begin.send(()).unwrap();
                    let _ = ended.recv();
                };
                drop(filch::to_thread(closure).await);
            })
            .detach();
            begun.recv().unwrap();
        };
        runtime.block_on(blocks).unwrap();
    });
    drop(end);
    let named = lines.iter().any(|line| line.contains("blocking threads"));
    assert!(named, "{lines:?}");
}
