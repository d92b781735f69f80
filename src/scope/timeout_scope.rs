//! A timeout whose deadline can be moved, by what is inside it and by others.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::driver::clock::Instant;
use crate::error::{Outcome, Result};
use crate::probe::{self, Kept};
use crate::scope::timeout::{Timed, deadline, flatten};
use crate::sys::{Mutex, PublicArc as Arc};
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

impl Status {
    fn has_expired(self) -> bool {
        matches!(self, Status::Expiring | Status::Expired)
    }
}

#[derive(Debug)]
struct State {
    status: Status,
    deadline: Option<Instant>,
    /// The deadline was moved since the alarm was set.
    moved: bool,
    /// The scope is being polled: what happens meanwhile it finds on its way out, so nobody need
    /// wake it, and a task that moves its own deadline is not queued once more by that.
    polled: bool,
    waker: Option<Kept>,
}

/// What a scope shares with those who look at its deadline, and with its alarm.
#[derive(Debug)]
struct Shared(Mutex<State>);

/// What the scope has to do.
enum Step {
    /// Another one is to be woken.
    Meet,
    /// The alarm is to stand elsewhere.
    Move(Option<Instant>),
    Keep,
    Expire,
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
pub struct Deadline(Arc<Shared>);

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
        let mut state = self.0.0.lock();
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
        self.0.0.lock().deadline
    }

    /// Tells whether the deadline has run out (TMO-04): true once its timer has fired. While the
    /// task itself runs, it runs out when the task waits, and not before.
    #[doc(alias = "Timeout.expired")]
    pub fn expired(&self) -> bool {
        self.0.0.lock().status.has_expired()
    }
}

impl Shared {
    fn enter(&self) {
        self.0.lock().status = Status::Active;
    }

    fn leave(&self) {
        let waker = {
            let mut state = self.0.lock();
            let expired = state.status.has_expired();
            state.status = if expired { Status::Expired } else { Status::Finished };
            state.waker.take()
        };
        drop(waker);
    }

    /// The scope looks where its deadline is: on its way in, when it says who is to be woken, or
    /// out. `off`: the alarm, which stands where that was, has gone off. Whether time is up is
    /// decided here, or when the alarm goes off, and nobody moves it afterwards (TMO-16).
    fn look(&self, polled: bool, waker: Option<&Waker>, off: bool) -> Step {
        let mut state = self.0.lock();
        let knows = |waker: &Waker| state.waker.as_ref().is_some_and(|kept| kept.will_wake(waker));
        if waker.is_some_and(|waker| !knows(waker)) {
            return Step::Meet;
        }
        state.polled = polled;
        if std::mem::take(&mut state.moved) {
            return Step::Move(state.deadline);
        }
        if off && state.status == Status::Active {
            state.status = Status::Expiring;
        }
        if state.status.has_expired() { Step::Expire } else { Step::Keep }
    }

    fn meet(&self, waker: &Waker) {
        let new = Some(Kept::of(waker));
        let former = std::mem::replace(&mut self.0.lock().waker, new);
        drop(former);
    }
}

impl Wake for Shared {
    /// The alarm has gone off: time is up, unless the deadline was moved, or the scope is being
    /// polled and may yet move it.
    fn wake(self: Arc<Self>) {
        let now = Instant::now();
        let waker = {
            let mut state = self.0.lock();
            let stays = state.status == Status::Active && !state.moved && !state.polled;
            if stays && state.deadline.is_some_and(|deadline| deadline <= now) {
                state.status = Status::Expiring;
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            probe::wake(waker.into_waker());
        }
    }
}

pin_project! {
    /// The future of [`timeout_scope`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct TimeoutScope<F> {
        #[pin]
        timed: Timed<F>,
        shared: Arc<Shared>,
        // What the alarm wakes: that which is shared.
        bell: Waker,
        // The deadline was put off, and the alarm stands where it stood.
        early: bool,
        entered: bool,
    }

    impl<F> PinnedDrop for TimeoutScope<F> {
        fn drop(this: Pin<&mut Self>) {
            this.shared.leave();
        }
    }
}

impl<F> TimeoutScope<F> {
    /// Sees to it that the alarm stands where the deadline is, and finds out if that has run out.
    /// `waker`: on the way in.
    fn follow(self: Pin<&mut Self>, mut waker: Option<&Waker>) {
        let polled = waker.is_some();
        let this = self.project();
        let mut timed = this.timed.project();
        while !*timed.expired && !*timed.passed {
            // It may have come to another runtime.
            if let Some(deadline) = timed.deadline.filter(|_| polled && timed.alarm.is_armed()) {
                timed.alarm.as_mut().keep(deadline, this.bell);
            }
            let fired = timed.alarm.fired();
            match this.shared.look(polled, waker, fired && !*this.early) {
                // Once: there are wakers whose clones they do not take for themselves.
                Step::Meet => waker.take().into_iter().for_each(|waker| this.shared.meet(waker)),
                Step::Expire => *timed.expired = true,
                Step::Move(to) => {
                    // One that is put off leaves the alarm alone, for most are put off again
                    // before it goes off.
                    let later = timed.deadline.zip(to).is_some_and(|(before, now)| before <= now);
                    *timed.deadline = to;
                    *this.early = later && timed.alarm.may_come_early();
                    return match to {
                        Some(to) if *this.early => timed.alarm.keep(to, this.bell),
                        Some(to) => timed.alarm.arm(to, this.bell),
                        None => timed.alarm.disarm(),
                    };
                }
                Step::Keep if !fired => return,
                Step::Keep => {
                    *this.early = false;
                    if let Some(deadline) = timed.deadline.filter(|at| *at > Instant::now()) {
                        return timed.alarm.arm(deadline, this.bell);
                    }
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
            this.shared.enter();
        }
        self.as_mut().follow(Some(context.waker()));
        match self.as_mut().project().timed.poll_set(context, by_error) {
            Poll::Pending => {
                self.follow(None);
                Poll::Pending
            }
            Poll::Ready(end) => {
                self.shared.leave();
                Poll::Ready(flatten(end))
            }
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
    let shared = Arc::new(Shared(Mutex::new(state)));
    let future = body(Deadline(shared.clone()));
    let (timed, bell) = (Timed::new(future, at), Waker::from(shared.clone()));
    TimeoutScope { timed, shared, bell, early: false, entered: false }
}
