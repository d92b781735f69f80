//! The house keeps its plan: floors, seams, and sizes that a reader can take in.
//!
//! Plain text search over `src`; what it enforces is told in README's map. A room may use only
//! rooms on lower floors. `lib.rs` declares the rooms floor by floor, one blank line between two,
//! so the floors are read from there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, from the ground; rooms that are not built yet have their place already.
const FLOORS: [&[&str]; 8] = [
    &["probe", "sys"],
    &["context", "driver", "error", "wait_list"],
    &["task"],
    &["blocking", "model", "reactor", "scheduler", "signal", "sim"],
    &["runtime"],
    &["generator", "scope", "stream", "sync", "time"],
    &["net", "process"],
    &["compat", "inspect"],
];

/// Rooms with a model: the machine reaches them through `sys` alone.
const MODELLED: [&str; 6] = ["task", "wait_list", "scheduler", "sync", "scope", "driver/timers"];

const LONGEST_FILE: usize = 500;
const LONGEST_FUNCTION: usize = 70;
const LONGEST_LINE: usize = 100;

#[test]
fn rooms_use_only_lower_floors() {
    let mut wrong = Vec::new();
    for file in sources("src").iter().filter(|file| file.name != "lib.rs") {
        let own = file.room();
        let floor = floor_of(&own).unwrap_or_else(|| panic!("{own} has no place in the house"));
        for (number, line) in file.code() {
            for used in rooms_named_in(line) {
                let below = floor_of(&used).is_some_and(|used| used < floor);
                if used != own && !below {
                    wrong.push(format!("{}:{number} uses {used}", file.name));
                }
            }
        }
    }
    assert_eq!(wrong, [] as [String; 0]);
}

#[test]
fn lib_declares_the_floors_in_order() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut declared = Vec::new();
    for paragraph in lib.split("\n\n") {
        let rooms: Vec<String> = paragraph.lines().filter_map(declared_room).collect();
        if !rooms.is_empty() {
            declared.push(rooms);
        }
    }
    for rooms in &declared {
        let floors: BTreeSet<_> = rooms.iter().map(|room| floor_of(room)).collect();
        assert_eq!(floors.len(), 1, "{rooms:?} stand in one paragraph of lib.rs");
    }
    let order: Vec<_> = declared.iter().map(|rooms| floor_of(&rooms[0])).collect();
    let mut sorted = order.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(order, sorted, "{declared:?}");
}

#[test]
fn imports_name_one_room_each() {
    assert_eq!(lines_with("src", |line| line.contains("crate::{")), [] as [String; 0]);
}

#[test]
fn only_the_clock_reads_the_time() {
    let asks = |line: &str| line.contains("std::time::Instant") || line.contains("SystemTime");
    let found = lines_with("src", asks);
    let elsewhere: Vec<_> =
        found.iter().filter(|line| !line.starts_with("src/driver/clock.rs")).collect();
    assert_eq!(elsewhere, [] as [&String; 0]);
    assert!(!found.is_empty(), "the clock asks nobody");
}

#[test]
fn modelled_rooms_reach_the_machine_through_sys() {
    let mut wrong = Vec::new();
    for file in sources("src").iter().filter(|file| file.is_modelled() && !file.is_test()) {
        for (number, line) in file.code() {
            let machine = ["std::sync", "std::thread", "crossbeam", "sys::*"];
            let named: Vec<_> = machine.iter().filter(|name| line.contains(*name)).collect();
            if !named.is_empty() {
                wrong.push(format!("{}:{number} {}", file.name, line.trim()));
            }
        }
    }
    assert_eq!(wrong, [] as [String; 0]);
}

#[test]
fn sequential_consistency_is_for_fences() {
    let wrong = lines_with("src", |line| {
        line.contains("SeqCst") && !line.contains("fence(") && !line.trim().starts_with("use ")
    });
    assert_eq!(wrong, [] as [String; 0]);
}

#[test]
fn no_map_is_seeded_at_random() {
    let found = lines_with("src", |line| line.contains("HashMap") || line.contains("HashSet"));
    let wrong: Vec<_> = found.iter().filter(|line| !line.contains("tests.rs:")).collect();
    assert_eq!(wrong, [] as [&String; 0]);
}

#[test]
fn loom_is_named_where_it_is_brought_in() {
    let found = lines_with("src", |line| line.contains("loom"));
    let wrong: Vec<_> = found
        .iter()
        .filter(|line| !line.starts_with("src/sys/") && !line.starts_with("src/lib.rs"))
        .filter(|line| !line.starts_with("src/runtime/model"))
        .filter(|line| !line.contains("cfg(") && !line.contains("loom-tests"))
        .filter(|line| !line.contains("mod loom_tests;"))
        .collect();
    assert_eq!(wrong, [] as [&String; 0]);
}

#[test]
fn unsafe_stays_where_it_is_explained() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        let lines: Vec<&str> = file.text.lines().collect();
        for (number, line) in file.code().filter(|(_, line)| line.contains("unsafe {")) {
            let above = lines[..number - 1].iter().rev();
            let explained = above.take(8).any(|line| line.contains("// SAFETY:"));
            if !explained {
                wrong.push(format!("{}:{number} {}", file.name, line.trim()));
            }
        }
    }
    assert_eq!(wrong, [] as [String; 0]);
}

