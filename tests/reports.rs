//! What is told to `tracing`: a task's life, errors nobody looks at (FUT-13, DBG-06), a hard end.

mod common;

use common::reports::told;
use common::{Boom, ms};
use filch::{Error, Result, ReturnWhen, Runtime, Task};
use filch::{catch_cancelled, gather, shield, sleep, spawn, task_group, wait, yield_now};
use tracing::Level;

/// Runs `main` and gives the lines that say an error was never retrieved.
fn reported(main: impl Future<Output = Result<()>>) -> Vec<String> {
    let mut lines = told(Level::INFO, || filch::sim::run(0, main).unwrap());
    lines.retain(|line| line.contains("never retrieved"));
    lines
}

/// A task that has failed by now.
async fn failed() -> Task<()> {
    let task = spawn(async { Err(Boom("nobody looks").into()) });
    sleep(ms(1)).await;
    task
}

#[test]
fn error_that_nobody_looks_at_is_reported_once() {
    let lines = reported(async {
        drop(failed().await);
        Ok(())
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("nobody looks"), "{lines:?}");
}

// upstream: test_tasks.BaseTaskTests.test_tb_logger_not_called_after_cancel
#[test]
fn request_to_a_failed_task_counts_as_a_look() {
    // CAN-01, FUT-13
    let lines = reported(async {
        let task = failed().await;
        assert!(!task.cancel());
        Ok(())
    });
    assert_eq!(lines, [] as [&str; 0]);
}

#[test]
fn every_way_to_look_at_an_error_is_a_look() {
    // FUT-13
    let lines = reported(async {
        assert!(failed().await.await.is_err());
        assert!(failed().await.join().await.is_err());
        assert!(failed().await.error().is_some());
        Ok(())
    });
    assert_eq!(lines, [] as [&str; 0]);
}

#[test]
fn values_and_cancellations_are_no_errors() {
    let lines = reported(async {
        drop(spawn(async { Ok(7) }));
        let task = spawn(sleep(ms(5)));
        task.cancel();
        drop(task);
        sleep(ms(1)).await;
        Ok(())
    });
    assert_eq!(lines, [] as [&str; 0]);
}

// upstream: test_tasks.CoroutineGatherTests.test_exception_marking
#[test]
fn later_errors_of_gathered_tasks_are_nobodys_business() {
    // GAT-04
    let lines = reported(async {
        let fails = |after| {
            spawn(async move {
                sleep(ms(after)).await;
                Err::<(), Error>(Boom("gathered").into())
            })
        };
        let outer = spawn(gather([fails(1), fails(2), fails(3)]));
        assert!(outer.await.unwrap_err().is::<Boom>());
        sleep(ms(5)).await;
        Ok(())
    });
    assert_eq!(lines, [] as [&str; 0]);
}

#[test]
fn waiting_for_a_failed_task_is_no_look() {
    // WAIT-09
    let lines = reported(async {
        drop(wait([failed().await], ReturnWhen::AllCompleted).await);
        drop(wait([failed().await], ReturnWhen::FirstError).await);
        Ok(())
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[test]
fn error_behind_an_abandoned_shield_is_reported() {
    // SHD-04
    let lines = reported(async {
        let outer = spawn(shield(spawn(async {
            sleep(ms(2)).await;
            Err::<(), Error>(Boom("behind the shield").into())
        })));
        sleep(ms(1)).await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        sleep(ms(2)).await;
        Ok(())
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("behind the shield"), "{lines:?}");
}

#[test]
fn errors_of_a_groups_children_are_the_groups() {
    let lines = reported(async {
        let failing = task_group(async |group| {
            group.spawn(async { Err::<(), Error>(Boom("child").into()) });
            Ok(())
        });
        assert!(failing.await.is_err());
        Ok(())
    });
    assert_eq!(lines, [] as [&str; 0]);
}

#[test]
fn error_of_a_child_whose_group_was_dropped_is_reported() {
    // TG-17
    let lines = reported(async {
        let mut group = Box::pin(task_group(async |group| {
            group.spawn(async {
                let _ = catch_cancelled(sleep(ms(60))).await;
                Err::<(), Error>(Boom("orphan").into())
            });
            Ok(())
        }));
        assert!(futures::poll!(&mut group).is_pending());
        sleep(ms(1)).await;
        drop(group);
        sleep(ms(1)).await;
        Ok(())
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("orphan"), "{lines:?}");
}

/// How often each word is told of the task `id`, in the order of their first time.
fn life(lines: &[String], id: u64) -> Vec<(String, usize)> {
    let words = ["spawned", "polled", "finished", "failed", "cancelled", "panicked", "retrieved"];
    let of_task = |line: &&String| line.contains(&format!("task={id}"));
    let mut life: Vec<(String, usize)> = Vec::new();
    for line in lines.iter().filter(of_task) {
        let message = line.split("filch::task: ").nth(1).unwrap_or(line);
        let message = message.split(" task=").next().unwrap_or(message);
        for word in words.iter().filter(|word| message.contains(*word)) {
            match life.iter_mut().find(|(told, _)| told == word) {
                Some((_, count)) => *count += 1,
                None => life.push(((*word).to_owned(), 1)),
            }
        }
    }
    life
}

#[test]
fn life_of_a_task_is_told_from_spawn_to_end() {
    let main = async {
        spawn(async { yield_now().await }).await?;
        spawn(async { Err::<(), _>(Error::msg("no luck")) }).await.unwrap_err();
        let sleeper = spawn(sleep(ms(1)));
        yield_now().await;
        sleeper.cancel();
        sleeper.await.unwrap_err();
        spawn(async { panic!("oh") as () }).await.unwrap_err();
        Ok(())
    };
    let lines = told(Level::TRACE, || filch::sim::run(0, main).unwrap());
    let of = |id| life(&lines, id).into_iter().map(|(word, count)| format!("{word} {count}"));
    // The main task is the first.
    let lives: Vec<Vec<String>> = (2..=5).map(|id| of(id).collect()).collect();
    assert_eq!(lives[0], ["spawned 1", "polled 2", "finished 1"]);
    assert_eq!(lives[1], ["spawned 1", "polled 1", "failed 1"]);
    assert_eq!(lives[2], ["spawned 1", "polled 2", "cancelled 1"]);
    assert_eq!(lives[3], ["spawned 1", "polled 1", "panicked 1", "failed 1"]);
    assert!(
        lines.iter().all(|line| !line.contains("spawned") || line.contains("tests/reports.rs"))
    );
}

#[test]
fn task_that_refuses_to_end_is_named() {
    let lines = told(Level::ERROR, || {
        let runtime = Runtime::builder().workers(1).grace(ms(10)).build().unwrap();
        let (begun, begins) = std::sync::mpsc::channel();
        let stubborn = async move {
            begun.send(()).unwrap();
            loop {
                let _refused = filch::catch_cancelled(std::future::pending::<()>()).await;
            }
        };
        let stubborn = runtime.handle().spawn(async { stubborn.await as () });
        stubborn.set_name("stubborn");
        begins.recv().unwrap();
        drop(runtime);
        assert!(stubborn.wait().unwrap_err().is_cancelled());
    });
    let named = |line: &&String| line.contains("refuses to end") && line.contains("stubborn");
    assert_eq!(lines.iter().filter(named).count(), 1, "{lines:?}");
}
