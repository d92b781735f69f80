//! What tests share: a log that is compared whole, a value that notes its end, an error.

#![allow(dead_code)]

pub(crate) mod reports;
pub(crate) mod sweeps;

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What happened, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn new() -> Self {
        Log::default()
    }

    pub(crate) fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(what.into());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A value whose drop is logged.
    pub(crate) fn on_drop(&self, what: &'static str) -> OnDrop {
        OnDrop { log: self.clone(), what }
    }
}

/// Counts itself while it lives.
pub(crate) struct Alive(Arc<AtomicU32>);

impl Alive {
    pub(crate) fn new(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Alive(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Logs its drop.
#[derive(Debug)]
pub(crate) struct OnDrop {
    log: Log,
    what: &'static str,
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.log.add(self.what);
    }
}

/// An error of the program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Boom(pub(crate) &'static str);

impl fmt::Display for Boom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Boom {}

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs `main` in a simulation in asyncio's order.
pub(crate) fn simulate<T>(main: impl Future<Output = filch::Result<T>>) -> T {
    filch::sim::run(0, main).unwrap()
}

/// Runs what `main` makes in asyncio's order, and in many others; `FILCH_SEEDS` says how many.
pub(crate) fn in_any_order<M>(main: impl FnMut() -> M)
where
    M: Future<Output = filch::Result<()>>,
{
    filch::sim::check(filch::sim::seeds(if cfg!(miri) { 2 } else { 200 }), main);
}

/// The task that this runs in.
pub(crate) fn me() -> filch::TaskRef {
    filch::current_task().expect("this runs in a task")
}
