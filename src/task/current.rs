//! Which task this thread is polling, and in which of its scopes it is.
//!
//! Polls nest, when a task is started eagerly or its future runs another executor: each poll has
//! its [`Current`] on the stack and puts the outer one back when it ends, also by a panic.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::task::{Poll, Waker};

use crate::error::{Cancelled, Error, Message, Result};
use crate::probe;
use crate::sys::thread_local;
use crate::task::cancel;
use crate::task::jobs;
use crate::task::notes::{Carried, Key, Note, Remains};
use crate::task::present::Present;
use crate::task::raw::{Header, News, TaskRef};
use crate::task::scopes::{ROOT, Scopes};
use crate::task::waker;

thread_local! {
    static CURRENT: Cell<*const Current> = const { Cell::new(ptr::null()) };
}

/// How deep eager starts nest before they are scheduled normally instead.
const DEEPEST: u32 = 64;

/// One poll of one task.
pub(crate) struct Current {
    task: NonNull<Header>,
    scopes: Present,
    /// The scope whose future is being polled.
    scope: Cell<u32>,
    /// The waker it is polled with.
    waker: Through,
    /// The task woke itself: the end of the poll queues it, and its state word is not told.
    woken: Cell<bool>,
    /// The task asked itself to end.
    asked: Cell<bool>,
    /// Jobs wait for the end of this poll.
    holds_jobs: Cell<bool>,
    depth: u32,
}

/// Which waker a scope is polled with, to be compared, never used: the addresses of its data and
/// its functions, zero for the task's own. In two cells, because what is written in parts and read
/// as one is slow, and every poll of a scope comes here twice.
#[derive(Default)]
struct Through {
    data: Cell<usize>,
    functions: Cell<usize>,
}

impl Through {
    fn get(&self) -> (usize, usize) {
        (self.data.get(), self.functions.get())
    }

    fn set(&self, (data, functions): (usize, usize)) {
        self.data.set(data);
        self.functions.set(functions);
    }
}

/// Where in the scopes a poll stands, and with which waker.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    scope: u32,
    data: usize,
    functions: usize,
}

/// What a poll came to.
#[derive(Debug)]
pub(crate) enum Verdict {
    Pending,
    Value,
    Failed(Error),
    Cancelled(Option<Message>),
}

/// Calls `look` with the poll that this thread is in, if it is in one.
pub(crate) fn with<R>(look: impl FnOnce(&Current) -> R) -> Option<R> {
    // SAFETY: `look` does not keep it.
    unsafe { get() }.map(look)
}

/// The poll that this thread is in, if it is in one.
///
/// # Safety
/// The caller does not keep it: it is there as long as the call in which it was asked for.
#[inline(always)]
pub(super) unsafe fn get<'a>() -> Option<&'a Current> {
    let current = CURRENT.with(Cell::get);
    // SAFETY: the pointer is set while the `Current` it leads to is on this thread's stack, below
    // this call, and taken back before that one goes (`Entered`).
    unsafe { current.as_ref() }
}

/// The task that this thread is polling.
///
/// `None` in a done-callback, in a plain thread, and wherever else no task runs (INTRO-01).
///
/// # Examples
///
/// ```
/// let main = async { Ok(filch::current_task().is_some()) };
/// assert!(filch::sim::run(0, main).unwrap());
/// assert!(filch::current_task().is_none());
/// ```
#[doc(alias = "asyncio.current_task")]
pub fn current_task() -> Option<TaskRef> {
    with(Current::task)
}

/// May one more task be started eagerly, inside the present poll?
pub(crate) fn may_nest() -> bool {
    with(|current| current.depth < DEEPEST).unwrap_or(true)
}

/// The poll that this thread is in, to be compared only; null: none.
#[inline]
pub(crate) fn pointer() -> *const Current {
    CURRENT.with(Cell::get)
}

/// Is this thread polling a task?
pub(crate) fn is_polling() -> bool {
    !pointer().is_null()
}

/// Notes that jobs wait for the end of the poll that this thread is in, if it is in one.
pub(crate) fn hold_jobs() -> bool {
    with(|current| current.holds_jobs.set(true)).is_some()
}

