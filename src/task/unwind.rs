//! What a cancel scope does: it knows what to do when the future inside it is unwound.
//!
//! Unwinding is `Drop`. A scope that takes a request drops its inside *before* polling it, so that
//! the code after the await where it was suspended never runs (CAN-06); locals go, innermost
//! first. `catch_cancelled` then returns and lets clean-up run as ordinary code; a timeout turns
//! an expiry into an error, and lets every other request go on, by unwinding the scope around it.
//!
//! [`Scoped`] is the law that all scopes obey, once; the rooms above add what is theirs.

use std::marker::PhantomPinned;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use crate::error::{Cancelled, Outcome};
use crate::probe;
use crate::task::chain::Straight;
use crate::task::current::{self, Current, Place};
use crate::task::owner::Owner;

#[path = "catch.rs"]
mod catch;

pub use catch::{CatchCancelled, catch_cancelled, catch_cancelled_any};

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

/// Lets a request that is not this scope's go on to the scope around. Without a task that could be
/// unwound, it comes back.
pub(crate) fn go_on(cancelled: Cancelled, context: &Context<'_>) -> Poll<Cancelled> {
    let mut cancelled = Some(cancelled);
    let unwound = current::with(|current| {
        current.unwind(cancelled.take().and_then(Cancelled::into_message), context.waker());
    });
    match (unwound, cancelled) {
        (None, Some(cancelled)) => Poll::Ready(cancelled),
        _ => Poll::Pending,
    }
}

pin_project! {
    /// A future in a cancel scope.
    #[derive(Debug)]
    #[project = ScopedProjection]
    pub(crate) struct Scoped<F> {
        // Before `scope`: what is inside leaves before what is around it.
        #[pin]
        future: Option<F>,
        scope: Scope,
        // The scope may rely on its place.
        #[pin]
        pinned: PhantomPinned,
    }
}

/// Its place among the scopes of the task that polls it.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) owner: Option<Owner>,
    /// It stays where it is once it is entered, and only its own polls know where that is.
    pinned: bool,
    pub(super) place: u32,
    pub(super) generation: u32,
    pub(super) fired: bool,
    pub(super) undelivered: bool,
    /// How many requests concerned it when it was entered.
    pub(super) at_entry: u32,
}

impl<F: Future> Scoped<F> {
    pub(crate) fn new(future: F) -> Self {
        let mut scope = Scope::default();
        scope.pinned = true;
        Scoped { future: Some(future), scope, pinned: PhantomPinned }
    }

    /// Polls what is inside. `fire`: the scope's own trigger went off (only the first time counts).
    ///
    /// # Panics
    /// If it is polled again after its end.
    #[inline(always)]
    pub(crate) fn poll(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        fire: bool,
        sort: Sort<F::Output>,
    ) -> Poll<Exit<F::Output>> {
        // SAFETY: it is not kept.
        match unsafe { current::get() } {
            Some(current) => self.poll_in(current, context, fire, sort),
            None => self.poll_alone(context, fire, sort),
        }
    }

    #[inline(always)]
    fn poll_in(
        self: Pin<&mut Self>,
        current: &Current,
        context: &mut Context<'_>,
        fire: bool,
        sort: Sort<F::Output>,
    ) -> Poll<Exit<F::Output>> {
        let mut this = self.project();
        if fire || !this.scope.goes_straight(current, context) {
            return this.poll_placed(current, context, fire, sort);
        }
        // All that can be said of the scopes is how many there are, and so it stays if what is
        // inside leaves it at that.
        let _inside = Straight::go(current, this.scope.place);
        match poll_inner(this.future.as_mut(), context).map(sort) {
            Poll::Pending if !current.present().is_made() => Poll::Pending,
            Poll::Ready(Ok(value)) if !current.present().is_made() => {
                this.future.set(None);
                this.scope.leave(current, false);
                Poll::Ready(Exit::Value(value))
            }
            polled => this.conclude(current, context, polled),
        }
    }

    /// Outside any task only the scope's own trigger works.
    #[inline(never)]
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
        poll_inner(this.future.as_mut(), context).map(|output| {
            this.future.set(None);
            match sort(output) {
                Ok(value) => Exit::Value(value),
                Err(cancelled) => Exit::Unwound { cancelled, mine: false },
            }
        })
    }
}

impl<F: Future> ScopedProjection<'_, F> {
    /// The scope has a place, or gets one.
    #[inline(never)]
    fn poll_placed(
        &mut self,
        current: &Current,
        context: &mut Context<'_>,
        fire: bool,
        sort: Sort<F::Output>,
    ) -> Poll<Exit<F::Output>> {
        self.scope.enter(current, context);
        let inside = Inside::go(current, self.scope.place, context);
        if fire && !self.scope.fired {
            self.scope.fire(current);
        }
        let polled = self.scope.poll_inside(current, context, self.future.as_mut(), sort);
        let exit = self.scope.exit(current, polled);
        drop(inside);
        exit
    }

    /// What is inside has said more of the scopes.
    #[inline(never)]
    fn conclude(
        &mut self,
        current: &Current,
        context: &Context<'_>,
        polled: Poll<Result<F::Output, Cancelled>>,
    ) -> Poll<Exit<F::Output>> {
        let polled = self.scope.conclude(current, context, self.future.as_mut(), polled);
        self.scope.exit(current, polled)
    }
}

