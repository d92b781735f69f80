//! The table as text, while it is made, and as data, when it is done.

use std::fmt::Write;

use crate::common::{Ratio, cores};
use crate::rows::{COLUMNS, Kind, Line};

pub(crate) fn head(rounds: usize) {
    println!("two spinning threads do {:.2} times the work of one", cores());
    println!("medians of {rounds} rounds, up to three times as many where these leave much open,");
    println!("per operation [CPU time of all threads]");
    println!("tokio, smol: their time by filch's, and where nine of ten medians lie");
    println!("CPU: tokio's CPU time by filch's; honest, plain: filch's time by the floor's");
}

impl Line {
    /// Prints the line, after the names of the columns if it is the first.
    pub(crate) fn print(&self, first: bool) {
        if first {
            print!("{:<28}", "row");
            for name in &COLUMNS[..3] {
                print!(" {name:>17}");
            }
            print!(" {:>8} {:>8}  {:>17} {:>17}", "honest", "plain", "tokio", "smol");
            println!(" {:>6} {:>6} {:>6} {:>5}", "CPU", "honest", "plain", "cores");
        }
        print!("{:<28}", self.name);
        for column in 0..3 {
            print!(" {:>17}", self.cell(column));
        }
        print!(" {:>8} {:>8}", number(self.wall[3]), number(self.wall[4]));
        print!("  {:>17} {:>17}", likely(&self.tokio), likely(&self.smol));
        print!(" {:>6} {:>6}", times(&self.tokio_cpu), times(&self.honest));
        println!(" {:>6} {:>5.2}", times(&self.plain), self.cores);
    }

    fn cell(&self, column: usize) -> String {
        let wall = number(self.wall[column]);
        let cpu = self.cpu[column];
        if cpu.is_nan() || self.kind != Kind::Cost {
            wall
        } else {
            format!("{wall} [{}]", number(cpu))
        }
    }
}

/// The lines with tabs between the columns.
pub(crate) fn tsv(lines: &[Line]) -> String {
    let mut text = String::from("group\trow\tunit");
    for name in COLUMNS {
        write!(text, "\t{name}").unwrap();
    }
    for name in &COLUMNS[..3] {
        write!(text, "\t{name} CPU").unwrap();
    }
    for ratio in ["tokio/filch", "smol/filch", "tokio/filch CPU", "smol/filch CPU"] {
        write!(text, "\t{ratio}\tlow\thigh").unwrap();
    }
    text.push_str("\tfilch/honest\tfilch/plain\tfree cores\n");
    for line in lines {
        write!(text, "{}\t{}\t{}", line.group, line.name, line.kind.unit()).unwrap();
        for value in line.wall.iter().chain(&line.cpu[..3]) {
            write!(text, "\t{}", number(*value)).unwrap();
        }
        for ratio in [&line.tokio, &line.smol, &line.tokio_cpu, &line.smol_cpu] {
            match ratio {
                Some(Ratio { median, likely }) => {
                    write!(text, "\t{median:.2}\t{:.2}\t{:.2}", likely.start, likely.end).unwrap();
                }
                None => text.push_str("\t-\t-\t-"),
            }
        }
        let [honest, plain] = [&line.honest, &line.plain].map(times);
        writeln!(text, "\t{honest}\t{plain}\t{:.2}", line.cores).unwrap();
    }
    text
}

pub(crate) fn number(value: f64) -> String {
    match value {
        _ if value.is_nan() => "-".to_owned(),
        _ if value < 99.5 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

pub(crate) fn times(ratio: &Option<Ratio>) -> String {
    ratio.as_ref().map_or_else(|| "-".to_owned(), |ratio| format!("{:.2}", ratio.median))
}

pub(crate) fn likely(ratio: &Option<Ratio>) -> String {
    ratio.as_ref().map_or_else(
        || "-".to_owned(),
        |Ratio { median, likely }| format!("{median:.2} ({:.2}-{:.2})", likely.start, likely.end),
    )
}
