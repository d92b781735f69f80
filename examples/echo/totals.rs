//! What was done so far, counted by all tasks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filch::time::Instant;
use hdrhistogram::Histogram;

/// The longest latency that is told from longer ones: a minute, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;

/// One run's figures.
#[derive(Debug)]
pub(crate) struct Totals {
    requests: AtomicU64,
    errors: AtomicU64,
    bytes: AtomicU64,
    open: AtomicU64,
    /// In nanoseconds.
    latency: Mutex<Histogram<u64>>,
}

impl Default for Totals {
    fn default() -> Self {
        Totals {
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            open: AtomicU64::new(0),
            latency: Mutex::new(Histogram::new_with_max(LONGEST, 3).expect("a sound range")),
        }
    }
}

impl Totals {
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Counts an error; the first is shown.
    pub(crate) fn error(&self, error: &filch::Error) {
        if self.errors.fetch_add(1, Ordering::Relaxed) == 0 {
            eprintln!("first error: {error}");
        }
    }

    pub(crate) fn echoed(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts an open connection while the result lives.
    pub(crate) fn open_connection(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    pub(crate) fn server_line(&self) -> String {
        let bytes = self.bytes.load(Ordering::Relaxed);
        format!("{} connections, {bytes} bytes echoed", self.open.load(Ordering::Relaxed))
    }

    /// Latency in microseconds, such that this share of the requests took no longer.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let latency = self.latency.lock().expect("no holder panics");
        latency.value_at_quantile(share) as f64 / 1e3
    }

    fn add(&self, latencies: &mut Vec<u64>) {
        self.requests.fetch_add(latencies.len() as u64, Ordering::Relaxed);
        let mut histogram = self.latency.lock().expect("no holder panics");
        for latency in latencies.drain(..) {
            histogram.saturating_record(latency);
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Open(Arc<Totals>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One client's latencies, handed on in batches, so that clients do not stand in each other's way.
#[derive(Debug)]
pub(crate) struct Recorder {
    totals: Arc<Totals>,
    latencies: Vec<u64>,
    handed_on: Instant,
}

impl Recorder {
    const BATCH: usize = 256;
    const PATIENCE: Duration = Duration::from_millis(100);

    pub(crate) fn new(totals: Arc<Totals>) -> Self {
        Recorder { totals, latencies: Vec::with_capacity(Self::BATCH), handed_on: Instant::now() }
    }

    pub(crate) fn record(&mut self, from: Instant, to: Instant) {
        self.latencies.push(to.duration_since(from).as_nanos() as u64);
        let waited = to.duration_since(self.handed_on);
        if self.latencies.len() == Self::BATCH || waited > Self::PATIENCE {
            self.handed_on = to;
            self.totals.add(&mut self.latencies);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.totals.add(&mut self.latencies);
    }
}
