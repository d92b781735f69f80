//! A subscriber of `tracing` is foreign code: it may use what it is told of, and a panic in it is
//! its own.

mod common;

use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{Boom, Log, reports, simulate};
use filch::{Error, Promise, Result, TaskRef, sim, spawn, yield_now};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Calls something with the text of each event up to that level.
struct Looks<F>(Level, F);

impl<F: Fn(&str) + 'static> Subscriber for Looks<F>
where
    F: Send + Sync,
{
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.0
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        // What is said is written, too: an error's text is foreign code.
        let mut message = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn fmt::Debug| {
            let value = format!("{value:?}");
            if field.name() == "message" {
                message = value;
            }
        });
        (self.1)(&message);
    }
}

/// Calls `act` while every event makes somebody `look`; gives how many there were.
fn watched<R>(look: impl Fn() + Send + Sync + 'static, act: impl FnOnce() -> R) -> (R, usize) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let subscriber = Looks(Level::TRACE, move |_: &str| {
        counted.fetch_add(1, Ordering::Relaxed);
        look();
    });
    let result = reports::heard(subscriber, act);
    (result, count.load(Ordering::Relaxed))
}

/// Looks at all of a task that takes its lock.
fn look_at(task: &TaskRef) {
    drop((task.name(), task.error(), task.context(), format!("{task:?}")));
    task.set_name(task.name());
    let id = task.add_done_callback(|_| ());
    task.remove_done_callback(id);
}

#[test]
fn a_promise_may_be_used_by_whoever_is_told_of_its_end() {
    simulate(async {
        let ends: [fn(&Promise<u32>); 3] = [
            |promise| promise.set(1).unwrap(),
            |promise| promise.set_error(Boom("told")).unwrap(),
            |promise| assert!(promise.cancel()),
        ];
        for end in ends {
            let promise = Promise::new();
            let (known, waits) = (promise.clone(), spawn(promise.clone()));
            yield_now().await;
            let look = move || {
                assert!(known.is_finished(), "it is told of what has happened");
                assert!(known.set(2).is_err() && !known.cancel());
                drop(known.result());
                look_at(&known);
            };
            let ((), events) = watched(look, || end(&promise));
            assert_eq!(events, 1);
            assert_eq!(waits.await.ok(), promise.result().unwrap().ok());
        }
        Ok(())
    });
}

#[test]
fn a_promise_that_is_let_go_may_be_looked_at() {
    simulate(async {
        let promise = Promise::<u32>::new();
        let task = promise.task_ref();
        let known = task.clone();
        let ((), events) = watched(move || look_at(&known), || drop(promise));
        assert_eq!(events, 1);
        assert!(task.is_cancelled());
        Ok(())
    });
}

/// An error whose text looks at the task, or promise, that ends with it.
#[derive(Debug)]
struct Curious(TaskRef);

impl fmt::Display for Curious {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        look_at(&self.0);
        f.write_str(&self.0.name())
    }
}

impl std::error::Error for Curious {}

#[test]
fn a_text_of_an_error_may_look_at_what_ends_with_it() {
    simulate(async {
        let promise = Promise::<u32>::new();
        let error = Curious(promise.task_ref());
        watched(|| (), || promise.set_error(error)).0?;
        assert!(promise.await.unwrap_err().to_string().starts_with("Promise-"));
        Ok(())
    });
    let run = || {
        let failing = async { Err::<(), _>(Curious(common::me()).into()) };
        simulate(async { Ok(spawn(failing).await.is_err()) })
    };
    assert!(watched(|| (), run).0);
}

#[test]
fn a_subscriber_that_panics_keeps_nothing_from_those_who_wait() {
    simulate(async {
        let promise = Promise::new();
        let waits: Vec<_> = (0..3).map(|_| spawn(promise.clone())).collect();
        yield_now().await;
        let set: Result<(), _> = watched(|| panic!("a subscriber"), || promise.set(7)).0;
        set?;
        for wait in waits {
            assert_eq!(wait.await?, 7);
        }
        Ok(())
    });
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
    for level in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
        let panics = Looks(level, |_: &str| panic!("a subscriber"));
        let value = reports::heard(panics, || sim::run(0, program()));
        assert_eq!(value.unwrap(), 5, "{level}");
    }
}

#[test]
fn an_error_that_has_no_text_ends_its_task_and_nothing_else() {
    let subscriber = tracing_subscriber::fmt().with_max_level(Level::TRACE);
    let subscriber = subscriber.with_writer(std::io::sink).finish();
    let value = reports::heard(subscriber, || sim::run(0, program()));
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

#[test]
fn a_task_ends_once_whatever_is_asked_of_it_when_its_end_is_told() {
    let (log, ended) = (Log::new(), Arc::new(Mutex::new(None::<TaskRef>)));
    let (told, known) = (log.clone(), ended.clone());
    let asks = Looks(Level::DEBUG, move |message: &str| {
        told.add(message);
        if let Some(task) = known.lock().unwrap().take_if(|_| message != "spawned") {
            told.add(format!("asked: {}", task.cancel()));
        }
    });
    let main = async {
        let task = spawn(async { Ok(5) });
        *ended.lock().unwrap() = Some(task.task_ref());
        task.await
    };
    let value = reports::heard(asks, || sim::run(0, main));
    assert_eq!(value.unwrap(), 5);
    assert_eq!(log.lines(), ["spawned", "spawned", "finished", "asked: false", "finished"]);
}

#[test]
fn the_end_of_a_task_is_told_before_those_who_wait_for_it_go_on() {
    let (log, waits) = (Log::new(), Arc::new(Mutex::new(None::<TaskRef>)));
    let (told, known) = (log.clone(), waits.clone());
    let looks = Looks(Level::DEBUG, move |message: &str| {
        if let Some(task) = known.lock().unwrap().as_ref().filter(|_| message == "failed") {
            told.add(format!("finished: {}", task.is_finished()));
            look_at(task);
        }
    });
    let main = async {
        let task = spawn(async { Err::<(), Error>(Boom("told").into()) });
        *waits.lock().unwrap() = Some(task.task_ref());
        let called = log.clone();
        task.add_done_callback(move |_| called.add("called"));
        assert!(task.await.unwrap_err().is::<Boom>());
        log.add("gone on");
        Ok(())
    };
    reports::heard(looks, || sim::run(0, main)).unwrap();
    assert_eq!(log.lines(), ["finished: true", "called", "gone on"]);
}
