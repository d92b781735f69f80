//! Timeouts: an alarm, and a cancel scope that turns its going off into an error.
//!
//! The alarm only wakes the task. The scope's next poll sees that it went off and makes a request
//! of its own, which concerns what is inside and nothing else. If the inside ends by it, and
//! nobody else asked the task to end meanwhile, the error is a timeout (TMO-06); else the request
//! goes its way.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::driver::clock::Instant;
use crate::error::{Cancelled, Elapsed, Error, Message, Outcome, Result};
use crate::runtime::alarm::Alarm;
use crate::task::unwind::{Exit, Scoped, Sort, by_error, by_nothing, go_on};

pin_project! {
    /// A future under an alarm.
    #[derive(Debug)]
    pub(super) struct Timed<F> {
        #[pin]
        pub(super) scoped: Scoped<F>,
        #[pin]
        pub(super) alarm: Alarm,
        pub(super) deadline: Option<Instant>,
        pub(super) expired: bool,
        // Somebody else's request went through here: whoever polls it again is unwound again.
        pub(super) passed: bool,
    }
}

/// How a future under an alarm ended.
pub(super) enum End<T> {
    Value(T),
    Expired(Option<Message>),
    /// Cancelled by somebody else, with no task around that could be unwound.
    Cancelled(Cancelled),
}

impl<F: Future> Timed<F> {
    pub(super) fn new(future: F, deadline: Option<Instant>) -> Self {
        let (scoped, alarm) = (Scoped::new(future), Alarm::new());
        Timed { scoped, alarm, deadline, expired: false, passed: false }
    }

    /// Polls the future; whether time is up has been found out.
    pub(super) fn poll_set(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        sort: Sort<F::Output>,
    ) -> Poll<End<F::Output>> {
        let mut this = self.project();
        if *this.passed {
            return go_on(Cancelled::new(None), context).map(End::Cancelled);
        }
        let exit = ready!(this.scoped.poll(context, *this.expired, sort));
        this.alarm.as_mut().disarm();
        match exit {
            Exit::Value(value) => Poll::Ready(End::Value(value)),
            Exit::Unwound { cancelled, mine: true } => {
                Poll::Ready(End::Expired(cancelled.into_message()))
            }
            Exit::Unwound { cancelled, mine: false } => {
                *this.passed = true;
                go_on(cancelled, context).map(End::Cancelled)
            }
        }
    }

    /// Sees to it that the alarm is set, and wakes the right one, here.
    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        sort: Sort<F::Output>,
    ) -> Poll<End<F::Output>> {
        let mut this = self.as_mut().project();
        if let Some(deadline) = *this.deadline
            && !*this.expired
            && !*this.passed
        {
            this.alarm.as_mut().keep(deadline, context.waker());
            *this.expired = this.alarm.fired();
        }
        self.poll_set(context, sort)
    }
}

/// The result of a timeout around what a task may be made of.
pub(super) fn flatten<T: Outcome>(end: End<T>) -> Result<T::Value> {
    match end {
        End::Value(value) => value.into_result(),
        End::Expired(message) => Err(Error::timeout(message)),
        End::Cancelled(cancelled) => Err(cancelled.into()),
    }
}

pin_project! {
    /// The future of [`timeout`] and [`timeout_at`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct Timeout<F> {
        #[pin]
        timed: Timed<F>,
    }
}

impl<F: Future<Output: Outcome>> Future for Timeout<F> {
    type Output = Result<<F::Output as Outcome>::Value>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().timed.poll(context, by_error).map(flatten)
    }
}

pin_project! {
    /// The future of [`timeout_any`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct TimeoutAny<F> {
        #[pin]
        timed: Timed<F>,
    }
}

impl<F: Future> Future for TimeoutAny<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let end = ready!(self.project().timed.poll(context, by_nothing));
        match end {
            End::Value(value) => Poll::Ready(Ok(value)),
            // Without a task around, nobody but the alarm can have dropped the inside.
            End::Expired(_) | End::Cancelled(_) => Poll::Ready(Err(Elapsed::new())),
        }
    }
}

