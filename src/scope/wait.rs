//! Waiting until some, or all, of several tasks have ended, and leaving the others alone.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::driver::clock::Instant;
use crate::runtime::alarm::Alarm;
use crate::scope::task_handle::{TaskHandle, distinct_handles, tasks};
use crate::scope::timeout::deadline;
use crate::task::several::{Enough, Watch};

/// What [`wait`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReturnWhen {
    /// All tasks have ended.
    #[default]
    #[doc(alias = "ALL_COMPLETED")]
    AllCompleted,
    /// One task has ended, in whatever way.
    #[doc(alias = "FIRST_COMPLETED")]
    FirstCompleted,
    /// One task has failed; a cancelled one does not count (WAIT-04). If none fails, all have
    /// ended.
    #[doc(alias = "FIRST_EXCEPTION")]
    FirstError,
}

/// What [`wait`] found.
#[derive(Debug)]
pub struct Waited<H> {
    /// Those that have ended; awaiting them does not suspend.
    pub done: Vec<H>,
    /// Those that have not. They run on.
    pub pending: Vec<H>,
}

pin_project! {
    /// The future of [`wait`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct Wait<H> {
        tasks: Vec<H>,
        enough: Enough,
        watch: Option<Watch>,
        deadline: Option<Instant>,
        #[pin]
        alarm: Alarm,
    }
}

impl<H> Wait<H> {
    /// Stops waiting after that time, counted from this call; `None`: no limit.
    ///
    /// It is no error: what has not ended is [`pending`](Waited::pending), and runs on (WAIT-07).
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.deadline = deadline(limit);
        self
    }
}

impl<H: TaskHandle> Future for Wait<H> {
    type Output = Waited<H>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Waited<H>> {
        let mut this = self.project();
        let watch =
            this.watch.get_or_insert_with(|| Watch::new(tasks(this.tasks), *this.enough, false));
        if let Some(deadline) = *this.deadline {
            this.alarm.as_mut().keep(deadline, context.waker());
        }
        if watch.poll(context.waker()).is_pending() && !this.alarm.fired() {
            return Poll::Pending;
        }
        this.alarm.disarm();
        *this.watch = None;
        // Looked at only now: what has ended meanwhile is done, too (WAIT-05).
        let all = std::mem::take(this.tasks).into_iter();
        let (done, pending) = all.partition(|task| task.task().is_finished());
        Poll::Ready(Waited { done, pending })
    }
}

/// Waits until as many of these tasks have ended as `when` says.
///
/// It never fails, whatever becomes of the tasks (WAIT-03), and leaves them alone: neither a
/// [`timeout`](Wait::timeout) nor a cancellation reaches them. A task that is given twice counts
/// once (WAIT-02). Even if all have ended already, everything else that is ready runs first
/// (WAIT-06).
///
/// For futures that are no tasks there is `futures::select_biased!`, which drops those that come
/// too late. (`futures::select!` rolls dice that a [simulation](crate::sim) does not know.)
///
/// # Cancellation
/// The tasks are neither cancelled nor awaited (WAIT-08). Those given by value are detached; to
/// keep them, give `&mut task`.
///
/// # Panics
/// If no task is given (WAIT-01).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use filch::{ReturnWhen, sleep, spawn, wait};
///
/// # filch::sim::run(0, async {
/// let tasks = [1, 60].map(|seconds| spawn(sleep(Duration::from_secs(seconds))));
/// let waited = wait(tasks, ReturnWhen::FirstCompleted).await;
/// assert_eq!((waited.done.len(), waited.pending.len()), (1, 1));
/// # Ok(())
/// # }).unwrap();
/// ```
#[track_caller]
#[doc(alias("asyncio.wait", "select"))]
pub fn wait<H: TaskHandle>(tasks: impl IntoIterator<Item = H>, when: ReturnWhen) -> Wait<H> {
    let tasks = distinct_handles(tasks);
    assert!(!tasks.is_empty(), "`wait` is given no task");
    let enough = match when {
        ReturnWhen::AllCompleted => Enough::All,
        ReturnWhen::FirstCompleted => Enough::First,
        ReturnWhen::FirstError => Enough::FirstFailed,
    };
    Wait { tasks, enough, watch: None, deadline: None, alarm: Alarm::new() }
}
