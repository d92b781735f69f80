//! Tasks see what tasks of CPython 3.13 see, at the same moments.
//!
//! `data/corpus.jsonl.z` holds random programs with the traces that asyncio gave them under a
//! virtual clock (a half with tasks and timeouts, a quarter each with groups and shields, and with
//! `gather`, `wait` and `as_completed`), `data/corpus-sync.jsonl.z` the same for programs that use
//! events, locks, semaphores and queues as well; `data/in-task.jsonl` holds programs with several
//! awaits at once inside one task, which asyncio does not know, with what they must and must not
//! come to. The interpreter is the one of `examples/scenario`, which also runs programs without end
//! from a generator.

#[allow(dead_code)]
#[path = "../examples/scenario/foreign.rs"]
mod foreign;
#[allow(dead_code)]
#[path = "../examples/scenario/parse.rs"]
mod parse;
#[allow(dead_code)]
#[path = "../examples/scenario/run.rs"]
mod run;
#[allow(dead_code)]
#[path = "../examples/scenario/scopes.rs"]
mod scopes;
#[allow(dead_code)]
#[path = "../examples/scenario/several.rs"]
mod several;
#[allow(dead_code)]
#[path = "../examples/scenario/waits.rs"]
mod waits;

use std::collections::BTreeMap;

use parse::{Fault, Scenario};
use run::{Ending, Event, simulate};
use serde_json::Value;

/// What each task saw, in its own order.
type PerTask = BTreeMap<String, Vec<(u64, String)>>;

#[test]
fn every_task_sees_what_it_sees_in_asyncio() {
    let corpus = corpus();
    assert_eq!(corpus.len(), 1000);
    for (scenario, want) in corpus {
        let (ending, trace) = simulate(0, &scenario);
        assert_eq!((ending, per_task(trace)), (Ending::Complete, want), "{}", scenario.id);
    }
}

#[test]
fn every_task_that_waits_for_others_sees_what_it_sees_in_asyncio() {
    // In another order some of these programs wait for ever, as they would in asyncio.
    let corpus = sync_corpus();
    assert_eq!(corpus.len(), 300);
    for (scenario, want) in corpus {
        let (ending, trace) = simulate(0, &scenario);
        assert_eq!((ending, per_task(trace)), (Ending::Complete, want), "{}", scenario.id);
    }
}

#[test]
fn every_program_ends_in_any_order_of_running() {
    for (scenario, _) in corpus() {
        for seed in 1..=3 {
            let (ending, trace) = simulate(seed, &scenario);
            let again = simulate(seed, &scenario);
            assert_eq!(again, (ending, trace.clone()), "{} with seed {seed}", scenario.id);
            assert_eq!(ending, Ending::Complete, "{} with seed {seed}", scenario.id);
            let ended = |trace: &PerTask| trace.values().filter(|seen| ends(seen)).count();
            let trace = per_task(trace);
            assert_eq!(ended(&trace), trace.len(), "{} with seed {seed}", scenario.id);
        }
    }
}

#[test]
fn several_awaits_at_once_do_as_demanded() {
    let mut met = 0;
    for line in include_str!("data/in-task.jsonl").lines() {
        let scenario = match parse::scenario(line) {
            Ok(scenario) => scenario,
            Err(Fault::Unsupported(_)) => continue,
            Err(fault) => panic!("{fault:?}: {line}"),
        };
        let demands: Value = serde_json::from_str(line).unwrap();
        let (ending, trace) = simulate(0, &scenario);
        let events: Vec<String> = trace.iter().map(demanded).collect();
        assert_eq!(ending, Ending::Complete, "{}: {events:#?}", scenario.id);
        for demand in demands["want"].as_array().unwrap() {
            let demand = demand.as_str().unwrap();
            let met = match demand.strip_prefix('!') {
                Some(never) => !events.iter().any(|event| event.contains(never)),
                None => events.iter().any(|event| event == demand),
            };
            assert!(met, "{}: {demand} of {events:#?}", scenario.id);
        }
        met += 1;
    }
    assert_eq!(met, 50);
}

fn corpus() -> Vec<(Scenario, PerTask)> {
    unpacked(include_bytes!("data/corpus.jsonl.z"))
}

fn sync_corpus() -> Vec<(Scenario, PerTask)> {
    unpacked(include_bytes!("data/corpus-sync.jsonl.z"))
}

fn unpacked(packed: &[u8]) -> Vec<(Scenario, PerTask)> {
    let text = miniz_oxide::inflate::decompress_to_vec_zlib(packed).unwrap();
    let lines = std::str::from_utf8(&text).unwrap().lines();
    lines.map(entry).collect()
}

fn entry(line: &str) -> (Scenario, PerTask) {
    let entry: Value = serde_json::from_str(line).unwrap();
    let mut want = PerTask::new();
    for event in entry["want"].as_array().unwrap() {
        let (at, who, what) = (&event[0], event[1].as_str(), event[2].as_str());
        let seen = want.entry(who.unwrap().to_owned()).or_default();
        seen.push((at.as_u64().unwrap(), what.unwrap().to_owned()));
    }
    (parse::scenario(&entry["program"].to_string()).unwrap(), want)
}

fn per_task(trace: Vec<Event>) -> PerTask {
    let mut seen = PerTask::new();
    for (at, who, what) in trace {
        seen.entry(who.to_string()).or_default().push((at, what));
    }
    seen
}

fn ends(seen: &[(u64, String)]) -> bool {
    seen.last().is_some_and(|(_, what)| what.starts_with("done "))
}

/// An event as demands are written: `task@seconds event`.
fn demanded((at, who, what): &Event) -> String {
    format!("{who}@{} {what}", *at as f64 / 1e6)
}