/// Ends `future` if it takes longer than `limit`; `None`: no limit.
///
/// The limit counts from this call (TMO-01). It runs out as a request to end, which concerns what
/// is inside only: `future` may catch it, clean up, with awaits, and even swallow it, in which
/// case its value counts (TMO-08). A future that never suspends is never interrupted (TMO-17). A
/// [`Task`](crate::Task) inside is cancelled and waited for, as asyncio's `wait_for` does.
///
/// # Errors
/// A timeout ([`is_timeout`](Error::is_timeout)) if `future` was ended by the limit; else what
/// `future` ends with.
///
/// # Cancellation
/// A request from elsewhere goes its way, also if the limit ran out meanwhile (TMO-06). So does a
/// cancellation that `future` ends with, because it awaits a task that somebody has cancelled, for
/// example: that is no error to be looked at here, but ends what is around, up to the next
/// [`catch_cancelled`](crate::catch_cancelled). Dropped, it drops `future`, and takes its own
/// request back.
///
/// What is cancelled never goes on: the task is unwound from the end of its poll. Do not block a
/// task in another executor, such as `futures::executor::block_on`: that poll does not end, and a
/// timeout in there that has let a cancellation pass waits for ever. Await it instead; or block on
/// it in [`to_thread`](crate::to_thread), where there is no task, and it is an `Err` with
/// [`is_cancelled`](Error::is_cancelled).
///
/// # Panics
/// If it is polled outside a runtime, or, like a [`sleep`](crate::sleep), by a thread that its
/// runtime has left behind.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use filch::{catch_cancelled, sleep, spawn, timeout};
///
/// # filch::sim::run(0, async {
/// let slow = async {
///     sleep(Duration::from_secs(10)).await;
///     Ok("late")
/// };
/// let result = timeout(Duration::from_secs(1), slow).await;
/// assert!(result.unwrap_err().is_timeout());
///
/// // The cancellation of what is awaited inside goes its way.
/// let task = spawn(sleep(Duration::from_secs(10)));
/// task.cancel();
/// let caught = catch_cancelled(timeout(Duration::from_secs(1), task)).await;
/// assert!(caught.is_err());
/// # Ok(())
/// # }).unwrap();
/// ```
#[doc(alias("asyncio.timeout", "asyncio.wait_for"))]
pub fn timeout<F>(limit: impl Into<Option<Duration>>, future: F) -> Timeout<F::IntoFuture>
where
    F: IntoFuture<Output: Outcome>,
{
    timeout_at(deadline(limit), future)
}

/// As [`timeout`], with the moment at which the limit runs out.
///
/// # Errors
/// As of [`timeout`].
///
/// # Cancellation
/// As of [`timeout`].
///
/// # Panics
/// If it is polled outside a runtime.
#[doc(alias = "asyncio.timeout_at")]
pub fn timeout_at<F>(deadline: impl Into<Option<Instant>>, future: F) -> Timeout<F::IntoFuture>
where
    F: IntoFuture<Output: Outcome>,
{
    Timeout { timed: Timed::new(future.into_future(), deadline.into()) }
}

/// As [`timeout`], around a future with any output.
///
/// # Errors
/// [`Elapsed`] if `future` was ended by the limit.
///
/// # Cancellation
/// As of [`timeout`].
///
/// # Panics
/// If it is polled outside a runtime.
///
/// # Examples
///
/// ```
/// # filch::sim::run(0, async {
/// let limit = std::time::Duration::from_millis(1);
/// assert_eq!(filch::timeout_any(limit, async { 42 }).await, Ok(42));
/// # Ok(())
/// # }).unwrap();
/// ```
pub fn timeout_any<F>(limit: impl Into<Option<Duration>>, future: F) -> TimeoutAny<F::IntoFuture>
where
    F: IntoFuture,
{
    TimeoutAny { timed: Timed::new(future.into_future(), deadline(limit)) }
}

pub(super) fn deadline(limit: impl Into<Option<Duration>>) -> Option<Instant> {
    limit.into().map(|limit| Instant::now() + limit)
}
