//! What all benches share: three runtimes behind one trait, a stopwatch, statistics.
//!
//! A workload (`benches/work`) is written once, against [`Engine`], or [`Server`] if it needs more,
//! so no runtime gets an easier job. Channels inside workloads belong to `futures`, counters to
//! `std`.
// No bench needs all of it.
#![allow(dead_code, unused_imports)]

mod engine;
mod filch;
mod limits;
mod measure;
mod options;
mod smol;
mod statistics;
pub(crate) mod svg;
mod tokio;
mod tools;

pub(crate) use engine::{Engine, Server};
pub(crate) use filch::Filch;
pub(crate) use limits::most_connections;
pub(crate) use measure::{Sample, Watch, cores};
pub(crate) use options::Options;
pub(crate) use smol::Smol;
pub(crate) use statistics::{Ratio, geometric_mean, median};
pub(crate) use tokio::Tokio;
pub(crate) use tools::{Countdown, Gate};

/// Threads each runtime gets.
pub(crate) const WORKERS: usize = 2;

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
