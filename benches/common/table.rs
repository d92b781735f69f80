//! Rows: a workload on every runtime, round by round, and what came out.

use std::future::Future;
use std::thread;
use std::time::{Duration, Instant};

use super::{Engine, Filch, Options, Sample, Smol, Tokio, WORKERS, cores};

/// Which geometric mean a row counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// Tasks and timers.
    Task,
    /// Echo over sockets.
    Echo,
    /// None: it watches for a known hazard.
    Watch,
}

/// How large a run is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    quick: bool,
}

impl Scale {
    pub(crate) fn of(options: &Options) -> Self {
        Scale { quick: options.quick }
    }

    pub(crate) fn pick(self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

/// Something every runtime can do.
pub(crate) trait Workload {
    const NAME: &'static str;
    const GROUP: Group;

    /// Does it once, as the main task of a runtime.
    fn run<E: Engine>(scale: Scale) -> impl Future<Output = Sample> + Send + 'static;
}

/// The medians of one row.
#[derive(Debug)]
struct Row {
    group: Group,
    /// tokio's and smol's time, and tokio's CPU time, divided by filch's.
    ratios: [Option<f64>; 3],
}

/// All rows so far, printed as they come.
#[derive(Debug)]
pub(crate) struct Report {
    options: Options,
    rows: Vec<Row>,
}

impl Report {
    /// Reads the options.
    pub(crate) fn new() -> Self {
        Self { options: Options::read(), rows: Vec::new() }
    }

    fn print_head(&self) {
        println!("two spinning threads do {:.2} times the work of one", cores());
        println!(
            "ns per operation [of CPU], medians of {} rounds; x: how many times filch's",
            self.options.rounds
        );
        println!(
            "{:<16} {:>18} {:>18} {:>18} {:>7} {:>7} {:>7} {:>5}",
            "row",
            Filch::NAME,
            Tokio::NAME,
            Smol::NAME,
            "tokio x",
            "smol x",
            "CPU x",
            "cores"
        );
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Measures a workload and prints its row.
    pub(crate) fn row<W: Workload>(&mut self) {
        if !self.options.wants(W::NAME) {
            return;
        }
        if self.rows.is_empty() {
            self.print_head();
        }
        let mut runs = [self.run::<Filch, W>(), self.run::<Tokio, W>(), self.run::<Smol, W>()];
        let mut samples: [Vec<Sample>; 3] = Default::default();
        let mut seen = Vec::new();
        // One round to warm up, unless nobody looks at the numbers.
        let warm = usize::from(!self.options.quick);
        for round in 0..self.options.rounds + warm {
            seen.push(self.free_cores());
            for turn in 0..runs.len() {
                let which = (turn + round) % runs.len();
                if let Some(run) = &mut runs[which] {
                    let sample = run();
                    samples[which].push(sample);
                }
            }
        }
        let samples = samples.each_ref().map(|list| list.get(warm..).unwrap_or_default());
        self.print::<W>(samples, &seen);
    }

    /// Starts the runtime and returns what runs the workload once.
    fn run<E: Engine, W: Workload>(&self) -> Option<Box<dyn FnMut() -> Sample>> {
        if !self.options.runs(E::NAME) {
            return None;
        }
        let engine = E::start(WORKERS);
        let scale = Scale::of(&self.options);
        Some(Box::new(move || {
            let sample = engine.block_on(W::run::<E>(scale));
            // Whoever was busy spins down before the next runtime's turn.
            thread::sleep(Duration::from_millis(2));
            sample
        }))
    }

    /// Counts the free cores, waiting for two of them if asked to.
    fn free_cores(&self) -> f64 {
        let until = Instant::now() + Duration::from_secs(60);
        let mut free = cores();
        while self.options.patient && free < 1.7 && Instant::now() < until {
            thread::sleep(Duration::from_millis(200));
            free = cores();
        }
        free
    }

    fn print<W: Workload>(&mut self, samples: [&[Sample]; 3], seen: &[f64]) {
        let cells = samples.map(cell);
        let wall = |other: usize| ratio(samples[other], samples[0], |sample| sample.wall);
        let ratios = [wall(1), wall(2), ratio(samples[1], samples[0], |sample| sample.cpu)];
        let [tokio, smol, cpu] = ratios.map(times);
        println!(
            "{:<16} {:>18} {:>18} {:>18} {tokio:>7} {smol:>7} {cpu:>7} {:>5.2}",
            W::NAME,
            cells[0],
            cells[1],
            cells[2],
            median(seen.to_vec())
        );
        self.rows.push(Row { group: W::GROUP, ratios });
    }

    /// Prints the geometric means.
    pub(crate) fn finish(self) {
        for (group, name) in [(Group::Task, "tasks, timers"), (Group::Echo, "echo")] {
            let rows: Vec<_> = self.rows.iter().filter(|row| row.group == group).collect();
            let mean = |other: usize| {
                geometric_mean(rows.iter().filter_map(|row| row.ratios[other]).collect())
            };
            let [tokio, smol, cpu] = [mean(0), mean(1), mean(2)].map(times);
            if !rows.is_empty() {
                println!("{:<16} {name:>56} {tokio:>7} {smol:>7} {cpu:>7}", "geometric mean");
            }
        }
    }
}

fn cell(samples: &[Sample]) -> String {
    if samples.is_empty() {
        return "-".to_owned();
    }
    let wall = median(samples.iter().map(|sample| sample.wall).collect());
    let cpu = median(samples.iter().map(|sample| sample.cpu).collect());
    let digits = usize::from(wall < 100.0);
    format!("{wall:.digits$} [{cpu:.digits$}]")
}

/// The median over rounds of another runtime's cost by filch's in the same round.
fn ratio(theirs: &[Sample], ours: &[Sample], cost: fn(&Sample) -> f64) -> Option<f64> {
    let rounds = theirs.iter().zip(ours);
    let ratios: Vec<f64> = rounds.map(|(theirs, ours)| cost(theirs) / cost(ours)).collect();
    (!ratios.is_empty()).then(|| median(ratios))
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

fn geometric_mean(values: Vec<f64>) -> Option<f64> {
    let sum: f64 = values.iter().map(|value| value.ln()).sum();
    (!values.is_empty()).then(|| (sum / values.len() as f64).exp())
}
