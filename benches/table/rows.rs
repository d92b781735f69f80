//! A row: one workload in every column, round by round, and what came out.
//!
//! Rounds are interleaved: in each, every column runs once, and each round another goes first. One
//! round before the first warms up and is not counted. A row whose ratios are uncertain after that
//! gets more rounds, whatever they say.

use std::future::Future;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Engine, Options, Ratio, Sample, Scale, WORKERS, cores, median};

pub(crate) const COLUMNS: [&str; 5] = ["filch", "tokio", "smol", "honest", "plain"];

/// A ratio is uncertain if the interval around it is wider than this, as a share of it; the row
/// then gets up to so many times the rounds.
const UNCERTAIN: f64 = 0.15;
const PATIENCE: usize = 3;

/// Runs a workload once.
pub(crate) type Run = Box<dyn FnMut() -> Sample>;

/// What the numbers of a row are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nanoseconds for each operation.
    Cost,
    /// Nanoseconds that something was late: two lines, the median and the 99th of a hundred.
    Delay,
    /// Nanoseconds of CPU.
    Cpu,
    /// Bytes for each item.
    Bytes,
    /// Millions of bytes, of all together.
    Megabytes,
}

impl Kind {
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Kind::Cost | Kind::Delay => "ns",
            Kind::Cpu => "ns CPU",
            Kind::Bytes => "B",
            Kind::Megabytes => "MB",
        }
    }

    /// Whether a second process is asked, at every run: few rounds are enough.
    fn is_weighed(self) -> bool {
        matches!(self, Kind::Bytes | Kind::Megabytes)
    }
}

/// What is printed and written.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) group: &'static str,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Medians; not a number where there is none.
    pub(crate) wall: [f64; 5],
    pub(crate) cpu: [f64; 5],
    /// tokio's and smol's time by filch's, and their CPU time by filch's.
    pub(crate) tokio: Option<Ratio>,
    pub(crate) smol: Option<Ratio>,
    pub(crate) tokio_cpu: Option<Ratio>,
    pub(crate) smol_cpu: Option<Ratio>,
    /// filch's time by the floors'.
    pub(crate) honest: Option<Ratio>,
    pub(crate) plain: Option<Ratio>,
    /// How many cores were free.
    pub(crate) cores: f64,
}

/// All lines so far, printed as they come.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) options: Options,
    pub(crate) lines: Vec<Line>,
    group: &'static str,
}

impl Table {
    pub(crate) fn new(options: Options) -> Self {
        Self { options, lines: Vec::new(), group: "" }
    }

    /// The rows that follow belong to this group.
    pub(crate) fn group(&mut self, name: &'static str) -> Scale {
        self.group = name;
        Scale::of(&self.options)
    }

    pub(crate) fn wants(&self, row: &str) -> bool {
        self.options.wants(self.group, row)
    }

