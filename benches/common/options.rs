//! What may follow `cargo bench --bench NAME --`.

use std::process::exit;

const USAGE: &str = "usage: [ROW] [--rounds N] [--quick] [--patient] [--engine filch|tokio|smol]
  ROW        only rows whose name contains this
  --rounds   how often each runtime runs a row (7)
  --quick    small sizes and one round, to see that it works
  --patient  before a round, wait until two cores are free, a minute at most
  --engine   run one runtime alone, under a profiler for instance";

/// What the command line asks for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) row: String,
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    pub(crate) patient: bool,
    pub(crate) engine: Option<String>,
}

impl Options {
    /// Reads the command line; on nonsense prints the usage and exits.
    pub(crate) fn read() -> Self {
        let mut options =
            Self { row: String::new(), rounds: 7, quick: false, patient: false, engine: None };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => {}
                "--quick" => (options.quick, options.rounds) = (true, 1),
                "--patient" => options.patient = true,
                "--rounds" => options.rounds = rounds(words.next()),
                "--engine" => options.engine = Some(words.next().unwrap_or_else(|| usage())),
                name if !name.starts_with('-') => options.row = name.to_owned(),
                _ => usage(),
            }
        }
        options
    }

    /// Whether the row was asked for.
    pub(crate) fn wants(&self, row: &str) -> bool {
        row.contains(&self.row)
    }

    /// Whether the runtime was asked for.
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
