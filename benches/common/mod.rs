//! What all benches share: three runtimes behind one trait, a stopwatch, a table.
//!
//! A workload is written once, against [`Engine`], so no runtime gets an easier job. A row runs it
//! on every runtime in turn, several rounds in one process, and prints medians: time and CPU time
//! of one operation, and how many times as long the others take. Each round rotates who goes
//! first. Channels inside workloads belong to `futures`, counters to `std`.
//!
//! Every bench file is a program of its own and a module of `all.rs`; it reaches this one as
//! `crate::common` in both lives.
// No bench needs all of it.
#![allow(dead_code, unused_imports)]

mod engine;
mod filch;
mod measure;
mod options;
mod smol;
mod table;
mod tokio;
mod tools;

pub(crate) use engine::Engine;
pub(crate) use filch::Filch;
pub(crate) use measure::{Sample, Watch, cores};
pub(crate) use options::Options;
pub(crate) use smol::Smol;
pub(crate) use table::{Group, Report, Scale, Workload};
pub(crate) use tokio::Tokio;
pub(crate) use tools::{Countdown, Gate};

/// Threads each runtime gets.
pub(crate) const WORKERS: usize = 2;