/// Notes that the task wakes itself, if it is the one that this thread is polling. Cheaper than the
/// state word, where nobody else could do anything with it during the poll.
#[inline]
pub(crate) fn wakes_itself(task: &TaskRef) -> bool {
    with(|current| {
        let itself = current.is(task);
        if itself {
            current.woken.set(true);
        }
        itself
    })
    .unwrap_or(false)
}

/// While it lives, its poll is this thread's.
pub(crate) struct Entered {
    outer: *const Current,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.with(|current| current.set(self.outer));
    }
}

impl Current {
    /// A poll without scopes; those of the task are moved in before it begins.
    #[inline]
    pub(crate) fn new(task: NonNull<Header>) -> Self {
        let depth = with(|outer| outer.depth + 1).unwrap_or(0);
        let (scopes, scope, waker) = (Present::new(), Cell::new(ROOT), Through::default());
        let [woken, asked, holds_jobs] = [const { Cell::new(false) }; 3];
        Current { task, scopes, scope, waker, woken, asked, holds_jobs, depth }
    }

    /// # Safety
    /// The guard is dropped before this poll moves or ends.
    pub(crate) unsafe fn enter(&self) -> Entered {
        Entered { outer: CURRENT.with(|current| current.replace(self)) }
    }

    #[inline]
    pub(super) fn present(&self) -> &Present {
        &self.scopes
    }

    #[inline]
    pub(super) fn present_mut(&mut self) -> &mut Present {
        &mut self.scopes
    }

    pub(crate) fn holds_jobs(&self) -> bool {
        self.holds_jobs.get()
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.woken.get()
    }

    pub(crate) fn task(&self) -> TaskRef {
        // SAFETY: a task that is being polled is alive.
        unsafe { TaskRef::from_header(self.task) }
    }

    /// The task's memory, all of it.
    pub(super) fn raw(&self) -> NonNull<Header> {
        self.task
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: a task that is being polled is alive.
        unsafe { self.task.as_ref() }
    }

    pub(crate) fn is(&self, task: &TaskRef) -> bool {
        ptr::eq(task.address(), self.task.as_ptr().cast_const().cast())
    }

    /// Is this the task's own waker?
    pub(crate) fn is_own(&self, waker: &Waker) -> bool {
        waker::belongs_to(waker, self.task)
    }

    /// The scopes, for a few steps without foreign code.
    pub(crate) fn scopes<R>(&self, change: impl FnOnce(&mut Scopes) -> R) -> R {
        self.scopes.with(change)
    }

    /// The root was polled, and there is nothing to be judged: nobody asks it for anything, and, if
    /// the task is `over`, it awaits none.
    #[inline]
    pub(super) fn is_plain(&self, over: bool) -> bool {
        let plain = |scopes: &Scopes| scopes.is_plain() && !(over && scopes.is_noted());
        self.scopes.look(plain).unwrap_or(true)
    }

    pub(crate) fn scope(&self) -> u32 {
        self.scope.get()
    }

    /// What tells this waker from others, in this task.
    fn identity(&self, waker: &Waker) -> (usize, usize) {
        match self.is_own(waker) {
            true => (0, 0),
            false => (waker.data().addr(), ptr::from_ref(waker.vtable()).addr()),
        }
    }

    /// Is this the waker with which the present scope is polled?
    pub(crate) fn is_through(&self, waker: &Waker) -> bool {
        self.identity(waker) == self.waker.get()
    }

    /// Goes into a scope, to poll it with that waker; gives what to come back to.
    pub(crate) fn go_into(&self, scope: u32, waker: &Waker) -> Place {
        let (data, functions) = self.waker.get();
        self.waker.set(self.identity(waker));
        Place { scope: self.scope.replace(scope), data, functions }
    }

    /// As [`go_into`](Current::go_into), in a chain and with the task's own waker, both ways.
    #[inline]
    pub(super) fn go_straight(&self, scope: u32) -> u32 {
        self.scope.replace(scope)
    }

