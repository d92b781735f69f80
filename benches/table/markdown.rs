//! The table as Markdown, put between the marks of a page.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::print::{likely, number, times};
use crate::rows::{COLUMNS, Line};

const BEGIN: &str = "<!-- table: begin -->";
const END: &str = "<!-- table: end -->";

/// Replaces what stands between the marks of the page, if there are any.
pub(crate) fn fill(page: &Path, lines: &[Line], rounds: usize) {
    let Ok(text) = fs::read_to_string(page) else { return };
    let Some((before, rest)) = text.split_once(BEGIN) else { return };
    let Some((_, after)) = rest.split_once(END) else { return };
    let table = table(lines, rounds);
    fs::write(page, format!("{before}{BEGIN}\n{table}{END}{after}")).expect("the page is ours");
    println!("filled {}", page.display());
}

fn table(lines: &[Line], rounds: usize) -> String {
    let mut text = format!(
        "Medians of {rounds} interleaved rounds, or of up to three times as many where these leave \
         much open.\n\n| row | unit |"
    );
    for name in COLUMNS {
        write!(text, " {name} |").unwrap();
    }
    text.push_str(" tokio/filch | smol/filch | CPU: tokio/filch |\n|---|---|");
    text.push_str(&"---:|".repeat(COLUMNS.len() + 3));
    text.push('\n');
    let mut group = "";
    for line in lines {
        if line.group != group {
            group = line.group;
            writeln!(text, "| **{group}** |{}", " |".repeat(COLUMNS.len() + 4)).unwrap();
        }
        write!(text, "| {} | {} |", line.name, line.kind.unit()).unwrap();
        for value in line.wall {
            write!(text, " {} |", number(value)).unwrap();
        }
        let (tokio, smol, cpu) = (likely(&line.tokio), likely(&line.smol), times(&line.tokio_cpu));
        writeln!(text, " {tokio} | {smol} | {cpu} |").unwrap();
    }
    text
}
