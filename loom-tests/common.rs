//! What the models of whole tasks share: a queue that anybody pushes to, and a bounded explorer.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use loom::model::Builder;

use crate::Handle;
use crate::blocking::Pool;
use crate::driver::Driver;
use crate::driver::clock::{Instant, VirtualClock};
use crate::error::{Error, Outcome, Result};
use crate::reactor::Reactor;
use crate::runtime::engine::Engine;
use crate::scheduler::{Config, Shared};
use crate::sys::{Arc, Mutex, block_on};
use crate::task::handle::Task;
use crate::task::memory::{Home, HomeHandle, Kind};
use crate::task::raw::{self, First, TaskRef};
use crate::task::report::Settings;
use crate::task::{Job, Runnable, Schedule, Why, jobs};

/// Explores all interleavings with a bound on preemptions that keeps a model within seconds.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    explore_at_most(4, model);
}

/// As [`explore`], for a model that is too large for that bound, or small enough for a higher one.
/// `LOOM_MAX_PREEMPTIONS` can only lower it.
pub(super) fn explore_at_most(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    let asked = builder.preemption_bound.unwrap_or(preemptions);
    builder.preemption_bound = Some(asked.min(preemptions));
    check(&builder, model);
}

/// Explores all interleavings, with the bound that `LOOM_MAX_PREEMPTIONS` sets, if it does.
pub(super) fn explore_all(model: impl Fn() + Send + Sync + 'static) {
    check(&Builder::new(), model);
}

/// Says at the end how many executions there were, which loom keeps to itself.
fn check(builder: &Builder, model: impl Fn() + Send + Sync + 'static) {
    let executions = StdArc::new(AtomicU64::new(0));
    let count = executions.clone();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    println!("{} executions", executions.load(Ordering::Relaxed));
}

/// Polls a future once and drops it, wherever that leaves it.
pub(super) fn poll_once_and_drop<F: Future>(future: F) -> Option<F::Output> {
    block_on(async {
        let mut future = pin!(future);
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    })
}

/// A queue of tasks that somebody runs.
#[derive(Clone)]
pub(super) struct Queue(pub(super) Arc<Mutex<Vec<Runnable>>>);

impl Queue {
    /// Runs what is queued, until nothing is.
    pub(super) fn run(&self) {
        while self.run_one() {}
    }

    pub(super) fn run_one(&self) -> bool {
        let task = self.0.lock().pop();
        let found = task.is_some();
        if let Some(task) = task {
            task.run();
        }
        found
    }

    /// Ends what the queue holds.
    pub(super) fn kill(&self) {
        loop {
            let Some(task) = self.0.lock().pop() else { return };
            task.kill();
        }
    }
}

impl Schedule for Queue {
    fn schedule(&self, task: Runnable, _why: Why) {
        self.0.lock().push(task);
    }

    fn job(&self, job: Job) {
        jobs::run(job);
    }
}

/// A home whose tasks go to that queue.
pub(super) fn home() -> (HomeHandle, Queue) {
    let queue = Queue(Arc::new(Mutex::new(Vec::new())));
    (Home::new_with_own_numbers(Box::new(queue.clone()), Kind::Shared), queue)
}

/// The memory of every task has come home: nobody keeps one.
#[track_caller]
pub(super) fn all_gone(home: &Home) {
    home.collect();
    assert_eq!(home.outstanding(), 0, "somebody keeps a task");
}

/// A queued task.
#[track_caller]
pub(super) fn spawn<F, T>(home: &Home, future: F) -> Task<T>
where
    F: Future<Output: Outcome<Value = T>> + Send + 'static,
    T: Send + 'static,
{
    let location = std::panic::Location::caller();
    // SAFETY: the future and its value are `Send` and own all they use.
    let (runnable, task) = unsafe { raw::new(home, future, location, First::Queued) };
    runnable.queue();
    // SAFETY: `task` was made just now, with this type of value.
    unsafe { Task::new(task) }
}

/// Sleeps once, and returns a value when it is woken.
pub(super) fn twice<T: Copy>(value: T) -> impl Future<Output = Result<T>> {
    let mut polls = 0;
    poll_fn(move |_| {
        polls += 1;
        if polls == 1 { Poll::Pending } else { Poll::Ready(Ok(value)) }
    })
}

/// How a finished task ended: its value, or whether it was cancelled.
pub(super) fn outcome<T>(task: Task<T>) -> Result<T, bool> {
    assert!(task.is_finished());
    task.outcome().map_err(|error: Error| error.is_cancelled())
}

/// Another thread on which that task ends, having been woken.
pub(super) fn ends_elsewhere(queue: &Queue, task: &TaskRef) -> loom::thread::JoinHandle<()> {
    let (queue, task) = (queue.clone(), task.clone());
    loom::thread::spawn(move || {
        task.wake();
        queue.run();
    })
}

/// A driver for workers that are nowhere.
struct Nowhere;

impl Driver for Nowhere {
    fn poll(&self, _instance: usize) -> bool {
        false
    }
    fn wait(&self, _instance: usize, _limit: Option<Duration>) {}
    fn notify(&self, _instance: usize) {}
}

/// A runtime whose one worker is nowhere: what is queued there is run by whoever likes. Time
/// stands still.
pub(super) struct Deserted {
    pub(super) engine: Arc<Engine>,
    pub(super) handle: Handle,
    clock: VirtualClock,
}

impl Deserted {
    pub(super) fn new() -> Self {
        let clock = VirtualClock::enter();
        let driver = Box::new(Nowhere);
        let shared = Shared::new(Config { driver, workers: 1, processors: 1 }).0;
        let reactor = Arc::new(Reactor::new(1).expect("a poller"));
        let blocking = Pool::new(1, Duration::MAX, "model");
        let home = || {
            Home::new_with_own_numbers(Box::new(shared.clone()) as Box<dyn Schedule>, Kind::Shared)
        };
        let homes = vec![home(), home()];
        let settings = Arc::new(Settings::new(false, Settings::SLOW, None));
        let engine = Arc::new(Engine::new(shared, reactor, blocking, homes, settings));
        Deserted { handle: Handle::threads(engine.clone()), engine, clock }
    }

    /// Runs what is queued.
    pub(super) fn run(&self) {
        run(&self.engine);
    }

    /// Another thread, for which the clock has reached that moment.
    pub(super) fn fires_elsewhere(&self, at: Instant) -> loom::thread::JoinHandle<()> {
        let engine = self.engine.clone();
        loom::thread::spawn(move || fire(&engine, &VirtualClock::enter(), at))
    }

    pub(super) fn fire(&self, at: Instant) {
        fire(&self.engine, &self.clock, at);
    }
}

fn fire(engine: &Engine, clock: &VirtualClock, at: Instant) {
    clock.advance_to(at);
    engine.shared().timers().fire(at, &mut std::task::Waker::wake);
}

/// Runs what is queued in a runtime whose worker is nowhere.
pub(super) fn run(engine: &Engine) {
    while let Some(task) = engine.shared().next_leftover() {
        task.run();
    }
}

pub(super) fn milliseconds(count: u64) -> Instant {
    Instant::from_nanoseconds(count * 1_000_000)
}
