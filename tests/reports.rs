//! An error that nobody ever looks at is reported, once (FUT-13, DBG-06).

mod common;

use std::io;
use std::sync::{Arc, Mutex};

use common::{Boom, ms};
use filch::{Result, Task, sleep, spawn};

/// Everything reported while a simulation runs.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<u8>>>);

impl io::Write for Reports {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `main` and gives the lines that say an error was never retrieved.
fn reported(main: impl Future<Output = Result<()>>) -> Vec<String> {
    let reports = Reports::default();
    let writer = reports.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || filch::sim::run(0, main)).unwrap();
    let text = String::from_utf8(reports.0.lock().unwrap().clone()).unwrap();
    let lines = text.lines().filter(|line| line.contains("never retrieved"));
    lines.map(str::to_owned).collect()
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
