//! What `tracing` is told while something runs.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Level, Subscriber};

/// While `tracing` knows of one subscriber, a place that says something for the first time is
/// silenced for all if the thread that comes there does not listen. It knows of two from here on,
/// and asks all of them.
static DEAF: LazyLock<[Dispatch; 2]> =
    LazyLock::new(|| [(); 2].map(|()| Dispatch::new(NoSubscriber::new())));

/// Calls `act` while `subscriber` listens, to this thread alone.
pub(crate) fn heard<R>(subscriber: impl Subscriber + Send + Sync, act: impl FnOnce() -> R) -> R {
    LazyLock::force(&DEAF);
    tracing::subscriber::with_default(subscriber, act)
}

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
    heard(subscriber, program);
    let text = String::from_utf8(reports.0.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}
