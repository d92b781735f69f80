//! Who wants to know of a task's end: one list, in the order of registration.
//!
//! Waiting futures, callbacks and the library's own listeners (groups, `gather`) stand in the same
//! list, because the order in which they learn of the end is the order in which they asked
//! (FUT-05). Whoever is the very first, unless it is a callback, stands before the list, in the
//! header (`earliest`), and needs no memory.
//! A listener runs no user code: it is called by whoever ends the task, before those who asked
//! after it can run (TG-12); only in a simulation in asyncio's order it is queued like a callback,
//! so that everything keeps asyncio's turns.
//!
//! Callbacks of one task never overlap (MOD-04): while one thread calls them, whoever registers a
//! late one only adds it to the list, and the calling thread looks again before it stops. Where one
//! thread runs everything, jobs keep their order by themselves.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use crate::error::Error;
use crate::probe;
use crate::sys::Arc;
use crate::task::children::Children;
use crate::task::earliest::{Earliest, Who};
use crate::task::raw::{Cold, TaskRef};
use crate::task::report::{Report, Stopwatch};
use crate::task::several::Several;
use crate::task::{vars, waker};

/// Names one registration of a done-callback, with one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CallbackId {
    pub(super) task: u64,
    pub(super) key: u64,
}

/// Who stands before the list.
const FIRST: u64 = u64::MAX;

pub(crate) type Callback = Box<dyn FnOnce(TaskRef) + Send>;

/// The library's own: it only wakes, cancels and notes down.
#[derive(Clone)]
pub(crate) enum Listener {
    /// Of one of several that are awaited as one, and which.
    Several(Arc<Several>, usize),
    /// Of a child of a group.
    Child(Arc<Children>),
}

impl Listener {
    /// The task has ended.
    fn ended(self, task: &TaskRef) {
        match self {
            Listener::Several(several, number) => several.ended(number, task),
            Listener::Child(children) => children.ended(task),
        }
    }

    /// The task that waits behind it.
    pub(super) fn waiter(&self) -> Option<TaskRef> {
        match self {
            Listener::Several(several, _) => several.waiter(),
            Listener::Child(children) => children.parent(),
        }
    }
}

pub(crate) enum Hook {
    Waiter(u64, Waker),
    Callback(u64, Callback),
    Listener(u64, Listener),
}

impl Hook {
    fn key(&self) -> u64 {
        match self {
            Hook::Waiter(key, _) | Hook::Callback(key, _) | Hook::Listener(key, _) => *key,
        }
    }

    fn call(self, task: &TaskRef) {
        if let Hook::Callback(_, callback) = self {
            run_callback(callback, task.clone());
        }
    }
}

/// The list. Keys grow, so it is sorted by them.
#[derive(Default)]
pub(crate) struct Hooks {
    last: u64,
    list: Vec<Hook>,
    /// The task is done, and a thread calls what was in the list.
    calling: bool,
}

impl Hooks {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn add_waiter(&mut self, waker: Waker) -> u64 {
        self.last += 1;
        self.list.push(Hook::Waiter(self.last, waker));
        self.last
    }

    pub(crate) fn add_callback(&mut self, callback: Callback) -> u64 {
        self.last += 1;
        self.list.push(Hook::Callback(self.last, callback));
        self.last
    }

    fn add_listener(&mut self, listener: Listener) -> u64 {
        self.last += 1;
        self.list.push(Hook::Listener(self.last, listener));
        self.last
    }

    fn find(&self, key: u64) -> Option<usize> {
        self.list.binary_search_by_key(&key, Hook::key).ok()
    }

    /// The wakers of all who wait.
    pub(crate) fn wakers(&self) -> impl Iterator<Item = &Waker> {
        self.list.iter().filter_map(|hook| match hook {
            Hook::Waiter(_, waker) => Some(waker),
            Hook::Callback(..) | Hook::Listener(..) => None,
        })
    }

    /// The library's own hooks.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.list.iter().filter_map(|hook| match hook {
            Hook::Listener(_, listener) => Some(listener),
            Hook::Callback(..) | Hook::Waiter(..) => None,
        })
    }

    /// The waiter's waker, to be replaced.
    pub(crate) fn waiter(&mut self, key: u64) -> Option<&mut Waker> {
        let place = self.find(key)?;
        match &mut self.list[place] {
            Hook::Waiter(_, waker) => Some(waker),
            _ => None,
        }
    }

    pub(crate) fn remove_waiter(&mut self, key: u64) -> Option<Waker> {
        match self.find(key).map(|place| self.list.remove(place)) {
            Some(Hook::Waiter(_, waker)) => Some(waker),
            _ => None,
        }
    }

    /// A callback or a listener.
    pub(crate) fn remove_called(&mut self, key: u64) -> Option<Hook> {
        let place = self.find(key)?;
        (!matches!(self.list[place], Hook::Waiter(..))).then(|| self.list.remove(place))
    }

    /// The task is done: takes everybody, for the caller to tell. `single`: there is one thread.
    pub(crate) fn begin_calls(&mut self, single: bool) -> Vec<Hook> {
        let callbacks = self.list.iter().any(|hook| matches!(hook, Hook::Callback(..)));
        self.calling = !single && callbacks;
        std::mem::take(&mut self.list)
    }
}

