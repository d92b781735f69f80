//! Tasks, one after the other, as they end.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use crate::driver::clock::Instant;
use crate::error::{Error, Result};
use crate::runtime::alarm::Alarm;
use crate::scope::task_handle::{TaskHandle, distinct_handles, tasks};
use crate::scope::timeout::deadline;
use crate::task::several::{Enough, Watch};

/// The stream of [`as_completed`].
#[derive(Debug)]
#[must_use = "streams do nothing unless they are polled"]
pub struct AsCompleted<H> {
    tasks: Vec<Option<H>>,
    left: usize,
    watch: Watch,
}

impl<H> Unpin for AsCompleted<H> {}

impl<H: TaskHandle> AsCompleted<H> {
    /// Waits for the next task to end; `None`: all have been given.
    ///
    /// # Cancellation
    /// Takes nothing: the task is given next time (ASC-07).
    pub async fn next(&mut self) -> Option<H> {
        poll_fn(|context| self.poll_task(context)).await
    }

    /// Stops after that time, counted from this call, with an error; `None`: no limit.
    ///
    /// What ends before is given before; what has not ended runs on (ASC-05).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use filch::{as_completed, sleep, spawn};
    ///
    /// # filch::sim::run(0, async {
    /// let tasks = [1, 60].map(|seconds| spawn(sleep(Duration::from_secs(seconds))));
    /// let mut ended = as_completed(tasks).timeout(Duration::from_secs(2));
    /// assert!(ended.next().await.unwrap().is_ok());
    /// assert!(ended.next().await.unwrap().unwrap_err().is_timeout());
    /// assert!(ended.next().await.is_none());
    /// # Ok(())
    /// # }).unwrap();
    /// ```
    pub fn timeout(self, limit: impl Into<Option<Duration>>) -> AsCompletedBefore<H> {
        let alarm = Box::pin(Alarm::new());
        AsCompletedBefore { tasks: self, deadline: deadline(limit), alarm, over: false }
    }

    fn poll_task(&mut self, context: &Context<'_>) -> Poll<Option<H>> {
        self.watch.poll_next(context.waker()).map(|next| {
            let task = self.tasks[next?].take();
            self.left -= 1;
            task
        })
    }
}

impl<H: TaskHandle> Stream for AsCompleted<H> {
    type Item = H;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<H>> {
        self.poll_task(context)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// The stream of [`AsCompleted::timeout`].
#[derive(Debug)]
#[must_use = "streams do nothing unless they are polled"]
pub struct AsCompletedBefore<H> {
    tasks: AsCompleted<H>,
    deadline: Option<Instant>,
    alarm: Pin<Box<Alarm>>,
    over: bool,
}

impl<H> Unpin for AsCompletedBefore<H> {}

impl<H: TaskHandle> AsCompletedBefore<H> {
    /// Waits for the next task to end; `None`: all have been given, or the time is over.
    ///
    /// # Errors
    /// A timeout, once, when the time is over.
    ///
    /// # Cancellation
    /// Takes nothing: the task is given next time (ASC-07).
    pub async fn next(&mut self) -> Option<Result<H>> {
        poll_fn(|context| self.poll_task(context)).await
    }

    fn poll_task(&mut self, context: &Context<'_>) -> Poll<Option<Result<H>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(next) = self.tasks.poll_task(context) {
            self.over = next.is_none();
            return Poll::Ready(next.map(Ok));
        }
        match self.deadline {
            None => return Poll::Pending,
            Some(deadline) => self.alarm.as_mut().keep(deadline, context.waker()),
        }
        if !self.alarm.fired() {
            return Poll::Pending;
        }
        self.over = true;
        self.alarm.as_mut().disarm();
        Poll::Ready(Some(Err(Error::timeout(None))))
    }
}

impl<H: TaskHandle> Stream for AsCompletedBefore<H> {
    type Item = Result<H>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<H>>> {
        self.poll_task(context)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.over { (0, Some(0)) } else { (0, Some(self.tasks.left + 1)) }
    }
}

/// Gives these tasks back, one after the other, as they end.
///
/// What is given is the very handle that came in: its task is done, so that awaiting it does not
/// suspend (ASC-02). A task that is given twice counts once (ASC-01). Stopping early leaves the
/// others alone (ASC-06).
///
/// It is a [`Stream`], and has a [`next`](AsCompleted::next) of its own.
///
/// # Cancellation
/// Of whoever awaits the next one: it does not reach the tasks.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use filch::{as_completed, sleep, spawn};
///
/// # filch::sim::run(0, async {
/// let mut ended = as_completed([3, 1, 2].map(|seconds| spawn(async move {
///     sleep(Duration::from_secs(seconds)).await;
///     Ok(seconds)
/// })));
/// let mut order = Vec::new();
/// while let Some(task) = ended.next().await {
///     order.push(task.await?);
/// }
/// assert_eq!(order, [1, 2, 3]);
/// # Ok(())
/// # }).unwrap();
/// ```
#[doc(alias("asyncio.as_completed", "JoinSet", "FuturesUnordered"))]
pub fn as_completed<H: TaskHandle>(handles: impl IntoIterator<Item = H>) -> AsCompleted<H> {
    let handles = distinct_handles(handles);
    let watch = Watch::new(tasks(&handles), Enough::First, false);
    let left = handles.len();
    AsCompleted { tasks: handles.into_iter().map(Some).collect(), left, watch }
}
