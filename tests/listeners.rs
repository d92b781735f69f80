//! Whoever listens to what goes wrong is foreign code, and so is an error that is asked for its
//! text: a panic there goes no further.

use std::fmt;
use std::future::pending;

use filch::{Error, Result, sim, spawn, yield_now};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Panics whenever it is told that something went wrong.
struct Panics;

impl Subscriber for Panics {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn event(&self, _: &Event<'_>) {
        panic!("a subscriber that panics");
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("an error that panics when it is asked for its text");
    }
}

impl std::error::Error for Unspeakable {}

/// Tasks of all kinds: each ends as it would if nobody listened.
async fn program() -> Result<u32> {
    let fine = spawn(async { Ok(5) });
    let panics = spawn(async { panic!("a task that panics") });
    let fails = spawn(async { Err::<(), Error>(Unspeakable.into()) });
    let waits = spawn(pending::<()>());
    spawn(async { Err::<(), Error>(Unspeakable.into()) }).detach();
    yield_now().await;
    waits.cancel();
    assert!(panics.await.unwrap_err().is_panic());
    assert!(fails.await.unwrap_err().is::<Unspeakable>());
    assert!(waits.await.unwrap_err().is_cancelled());
    fine.await
}

#[test]
fn a_subscriber_that_panics_takes_nothing_from_tasks() {
    let value = tracing::subscriber::with_default(Panics, || sim::run(0, program()));
    assert_eq!(value.unwrap(), 5);
}

#[test]
fn an_error_that_has_no_text_ends_its_task_and_nothing_else() {
    let subscriber = tracing_subscriber::fmt().with_max_level(Level::TRACE);
    let subscriber = subscriber.with_writer(std::io::sink).finish();
    let value = tracing::subscriber::with_default(subscriber, || sim::run(0, program()));
    assert_eq!(value.unwrap(), 5);
}
