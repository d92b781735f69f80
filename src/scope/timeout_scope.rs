//! A timeout whose deadline can be moved, by what is inside it and by others.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::driver::clock::Instant;
use crate::error::{Outcome, Result};
use crate::probe::{self, Kept};
use crate::scope::timeout::{Timed, deadline, flatten};
use crate::sys::{Arc, Mutex};
use crate::task::unwind::by_error;

/// The life of a timeout scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Created,
    Active,
    Expiring,
    Expired,
    Finished,
}

#[derive(Debug)]
struct State {
    status: Status,
    deadline: Option<Instant>,
    /// The deadline was moved since the alarm was set.
    moved: bool,
    /// The scope is being polled: it looks at `moved` on its way out, so nobody need wake it, and
    /// a task that moves its own deadline is not queued once more by that.
    polled: bool,
    waker: Option<Kept>,
}

/// The deadline of a [`timeout_scope`], to be looked at and moved from anywhere.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use filch::time::Instant;
///
/// # filch::sim::run(0, async {
/// filch::timeout_scope(Duration::from_secs(1), async |deadline| {
///     // There is more to do than we thought.
///     deadline.reschedule(Instant::now() + Duration::from_secs(60))?;
///     filch::sleep(Duration::from_secs(10)).await;
///     Ok(())
/// }).await?;
/// # Ok(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
#[doc(alias = "asyncio.Timeout")]
pub struct Deadline(Arc<Mutex<State>>);

/// The timeout scope is not active: it was not entered yet, it has expired, or it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotActive(Status);

impl fmt::Display for NotActive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.0 {
            Status::Created => "has not been entered",
            Status::Active => "is active",
            Status::Expiring => "is expiring",
            Status::Expired => "has expired",
            Status::Finished => "is finished",
        };
        write!(f, "cannot move the deadline of a timeout that {state}")
    }
}

impl std::error::Error for NotActive {}

impl Deadline {
    /// Moves the deadline; `None` takes it away. One that has passed expires in its turn.
    ///
    /// # Errors
    /// [`NotActive`] before the scope's first poll, and once it has expired or is over (TMO-14).
    #[doc(alias = "Timeout.reschedule")]
    pub fn reschedule(&self, to: impl Into<Option<Instant>>) -> Result<(), NotActive> {
        let mut state = self.0.lock();
        if state.status != Status::Active {
            return Err(NotActive(state.status));
        }
        state.deadline = to.into();
        state.moved = true;
        // To clone it is foreign code, too; the poll that comes of it leaves it here again.
        let waker = if state.polled { None } else { state.waker.take() };
        drop(state);
        if let Some(waker) = waker {
            probe::wake(waker.into_waker());
        }
        Ok(())
    }

    /// Returns the present deadline.
    #[doc(alias = "Timeout.when")]
    pub fn when(&self) -> Option<Instant> {
        self.0.lock().deadline
    }

    /// Tells whether the deadline has run out (TMO-04): true once the task has taken notice, in its
    /// first poll after that moment. Until then [`reschedule`](Deadline::reschedule) is in time.
    #[doc(alias = "Timeout.expired")]
    pub fn expired(&self) -> bool {
        matches!(self.0.lock().status, Status::Expiring | Status::Expired)
    }

    fn pass_to(&self, status: Status) {
        let waker = {
            let mut state = self.0.lock();
            state.status = status;
            if status == Status::Active { None } else { state.waker.take() }
        };
        drop(waker);
    }

    /// The deadline to set the alarm to, if it is to be set anew. `polled`: by what is inside.
    fn take_moved(&self, polled: bool) -> Option<Option<Instant>> {
        let mut state = self.0.lock();
        state.polled = polled;
        std::mem::take(&mut state.moved).then_some(state.deadline)
    }

    /// The scope is polled: who is to be woken when the deadline is moved?
    fn keep_waker(&self, waker: &Waker) {
        let mut state = self.0.lock();
        if state.waker.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            return;
        }
        drop(state);
        let new = Some(Kept::of(waker));
        state = self.0.lock();
        let former = std::mem::replace(&mut state.waker, new);
        drop(state);
        drop(former);
    }
}

pin_project! {
    /// The future of [`timeout_scope`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct TimeoutScope<F> {
        #[pin]
        timed: Timed<F>,
        deadline: Deadline,
        entered: bool,
    }

    impl<F> PinnedDrop for TimeoutScope<F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            let expired = *this.timed.project().expired;
            this.deadline.pass_to(if expired { Status::Expired } else { Status::Finished });
        }
    }
}

impl<F> TimeoutScope<F> {
    /// Sets the alarm anew if the deadline was moved.
    fn follow(self: Pin<&mut Self>, context: &Context<'_>, polled: bool) {
        let this = self.project();
        match this.deadline.take_moved(polled) {
            _ if this.timed.expired || this.timed.passed => {}
            Some(deadline) => this.timed.move_to(deadline, context.waker()),
            None => {
                let timed = this.timed.project();
                if let Some(deadline) = *timed.deadline {
                    timed.alarm.keep(deadline, context.waker());
                }
            }
        }
    }
}

impl<F: Future<Output: Outcome>> Future for TimeoutScope<F> {
    type Output = Result<<F::Output as Outcome>::Value>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        if !std::mem::replace(this.entered, true) {
            this.deadline.pass_to(Status::Active);
        }
        this.deadline.keep_waker(context.waker());
        self.as_mut().follow(context, true);
        let mut this = self.as_mut().project();
        this.timed.as_mut().catch_up(context.waker());
        if this.timed.as_ref().get_ref().went_off() {
            this.deadline.pass_to(Status::Expiring);
        }
        let polled = this.timed.poll_set(context, by_error);
        match polled {
            Poll::Pending => {
                self.follow(context, false);
                Poll::Pending
            }
            Poll::Ready(end) => Poll::Ready(flatten(end)),
        }
    }
}

/// Runs what `body` makes under a deadline that can be moved: `async with asyncio.timeout(..)`.
///
/// As [`timeout`](crate::timeout); `body` is given the [`Deadline`].
///
/// # Errors
/// As of [`timeout`](crate::timeout).
///
/// # Cancellation
/// As of [`timeout`](crate::timeout).
///
/// # Panics
/// If it is polled outside a runtime.
#[doc(alias = "asyncio.timeout")]
pub fn timeout_scope<F, Body>(limit: impl Into<Option<Duration>>, body: Body) -> TimeoutScope<F>
where
    F: Future<Output: Outcome>,
    Body: FnOnce(Deadline) -> F,
{
    let at = deadline(limit);
    let status = Status::Created;
    let state = State { status, deadline: at, moved: true, polled: false, waker: None };
    let deadline = Deadline(Arc::new(Mutex::new(state)));
    let future = body(deadline.clone());
    TimeoutScope { timed: Timed::new(future, at), deadline, entered: false }
}
