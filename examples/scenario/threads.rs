//! The same programs on real threads: no promise about times, every promise about ends.
//!
//! Time runs a thousand times as fast as written, and many programs run at once on one runtime, so
//! that its workers steal. Of every program it is asked that it ends, that all its tasks are then
//! done, that none of them panicked, and that no count of requests fell below zero.

use std::io::{self, BufRead};
use std::sync::mpsc;
use std::time::Duration;

use filch::{Handle, Runtime, TaskRef};

use crate::parse::{self, Fault, Scenario};
use crate::run::Program;

/// Programs that run at once.
const TOGETHER: usize = 64;

/// A microsecond of a program.
const UNIT: Duration = Duration::from_nanos(1);

/// A program that takes this long hangs: the longest of them sleep for a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// No program makes so many requests: a count above it is one that fell below zero.
const MOST_REQUESTS: u32 = 10_000;

/// Runs every program; true if all went well.
pub(crate) fn run_all(workers: usize, input: impl BufRead) -> io::Result<bool> {
    let runtime = Runtime::builder().workers(workers).build().map_err(io::Error::other)?;
    let mut seen = Seen::default();
    let mut batch = Vec::new();
    for line in input.lines() {
        match parse::scenario(&line?) {
            Ok(scenario) => batch.push(scenario),
            Err(Fault::Unsupported(_)) => seen.unsupported += 1,
            Err(Fault::Malformed(what)) => return Err(io::Error::other(what)),
        }
        if batch.len() == TOGETHER {
            seen.add(&runtime.handle(), std::mem::take(&mut batch));
        }
    }
    seen.add(&runtime.handle(), batch);
    let left = left(&runtime.handle());
    println!("{seen}, tasks left {left}");
    if seen.hung > 0 {
        // Leaving would wait for what never ends.
        std::process::exit(1);
    }
    Ok(seen.faults.is_empty() && left == 0)
}

/// Tasks that do not end although every program has: the last ones may still be on their way.
fn left(handle: &Handle) -> usize {
    let begin = std::time::Instant::now();
    loop {
        let left = handle.all_tasks().len();
        if left == 0 || begin.elapsed() > PATIENCE {
            return left;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What came of the programs so far.
#[derive(Default)]
struct Seen {
    programs: usize,
    tasks: usize,
    cancelled: usize,
    failed: usize,
    hung: usize,
    unsupported: usize,
    faults: Vec<String>,
}

impl Seen {
    fn add(&mut self, handle: &Handle, batch: Vec<Scenario>) {
        let (sender, ended) = mpsc::channel();
        let mut running = Vec::new();
        for scenario in batch {
            let program = Program::new(UNIT);
            let (root, sender) = (program.clone().root(scenario.main), sender.clone());
            let number = running.len();
            running.push((scenario.id, program, false));
            handle
                .spawn(async move {
                    root.await;
                    // Nobody listens any more only if the patience is over.
                    let _ = sender.send(number);
                })
                .detach();
        }
        drop(sender);
        for _ in 0..running.len() {
            match ended.recv_timeout(PATIENCE) {
                Ok(number) => running[number].2 = true,
                Err(_) => break,
            }
        }
        for (id, program, done) in running {
            self.programs += 1;
            if !done {
                self.hung += 1;
                self.fault(format!("program {id} hangs"));
            }
            for task in program.tasks() {
                self.look(&id, &task);
            }
        }
    }

    fn look(&mut self, id: &serde_json::Value, task: &TaskRef) {
        self.tasks += 1;
        if !task.is_finished() {
            self.fault(format!("program {id}: {} is not done", task.name()));
        } else if task.is_cancelled() {
            self.cancelled += 1;
        } else if let Some(error) = task.error() {
            self.failed += 1;
            if error.is_panic() {
                self.fault(format!("program {id}: {} panicked: {error}", task.name()));
            }
        }
        if task.cancelling() > MOST_REQUESTS {
            self.fault(format!("program {id}: {} counts below zero", task.name()));
        }
    }

    fn fault(&mut self, fault: String) {
        eprintln!("{fault}");
        self.faults.push(fault);
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Seen { programs, tasks, cancelled, failed, hung, unsupported, faults } = self;
        write!(
            f,
            "programs {programs}, tasks {tasks}, cancelled {cancelled}, failed {failed}, hung \
             {hung}, faults {}, unsupported {unsupported}",
            faults.len()
        )
    }
}
