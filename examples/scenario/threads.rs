//! The same programs on real threads: no promise about times, every promise about ends.
//!
//! Time runs a thousand times as fast as written, and many programs run at once on one runtime, so
//! that its workers steal. Of every program it is asked that it ends, that all its tasks are then
//! done, that none of them panicked, that no count of requests fell below zero, and that what
//! the children of a group failed with came out of it. Times being what
//! they are, a program may wait for ever for what nobody does any more: then nobody must have been
//! forgotten (`stuck`), and it must end when its tasks are cancelled.

use std::io::{self, BufRead};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use filch::{Handle, Runtime, TaskRef};

use crate::parse::{self, Fault, Scenario};
use crate::run::Program;
use crate::stuck;

/// Programs that run at once.
const TOGETHER: usize = 64;

/// A microsecond of a program.
const UNIT: Duration = Duration::from_nanos(1);

/// What takes this long hangs: the longest programs sleep for a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nothing moves any more if nothing has for this long.
const STILL: Duration = Duration::from_secs(3);

/// No program makes so many requests: a count above it is one that fell below zero.
const MOST_REQUESTS: u32 = 10_000;

/// Runs every program; true if all went well.
pub(crate) fn run_all(workers: usize, input: impl BufRead) -> io::Result<bool> {
    // Every error is looked at below: none is reported, and neither is a panic of a callback.
    let (reporter, reports) = mpsc::channel();
    let builder = Runtime::builder().workers(workers).exception_handler(move |report| {
        // The last one may come when nobody listens any more.
        let _ = reporter.send(report.to_string());
    });
    let runtime = builder.build().map_err(io::Error::other)?;
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
    reports.try_iter().for_each(|report| seen.fault(format!("reported: {report}")));
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

/// A program, and whether it has ended.
type Running = (serde_json::Value, Arc<Program>, bool);

/// Waits until all have ended, or nothing moves any more.
fn await_ends(ended: &mpsc::Receiver<usize>, running: &mut [Running]) {
    let steps = |running: &[Running]| -> usize {
        running.iter().map(|(_, program, _)| program.trace().len()).sum()
    };
    let mut before = None;
    while running.iter().any(|(_, _, done)| !done) {
        match ended.recv_timeout(STILL) {
            Ok(number) => running[number].2 = true,
            Err(_) => {
                let now = Some(steps(running));
                if std::mem::replace(&mut before, now) == now {
                    return;
                }
            }
        }
    }
}

/// What came of the programs so far.
#[derive(Default)]
struct Seen {
    programs: usize,
    tasks: usize,
    cancelled: usize,
    failed: usize,
    stuck: usize,
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
        await_ends(&ended, &mut running);
        for (id, program, done) in &mut running {
            if !*done {
                self.stuck += 1;
                if let Err(who) = stuck::forgotten(program, &handle.await_graph()) {
                    self.fault(format!("program {id}: {who}"));
                }
                *done = stuck::end(program, PATIENCE);
            }
        }
        for (id, program, done) in running {
            self.programs += 1;
            if !done {
                self.hung += 1;
                self.fault(format!("program {id} hangs"));
            }
            for fault in program.faults() {
                self.fault(format!("program {id}: {fault}"));
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
        let Seen { programs, tasks, cancelled, failed, stuck, hung, unsupported, faults } = self;
        write!(
            f,
            "programs {programs}, tasks {tasks}, cancelled {cancelled}, failed {failed}, waiting \
             for ever {stuck}, hung {hung}, faults {}, unsupported {unsupported}",
            faults.len()
        )
    }
}
