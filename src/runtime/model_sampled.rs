//! Without `--cfg loom`: a program is run in the simulation, with some seeds.

use std::panic::Location;

use crate::driver::clock::Instant;
use crate::error::Outcome;
use crate::runtime::model::{Builder, Explored, Failure};
use crate::runtime::simulation;

/// How many seeds, if nothing is said.
const SEEDS: u64 = 100;

pub(super) fn note(text: String) {
    tracing::debug!(target: "filch::model", "{text}");
}

pub(super) fn explore<M, F>(
    builder: &Builder,
    location: &'static Location<'static>,
    program: M,
) -> Result<Explored, Failure>
where
    M: Fn() -> F,
    F: Future<Output: Outcome>,
{
    let simulation = simulation::Builder::new().turn_limit(builder.steps);
    let (began, seeds) = (Instant::now(), builder.runs.unwrap_or(SEEDS));
    for seed in 0..seeds {
        if builder.duration.is_some_and(|most| began.elapsed() >= most) {
            return Ok(Explored { runs: seed, complete: false });
        }
        if let Err(error) = simulation.run_with(seed, None, program(), location) {
            let run = format!("seed {seed} of the simulation");
            return Err(Failure { cause: error.to_string(), run, story: String::new() });
        }
    }
    Ok(Explored { runs: seeds, complete: false })
}