#[inline(always)]
fn poll_inner<F: Future>(
    future: Pin<&mut Option<F>>,
    context: &mut Context<'_>,
) -> Poll<F::Output> {
    future.as_pin_mut().expect("a cancel scope is polled after its end").poll(context)
}

/// While it lives, its scope is the present one; afterwards the one around it is, also on a panic.
pub(super) struct Inside<'a> {
    current: &'a Current,
    back: Place,
}

impl<'a> Inside<'a> {
    pub(super) fn go(current: &'a Current, place: u32, context: &Context<'_>) -> Self {
        Inside { current, back: current.go_into(place, context.waker()) }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.current.come_back(self.back);
    }
}

impl Scope {
    /// A poll of the scope begins, and says nothing of it: it stays in the chain, or is the next
    /// one there.
    #[inline(always)]
    fn goes_straight(&mut self, current: &Current, context: &Context<'_>) -> bool {
        if !current.is_own(context.waker()) {
            return false;
        }
        let parent = current.scope();
        match &self.owner {
            Some(owner) => current.is(owner) && current.present().has(self.place, parent),
            None => {
                let unasked = current.header().state.requests_unless_news() == Some(0);
                let joins = unasked && !self.fired && current.present().extend(parent);
                if joins {
                    (self.place, self.generation, self.at_entry) = (parent + 1, 0, 0);
                    self.belong_to(current);
                }
                joins
            }
        }
    }

    /// A poll of the scope begins: it finds its place in the task that polls it. True: a new one.
    pub(super) fn enter(&mut self, current: &Current, context: &Context<'_>) -> bool {
        let parent = current.scope();
        let moved = !self.owner.as_ref().is_some_and(|owner| current.is(owner));
        let own = current.is_own(context.waker());
        if moved {
            self.move_in(current, parent, own);
            if own {
                // There is nothing in a new place.
                return true;
            }
        }
        let place = self.place;
        // Most polls of a scope change nothing about it.
        if !own || !current.scopes(|scopes| scopes.stands_as_before(place, parent)) {
            self.take_place(current, parent, (!own).then_some(context.waker()));
        }
        moved
    }

    /// The scope is polled inside another one than before, with another waker, or it had a note.
    #[inline(never)]
    fn take_place(&self, current: &Current, parent: u32, waker: Option<&Waker>) {
        let place = self.place;
        current.scopes(|scopes| scopes.reenter(place, parent));
        if current.scopes(|scopes| scopes.needs_waker(place, waker)) {
            let waker = waker.cloned();
            let former = current.scopes(|scopes| scopes.keep_waker(place, waker));
            former.into_iter().for_each(probe::drop_waker);
        }
        drop(current.scopes(|scopes| scopes.turn(place)));
    }

    /// Polls what is inside, after [`enter`](Scope::enter), the scope being the present one.
    ///
    /// `Err`: it was unwound, and is gone; all scopes around have been served.
    pub(super) fn poll_inside<F: Future>(
        &mut self,
        current: &Current,
        context: &mut Context<'_>,
        mut future: Pin<&mut Option<F>>,
        sort: Sort<F::Output>,
    ) -> Poll<Result<F::Output, Cancelled>> {
        let place = self.place;
        if current.scopes(|scopes| scopes.is_to_hear(place)) && hears(current, place) {
            current.absorb(|| future.set(None));
            return Poll::Ready(Err(current.take(place)));
        }
        let polled = poll_inner(future.as_mut(), context).map(sort);
        self.conclude(current, context, future, polled)
    }

    /// What is inside was polled.
    fn conclude<F: Future>(
        &mut self,
        current: &Current,
        context: &Context<'_>,
        mut future: Pin<&mut Option<F>>,
        polled: Poll<Result<F::Output, Cancelled>>,
    ) -> Poll<Result<F::Output, Cancelled>> {
        let place = self.place;
        // Of a scope in a chain nobody wants anything.
        let quiet = !current.present().is_made() || current.scopes(|scopes| scopes.is_quiet(place));
        if !quiet && must_unwind(current, place) {
            current.absorb(|| future.set(None));
            return Poll::Ready(Err(current.take(place)));
        }
        match polled {
            Poll::Ready(Ok(value)) => {
                future.set(None);
                Poll::Ready(Ok(value))
            }
            Poll::Ready(Err(cancelled)) => {
                current.absorb(|| future.set(None));
                let remains = current.scopes(|scopes| scopes.absorb(place));
                current.dispose(remains);
                Poll::Ready(Err(cancelled))
            }
            Poll::Pending if !quiet && current.scopes(|scopes| scopes.is_owed_below(place)) => {
                current.absorb(|| future.set(None));
                Poll::Ready(Err(current.take(place)))
            }
            Poll::Pending => {
                if self.fired {
                    self.stay(current, context);
                }
                Poll::Pending
            }
        }
    }

