//! What a cancel scope does: it knows what to do when the future inside it is unwound.
//!
//! Unwinding is `Drop`. A scope that takes a request drops its inside *before* polling it, so that
//! the code after the await where it was suspended never runs (CAN-06); locals go, innermost
//! first. `catch_cancelled` then returns and lets clean-up run as ordinary code; a timeout turns
//! an expiry into an error, and lets every other request go on, by unwinding the scope around it.
//!
//! [`Scoped`] is the law that all scopes obey, once; the rooms above add what is theirs.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::error::{Cancelled, Outcome};
use crate::task::current::{self, Current, Place};
use crate::task::raw::TaskRef;

/// How a scope ended.
#[derive(Debug)]
pub(crate) enum Exit<T> {
    Value(T),
    /// Its inside was dropped. `mine`: what unwound it was its own request, and no other one
    /// concerns it any more than when it was entered.
    Unwound {
        cancelled: Cancelled,
        mine: bool,
    },
}

/// Tells an unwinding that comes as a value from all other values.
pub(crate) type Sort<T> = fn(T) -> Result<T, Cancelled>;

/// For outputs of tasks: `Err` with a cancellation is an unwinding.
pub(crate) fn by_error<T: Outcome>(output: T) -> Result<T, Cancelled> {
    output.split_cancelled()
}

/// For outputs of any other kind: only dropping is.
pub(crate) fn by_nothing<T>(output: T) -> Result<T, Cancelled> {
    Ok(output)
}

pin_project! {
    /// A future in a cancel scope.
    #[derive(Debug)]
    pub(crate) struct Scoped<F> {
        // Before `scope`: what is inside leaves before what is around it.
        #[pin]
        future: Option<F>,
        scope: Scope,
    }
}

/// Its place among the scopes of the task that polls it.
#[derive(Debug, Default)]
struct Scope {
    owner: Option<TaskRef>,
    place: u32,
    generation: u32,
    fired: bool,
    undelivered: bool,
    /// How many requests concerned it when it was entered.
    at_entry: u32,
}

impl<F: Future> Scoped<F> {
    pub(crate) fn new(future: F) -> Self {
        Scoped { future: Some(future), scope: Scope::default() }
    }

    /// Polls what is inside. `fire`: the scope's own trigger went off (only the first time counts).
    ///
    /// # Panics
    /// If it is polled again after its end.
    pub(crate) fn poll(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        fire: bool,
        sort: Sort<F::Output>,
    ) -> Poll<Exit<F::Output>> {
        let mut this = self;
        let polled = current::with(|current| {
            let parent = current.scope();
            this.as_mut().project().scope.enter(current, parent, context);
            let back = current.go_into(this.as_mut().project().scope.place, context.waker());
            let inside = Inside { current, back };
            let polled = this.as_mut().poll_inside(current, context, fire, sort);
            drop(inside);
            polled
        });
        polled.unwrap_or_else(|| this.poll_alone(context, fire, sort))
    }

    fn poll_inside(
        self: Pin<&mut Self>,
        current: &Current,
        context: &mut Context<'_>,
        fire: bool,
        sort: Sort<F::Output>,
    ) -> Poll<Exit<F::Output>> {
        let mut this = self.project();
        let place = this.scope.place;
        if fire && !this.scope.fired {
            this.scope.fire(current);
        } else if current.scopes(|scopes| scopes.take_returned(place)) {
            current.owe(place);
        }
        if current.is_owed(place) && current.deliver(place) {
            current.absorb(|| this.future.set(None));
            return Poll::Ready(this.scope.unwound(current));
        }
        let future = this.future.as_mut().as_pin_mut();
        let polled = future.expect("a cancel scope is polled after its end").poll(context);
        let remains = current.scopes(|scopes| scopes.settle(place));
        current.dispose(remains);
        if current.scopes(|scopes| scopes.take_unwind(place)) {
            current.absorb(|| this.future.set(None));
            return Poll::Ready(this.scope.unwound(current));
        }
        match polled.map(sort) {
            Poll::Ready(Ok(value)) => {
                this.future.set(None);
                this.scope.leave(current, false);
                Poll::Ready(Exit::Value(value))
            }
            Poll::Ready(Err(cancelled)) => {
                current.absorb(|| this.future.set(None));
                let mine = this.scope.leave(current, true);
                Poll::Ready(Exit::Unwound { cancelled, mine })
            }
            Poll::Pending if current.scopes(|scopes| scopes.is_owed_below(place)) => {
                current.absorb(|| this.future.set(None));
                Poll::Ready(this.scope.unwound(current))
            }
            Poll::Pending => {
                this.scope.stay(current, context);
                Poll::Pending
            }
        }
    }

