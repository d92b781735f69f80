//! Every portable test of CPython's suite for tasks, groups, timeouts, threads, eager starts,
//! staggered races, locks and queues is ported, or there is a reason why not.
//!
//! `data/upstream.tsv` lists them: the test's name, a tab, and the reason if it has no counterpart
//! in Rust. A port says so in a line above it, `// upstream: ` and the name.
//!
//! `data/extra.tsv` lists what CPython's suite leaves out: the rule, the scenario, and the test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_portable_test_is_ported_or_excused() {
    let ported = ported();
    let unknown: BTreeSet<_> =
        ported.iter().filter(|name| !listed().any(|(listed, _)| listed == **name)).collect();
    assert!(unknown.is_empty(), "ports of tests that are not listed: {unknown:#?}");
    let missing: Vec<_> = listed()
        .filter(|(name, reason)| reason.is_empty() && !ported.contains(*name))
        .map(|(name, _)| name)
        .collect();
    assert!(missing.is_empty(), "neither ported nor excused: {missing:#?}");
    let excused: Vec<_> = listed()
        .filter(|(name, reason)| !reason.is_empty() && ported.contains(*name))
        .map(|(name, _)| name)
        .collect();
    assert!(excused.is_empty(), "ported, and still excused: {excused:#?}");
}

#[test]
fn every_reason_says_why_there_is_no_counterpart() {
    for (name, reason) in listed().filter(|(_, reason)| !reason.is_empty()) {
        assert!(reason.starts_with("no counterpart: "), "{name}: {reason}");
    }
    assert_eq!(listed().count(), 433);
}

#[test]
fn every_extra_test_exists() {
    let lines: Vec<Vec<&str>> =
        include_str!("data/extra.tsv").lines().map(|line| line.split('\t').collect()).collect();
    for line in &lines {
        let &[rule, scenario, test] = &line[..] else { panic!("not three columns: {line:?}") };
        let (file, function) = test.split_once("::").unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file);
        let text = fs::read_to_string(path.with_extension("rs")).unwrap();
        let declared = format!("#[test]\nfn {function}() ");
        assert!(text.contains(&declared), "{rule}, {scenario}: there is no test {test}");
    }
    assert_eq!(lines.len(), 65);
}

fn listed() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("data/upstream.tsv").lines();
    lines.map(|line| line.split_once('\t').unwrap())
}

/// The tests that files of this folder say they port.
fn ported() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut ported = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(path).unwrap();
            let lines = text.lines().map(str::trim_start);
            let names = lines.filter_map(|line| line.strip_prefix("// upstream: "));
            ported.extend(names.map(str::to_owned));
        }
    }
    ported
}
