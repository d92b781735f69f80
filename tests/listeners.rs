//! Whoever listens to what goes wrong is foreign code, and so is an error that is asked for its
//! text: a panic there goes no further.

mod common;

use std::fmt;
use std::future::pending;
use std::sync::Mutex;

use common::reports;
use filch::{Error, Promise, Result, TaskRef, sim, spawn, yield_now};
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

/// Asks, when it is asked for its text, for the name of the task whose error it is.
#[derive(Debug)]
struct Asks(Mutex<Option<TaskRef>>);

impl fmt::Display for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.lock().unwrap().take() {
            Some(task) => write!(f, "an error of {}", task.name()),
            None => f.write_str("an error that was told before"),
        }
    }
}

impl std::error::Error for Asks {}

#[test]
fn the_error_of_a_promise_is_told_when_nothing_is_locked() {
    let told = reports::told(Level::DEBUG, || {
        let main = async {
            let promise = Promise::<u32>::new();
            promise.set_error(Asks(Mutex::new(Some(promise.task_ref()))))?;
            assert!(promise.result().unwrap().unwrap_err().is::<Asks>());
            Ok(())
        };
        sim::run(0, main).unwrap();
    });
    assert!(told.iter().any(|line| line.contains("an error of ")), "{told:#?}");
}
