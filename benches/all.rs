//! Every row of every question in one table: `cargo bench --bench all`.
//!
//! `memory.rs` is not among them: its allocator counts, which would slow the others down.

// Each question's file is a program of its own, too, and declares `common` for that life.
#![allow(clippy::duplicate_mod)]

mod common;

#[path = "cancel.rs"]
mod cancel;
#[path = "echo.rs"]
mod echo;
#[path = "hostage.rs"]
mod hostage;
#[path = "spawn.rs"]
mod spawn;
#[path = "timers.rs"]
mod timers;
#[path = "wake.rs"]
mod wake;

fn main() {
    let mut report = common::Report::new();
    spawn::rows(&mut report);
    wake::rows(&mut report);
    timers::rows(&mut report);
    cancel::rows(&mut report);
    echo::rows(&mut report);
    hostage::rows(report.options());
    report.finish();
}