#[test]
fn files_functions_and_lines_stay_short() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "loom-tests", "examples", "benches"] {
        for file in sources(folder) {
            let lines = file.text.lines().count();
            if lines > LONGEST_FILE {
                wrong.push(format!("{}: {lines} lines", file.name));
            }
            for (number, line) in file.text.lines().enumerate() {
                // The name of an upstream test cannot be broken.
                let long = line.chars().count() > LONGEST_LINE;
                if long && !line.starts_with("// upstream: ") {
                    wrong.push(format!("{}:{}: a long line", file.name, number + 1));
                }
            }
            for (name, lines) in file.functions().filter(|(_, lines)| *lines > LONGEST_FUNCTION) {
                wrong.push(format!("{}: `{name}` has {lines} lines", file.name));
            }
        }
    }
    assert_eq!(wrong, [] as [String; 0]);
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "loom-tests", "examples", "benches"] {
        let files = sources(folder).into_iter();
        wrong.extend(files.filter(|file| !file.text.starts_with("//!")).map(|file| file.name));
    }
    assert_eq!(wrong, [] as [String; 0]);
}

/// One file of Rust.
struct Source {
    /// As seen from the root: `src/task/state.rs`; files of `src` are also known without it.
    path: PathBuf,
    name: String,
    text: String,
}

impl Source {
    /// The room it belongs to.
    fn room(&self) -> String {
        let inside = self.path.strip_prefix("src").unwrap();
        let room = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        room.trim_end_matches(".rs").to_owned()
    }

    fn is_modelled(&self) -> bool {
        let path = self.path.strip_prefix("src").unwrap();
        MODELLED.iter().any(|room| path.with_extension("").starts_with(room))
    }

    /// Tests inside `src` may use the machine: they are no part of a model.
    fn is_test(&self) -> bool {
        let name = self.path.file_stem().unwrap().to_str().unwrap();
        name == "tests" || name.ends_with("_test") || name.ends_with("_tests")
    }

    /// Its lines without comments, numbered from one.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().map(|line| line.split("//").next().unwrap_or(""));
        (1..).zip(lines)
    }

    /// Its functions, by how they are indented, with their lines.
    fn functions(&self) -> impl Iterator<Item = (&str, usize)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let mut functions = Vec::new();
        for (start, line) in lines.iter().enumerate() {
            let Some(name) = function_name(line) else { continue };
            let indent = &line[..line.len() - line.trim_start().len()];
            let end = format!("{indent}}}");
            let length = lines[start..].iter().position(|line| *line == end);
            let declared = lines[start..].iter().position(|line| line.trim_end().ends_with(';'));
            match (length, declared) {
                (Some(length), _) if lines[start].contains('{') || declared > Some(0) => {
                    functions.push((name, length + 1));
                }
                _ => {}
            }
        }
        functions.into_iter()
    }
}

fn function_name(line: &str) -> Option<&str> {
    let words = line.trim_start();
    let before = words.find("fn ")?;
    let modifiers = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe", "extern"];
    let known = |word: &str| modifiers.contains(&word) || word.starts_with('"');
    if line.trim_end().ends_with(';') || !words[..before].split_whitespace().all(known) {
        return None;
    }
    words[before + 3..].split(['(', '<']).next()
}

/// Lines of code that `wanted` picks out, with where they stand.
fn lines_with(folder: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in sources(folder) {
        for (number, line) in file.code().filter(|(_, line)| wanted(line)) {
            found.push(format!("{}:{number} {}", file.path.display(), line.trim()));
        }
    }
    found
}

fn floor_of(room: &str) -> Option<usize> {
    // `lib.rs` keeps the names `sim` and `model` for the public doors: the engines have others.
    let room = match room {
        "simulated" => "sim",
        "modelled" => "model",
        room => room,
    };
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn declared_room(line: &str) -> Option<String> {
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let room = line.strip_prefix("mod ")?.strip_suffix(';')?;
    (room != "loom_tests").then(|| room.to_owned())
}

/// The rooms that a line of code names by `crate::`.
fn rooms_named_in(line: &str) -> Vec<String> {
    // What a macro names is at the user's, who comes in through the roof.
    let line = line.replace("$crate::", "");
    let rooms = line.split("crate::").skip(1);
    let named = rooms.map(|rest| {
        let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
        rest[..end.unwrap_or(rest.len())].to_owned()
    });
    // What begins with a capital is re-exported by the roof: only documentation may say so.
    named.filter(|room| !room.is_empty()).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder, by name.
fn sources(folder: &str) -> Vec<Source> {
    let mut found = BTreeMap::new();
    collect(&root().join(folder), &mut found);
    let known = |path: &Path| path.strip_prefix(root()).unwrap().to_owned();
    let source = |(path, text): (PathBuf, String)| {
        let path = known(&path);
        let name = path.strip_prefix("src").unwrap_or(&path).display().to_string();
        Source { path, name, text }
    };
    found.into_iter().map(source).collect()
}

fn collect(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.insert(path, text);
        }
    }
}
