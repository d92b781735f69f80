//! One curve: a workload at several sizes, on several runtimes, round by round.

use std::fs;
use std::future::Future;

use crate::common::{Engine, Options, Sample, median};

/// What is drawn as one panel.
#[derive(Debug)]
pub(crate) struct Curve {
    /// What grows.
    pub(crate) axis: &'static str,
    pub(crate) name: &'static str,
    pub(crate) lines: Vec<Line>,
}

/// One runtime's part of it.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) engine: &'static str,
    pub(crate) points: Vec<Point>,
}

/// What one operation costs at one size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) at: usize,
    /// Nanoseconds of CPU, of all threads.
    pub(crate) cpu: f64,
    /// How often a thread went to sleep.
    pub(crate) sleeps: f64,
}

/// Runs a workload at one size, with so many operations, once.
pub(crate) type Run = Box<dyn FnMut() -> (f64, f64)>;

/// Starts a runtime and returns what runs `work` on it; `operations` are in one run.
pub(crate) fn run<E: Engine, F>(
    workers: usize,
    operations: usize,
    work: impl Fn() -> F + 'static,
) -> Run
where
    F: Future<Output = Sample> + Send + 'static,
{
    let engine = E::start(workers);
    Box::new(move || {
        let before = sleeps();
        let sample = engine.block_on(work());
        (sample.cpu, (sleeps() - before) / operations as f64)
    })
}

impl Curve {
    pub(crate) fn new(axis: &'static str, name: &'static str, engines: &[&'static str]) -> Self {
        let line = |engine: &&'static str| Line { engine, points: Vec::new() };
        Self { axis, name, lines: engines.iter().map(line).collect() }
    }

    /// Adds a point to each line, in order.
    pub(crate) fn point(&mut self, options: &Options, at: usize, mut runs: Vec<Run>) {
        let mut samples = vec![Vec::new(); runs.len()];
        let warm = usize::from(!options.quick);
        for round in 0..options.rounds.min(3) + warm {
            for (run, samples) in runs.iter_mut().zip(&mut samples) {
                let sample = run();
                if round >= warm {
                    samples.push(sample);
                }
            }
        }
        print!("{:<12} {:<16} {at:>8}", self.axis, self.name);
        for (line, samples) in self.lines.iter_mut().zip(samples) {
            let cpu = median(samples.iter().map(|sample| sample.0).collect());
            let sleeps = median(samples.iter().map(|sample| sample.1).collect());
            print!("  {} {cpu:>9.1} ({sleeps:.4} sleeps)", line.engine);
            line.points.push(Point { at, cpu, sleeps });
        }
        println!();
    }
}

/// How often this process's threads have gone to sleep so far; zero where nobody counts.
fn sleeps() -> f64 {
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return 0.0 };
    let of_thread = |entry: std::io::Result<fs::DirEntry>| -> Option<f64> {
        let status = fs::read_to_string(entry.ok()?.path().join("status")).ok()?;
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count?.trim().parse().ok()
    };
    threads.filter_map(of_thread).sum()
}