    pub(crate) fn come_back(&self, place: Place) {
        self.scope.set(place.scope);
        self.waker.set((place.data, place.functions));
    }

    /// What cannot be dropped while the scopes are borrowed is dropped here.
    pub(crate) fn dispose(&self, remains: Remains) {
        if remains.mark_back {
            self.header().state.take_mark_back();
        }
        if let Some(waker) = remains.waker {
            probe::drop_waker(waker);
        }
    }

    // ---- the root scope --------------------------------------------------------------------

    /// What happened to scopes from outside comes in: groups made requests, scopes ended elsewhere.
    pub(crate) fn learn(&self, news: News) {
        for fired in news.fired {
            self.scopes(|scopes| scopes.fire_from_outside(fired));
        }
        for place in news.returned {
            self.scopes(|scopes| scopes.return_from_outside(place));
        }
        for (scope, generation) in news.gone {
            if let Some(remains) = self.scopes(|scopes| scopes.purge(scope, generation)) {
                self.dispose(remains);
            }
        }
    }

    /// As [`learn`](Current::learn), of what came in since the poll began.
    pub(crate) fn learn_more(&self) {
        if let Some(news) = self.header().take_news() {
            self.learn(news);
        }
    }

    /// The request that is delivered says this.
    pub(crate) fn says(&self, message: Option<Message>) {
        self.scopes(|scopes| scopes.message = message);
    }

    /// How many requests concern a scope inside `parent`: all but those of fired scopes that are
    /// not around it.
    pub(crate) fn concern(&self, parent: u32) -> u32 {
        loop {
            // A group's request is counted and becomes news in one step.
            if let Some(requests) = self.header().state.requests_unless_news() {
                let elsewhere = self.scopes(|scopes| scopes.fired_elsewhere(parent));
                return requests.saturating_sub(elsewhere);
            }
            self.learn_more();
        }
    }

    /// Somebody is asked to end in this poll; perhaps it is this task itself.
    pub(super) fn asks(&self, task: &TaskRef) {
        if self.is(task) {
            self.asked.set(true);
        }
    }

    /// As [`concern`](Current::concern), for a scope that begins: without what another thread asked
    /// for meanwhile, which is delivered after this poll, as if it had come then.
    pub(super) fn concern_at_entry(&self, parent: u32) -> u32 {
        let header = self.header();
        if header.state.requests_unless_news() == Some(0) {
            return 0;
        }
        let meanwhile =
            header.state.is_marked() && !self.asked.get() && !header.home().schedule().is_single();
        self.concern(parent).saturating_sub(u32::from(meanwhile))
    }

    /// A request from outside is owed to the leaves. True: the root is the leaf, and takes.
    ///
    /// `here`: it has been to the awaited task, and is not to be passed on again. Then the task
    /// has one leaf, whose note is forgotten.
    pub(crate) fn arm(&self, here: bool) -> bool {
        self.owe(ROOT);
        if here {
            self.scopes(Scopes::forget_notes).into_iter().for_each(|remains| self.dispose(remains));
        }
        self.is_owed(ROOT) && self.deliver(ROOT)
    }

    /// Owes a request of `maker` to its leaves, and wakes those that would not be polled.
    pub(crate) fn owe(&self, maker: u32) {
        self.scopes(|scopes| scopes.owe(maker)).into_iter().for_each(probe::wake);
    }

    pub(crate) fn is_owed(&self, scope: u32) -> bool {
        self.scopes(|scopes| scopes.is_owed(scope))
    }

    /// An owed leaf is polled: it passes the request on, or takes (true).
    pub(crate) fn deliver(&self, scope: u32) -> bool {
        let (target, members, message) = self.scopes(|scopes| {
            (scopes.pass_to(scope), scopes.members(scope), scopes.message.clone())
        });
        let members = members.as_deref();
        let passed = match target {
            Note::One(task, _) => cancel::request_but(&task, message, members),
            Note::Several(several, _) => {
                cancel::request_several(several, &self.task(), message, members)
            }
            Note::None | Note::Blank => false,
        };
        self.scopes(|scopes| match passed {
            true => scopes.passed_on(scope),
            false => scopes.taken(scope),
        });
        !passed
    }

