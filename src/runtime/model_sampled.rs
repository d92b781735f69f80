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
    let began = Instant::now();
    let in_time = |_: &u64| builder.duration.is_none_or(|most| began.elapsed() < most);
    let seeds = 0..builder.runs.unwrap_or(SEEDS);
    match simulation.search_from(seeds.take_while(in_time), program, location) {
        Ok(runs) => Ok(Explored { runs, complete: false }),
        Err(failure) => {
            let run = format!("the simulation with seed {}", failure.seed());
            let story = failure.story().to_owned();
            Err(Failure { cause: failure.cause(), run, story })
        }
    }
}