    /// The scope is new to this task; one that was in another leaves that one, with its count.
    fn move_in(&mut self, current: &Current, parent: u32, own: bool) {
        if self.owner.is_some() {
            self.move_out();
        }
        self.at_entry = current.concern_at_entry(parent);
        let (fired, undelivered) = (self.fired, self.undelivered);
        if fired {
            current.header().state.count_one();
        }
        let straight = own && self.pinned && !fired;
        if straight {
            current.present().forget_blank();
        }
        (self.place, self.generation) = match straight && current.present().extend(parent) {
            true => (parent + 1, 0),
            false => current.scopes(|scopes| scopes.enter(parent, fired, undelivered)),
        };
        self.belong_to(current);
    }

    #[inline(always)]
    fn belong_to(&mut self, current: &Current) {
        let stays = self.pinned && current.header().encloses(std::ptr::from_ref(self).addr());
        self.owner = Some(match stays {
            // SAFETY: the scope lies in the cell of the task, and pinned, so it is dropped before
            // that memory is given back; nothing else has this owner.
            true => unsafe { Owner::uncounted(current.raw()) },
            false => Owner::from(current.task()),
        });
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
            header.with_cold(|cold, _| cold.news.gone.push(place));
            header.state.unlock_news();
            // What was to be delivered there has to be delivered elsewhere.
            if header.state.requests() > 0 {
                owner.wake();
            }
        }
    }

    /// The scope's own trigger went off: one request, owed to whatever is inside.
    pub(super) fn fire(&mut self, current: &Current) {
        self.fired = true;
        current.header().state.count_one();
        let place = self.place;
        current.scopes(|scopes| scopes.fire(place));
        current.owe(place);
    }

    /// The scope has fired, and stays pending. A request of its own that came back is made again
    /// at once.
    #[cold]
    fn stay(&mut self, current: &Current, context: &Context<'_>) {
        let place = self.place;
        self.undelivered = current.scopes(|scopes| scopes.is_undelivered(place));
        if current.scopes(|scopes| scopes.has_returned(place)) {
            context.waker().wake_by_ref();
        }
    }

    /// What a poll came to; the scope is over if it ended.
    fn exit<T>(&mut self, current: &Current, polled: Poll<Result<T, Cancelled>>) -> Poll<Exit<T>> {
        polled.map(|ended| match ended {
            Ok(value) => {
                self.leave(current, false);
                Exit::Value(value)
            }
            Err(cancelled) => {
                let mine = self.leave(current, true);
                Exit::Unwound { cancelled, mine }
            }
        })
    }

    /// The scope is over. True: it had fired, and no other request concerns it than at its entry.
    #[inline]
    fn leave(&mut self, current: &Current, absorb: bool) -> bool {
        if current.present().drop_last(self.place) {
            self.owner = None;
            return false;
        }
        self.leave_place(current, absorb)
    }

    #[inline(never)]
    fn leave_place(&mut self, current: &Current, absorb: bool) -> bool {
        let (parent, fired) = self.depart(current, absorb);
        if fired {
            current.header().state.uncancel();
        }
        fired && current.concern(parent) <= self.at_entry
    }

    /// The scope is over. Gives its parent, and whether a request of its own is to be taken back.
    pub(super) fn depart(&mut self, current: &Current, absorb: bool) -> (u32, bool) {
        let place = self.place;
        let plainly = current.scopes(|scopes| scopes.leave_plainly(place));
        let parent = plainly.unwrap_or_else(|| {
            let parent = current.scopes(|scopes| scopes.parent(place));
            let remains = current.scopes(|scopes| scopes.leave(place, absorb));
            current.dispose(remains);
            parent
        });
        self.owner = None;
        (parent, std::mem::take(&mut self.fired))
    }
}

/// What concerns the scope comes in before its poll. True: it takes a request.
#[cold]
fn hears(current: &Current, place: u32) -> bool {
    if current.scopes(|scopes| scopes.take_returned(place)) {
        current.owe(place);
    }
    current.is_owed(place) && current.deliver(place)
}

/// What its poll left behind is looked through. True: something inside wants it unwound.
#[inline(never)]
fn must_unwind(current: &Current, place: u32) -> bool {
    let remains = current.scopes(|scopes| scopes.settle(place));
    current.dispose(remains);
    current.scopes(|scopes| scopes.take_unwind(place))
}

impl Drop for Scope {
    /// Dropped half-way, or with its task: its own request is taken back.
    #[inline]
    fn drop(&mut self) {
        if self.owner.is_some() {
            self.go();
        }
    }
}

impl Scope {
    #[inline(never)]
    fn go(&mut self) {
        let Some(owner) = &self.owner else { return };
        if current::with(|current| current.is(owner)) == Some(true) {
            current::with(|current| self.leave(current, false));
        } else {
            self.move_out();
        }
    }
}
