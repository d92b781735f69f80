//! Ctrl-C ends the main task, which may clean up; the second one ends it by force, the third one
//! the process (RUN-07, RUN-08, RUN-09).
//!
//! Signals are the whole process's, so these tests take turns.

#![cfg(unix)]

mod common;

use std::future::pending;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use common::{Boom, Log, me, ms};
use filch::{Handle, Interrupted, Promise, Runtime, catch_cancelled, sleep, spawn, yield_now};
use signal_hook::consts::SIGINT;
use signal_hook::low_level::raise;

const HOUR: Duration = Duration::from_secs(3600);

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn runtime() -> Runtime {
    Runtime::builder().workers(2).ctrl_c(true).grace(HOUR).build().unwrap()
}

fn interrupt() {
    raise(SIGINT).unwrap();
}

/// Waits until so many requests to end have come to this task.
async fn asked(times: u32) {
    while me().cancelling() < times {
        sleep(ms(1)).await;
    }
}

// upstream: test_runners.RunnerTests.test_interrupt_call_soon
#[test]
fn a_main_task_that_yields_is_interrupted() {
    let _turn = turn();
    let runtime = runtime();
    let main = async {
        // Not before it runs: nobody listens before.
        Handle::current().call_later(ms(10), interrupt);
        let caught = catch_cancelled(async {
            loop {
                yield_now().await;
            }
        });
        match caught.await {
            Err(cancelled) => cancelled.raise().await,
            Ok(never) => never,
        }
    };
    assert!(runtime.block_on(main).unwrap_err().is::<Interrupted>());
}

// upstream: test_runners.RunnerTests.test_interrupt_wait
#[test]
fn what_the_main_task_awaits_is_cancelled_with_it() {
    let _turn = turn();
    let runtime = runtime();
    let promise: Promise<()> = runtime.handle().promise();
    let waits = promise.clone();
    let main = async move {
        Handle::current().call_later(ms(10), interrupt);
        waits.await
    };
    let error = runtime.block_on(main).unwrap_err();
    assert!(error.is::<Interrupted>());
    assert!(promise.is_cancelled());
    assert_eq!(error.to_string(), "interrupted");
}

// upstream: test_runners.RunnerTests.test_interrupt_cancelled_task
#[test]
fn a_main_task_that_somebody_else_cancelled_too_is_cancelled() {
    let _turn = turn();
    let error = runtime().block_on(async {
        let main = me();
        spawn(async move {
            yield_now().await;
            main.cancel();
            interrupt();
        })
        .detach();
        if let Err(cancelled) = catch_cancelled(sleep(HOUR)).await {
            asked(2).await;
            cancelled.raise().await;
        }
    });
    let error = error.unwrap_err();
    assert!(error.is_cancelled() && !error.is::<Interrupted>(), "{error}");
}

#[test]
fn a_main_task_may_clean_up_and_its_tasks_after_it() {
    let _turn = turn();
    let log = Log::new();
    let (ours, theirs) = (log.clone(), log.clone());
    let runtime = runtime();
    let error = runtime.block_on(async move {
        let task = filch::spawn_eager(async move {
            if let Err(cancelled) = catch_cancelled(sleep(HOUR)).await {
                yield_now().await;
                theirs.add("task cleans up");
                cancelled.raise().await;
            }
        });
        task.detach();
        interrupt();
        if let Err(cancelled) = catch_cancelled(sleep(HOUR)).await {
            sleep(ms(1)).await;
            ours.add("main cleans up");
            cancelled.raise().await;
        }
    });
    assert!(error.unwrap_err().is::<Interrupted>());
    drop(runtime);
    assert_eq!(log.lines(), ["main cleans up", "task cleans up"]);
}

#[test]
fn a_main_task_that_swallows_it_returns_its_value() {
    // RUN-08
    let _turn = turn();
    let value = runtime().block_on(async {
        interrupt();
        let caught = catch_cancelled(sleep(HOUR)).await;
        sleep(ms(1)).await;
        Ok(caught.is_err())
    });
    assert!(value.unwrap());
}

#[test]
fn a_main_task_that_fails_on_it_fails() {
    // RUN-08
    let _turn = turn();
    let error = runtime().block_on(async {
        interrupt();
        match catch_cancelled(sleep(HOUR)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Boom("clean-up").into()),
        }
    });
    assert!(error.unwrap_err().is::<Boom>());
}

#[test]
fn the_second_one_drops_a_main_task_that_does_not_end() {
    let _turn = turn();
    let log = Log::new();
    let dropped = log.on_drop("dropped");
    let runtime = runtime();
    let error = runtime.block_on(async {
        let _dropped = dropped;
        interrupt();
        drop(catch_cancelled(sleep(HOUR)).await);
        log.add("asked");
        interrupt();
        loop {
            drop(catch_cancelled(sleep(HOUR)).await);
        }
    });
    assert!(error.unwrap_err().is::<Interrupted>());
    assert_eq!(log.lines(), ["asked", "dropped"]);
    // It was the main task alone.
    assert_eq!(runtime.block_on(async { Ok(1) }).unwrap(), 1);
}