    /// Outside any task only the scope's own trigger works.
    fn poll_alone(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        fire: bool,
        sort: Sort<F::Output>,
    ) -> Poll<Exit<F::Output>> {
        let mut this = self.project();
        if fire {
            this.future.set(None);
            return Poll::Ready(Exit::Unwound { cancelled: Cancelled::new(None), mine: true });
        }
        let future = this.future.as_mut().as_pin_mut();
        let polled = future.expect("a cancel scope is polled after its end").poll(context);
        polled.map(|output| {
            this.future.set(None);
            match sort(output) {
                Ok(value) => Exit::Value(value),
                Err(cancelled) => Exit::Unwound { cancelled, mine: false },
            }
        })
    }
}

/// While it lives, its scope is the present one; afterwards the one around it is, also on a panic.
struct Inside<'a> {
    current: &'a Current,
    back: Place,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.current.come_back(self.back);
    }
}

impl Scope {
    /// A poll of the scope begins: it finds its place in the task that polls it.
    fn enter(&mut self, current: &Current, parent: u32, context: &Context<'_>) {
        match &self.owner {
            Some(owner) if current.is(owner) => {
                let place = self.place;
                current.scopes(|scopes| scopes.reenter(place, parent));
            }
            _ => self.move_in(current, parent),
        }
        let place = self.place;
        let own = current.is_own(context.waker());
        let waker = (!own).then_some(context.waker());
        if current.scopes(|scopes| scopes.needs_waker(place, waker)) {
            let waker = waker.cloned();
            drop(current.scopes(|scopes| scopes.keep_waker(place, waker)));
        }
        drop(current.scopes(|scopes| scopes.turn(place)));
    }

    /// The scope is new to this task; one that was in another leaves that one, with its count.
    fn move_in(&mut self, current: &Current, parent: u32) {
        self.move_out();
        self.at_entry = concern(current, parent);
        let (fired, undelivered) = (self.fired, self.undelivered);
        if fired {
            current.header().state.count_own();
        }
        (self.place, self.generation) =
            current.scopes(|scopes| scopes.enter(parent, fired, undelivered));
        self.owner = Some(current.task());
    }

    /// The scope ends, or goes, where its task cannot be touched: it is marked there.
    fn move_out(&mut self) {
        let Some(owner) = self.owner.take() else { return };
        let header = owner.header();
        if self.fired {
            header.state.uncancel();
        }
        if header.state.lock_unless_done() {
            let place = (self.place, self.generation);
            header.with_cold(|cold, _| cold.gone.push(place));
            header.state.unlock_gone();
            owner.wake();
        }
    }

    /// The scope's own trigger went off: one request, owed to whatever is inside.
    fn fire(&mut self, current: &Current) {
        self.fired = true;
        current.header().state.count_own();
        let place = self.place;
        current.scopes(|scopes| scopes.fire(place));
        current.owe(place);
    }

    /// The scope stays pending. A request of its own that came back is made again at once.
    fn stay(&mut self, current: &Current, context: &Context<'_>) {
        if self.fired {
            let place = self.place;
            self.undelivered = current.scopes(|scopes| scopes.is_undelivered(place));
            if current.scopes(|scopes| scopes.has_returned(place)) {
                context.waker().wake_by_ref();
            }
        }
    }

    /// The scope takes: its inside has been dropped.
    fn unwound<T>(&mut self, current: &Current) -> Exit<T> {
        let message = current.scopes(|scopes| scopes.message.take());
        let mine = self.leave(current, true);
        Exit::Unwound { cancelled: Cancelled::new(message), mine }
    }

