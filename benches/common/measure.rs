//! Time, CPU time, and how many cores there really are.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What one run of a workload cost, or how long things took in it.
///
/// What a workload does not measure is not a number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Nanoseconds per operation; of delays the median, of memory the bytes.
    pub(crate) wall: f64,
    /// Nanoseconds of CPU per operation, of all threads of the process, user and system.
    pub(crate) cpu: f64,
    /// Of delays, the one that 99 of 100 stay below.
    pub(crate) tail: f64,
}

impl Sample {
    /// A number that is no time.
    pub(crate) fn of(value: f64) -> Self {
        Self { wall: value, cpu: f64::NAN, tail: f64::NAN }
    }

    /// The middle and the tail of many delays.
    pub(crate) fn of_delays(mut delays: Vec<Duration>) -> Self {
        assert!(!delays.is_empty(), "nothing was measured");
        delays.sort_unstable();
        let at = |share: f64| {
            let rank = (share * delays.len() as f64) as usize;
            delays[rank.min(delays.len() - 1)].as_nanos() as f64
        };
        Self { wall: at(0.5), cpu: f64::NAN, tail: at(0.99) }
    }

    /// The mean of runs of equal size.
    pub(crate) fn mean(runs: &[Sample]) -> Self {
        let each =
            |cost: fn(&Sample) -> f64| runs.iter().map(cost).sum::<f64>() / runs.len() as f64;
        Self { wall: each(|run| run.wall), cpu: each(|run| run.cpu), tail: f64::NAN }
    }
}

/// A running measurement.
#[derive(Debug)]
pub(crate) struct Watch {
    started: Instant,
    used: Duration,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { used: cpu_time(), started: Instant::now() }
    }

    /// Ends the measurement of `operations`.
    pub(crate) fn stop(self, operations: usize) -> Sample {
        let wall = self.started.elapsed();
        let cpu = cpu_time() - self.used;
        let each = |time: Duration| time.as_nanos() as f64 / operations as f64;
        Sample { wall: each(wall), cpu: each(cpu), tail: f64::NAN }
    }
}

/// CPU time this process has used so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How much more two threads compute than one, just now: 2.0 on two free cores.
///
/// Now and then both threads of a virtual machine sit on one core; ratios measured then say
/// nothing about two workers.
pub(crate) fn cores() -> f64 {
    let alone = spin();
    let started = Instant::now();
    let other = thread::spawn(spin);
    spin();
    other.join().expect("spinning cannot fail");
    2.0 * alone.as_secs_f64() / started.elapsed().as_secs_f64()
}

fn spin() -> Duration {
    let started = Instant::now();
    for step in 0..4_000_000_u64 {
        black_box(step);
    }
    started.elapsed()
}
