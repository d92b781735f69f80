//! An error that nobody looks at is told of once, whoever lets go of the task last (DBG-06).

use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;

use super::common::{Queue, all_gone, explore, spawn};
use crate::error::{Error, Result};
use crate::sys::{Arc, Mutex};
use crate::task::handle::Task;
use crate::task::memory::{Home, HomeHandle, Kind};
use crate::task::report::Settings;
use crate::task::{Job, Runnable, Schedule, Why};

/// A queue of a runtime with an exception handler.
struct Handled(Queue, Settings);

impl Schedule for Handled {
    fn schedule(&self, task: Runnable, why: Why) {
        self.0.schedule(task, why);
    }

    fn job(&self, job: Job) {
        self.0.job(job);
    }

    fn settings(&self) -> Option<&Settings> {
        Some(&self.1)
    }
}

/// A home whose handler counts what it is told of.
fn home() -> (HomeHandle, Queue, StdArc<AtomicUsize>) {
    let queue = Queue(Arc::new(Mutex::new(Vec::new())));
    let count = StdArc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let handler = move |report: &crate::Report| {
        assert!(report.error().is_some());
        counted.fetch_add(1, Ordering::Relaxed);
    };
    let settings = Settings::new(false, Settings::SLOW, Some(Box::new(handler)));
    let schedule = Box::new(Handled(queue.clone(), settings));
    (Home::new_with_own_numbers(schedule, Kind::Shared), queue, count)
}

fn failing(home: &Home) -> Task<()> {
    spawn(home, async { Err::<(), Error>(Error::msg("never looked at")) })
}

/// The handle goes while the task fails. Breaks if the end does not set UNSEEN.
#[test]
fn the_handle_goes_while_the_task_fails() {
    explore(|| {
        let (home, queue, told) = home();
        let task = failing(&home);
        let runner = thread::spawn(move || queue.run());
        drop(task);
        runner.join().unwrap();
        assert_eq!(told.load(Ordering::Relaxed), 1);
        all_gone(&home);
    });
}

/// One looks at the error, the other lets go: nobody is told. Breaks if `see` leaves UNSEEN.
#[test]
fn somebody_looks_while_the_handle_goes() {
    explore(|| {
        let (home, queue, told) = home();
        let task = failing(&home);
        queue.run();
        let looking = thread::spawn({
            let task = task.task_ref();
            move || assert!(task.error().is_some())
        });
        drop(task);
        looking.join().unwrap();
        assert_eq!(told.load(Ordering::Relaxed), 0);
        all_gone(&home);
    });
}

/// One asks a task to end while it fails, and the handle goes: told of, or he came too late, which
/// counts as a look (DBG-06). Breaks if a refused request leaves UNSEEN.
#[test]
fn somebody_asks_while_the_task_fails() {
    explore(|| {
        let (home, queue, told) = home();
        let task: Task<()> = failing(&home);
        let asked = task.task_ref();
        drop(task);
        let runner = thread::spawn({
            let queue = queue.clone();
            move || queue.run()
        });
        let accepted = asked.cancel();
        runner.join().unwrap();
        let ended: Result<(), bool> = asked.is_cancelled().then_some(()).ok_or(accepted);
        drop(asked);
        match ended {
            // Before its first poll.
            Ok(()) => assert_eq!(told.load(Ordering::Relaxed), 0),
            Err(accepted) => assert_eq!(told.load(Ordering::Relaxed), usize::from(accepted)),
        }
        all_gone(&home);
    });
}