    /// The scope is over. True: it had fired, and no other request concerns it than at its entry.
    fn leave(&mut self, current: &Current, take: bool) -> bool {
        let place = self.place;
        let (parent, remains) = current.scopes(|scopes| {
            if take {
                scopes.taken(place);
            }
            (scopes.parent(place), scopes.leave(place, take))
        });
        current.dispose(remains);
        self.owner = None;
        if !std::mem::take(&mut self.fired) {
            return false;
        }
        current.header().state.uncancel();
        concern(current, parent) <= self.at_entry
    }
}

/// How many requests concern a scope inside `parent`: all but those of fired scopes that are not
/// around it.
fn concern(current: &Current, parent: u32) -> u32 {
    let elsewhere = current.scopes(|scopes| scopes.fired_elsewhere(parent));
    current.header().state.requests().saturating_sub(elsewhere)
}

impl Drop for Scope {
    /// Dropped half-way, or with its task: its own request is taken back.
    fn drop(&mut self) {
        let Some(owner) = &self.owner else { return };
        if current::with(|current| current.is(owner)) == Some(true) {
            current::with(|current| self.leave(current, false));
        } else {
            self.move_out();
        }
    }
}

pin_project! {
    /// The future of [`catch_cancelled`].
    #[must_use = "futures do nothing unless they are polled"]
    #[derive(Debug)]
    pub struct CatchCancelled<F> where F: Future {
        #[pin]
        scoped: Scoped<F>,
        sort: Sort<F::Output>,
    }
}

impl<F: Future> Future for CatchCancelled<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.scoped.poll(context, false, *this.sort).map(|exit| match exit {
            Exit::Value(value) => Ok(value),
            Exit::Unwound { cancelled, .. } => Err(cancelled),
        })
    }
}

/// Runs `future` and catches its cancellation: `try .. except CancelledError`.
///
/// When the task is asked to end while it is suspended inside, `future` is dropped, and this
/// returns `Err`: the code that follows cleans up, with awaits if need be (nothing interrupts it
/// again unless a new request arrives, CAN-27), and then lets the cancellation go on with
/// [`raise`](Cancelled::raise) or swallows it (CAN-11). The task's count of requests stays as it
/// is; [`uncancel`](TaskRef::uncancel) takes one back.
///
/// An output of `Err` whose error is a cancellation counts as one, too. For futures with other
/// outputs than a task's, see [`catch_cancelled_any`].
///
/// # Errors
/// [`Cancelled`], if `future` was unwound.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use filch::{catch_cancelled, sleep, spawn};
///
/// let main = async {
///     let task = spawn(async {
///         if let Err(cancelled) = catch_cancelled(sleep(Duration::from_secs(3600))).await {
///             sleep(Duration::from_secs(1)).await; // clean up
///             cancelled.raise().await;
///         }
///         Ok(())
///     });
///     sleep(Duration::from_secs(1)).await;
///     task.cancel();
///     assert!(task.await.unwrap_err().is_cancelled());
///     Ok(())
/// };
/// filch::sim::run(0, main).unwrap();
/// ```
#[doc(alias("CancelledError", "except", "finally"))]
pub fn catch_cancelled<F>(future: F) -> CatchCancelled<F>
where
    F: Future<Output: Outcome>,
{
    CatchCancelled { scoped: Scoped::new(future), sort: by_error }
}

/// As [`catch_cancelled`], for a future with any output; it sees unwinding only.
///
/// # Errors
/// [`Cancelled`], if `future` was unwound.
pub fn catch_cancelled_any<F: Future>(future: F) -> CatchCancelled<F> {
    CatchCancelled { scoped: Scoped::new(future), sort: by_nothing }
}

impl Cancelled {
    /// Lets the cancellation go on: unwinds the scope that this stands in, or ends the task.
    ///
    /// It never returns; what stands beside it, in a `select!` or a `join!`, is unwound with it.
    ///
    /// # Panics
    /// Outside a task.
    pub async fn raise(self) -> ! {
        let mut message = Some(self.into_message());
        std::future::poll_fn(|_| {
            let message = message.take().flatten();
            current::with(|current| current.unwind(message)).unwrap_or_else(|| {
                panic!("a cancellation can be raised only inside a task: return it as an error")
            });
            Poll::<std::convert::Infallible>::Pending
        })
        .await;
        unreachable!("an unwound future is polled again")
    }
}
