//! Runs the programs of the conformance suite and prints what their tasks saw.
//!
//! ```text
//! scenario < programs.jsonl > traces.jsonl      in simulations, seed 0: asyncio's order
//! scenario --seed 7 < programs.jsonl            in another order
//! scenario --threads 4 < programs.jsonl         on real threads, a thousand times as fast
//! ```
//! One program a line in, one line out: `{"id": .., "outcome": "ok", "trace": [[us, task, event],
//! ..]}`. On real threads times mean nothing, so what is checked is that every program ends, or
//! waits for what nobody does.

mod foreign;
mod parse;
mod run;
mod scopes;
mod several;
mod stuck;
mod threads;
mod waits;

use std::io::{self, BufRead, BufWriter, Write};
use std::process::ExitCode;

use parse::Fault;
use run::{Ending, Event};
use serde_json::{Value, json};

const USAGE: &str = "usage: scenario [--seed N | --threads N] < programs.jsonl";

enum Engine {
    Simulation { seed: u64 },
    Threads { workers: usize },
}

fn main() -> ExitCode {
    let Some(engine) = engine(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let done = match engine {
        Engine::Simulation { seed } => simulations(seed).map(|()| true),
        Engine::Threads { workers } => threads::run_all(workers, io::stdin().lock()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("scenario: {error}");
            ExitCode::FAILURE
        }
    }
}

fn engine(mut options: impl Iterator<Item = String>) -> Option<Engine> {
    let engine = match options.next().as_deref() {
        None => Engine::Simulation { seed: 0 },
        Some("--seed") => Engine::Simulation { seed: options.next()?.parse().ok()? },
        Some("--threads") => {
            let workers = options.next()?.parse().ok().filter(|workers| *workers > 0)?;
            Engine::Threads { workers }
        }
        Some(_) => return None,
    };
    options.next().is_none().then_some(engine)
}

fn simulations(seed: u64) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            serde_json::to_writer(&mut out, &traced(seed, &line)?)?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()
}

fn traced(seed: u64, line: &str) -> io::Result<Value> {
    let scenario = match parse::scenario(line) {
        Ok(scenario) => scenario,
        Err(Fault::Unsupported(_)) => {
            let program: Value = serde_json::from_str(line)?;
            return Ok(json!({"id": program["id"], "outcome": "unsupported", "trace": []}));
        }
        Err(Fault::Malformed(what)) => return Err(io::Error::other(what)),
    };
    let (ending, trace) = run::simulate(seed, &scenario);
    let outcome = match ending {
        Ending::Complete => "ok",
        Ending::Deadlock => "deadlock",
    };
    let trace: Vec<Value> = trace.iter().map(event).collect();
    Ok(json!({"id": scenario.id, "outcome": outcome, "trace": trace}))
}

fn event((at, who, what): &Event) -> Value {
    json!([at, **who, what])
}
