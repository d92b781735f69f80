//! Which values of context variables are the present ones: a task's, a callback's, a thread's.
//!
//! A task keeps its values in its header, so that they go where it goes, and a poll does nothing
//! about them. Whoever enters others for a while, a callback or [`Context::run`], has a [`Frame`]
//! on the stack. A frame counts in the poll in which it was entered only: in a poll inside that
//! one, the polled task's own values are the present ones. Outside all that, a thread has its own.
//!
//! A task's values are read by its poll without a lock, and by others under the short lock, which
//! its poll takes to change them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;

use crate::context::{AlreadyEntered, Context, ContextVar, Turn, Value, Vars, next_number};
use crate::sys::thread_local;
use crate::task::current::{self, Current};
use crate::task::raw::{Header, TaskRef};

thread_local! {
    /// The innermost frame, or null.
    static ENTERED: Cell<*const Frame> = const { Cell::new(ptr::null()) };
    /// What is set outside all tasks and frames (CTX-10), and the number of that place.
    static THREAD: (RefCell<Vars>, Cell<u64>) =
        const { (RefCell::new(Vars::EMPTY), Cell::new(0)) };
}

/// Values that are entered for a while.
struct Frame {
    vars: RefCell<Vars>,
    number: Cell<u64>,
    /// The poll in which it was entered, or null.
    poll: *const Current,
    outer: *const Frame,
}

/// Where the present values stand.
enum Place<'a> {
    Task(&'a Header),
    Plain(&'a RefCell<Vars>, &'a Cell<u64>),
    /// The thread is about to end.
    Nowhere,
}

#[inline]
fn with_place<R>(look: impl FnOnce(Place<'_>) -> R) -> R {
    let (poll, frame) = (current::pointer(), ENTERED.with(Cell::get));
    // SAFETY: set while the frame is on this thread's stack, below this call (`enter`).
    if let Some(frame) = unsafe { frame.as_ref() }
        && frame.poll == poll
    {
        return look(Place::Plain(&frame.vars, &frame.number));
    }
    let mut look = Some(look);
    let mut once = |place: Place<'_>| look.take().map(|look| look(place));
    let found = match poll.is_null() {
        false => current::with(|current| once(Place::Task(current.header()))).flatten(),
        true => THREAD.try_with(|(vars, number)| once(Place::Plain(vars, number))).ok().flatten(),
    };
    found.or_else(|| once(Place::Nowhere)).expect("one of the places is looked at")
}

/// A copy of the present values, for whatever is started or registered here (CTX-03).
#[inline]
pub(crate) fn capture() -> Vars {
    // Nearly all of them are taken in a task's poll.
    if ENTERED.with(Cell::get).is_null()
        && let Some(vars) = current::with(|current| current.header().own_vars(Vars::copy))
    {
        return vars;
    }
    capture_elsewhere()
}

fn capture_elsewhere() -> Vars {
    with_place(|place| match place {
        Place::Task(header) => header.own_vars(Vars::copy),
        Place::Plain(vars, _) => vars.borrow().copy(),
        Place::Nowhere => Vars::EMPTY,
    })
}

/// Calls `call` with these values as the present ones; gives what has become of them.
pub(crate) fn enter<R>(vars: Vars, call: impl FnOnce() -> R) -> R {
    struct Leave(*const Frame);
    impl Drop for Leave {
        fn drop(&mut self) {
            ENTERED.with(|entered| entered.set(self.0));
        }
    }
    let outer = ENTERED.with(Cell::get);
    let (vars, number) = (RefCell::new(vars), Cell::new(0));
    let frame = Frame { vars, number, poll: current::pointer(), outer };
    let _leave = Leave(frame.outer);
    ENTERED.with(|entered| entered.set(&frame));
    call()
}

/// Binds a function to a copy of the present values: it will be called with those.
pub(crate) fn bind<A, R>(call: impl FnOnce(A) -> R) -> impl FnOnce(A) -> R {
    let vars = capture();
    move |argument| enter(vars, || call(argument))
}

fn number(place: &Cell<u64>) -> u64 {
    if place.get() == 0 {
        place.set(next_number());
    }
    place.get()
}

/// Which context it was, so that a token can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A task's own, by the task's id.
    Task(u64),
    /// A context that is used by several, a callback's, or a thread's.
    Other(u64),
    Nowhere,
}

