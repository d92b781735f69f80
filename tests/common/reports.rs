//! What `tracing` is told while something runs.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::Level;

/// Everything reported while a simulation runs.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<u8>>>);

impl io::Write for Reports {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything reported at `level` and above while `program` runs, and without its moment.
pub(crate) fn told(level: Level, program: impl FnOnce()) -> Vec<String> {
    let reports = Reports::default();
    let writer = reports.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_max_level(level)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, program);
    let text = String::from_utf8(reports.0.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}