    /// Starts a runtime and returns what runs the workload on it.
    pub(crate) fn engine<E: Engine, F>(&self, work: impl Fn() -> F + 'static) -> Option<Run>
    where
        F: Future<Output = Sample> + Send + 'static,
    {
        self.options.runs(E::NAME).then(|| {
            let engine = E::start(WORKERS);
            self.floor(E::NAME, move || engine.block_on(work()))
        })?
    }

    /// Returns what runs a workload that needs no runtime.
    pub(crate) fn floor(
        &self,
        name: &str,
        mut work: impl FnMut() -> Sample + 'static,
    ) -> Option<Run> {
        self.options.runs(name).then(|| {
            Box::new(move || {
                let sample = work();
                // Whoever was busy spins down before the next one's turn.
                thread::sleep(Duration::from_millis(2));
                sample
            }) as Run
        })
    }

    /// Measures a row and prints its lines.
    pub(crate) fn row(&mut self, kind: Kind, name: &str, mut runs: [Option<Run>; 5]) {
        let mut samples: [Vec<Sample>; 5] = Default::default();
        let mut free = Vec::new();
        let warm = usize::from(!self.options.quick && !kind.is_weighed());
        let least =
            warm + if kind.is_weighed() { self.options.rounds.min(3) } else { self.options.rounds };
        let most = if warm > 0 { warm + PATIENCE * self.options.rounds } else { least };
        for round in 0..most {
            if round >= least && !is_uncertain(&samples) {
                break;
            }
            free.push(self.free_cores());
            for turn in 0..runs.len() {
                let which = (turn + round) % runs.len();
                let sample = runs[which].as_mut().map(|run| run());
                samples[which].extend(sample.filter(|_| round >= warm));
            }
        }
        drop(runs);
        let cores = median(free);
        let mut line = |name: String, cost: fn(&Sample) -> f64| {
            let line = Line::of(self.group, name, kind, &samples, cost, cores);
            line.print(self.lines.is_empty());
            self.lines.push(line);
        };
        if kind == Kind::Delay {
            line(format!("{name}_p50"), |sample| sample.wall);
            line(format!("{name}_p99"), |sample| sample.tail);
        } else {
            line(name.to_owned(), |sample| sample.wall);
        }
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
}

/// Do tokio's and smol's times, by filch's, leave too much open?
fn is_uncertain(samples: &[Vec<Sample>; 5]) -> bool {
    let costs: [fn(&Sample) -> f64; 2] = [|sample| sample.wall, |sample| sample.tail];
    costs.into_iter().any(|cost| {
        let [ours, tokio, smol] =
            [0, 1, 2].map(|column| samples[column].iter().map(cost).collect::<Vec<f64>>());
        [tokio, smol].iter().filter_map(|theirs| Ratio::of(theirs, &ours)).any(|ratio| {
            let width = ratio.likely.end - ratio.likely.start;
            width > UNCERTAIN * ratio.median
        })
    })
}

impl Line {
    fn of(
        group: &'static str,
        name: String,
        kind: Kind,
        samples: &[Vec<Sample>; 5],
        cost: fn(&Sample) -> f64,
        cores: f64,
    ) -> Self {
        let values = |cost: fn(&Sample) -> f64| {
            samples.each_ref().map(|column| column.iter().map(cost).collect::<Vec<f64>>())
        };
        let (wall, cpu) = (values(cost), values(|sample| sample.cpu));
        Self {
            group,
            name,
            kind,
            tokio: Ratio::of(&wall[1], &wall[0]),
            smol: Ratio::of(&wall[2], &wall[0]),
            tokio_cpu: Ratio::of(&cpu[1], &cpu[0]),
            smol_cpu: Ratio::of(&cpu[2], &cpu[0]),
            honest: Ratio::of(&wall[0], &wall[3]),
            plain: Ratio::of(&wall[0], &wall[4]),
            wall: wall.map(median),
            cpu: cpu.map(median),
            cores,
        }
    }
}

/// A workload in the columns that can run it: all runtimes, and the floors that are named.
macro_rules! row {
    (
        $table:expr, $kind:ident, $name:expr,
        $room:ident::$work:ident $sizes:tt $([$honest:ident])? $(plain $plain:expr)?
    ) => {
        if $table.wants($name) {
            #[allow(unused_mut)]
            let mut runs = [
                $table.engine::<$crate::common::Filch, _>(move || {
                    $room::$work::<$crate::common::Filch> $sizes
                }),
                $table.engine::<$crate::common::Tokio, _>(move || {
                    $room::$work::<$crate::common::Tokio> $sizes
                }),
                $table.engine::<$crate::common::Smol, _>(move || {
                    $room::$work::<$crate::common::Smol> $sizes
                }),
                None,
                None,
            ];
            $(runs[3] = $table.engine::<$honest, _>(move || $room::$work::<$honest> $sizes);)?
            $(runs[4] = $table.floor("plain", move || $plain);)?
            $table.row($crate::rows::Kind::$kind, $name, runs);
        }
    };
}
pub(crate) use row;
