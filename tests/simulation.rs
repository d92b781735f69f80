//! A simulation repeats, jumps over time in which nothing happens, and says who waits for what when
//! nothing can happen any more.

mod common;

use std::future::pending;

use common::{Log, ms, seconds};
use filch::time::Instant;
use filch::{Result, TaskBuilder, sim, sleep, spawn};

#[test]
fn program_that_can_neither_run_nor_wait_says_who_waits_for_what() {
    let stuck = sim::run(0, async {
        let inner = TaskBuilder::new().name("inner").spawn(pending::<()>());
        let outer = TaskBuilder::new().name("outer").spawn(inner);
        sleep(seconds(1)).await;
        outer.await
    });
    let error = stuck.unwrap_err();
    assert!(error.is_deadlock());
    assert!(!error.is_cancelled() && !error.is_timeout() && !error.is_panic());
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines[0], "deadlock: no task can run and no timer is left");
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[1].ends_with("awaits outer"), "{text}");
    assert!(lines[2].starts_with("inner (tests/simulation.rs:"), "{text}");
    assert!(lines[2].ends_with("awaits something that nobody will wake"), "{text}");
    assert!(lines[3].starts_with("outer (tests/simulation.rs:"), "{text}");
    assert!(lines[3].ends_with("awaits inner"), "{text}");
}

#[test]
fn tasks_of_a_deadlock_run_their_clean_up() {
    let log = Log::new();
    let guard = log.on_drop("dropped");
    let stuck = sim::run(0, async move {
        let task = spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        task.await
    });
    assert!(stuck.unwrap_err().is_deadlock());
    assert_eq!(log.lines(), ["dropped"]);
}

#[test]
fn a_century_passes_at_once() {
    let main = async {
        let start = Instant::now();
        sleep(seconds(100 * 365 * 24 * 3600)).await;
        Ok(start.elapsed())
    };
    assert_eq!(sim::run(0, main).unwrap(), seconds(100 * 365 * 24 * 3600));
}

#[test]
fn every_simulation_begins_at_the_same_moment() {
    let begin = || sim::run(0, async { Ok(Instant::now()) }).unwrap();
    assert_eq!(begin(), begin());
}

#[test]
fn sleeps_that_end_at_one_moment_end_in_the_order_they_began() {
    let log = Log::new();
    let main = async {
        let tasks: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .map(|name| {
                let seen = log.clone();
                spawn(async move {
                    sleep(ms(5)).await;
                    seen.add(name);
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        Ok(())
    };
    sim::run(0, main).unwrap();
    assert_eq!(log.lines(), ["a", "b", "c"]);
}

#[test]
fn value_of_main_comes_out_and_what_is_left_is_cancelled() -> Result<()> {
    let log = Log::new();
    let seen = log.clone();
    let value = sim::run(0, async move {
        spawn(async move {
            if filch::catch_cancelled(pending::<()>()).await.is_err() {
                sleep(seconds(1)).await;
                seen.add("cleaned up");
            }
        })
        .detach();
        sleep(ms(1)).await;
        Ok(42)
    })?;
    assert_eq!(value, 42);
    assert_eq!(log.lines(), ["cleaned up"]);
    Ok(())
}