fn origin(place: &Place<'_>) -> Origin {
    let shared = |vars: &Vars| vars.as_shared().map(|context| Origin::Other(context.number()));
    match place {
        Place::Task(header) => header.own_vars(shared).unwrap_or(Origin::Task(header.id())),
        Place::Plain(vars, own) => {
            shared(&vars.borrow()).unwrap_or_else(|| Origin::Other(number(own)))
        }
        Place::Nowhere => Origin::Nowhere,
    }
}

fn set(variable: u64, value: Option<Value>) -> (Origin, Option<Value>) {
    with_place(|place| {
        let origin = origin(&place);
        let former = match place {
            Place::Task(header) => {
                let vars = header.own_vars(Vars::clone);
                vars.set(variable, value, |changed| header.put_vars(changed))
            }
            Place::Plain(place, _) => {
                let vars = place.borrow().clone();
                vars.set(variable, value, |changed| place.replace(changed))
            }
            Place::Nowhere => None,
        };
        (origin, former)
    })
}

fn get(variable: u64) -> Option<Value> {
    with_place(|place| match place {
        Place::Task(header) => header.own_vars(|vars| vars.get(variable)),
        Place::Plain(vars, _) => vars.borrow().get(variable),
        Place::Nowhere => None,
    })
}

impl Header {
    /// Looks at the context variables of the task that this thread polls, or makes.
    #[inline]
    pub(super) fn own_vars<R>(&self, look: impl FnOnce(&Vars) -> R) -> R {
        // SAFETY: only the polling thread writes them, which this is.
        self.vars.with(|vars| look(unsafe { &*vars }))
    }

    /// Replaces the context variables of the task that this thread polls, or makes.
    pub(super) fn put_vars(&self, vars: Vars) -> Vars {
        self.state.lock();
        // SAFETY: this is the polling thread; all others read under the short lock.
        let former = self.vars.with_mut(|place| unsafe { std::mem::replace(&mut *place, vars) });
        self.state.unlock();
        former
    }

    /// Looks at the context variables from anywhere; only a few loads happen in `look`.
    pub(crate) fn vars<R>(&self, look: impl FnOnce(&Vars) -> R) -> R {
        self.state.lock();
        // SAFETY: nobody writes them without the short lock.
        let seen = self.vars.with(|vars| look(unsafe { &*vars }));
        self.state.unlock();
        seen
    }
}

impl TaskRef {
    /// Returns the task's context: the very one that it was [given](crate::TaskBuilder::context),
    /// else a copy of its own.
    #[doc(alias = "Task.get_context")]
    pub fn context(&self) -> Context {
        self.header().vars(Vars::clone).into_context()
    }

    /// Gives a task that has not run yet other context variables than those of its spawner.
    pub(crate) fn set_vars(&self, vars: Vars) {
        drop(self.header().put_vars(vars));
    }
}