    /// The root was polled: what does the task come to?
    pub(crate) fn judge(&self, polled: Poll<Result<()>>) -> Verdict {
        let mut owed = false;
        if !self.scopes(|scopes| scopes.is_plain()) {
            let remains = self.scopes(|scopes| scopes.settle(ROOT));
            self.dispose(remains);
            if self.scopes(|scopes| scopes.take_unwind(ROOT)) {
                return self.cancelled();
            }
            owed = self.scopes(|scopes| scopes.is_owed_below(ROOT));
        }
        if polled.is_ready() && self.scopes(|scopes| scopes.is_noted()) {
            let remains = self.scopes(|scopes| scopes.let_go());
            self.dispose(remains);
        }
        match polled {
            Poll::Ready(Err(error)) if error.is_cancelled() => {
                Verdict::Cancelled(error.into_message())
            }
            Poll::Ready(Err(error)) => Verdict::Failed(error),
            _ if owed => self.cancelled(),
            Poll::Ready(Ok(())) => Verdict::Value,
            Poll::Pending => Verdict::Pending,
        }
    }

    pub(crate) fn cancelled(&self) -> Verdict {
        Verdict::Cancelled(self.scopes(|scopes| scopes.message.take()))
    }

    // ---- awaiting tasks --------------------------------------------------------------------

    /// What is awaited is looked at again: what went to it through this scope's note?
    pub(crate) fn claim(&self, key: Key) -> Carried {
        if !self.scopes.is_made() {
            // There is no note.
            return Carried::default();
        }
        let scope = self.scope();
        self.scopes(|scopes| scopes.claim(scope, key)).0
    }

    /// What was awaited is done: what was passed on has arrived.
    pub(crate) fn arrived(&self, carried: Carried) {
        if carried.scope {
            let scope = self.scope();
            self.scopes(|scopes| scopes.forget_passed(scope));
        }
    }

    /// The present scope awaits what `note` says.
    pub(crate) fn note(&self, note: Note, waker: &Waker) {
        let reliable = self.is_through(waker);
        let scope = self.scope();
        let remains = self.scopes(|scopes| scopes.note(scope, note, reliable));
        self.dispose(remains);
    }

    /// The present scope no longer awaits this: what went to it comes back.
    pub(crate) fn withdraw(&self, key: Key) {
        let scope = self.scope();
        let remains = self.scopes(|scopes| scopes.withdraw(scope, key));
        self.dispose(remains);
    }

    /// A scope takes: its inside is gone, and all scopes around it have been served.
    pub(crate) fn take(&self, place: u32) -> Cancelled {
        let (remains, message) =
            self.scopes(|scopes| (scopes.absorb(place), scopes.message.take()));
        self.dispose(remains);
        Cancelled::new(message)
    }

    /// Drops what is inside a scope that takes: what was passed on below is taken with it, and
    /// does not come back.
    pub(crate) fn absorb(&self, drop_inside: impl FnOnce()) {
        struct Absorbing<'a>(&'a Current, bool);
        impl Drop for Absorbing<'_> {
            fn drop(&mut self) {
                self.0.scopes(|scopes| scopes.absorbing = self.1);
            }
        }
        let before = self.scopes(|scopes| std::mem::replace(&mut scopes.absorbing, true));
        let _absorbing = Absorbing(self, before);
        drop_inside();
    }

    /// Unwinds the present scope: it ends as cancelled, whatever its poll returns. `waker`: with
    /// which that is polled that does not go on. If it is another one than the scope's, it may
    /// belong to others, too, who look at it again when this poll is over.
    pub(crate) fn unwind(&self, message: Option<Message>, waker: &Waker) {
        if !self.is_through(waker) {
            let waker = waker.clone();
            jobs::run(Box::new(move || probe::wake(waker)));
        }
        let scope = self.scope();
        self.scopes(|scopes| scopes.unwind(scope, message));
    }
}
