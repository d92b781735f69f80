//! What may follow `cargo bench --bench NAME --`.

use std::process::exit;

const USAGE: &str = "usage: [ROW..] [--rounds N] [--quick] [--patient] [--engine NAME] [--save]
  ROW        only rows, or groups of rows, whose name contains one of these
  --rounds   how often each runtime runs a row (7); the table, up to three times as
             often while it is uncertain
  --quick    small sizes and one round, to see that it works
  --patient  before a round, wait until two cores are free, a minute at most
  --engine   run one column alone, under a profiler for instance: filch, tokio, smol, honest, plain
  --save     write data and chart to docs, too";

/// What the command line asks for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) rows: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    pub(crate) patient: bool,
    pub(crate) engine: Option<String>,
    pub(crate) save: bool,
}

impl Options {
    /// Reads the command line; on nonsense prints the usage and exits.
    pub(crate) fn read() -> Self {
        let mut options = Self {
            rows: Vec::new(),
            rounds: 7,
            quick: false,
            patient: false,
            engine: None,
            save: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => {}
                "--quick" => (options.quick, options.rounds) = (true, 1),
                "--patient" => options.patient = true,
                "--save" => options.save = true,
                "--rounds" => options.rounds = rounds(words.next()),
                "--engine" => options.engine = Some(words.next().unwrap_or_else(|| usage())),
                name if !name.starts_with('-') => options.rows.push(name.to_owned()),
                _ => usage(),
            }
        }
        options
    }

    /// Whether the row was asked for, by its own name or its group's.
    pub(crate) fn wants(&self, group: &str, row: &str) -> bool {
        let named = |part: &String| row.contains(part) || group.contains(part);
        self.rows.is_empty() || self.rows.iter().any(named)
    }

    /// Whether the column was asked for.
    pub(crate) fn runs(&self, engine: &str) -> bool {
        self.engine.as_deref().is_none_or(|only| only == engine)
    }
}

fn rounds(word: Option<String>) -> usize {
    word.and_then(|word| word.parse().ok()).filter(|n| *n > 0).unwrap_or_else(|| usage())
}

fn usage() -> ! {
    eprintln!("{USAGE}");
    exit(2)
}
