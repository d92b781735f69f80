//! The scope of a task group: a body, then a wait, and a request that comes from outside.
//!
//! Body and wait are one scope: when the body is unwound the scope stays, and what reaches it
//! during the wait it takes itself, without going away. Its own request is made by whichever child
//! failed first, or by who cancels the group, on whatever thread that runs ([`Trigger::fire`]): in
//! one step it is counted, and becomes news of the parent task, so that whoever compares counts in
//! that task knows of both or of neither. It goes to what is inside in the scope's next poll.
//!
//! Invariant: a request that was counted is taken back once, when the scope leaves, is dropped, or
//! moves to another task, which it then counts in.
//! Model: `loom-tests/group.rs`.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use crate::error::Cancelled;
use crate::probe::Kept;
use crate::sys::{Arc, Mutex, Patience};
use crate::task::cancel::{self, Offered};
use crate::task::current::{self, Current};
use crate::task::members::Members;
use crate::task::raw::TaskRef;
use crate::task::scopes::Fired;
use crate::task::unwind::{Inside, Scope, Sort};

/// What makes the scope's own request, once.
#[derive(Debug)]
pub(crate) struct Trigger(Mutex<State>);

#[derive(Debug)]
struct State {
    fired: bool,
    closed: bool,
    /// In which task the scope is, and where.
    owner: Option<(TaskRef, (u32, u32))>,
    waker: Option<Kept>,
}

impl Trigger {
    pub(crate) fn new() -> Self {
        let (fired, closed, owner, waker) = (false, false, None, None);
        Trigger(Mutex::new(State { fired, closed, owner, waker }))
    }

    /// Makes the request, and gives who is to be woken for it. `members`: who is asked anyway.
    ///
    /// If the parent sleeps and awaits a task, the request goes on to that one at once, as any
    /// other does; else the scope's next poll delivers it.
    pub(crate) fn fire(&self, members: &Arc<Members>) -> Option<Waker> {
        let mut patience = Patience::new();
        loop {
            let mut state = self.0.lock();
            if state.closed || state.fired {
                return None;
            }
            let owner = state.owner.clone();
            let Some((owner, place)) = owner.filter(|(owner, _)| owner.lock_unless_done()) else {
                state.fired = true;
                return state.waker.take().map(Kept::into_waker);
            };
            let offered = cancel::offer(&owner, members);
            if let Offered::Busy = offered {
                owner.header().state.unlock();
                drop(state);
                patience.wait();
                continue;
            }
            let passed = matches!(offered, Offered::Passed(_));
            let fired = Fired { place, members: members.clone(), passed };
            owner.header().with_cold(|cold, _| cold.news.fired.push(fired));
            owner.header().state.unlock_fired();
            state.fired = true;
            drop(state);
            if let Offered::Passed(onward) = offered {
                if cancel::go_on(onward, &owner, members) {
                    return None;
                }
                if owner.lock_unless_done() {
                    owner.header().with_cold(|cold, _| cold.news.returned.push(place));
                    owner.header().state.unlock_news();
                }
            }
            return self.take_waker();
        }
    }

    /// The task that the scope is in.
    pub(super) fn parent(&self) -> Option<TaskRef> {
        self.0.lock().owner.as_ref().map(|(owner, _)| owner.clone())
    }

    /// Gives who is to be woken for any other reason.
    pub(crate) fn take_waker(&self) -> Option<Waker> {
        self.0.lock().waker.take().map(Kept::into_waker)
    }

    /// A poll begins: `waker` is to be woken next. Has it fired?
    fn begin_poll(&self, waker: &Waker) -> bool {
        let mut state = self.0.lock();
        let elsewhere = |(owner, _): &(TaskRef, _)| current::with(|current| !current.is(owner));
        // While the scope moves nobody may tell the task that it leaves.
        let left = match state.owner.as_ref().and_then(elsewhere) {
            Some(true) => state.owner.take(),
            _ => None,
        };
        let kept = state.waker.as_ref().is_some_and(|kept| kept.will_wake(waker));
        let fired = state.fired;
        drop(state);
        drop(left);
        if !kept {
            let new = Some(Kept::of(waker));
            let former = std::mem::replace(&mut self.0.lock().waker, new);
            drop(former);
        }
        fired
    }

    /// The scope is in that task now. Did it fire meanwhile?
    fn moved_in(&self, owner: TaskRef, place: (u32, u32)) -> bool {
        let mut state = self.0.lock();
        let former = state.owner.replace((owner, place));
        let fired = state.fired;
        drop(state);
        drop(former);
        fired
    }

