//! How many instructions does an operation take? A gate that noise cannot trip.
//!
//! `cargo bench --bench counts` starts itself under valgrind's callgrind, with one worker, once
//! with some operations and once with twice as many: the difference is what an operation takes,
//! without the start and the end of the program, over all threads, outside the kernel and the
//! allocator, whose way depends on where its memory happens to lie. The clock goes on with each
//! look, not with time (`clock.rs`). A row that takes more than `expected.tsv` says, by more than
//! the tolerance, ends the run with 1.
//!
//! `--bless` writes what was counted as what is expected; `--engine tokio` counts another runtime
//! and `--workers 4` more workers, of which nothing is expected; a word picks rows. What callgrind
//! wrote stays in `target/callgrind`, for `callgrind_annotate`.

#[path = "../common/mod.rs"]
mod common;
#[path = "../work/mod.rs"]
mod work;

mod clock;
mod rows;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::thread;

use rows::ROWS;

/// By how much a count may exceed what is expected: compilers differ.
const TOLERANCE: f64 = 0.03;

/// So often a row may be counted until it takes no more than expected.
const ATTEMPTS: usize = 6;

/// On one core, whoever waits here for another thread lets it run at once.
const BESIDE: &str = "tcp_echo_1";

/// What is not counted: collecting stops where they are entered and goes on where they are left.
const ALLOCATOR: [&str; 5] = ["malloc", "calloc", "realloc", "posix_memalign", "free"];

const USAGE: &str = "usage: [ROW] [--bless] [--engine filch|tokio|smol] [--workers N]";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["--run", engine, workers, row, operations] = words[..] {
        let number = |word: &str| word.parse().expect("a number");
        return rows::run(engine, number(workers), row, number(operations));
    }
    let mut options = Options { row: "", bless: false, engine: "filch", workers: "1" };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word {
            "--bless" => options.bless = true,
            "--engine" => options.engine = words.next().unwrap_or_else(|| usage()),
            "--workers" => options.workers = words.next().unwrap_or_else(|| usage()),
            row if !row.starts_with('-') => options.row = row,
            _ => usage(),
        }
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("no valgrind: nothing is counted");
        return;
    }
    let ours = options.engine == "filch" && options.workers == "1";
    let mut expected = if ours { read(&expected_path()) } else { BTreeMap::new() };
    let counts = count_all(&options, &expected);
    if ours && options.bless {
        expected.extend(counts.into_iter().map(|(row, count)| (row.to_owned(), count.round())));
        write(&expected_path(), &expected);
    } else if !compare(&counts, &expected) {
        exit(1);
    }
}

fn usage() -> ! {
    eprintln!("{USAGE}");
    exit(2)
}

struct Options<'a> {
    row: &'a str,
    bless: bool,
    engine: &'a str,
    workers: &'a str,
}

fn count_all(
    options: &Options<'_>,
    expected: &BTreeMap<String, f64>,
) -> BTreeMap<&'static str, f64> {
    let mut counts = BTreeMap::new();
    for (row, operations) in ROWS.iter().filter(|(row, _)| row.contains(options.row)) {
        if *row == BESIDE && thread::available_parallelism().is_ok_and(|cores| cores.get() == 1) {
            println!("{row:<20} takes another way on one core, and is not counted");
            continue;
        }
        let each = || {
            let total = |operations: usize| count(options, row, operations);
            (total(2 * operations) - total(*operations)) / *operations as f64
        };
        let most = expected.get(*row).map_or(f64::MAX, |count| count * (1.0 + TOLERANCE));
        // Threads take turns as the system likes: what seems too many is counted again.
        let mut count = each();
        for _ in 1..ATTEMPTS {
            if count <= most {
                break;
            }
            count = count.min(each());
        }
        println!("{row:<20} {count:>10.1} instructions of {}", options.engine);
        counts.insert(*row, count);
    }
    counts
}

/// All instructions of one run.
fn count(options: &Options<'_>, row: &str, operations: usize) -> f64 {
    let Options { engine, workers, .. } = *options;
    let folder = root().join("target/callgrind");
    fs::create_dir_all(&folder).expect("the folder can be made");
    let file = folder.join(format!("{engine}_{workers}_{row}_{operations}.out"));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-systime=no"])
        .args(ALLOCATOR.map(|function| format!("--toggle-collect={function}")))
        .arg("--collect-atstart=yes")
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe().expect("this program has a name"))
        .args(["--run", engine, workers, row, &operations.to_string()])
        .output()
        .expect("valgrind starts");
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    let total = collected.and_then(|(_, total)| total.trim().parse().ok());
    match total {
        Some(total) if output.status.success() => total,
        _ => panic!("{row} cannot be counted: {said}"),
    }
}

/// Says what differs from what is expected; false if something takes too many.
fn compare(counts: &BTreeMap<&'static str, f64>, expected: &BTreeMap<String, f64>) -> bool {
    let mut good = true;
    for (row, count) in counts {
        let Some(before) = expected.get(*row) else { continue };
        let change = count / before - 1.0;
        if change > TOLERANCE {
            good = false;
            let more = 100.0 * change;
            println!("{row} takes {more:.1} % more than the {before} that are expected");
        } else if change < -TOLERANCE {
            println!("{row} takes {:.1} % less than expected: --bless it", -100.0 * change);
        }
    }
    good
}

fn expected_path() -> PathBuf {
    root().join("benches/counts/expected.tsv")
}

fn read(path: &Path) -> BTreeMap<String, f64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        let (row, count) = line.split_once('\t')?;
        Some((row.to_owned(), count.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

fn write(path: &Path, counts: &BTreeMap<String, f64>) {
    let mut text = String::new();
    for (row, count) in counts {
        writeln!(text, "{row}\t{count}").expect("a string takes everything");
    }
    fs::write(path, text).expect("the file can be written");
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
