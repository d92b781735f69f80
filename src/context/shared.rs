//! A context as an object: values that several tasks may use, one at a time.
//!
//! Tasks that were given one context see each other's changes (CTX-02), and their polls take turns
//! (CTX-12): whoever finds it entered leaves word how it is to be called back.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::values::{Value, Vars, next_number};
use crate::probe;
use crate::sys::thread_local;

/// A set of values of [context variables](crate::ContextVar), as an object.
///
/// Every task has one of its own, copied from whoever spawned it: then this type is not needed.
/// It is for giving a task a context made by hand ([`TaskBuilder::context`]), perhaps the same to
/// several, and for calling a function inside one ([`run`](Context::run)). Clones are the same
/// context; [`copy`](Context::copy) makes another one.
///
/// [`TaskBuilder::context`]: crate::TaskBuilder::context
///
/// # Examples
///
/// ```
/// use filch::Context;
///
/// filch::context_var! {
///     static USER: &'static str;
/// }
///
/// let context = Context::new();
/// context.run(|| USER.set("ada"));
/// assert_eq!(context.get(&USER), Some("ada"));
/// assert_eq!(USER.get(), None);
/// ```
#[derive(Clone)]
#[doc(alias("contextvars.Context", "contextvars.copy_context"))]
pub struct Context(Arc<Common>);

struct Common {
    number: u64,
    vars: Mutex<Vars>,
    line: Mutex<Line>,
}

/// How somebody who waits is called back.
type Call = Box<dyn FnOnce() + Send>;

/// Who is inside, and who wants in.
#[derive(Default)]
struct Line {
    entered: bool,
    waiting: VecDeque<Call>,
}

/// The context is entered already, here or on another thread (CTX-09).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlreadyEntered(());

impl fmt::Display for AlreadyEntered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("context is entered already")
    }
}

impl std::error::Error for AlreadyEntered {}

/// While it lives, nobody else enters the context; then the next one does.
pub(crate) struct Turn(Context);

impl Drop for Turn {
    fn drop(&mut self) {
        let mut line = lock(&self.0.0.line);
        line.entered = false;
        // The next one comes, and finds it free, or somebody who was faster, and waits again.
        let next = line.waiting.pop_front();
        drop(line);
        if let Some(call) = next {
            call_in_turn(call);
        }
    }
}

thread_local! {
    /// Who is to be called on this thread, behind the one that is being called; or nobody is.
    static BEHIND: RefCell<Option<VecDeque<Call>>> = const { RefCell::new(None) };
}

/// Calls who is next. Those that are killed when they are called hand their turn on at once: not
/// inside each other, for they may be many.
fn call_in_turn(call: Call) {
    let mut first = Some(call);
    let _ = BEHIND.try_with(|behind| match &mut *behind.borrow_mut() {
        Some(behind) => behind.extend(first.take()),
        none => *none = Some(VecDeque::new()),
    });
    let Some(mut call) = first else { return };
    loop {
        probe::contain("who waits for a context", call);
        let next = BEHIND.try_with(|behind| {
            let mut behind = behind.borrow_mut();
            let next = behind.as_mut().and_then(VecDeque::pop_front);
            if next.is_none() {
                *behind = None;
            }
            next
        });
        match next {
            Ok(Some(next)) => call = next,
            _ => return,
        }
    }
}

/// What is guarded is whole at any time, whoever panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// Makes an empty context.
    pub fn new() -> Self {
        Context::of(Vars::EMPTY)
    }

    pub(crate) fn of(vars: Vars) -> Self {
        let (vars, line) = (Mutex::new(vars), Mutex::default());
        Context(Arc::new(Common { number: next_number(), vars, line }))
    }

    /// Makes another context with the same values, in constant time (CTX-06).
    #[doc(alias = "Context.copy")]
    pub fn copy(&self) -> Self {
        Context::of(self.vars())
    }

    /// Returns how many variables are set in it.
    pub fn len(&self) -> usize {
        self.vars().len()
    }

    /// Tells whether no variable is set in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    /// Makes a value for any context.
    pub(crate) fn value<T: Send + Sync + 'static>(value: T) -> Value {
        Arc::new(value)
    }

    pub(crate) fn vars(&self) -> Vars {
        lock(&self.0.vars).clone()
    }

    pub(super) fn set(&self, variable: u64, value: Option<Value>) -> Option<Value> {
        let mut vars = lock(&self.0.vars);
        let (changed, former) = vars.changed(variable, value);
        let before = std::mem::replace(&mut *vars, changed);
        drop(vars);
        drop(before);
        former
    }

    /// Enters, if nobody is inside.
    pub(crate) fn enter(&self) -> Result<Turn, AlreadyEntered> {
        let entered = std::mem::replace(&mut lock(&self.0.line).entered, true);
        if entered { Err(AlreadyEntered(())) } else { Ok(Turn(self.clone())) }
    }

    /// Enters, or has itself called back when somebody has left.
    pub(crate) fn enter_in_turn(&self, call: impl FnOnce() + Send + 'static) -> Option<Turn> {
        let mut line = lock(&self.0.line);
        if line.entered {
            line.waiting.push_back(Box::new(call));
            return None;
        }
        line.entered = true;
        drop(line);
        Some(Turn(self.clone()))
    }
}

impl Default for Context {
    fn default() -> Self {
        Context::new()
    }
}

/// Clones are equal, copies are not.
impl PartialEq for Context {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Context {}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("variables", &self.len()).finish()
    }
}