    /// It does not fire any more. Has it?
    fn close(&self) -> bool {
        let mut state = self.0.lock();
        state.closed = true;
        let (owner, waker, fired) = (state.owner.take(), state.waker.take(), state.fired);
        drop(state);
        drop((owner, waker));
        fired
    }
}

pin_project! {
    /// A body in the scope of a group.
    #[derive(Debug)]
    pub(crate) struct Grouped<F> {
        // Before `scope`: what is inside leaves before what is around it.
        #[pin]
        body: Option<F>,
        scope: Scope,
        trigger: Arc<Trigger>,
    }

    impl<F> PinnedDrop for Grouped<F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            this.scope.fired |= this.trigger.close() && this.scope.owner.is_some();
        }
    }
}

impl<F: Future> Grouped<F> {
    pub(crate) fn new(body: F, trigger: Arc<Trigger>) -> Self {
        Grouped { body: Some(body), scope: Scope::default(), trigger }
    }

    /// Polls the body; calls `begin` first, inside the scope. `Err`: it was unwound.
    ///
    /// # Panics
    /// Outside a task.
    pub(crate) fn poll_body(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        sort: Sort<F::Output>,
        begin: impl FnOnce(),
    ) -> Poll<Result<F::Output, Cancelled>> {
        let this = self.project();
        in_task(|current| {
            enter(this.scope, this.trigger, current, context);
            begin();
            let inside = Inside::go(current, this.scope.place, context);
            let polled = this.scope.poll_inside(current, context, this.body, sort);
            drop(inside);
            polled
        })
    }

    /// Waits, the body being gone. Gives a request that arrives here. `begun`: the body ended in
    /// this very poll.
    ///
    /// # Panics
    /// Outside a task.
    pub(crate) fn poll_wait(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        begun: bool,
    ) -> Option<Cancelled> {
        let this = self.project();
        let scope = this.scope;
        in_task(|current| {
            if !begun {
                enter(scope, this.trigger, current, context);
            }
            let place = scope.place;
            // The group's own request has nobody left to go to.
            current.scopes(|scopes| scopes.take_returned(place));
            let owed = current.is_owed(place) && current.deliver(place);
            let below = current.scopes(|scopes| scopes.is_owed_below(place));
            (owed || below).then(|| current.take(place))
        })
    }

    /// Drops the body, which panicked while it was polled.
    pub(crate) fn drop_body(self: Pin<&mut Self>) {
        let mut this = self.project();
        in_task(|current| {
            let place = this.scope.place;
            current.absorb(|| this.body.set(None));
            let remains = current.scopes(|scopes| {
                scopes.take_unwind(place);
                scopes.settle(place)
            });
            current.dispose(remains);
        });
    }

    /// The group is over. `failed`: with errors, so that a request of somebody else's stays to be
    /// delivered (TG-10). Else the answer: no request concerns it but those from before its entry.
    ///
    /// Called in a poll, after the body or the wait was polled.
    pub(crate) fn leave(self: Pin<&mut Self>, failed: bool) -> bool {
        let this = self.project();
        this.scope.fired |= this.trigger.close();
        in_task(|current| {
            current.learn_more();
            let (parent, own) = this.scope.depart(current, false);
            let state = &current.header().state;
            if !failed {
                if own {
                    state.uncancel();
                }
                return current.concern(parent) <= this.scope.at_entry;
            }
            loop {
                let elsewhere = current.scopes(|scopes| scopes.fired_elsewhere(parent));
                if state.leave_failed(own, elsewhere) {
                    return false;
                }
                current.learn_more();
            }
        })
    }
}

/// A poll of the scope begins.
fn enter(scope: &mut Scope, trigger: &Trigger, current: &Current, context: &Context<'_>) {
    let mut fired = trigger.begin_poll(context.waker());
    if fired && !scope.fired && scope.owner.is_some() {
        // It was made in the task where the scope is, or was until now.
        scope.fired = true;
        scope.undelivered = true;
    }
    if scope.enter(current, context) {
        let place = (scope.place, scope.generation);
        fired = trigger.moved_in(current.task(), place);
    }
    current.learn_more();
    if !scope.fired && current.scopes(|scopes| scopes.has_fired(scope.place)) {
        scope.fired = true;
    } else if !scope.fired && fired {
        scope.fire(current);
    }
}

fn in_task<R>(look: impl FnOnce(&Current) -> R) -> R {
    current::with(look).expect("a task group runs only inside a task")
}
