//! What the models of whole tasks share: a queue that anybody pushes to, and a bounded explorer.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use crate::error::{Error, Outcome, Result};
use crate::sys::{Arc, Mutex, block_on};
use crate::task::handle::Task;
use crate::task::memory::{Home, HomeHandle, Kind};
use crate::task::raw::{self, First};
use crate::task::{Job, Runnable, Schedule, Why, jobs};

/// Explores all interleavings with a bound on preemptions that keeps a model within seconds.
pub(super) fn explore(model: impl Fn() + Send + Sync + 'static) {
    explore_at_most(4, model);
}

/// As [`explore`], for a model that is too large for that bound, or small enough for a higher one.
/// `LOOM_MAX_PREEMPTIONS` can only lower it.
pub(super) fn explore_at_most(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    let asked = builder.preemption_bound.unwrap_or(preemptions);
    builder.preemption_bound = Some(asked.min(preemptions));
    builder.check(model);
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
pub(super) struct Queue(Arc<Mutex<Vec<Runnable>>>);

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
