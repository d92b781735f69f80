//! What does everything cost, beside tokio, smol, and what cannot be beaten?
//!
//! `cargo bench --bench table` prints one table and writes it to `target/table.tsv` and, as a
//! chart, to `target/table.svg`; with `--save` to `docs` as well, and into the pages that have a
//! place for it. Words after `--` pick rows or groups of rows by name; see `--help` for the rest.

#[path = "../common/mod.rs"]
mod common;
#[path = "../floors/mod.rs"]
mod floors;
#[path = "../work/mod.rs"]
mod work;

mod chart;
mod goals;
mod groups;
mod markdown;
mod memory;
mod print;
mod rows;

use std::fs;
use std::path::Path;

use common::Options;
use rows::Table;

fn main() {
    memory::weigh_if_asked();
    let mut table = Table::new(Options::read());
    print::head(table.options.rounds);
    groups::all(&mut table);
    goals::summary(&table.lines);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    write(&root.join("target"), &table);
    if table.options.save {
        write(&root.join("docs"), &table);
        for page in ["docs/performance.md", "README.md"] {
            markdown::fill(&root.join(page), &table.lines, table.options.rounds);
        }
    }
}

fn write(folder: &Path, table: &Table) {
    fs::create_dir_all(folder).expect("the folder can be made");
    let rounds = table.options.rounds;
    for (name, text) in [
        ("table.tsv", print::tsv(&table.lines)),
        ("table.svg", chart::ratios(&table.lines, rounds)),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).expect("the file can be written");
        println!("wrote {}", path.display());
    }
}
