//! Random sequences of operations, done by filch and by a plain sequential model: after each, both
//! have come to the same.
//!
//! A sequence is made from bytes (`operations/program.rs`): tasks with programs of sleeps,
//! promises, queues, permits, timeouts, groups and handlers, and between them requests, results
//! and time. The model (`operations/model.rs`) is asyncio's state tables, and uses nothing of
//! filch. In the simulation's order for seed 0 there is one right answer, down to the order of
//! events; no two timers go off at one instant. In three places filch has an order of its own
//! within one instant, which the model has, too (`Ways::Filch`); few sequences come upon them.
//!
//! CPython does the same sequences, and the model in its ways comes to the same, in
//! `.ci/operations`, which has this write them to a file: `FILCH_SEQUENCES_TO`. `fuzz` has filch
//! and the model as a target of cargo-fuzz. `FILCH_SEQUENCES=n` does `n` sequences, from number
//! `FILCH_FIRST_SEQUENCE` on. One that differs is made as small as can be, and printed.

#[path = "operations/frames.rs"]
mod frames;
#[path = "operations/model.rs"]
mod model;
#[path = "operations/program.rs"]
mod program;
#[path = "operations/real.rs"]
mod real;
#[path = "operations/shared.rs"]
mod shared;

use std::fmt::Write;

use fastrand::Rng;

use model::Ways;
use program::Deed;

const SEQUENCES: u64 = if cfg!(miri) { 3 } else { 2000 };

/// Sequences with which they once differed: whoever was interrupted by his own timeout while he
/// awaited a promise is looked at once more, and hears only then of a request of his own.
const ONCE_DIFFERENT: [u64; 2] = [211_241, 229_338];

#[test]
fn filch_and_the_model_come_to_the_same() {
    let first = setting("FILCH_FIRST_SEQUENCE").unwrap_or(0);
    let count = setting("FILCH_SEQUENCES").unwrap_or(SEQUENCES);
    let mut as_asyncio = 0;
    for number in (first..first + count).chain(ONCE_DIFFERENT) {
        let deeds = program::sequence(&bytes(number));
        let got = real::run(&deeds);
        as_asyncio += u64::from(got == model::run(&deeds, Ways::Asyncio));
        if got != model::run(&deeds, Ways::Filch) {
            let deeds = smallest(deeds);
            let (step, want, got) = difference(&deeds).unwrap();
            panic!(
                "sequence {number} differs after deed {step}\nfilch {got}\nmodel {want}\n{deeds:?}"
            );
        }
    }
    println!("{as_asyncio} of {count} have asyncio's order within each instant, too");
    assert!(as_asyncio * 100 >= count * 95);
}

/// What the model does in asyncio's ways, for CPython to compare: the bytes of each sequence, and
/// what is there after each deed.
#[test]
fn sequences_are_written_down() {
    let Ok(path) = std::env::var("FILCH_SEQUENCES_TO") else { return };
    let first = setting("FILCH_FIRST_SEQUENCE").unwrap_or(0);
    let mut text = String::new();
    for number in first..first + setting("FILCH_SEQUENCES").unwrap_or(SEQUENCES) {
        let bytes = bytes(number);
        let hex = bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let steps = model::run(&program::sequence(&bytes), Ways::Asyncio);
        writeln!(text, "{number}\t{hex}\t{}", steps.join("\t")).unwrap();
    }
    std::fs::write(path, text).unwrap();
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// The bytes of a sequence.
fn bytes(number: u64) -> Vec<u8> {
    let mut dice = Rng::with_seed(number);
    let length = dice.usize(4..160);
    (0..length).map(|_| dice.u8(..)).collect()
}

/// The first step at which they differ, with what the model and filch say.
fn difference(deeds: &[Deed]) -> Option<(usize, String, String)> {
    let (want, got) = (model::run(deeds, Ways::Filch), real::run(deeds));
    let step = (0..want.len().max(got.len())).find(|step| want.get(*step) != got.get(*step))?;
    let said = |steps: &[String]| steps.get(step).cloned().unwrap_or_default();
    Some((step, said(&want), said(&got)))
}

/// Leaves out what can be left out, as long as they differ.
fn smallest(mut deeds: Vec<Deed>) -> Vec<Deed> {
    while let Some(less) = program::smaller(&deeds).into_iter().find(|d| difference(d).is_some()) {
        deeds = less;
    }
    deeds
}