#[test]
fn each_main_task_of_a_runtime_hears_of_its_own() {
    let _turn = turn();
    let runtime = runtime();
    for _ in 0..3 {
        let error = runtime.block_on(async {
            interrupt();
            sleep(HOUR).await;
        });
        assert!(error.unwrap_err().is::<Interrupted>());
        assert_eq!(runtime.block_on(async { Ok(2) }).unwrap(), 2);
    }
}

#[test]
fn all_runtimes_that_listen_hear_of_it() {
    let _turn = turn();
    let others: Vec<_> = (0..2)
        .map(|_| {
            let (tell, told) = std::sync::mpsc::channel();
            let waits = move || {
                runtime().block_on(async move {
                    tell.send(()).unwrap();
                    sleep(HOUR).await;
                })
            };
            (thread::spawn(waits), told)
        })
        .collect();
    others.iter().for_each(|(_, told)| told.recv().unwrap());
    interrupt();
    for (thread, _) in others {
        assert!(thread.join().unwrap().unwrap_err().is::<Interrupted>());
    }
}

/// Begins to listen on several threads at once, the first that do so in this process.
fn all_listen_at_once() {
    const THREADS: usize = 8;
    let (begun, listening) = (Barrier::new(THREADS), Barrier::new(THREADS + 1));
    thread::scope(|scope| {
        let ends: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let runtime = runtime();
                    begun.wait();
                    runtime.block_on(async {
                        listening.wait();
                        pending::<()>().await;
                    })
                })
            })
            .collect();
        listening.wait();
        interrupt();
        for end in ends {
            assert!(end.join().unwrap().unwrap_err().is::<Interrupted>());
        }
    });
}

#[test]
fn those_who_begin_to_listen_at_once_all_listen() {
    if is_child() {
        return all_listen_at_once();
    }
    for _ in 0..10 {
        assert!(status_of("those_who_begin_to_listen_at_once_all_listen").success());
    }
}

/// Runs one of these tests in a process of its own.
fn status_of(test: &str) -> ExitStatus {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--test-threads=1"]).env("FILCH_CHILD", "1");
    child.output().unwrap().status
}

/// As [`status_of`]; gives the signal that ended it.
fn ended_by(test: &str) -> Option<i32> {
    status_of(test).signal()
}

fn is_child() -> bool {
    std::env::var_os("FILCH_CHILD").is_some()
}

#[test]
fn the_third_one_ends_the_process() {
    if !is_child() {
        assert_eq!(ended_by("the_third_one_ends_the_process"), Some(SIGINT));
        return;
    }
    // The main task never lets go of its thread, so that only the process can be ended.
    let stubborn = async {
        for _ in 0..30_000 {
            interrupt();
            thread::sleep(ms(20));
        }
    };
    drop(runtime().block_on(stubborn));
}

#[test]
fn after_the_main_task_it_ends_the_process() {
    if !is_child() {
        assert_eq!(ended_by("after_the_main_task_it_ends_the_process"), Some(SIGINT));
        return;
    }
    runtime().block_on(async {}).unwrap();
    interrupt();
    panic!("the process goes on");
}

#[test]
fn run_listens_on_the_main_thread() {
    if !is_child() {
        assert_eq!(ended_by("run_listens_on_the_main_thread"), None);
        return;
    }
    // With one thread for all tests, that is where this one runs.
    assert_eq!(thread::current().name(), Some("main"));
    let error = filch::run(async {
        Handle::current().call_soon(interrupt);
        sleep(HOUR).await;
    });
    assert!(error.unwrap_err().is::<Interrupted>());
}

#[test]
fn one_that_comes_when_the_main_task_has_ended_is_not_lost() {
    // RUN-07: nobody can tell this moment from the one after, where the process ends.
    let _turn = turn();
    for _ in 0..20 {
        let ended = runtime().block_on(async {
            interrupt();
            Ok(1)
        });
        assert!(ended.is_err_and(|error| error.is::<Interrupted>()));
    }
}

#[test]
fn a_main_task_that_takes_it_back_and_still_ends_cancelled_is_interrupted() {
    // RUN-08, section 27
    let _turn = turn();
    let error = runtime().block_on(async {
        interrupt();
        if let Err(cancelled) = catch_cancelled(sleep(HOUR)).await {
            assert_eq!(me().uncancel(), 0);
            cancelled.raise().await;
        }
    });
    assert!(error.unwrap_err().is::<Interrupted>());
}