/// The task is done: tells those who stood before and in its list, in their order.
#[inline]
pub(super) fn tell(task: &TaskRef, first: Option<Who>, hooks: Vec<Hook>) {
    match first {
        Some(Who::Waiter(waker)) => waker::wake_at_end(waker),
        Some(Who::Listener(listener)) => inform(task, listener),
        None => {}
    }
    if !hooks.is_empty() {
        tell_listed(task, hooks);
    }
}

fn tell_listed(task: &TaskRef, hooks: Vec<Hook>) {
    let mut callbacks = false;
    for hook in hooks {
        match hook {
            Hook::Waiter(_, waker) => waker::wake_at_end(waker),
            Hook::Listener(_, listener) => inform(task, listener),
            Hook::Callback(_, callback) => {
                callbacks = true;
                call(task, callback);
            }
        }
    }
    if callbacks && !task.header().home().schedule().is_single() {
        call_late_ones(task);
    }
}

/// Calls a listener of a task that has just ended, in its turn.
fn inform(task: &TaskRef, listener: Listener) {
    match task.header().home().schedule().queues_listeners() {
        true => inform_later(task, listener),
        false => listener.ended(task),
    }
}

/// As [`inform`], not inside the poll that asks (TG-16, WAIT-06).
fn inform_later(task: &TaskRef, listener: Listener) {
    let this = task.clone();
    task.header().home().schedule().tell_late(Box::new(move || listener.ended(&this)));
}

impl TaskRef {
    /// Has a listener called when the task has ended; in its turn if it has already. Its key, or
    /// zero.
    pub(crate) fn listen(&self, listener: Listener) -> u64 {
        if !self.header().state.lock_unless_done() {
            inform_later(self, listener);
            return 0;
        }
        let key = add_listener(self, listener);
        self.header().state.unlock_waited();
        key
    }

    /// Forgets a callback, or a listener; gives it, if it was still to be called.
    pub(super) fn remove_hook(&self, key: u64) -> Option<Hook> {
        self.header().state.lock();
        let hook = self.header().with_waiter(|first, cold| match key {
            FIRST => first.take_listener().map(|listener| Hook::Listener(key, listener)),
            _ => cold.and_then(|cold| cold.hooks.remove_called(key)),
        });
        self.header().state.unlock();
        hook
    }
}

/// Puts a listener behind all who asked before. Under the short lock.
fn add_listener(task: &TaskRef, listener: Listener) -> u64 {
    let put = task.header().with_waiter(|first, cold| {
        if !is_free(first, cold.as_deref()) {
            return Err(listener);
        }
        first.put(Who::Listener(listener));
        Ok(FIRST)
    });
    put.unwrap_or_else(|listener| {
        task.header().with_cold(|cold, _| cold.hooks.add_listener(listener))
    })
}

/// Has nobody asked yet?
pub(super) fn is_free(first: &Earliest, cold: Option<&Cold>) -> bool {
    first.is_none() && cold.is_none_or(|cold| cold.hooks.is_empty())
}

/// Has a callback called of a task that is done.
pub(crate) fn call_late(task: &TaskRef, callback: Callback) {
    if task.header().home().schedule().is_single() {
        return call(task, callback);
    }
    task.header().state.lock();
    let somebody_calls = task.header().with_cold(|cold, _| {
        cold.hooks.add_callback(callback);
        std::mem::replace(&mut cold.hooks.calling, true)
    });
    task.header().state.unlock();
    if !somebody_calls {
        call_late_ones(task);
    }
}

/// Calls those who registered late, behind what this thread calls before, until there are none.
fn call_late_ones(task: &TaskRef) {
    let this = task.clone();
    let call_all = move || {
        while let Some(late) = take_late(&this) {
            late.into_iter().for_each(|hook| hook.call(&this));
        }
    };
    task.header().home().schedule().job(Box::new(call_all));
}

fn take_late(task: &TaskRef) -> Option<Vec<Hook>> {
    task.header().state.lock();
    let late = task.header().with_cold(|cold, _| cold.hooks.begin_calls(false));
    task.header().state.unlock();
    (!late.is_empty()).then_some(late)
}

/// Binds a user's callback to the present context; its panic is reported there (CTX-05).
pub(crate) fn bind(callback: impl FnOnce(TaskRef) + Send + 'static) -> Callback {
    let vars = vars::capture();
    Box::new(move |task| {
        let known = task.clone();
        vars::enter(vars, || {
            let settings = known.header().home().schedule().settings();
            let watch = Stopwatch::start();
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| callback(task))) {
                let report = Report::about("panic in a done-callback", known.header());
                report.with_error(Error::panic(payload)).tell(settings);
            }
            watch.stop(settings, || Report::about("a done-callback was slow", known.header()));
        });
    })
}

/// Runs a done-callback; its panic is reported, and goes no further.
pub(crate) fn run_callback(callback: Callback, task: TaskRef) {
    probe::contain("a done-callback", || callback(task));
}

/// Runs a done-callback where the task's home wants it run.
pub(crate) fn call(task: &TaskRef, callback: Callback) {
    let this = task.clone();
    task.header().home().schedule().job(Box::new(move || run_callback(callback, this)));
}