impl<T: Send + Sync + 'static> ContextVar<T> {
    /// Returns the value in the present context, else the variable's default, else `None`
    /// (CTX-07).
    #[doc(alias = "ContextVar.get")]
    pub fn get(&self) -> Option<T>
    where
        T: Clone,
    {
        self.with(|value| value.cloned()).or_else(|| self.default())
    }

    /// Calls `look` with the value in the present context, if it is set there.
    pub fn with<R>(&self, look: impl FnOnce(Option<&T>) -> R) -> R {
        let value = get(self.number());
        look(value.as_ref().and_then(|value| value.downcast_ref()))
    }

    /// Sets the value in the present context, and returns a token that takes that back.
    ///
    /// # Examples
    ///
    /// ```
    /// filch::context_var! {
    ///     static LEVEL: u32;
    /// }
    ///
    /// let token = LEVEL.set(1);
    /// assert_eq!(LEVEL.get(), Some(1));
    /// LEVEL.reset(token).unwrap();
    /// assert_eq!(LEVEL.get(), None);
    /// ```
    #[doc(alias = "ContextVar.set")]
    pub fn set(&self, value: T) -> Token<T> {
        let variable = self.number();
        let (origin, former) = set(variable, Some(Context::value(value)));
        Token { variable, origin, former, kind: PhantomData }
    }

    /// Takes back what [`set`](ContextVar::set) did: the variable is again what it was before,
    /// unset perhaps. A token works once.
    ///
    /// # Errors
    /// [`ResetError`], if the token is another variable's, or was made in another context (CTX-08);
    /// then nothing changes.
    #[doc(alias = "ContextVar.reset")]
    pub fn reset(&self, token: Token<T>) -> Result<(), ResetError> {
        if token.variable != self.number() {
            return Err(ResetError::OtherVariable);
        }
        if with_place(|place| origin(&place)) != token.origin {
            return Err(ResetError::OtherContext);
        }
        drop(set(token.variable, token.former));
        Ok(())
    }
}

/// What [`ContextVar::set`] did, to be taken back once.
pub struct Token<T> {
    variable: u64,
    origin: Origin,
    former: Option<Value>,
    kind: PhantomData<fn() -> T>,
}

/// The former value is only looked at.
impl<T: RefUnwindSafe> UnwindSafe for Token<T> {}
/// As above.
impl<T: RefUnwindSafe> RefUnwindSafe for Token<T> {}

impl<T: Clone + 'static> Token<T> {
    /// Returns what the variable was set to before, if it was.
    #[doc(alias = "Token.old_value")]
    pub fn old_value(&self) -> Option<T> {
        self.former.as_ref().and_then(|value| value.downcast_ref()).cloned()
    }
}

impl<T> fmt::Debug for Token<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("was_set", &self.former.is_some()).finish()
    }
}

/// Why a token could not be used (CTX-08).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetError {
    /// It was made by another variable.
    OtherVariable,
    /// It was made in another context.
    OtherContext,
}

impl fmt::Display for ResetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResetError::OtherVariable => "token was made by another variable",
            ResetError::OtherContext => "token was made in another context",
        })
    }
}

impl std::error::Error for ResetError {}

impl Context {
    /// Makes a copy of the present context: the task's, the callback's, or the thread's.
    #[doc(alias = "contextvars.copy_context")]
    pub fn current() -> Context {
        Context::of(capture())
    }

    /// Returns what a variable is set to in this context, without its default.
    pub fn get<T>(&self, variable: &ContextVar<T>) -> Option<T>
    where
        T: Clone + Send + Sync + 'static,
    {
        self.vars().get(variable.number()).as_ref().and_then(|value| value.downcast_ref()).cloned()
    }

    /// Calls `call` inside this context. What it sets stays set in here (CTX-09).
    ///
    /// # Panics
    /// If the context is entered already, see [`try_run`](Context::try_run).
    #[track_caller]
    #[doc(alias = "Context.run")]
    pub fn run<R>(&self, call: impl FnOnce() -> R) -> R {
        self.try_run(call).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`run`](Context::run), unless the context is entered.
    ///
    /// # Errors
    /// [`AlreadyEntered`], if somebody is inside: this very function further up, a task that uses
    /// this context and is being polled, or another thread.
    pub fn try_run<R>(&self, call: impl FnOnce() -> R) -> Result<R, AlreadyEntered> {
        let _turn: Turn = self.enter()?;
        Ok(enter(Vars::shared(self.clone()), call))
    }
}
