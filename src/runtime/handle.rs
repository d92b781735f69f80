//! The handle of a runtime, threads or simulation: spawn, timers, who is current.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;

use crate::driver::clock::Instant;
use crate::driver::timers::{Bell, Timer, Timers};
use crate::error::{Outcome, Result};
use crate::reactor::Reactor;
use crate::runtime::calls::Calls;
use crate::runtime::engine::Engine;
use crate::runtime::lender::{self, Entered};
#[cfg(all(loom, not(test)))]
use crate::runtime::model::Modelled;
use crate::runtime::simulation::Simulation;
use crate::scheduler::Pass;
use crate::simulated::Place;
use crate::sys::Arc;
use crate::task::handle::Task;
use crate::task::memory::Home;
use crate::task::raw::TaskRef;
use crate::task::report::Settings;

/// A handle to a runtime, to be kept and passed on freely.
///
/// Inside a runtime, its free functions find it by themselves; a handle is for plain threads and
/// for programs with several runtimes. It does not keep the runtime running: once that has ended,
/// what is spawned is dropped and ends cancelled.
///
/// # Examples
///
/// ```
/// let runtime = filch::Runtime::new().unwrap();
/// let handle = runtime.handle();
/// let sum = std::thread::spawn(move || handle.spawn(async { Ok(1 + 1) }).wait());
/// assert_eq!(sum.join().unwrap().unwrap(), 2);
/// ```
#[derive(Clone)]
#[doc(alias("loop", "asyncio.get_running_loop"))]
pub struct Handle(pub(crate) Arc<Which>);

/// The engines: two, and under `--cfg loom` the one that runs the models of users.
///
/// Each worker's thread counts the references to its own `Which`: timers hold one each, and a count
/// that all workers share would be what they wait for.
pub(crate) enum Which {
    Threads(Arc<Engine>),
    Sim(Arc<Simulation>),
    #[cfg(all(loom, not(test)))]
    Model(Arc<Modelled>),
}

/// Users' code is called outside the locks of a runtime, and what it panics with ends where it was
/// called.
impl UnwindSafe for Which {}
/// As above.
impl RefUnwindSafe for Which {}

/// What the sockets of the present runtime are made of.
pub(crate) enum Network {
    Real(Arc<Reactor>),
    Simulated(Place),
}

impl Network {
    /// That of the present runtime.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    pub(crate) fn current() -> Network {
        Handle::with_current(|handle| match &*handle.0 {
            Which::Threads(engine) => Network::Real(engine.reactor().clone()),
            Which::Sim(world) => Network::Simulated(world.place()),
            #[cfg(all(loom, not(test)))]
            Which::Model(_) => {
                panic!("a model has no network: this is for real threads and simulations")
            }
        })
    }
}

/// This thread belongs to no runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TryCurrentError(());

impl fmt::Display for TryCurrentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this thread belongs to no runtime")
    }
}

impl std::error::Error for TryCurrentError {}

impl Handle {
    /// Returns the runtime that this thread belongs to.
    ///
    /// # Panics
    /// On a thread that belongs to none: start one with [`run`](crate::run), or call a method of
    /// a [`Handle`].
    #[track_caller]
    pub fn current() -> Handle {
        Handle::try_current().unwrap_or_else(|_| outside())
    }

    /// Returns the runtime that this thread belongs to, if it belongs to one.
    ///
    /// # Errors
    /// [`TryCurrentError`] on a thread that belongs to none.
    pub fn try_current() -> Result<Handle, TryCurrentError> {
        lender::with_present(Handle::clone).ok_or(TryCurrentError(()))
    }

    /// Calls `look` with the present runtime, without cloning the handle.
    #[track_caller]
    pub(crate) fn with_current<R>(look: impl FnOnce(&Handle) -> R) -> R {
        lender::with_present(look).unwrap_or_else(|| outside())
    }

    /// As [`with_current`](Handle::with_current); outside a runtime, with the one that `other` has.
    #[track_caller]
    pub(crate) fn with_current_or<R>(
        other: impl FnOnce() -> Option<Handle>,
        look: impl FnOnce(&Handle) -> R,
    ) -> R {
        if lender::with_present(|_| ()).is_some() {
            return Handle::with_current(look);
        }
        look(&other().unwrap_or_else(|| outside()))
    }

    /// Starts a task in this runtime, from any thread.
    ///
    /// See [`spawn`](crate::spawn).
    #[track_caller]
    #[must_use = "a task that is not kept runs on detached: say so with `detach`"]
    pub fn spawn<F, T>(&self, future: F) -> Task<T>
    where
        F: Future<Output: Outcome<Value = T>> + Send + 'static,
        T: Send + 'static,
    {
        self.start(future, std::panic::Location::caller())
    }

    /// Returns the runtime's unfinished tasks, in the order of their ids.
    #[doc(alias = "asyncio.all_tasks")]
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        match &*self.0 {
            Which::Threads(engine) => engine.live(),
            Which::Sim(world) => world.live(),
            #[cfg(all(loom, not(test)))]
            Which::Model(model) => model.stage.live(),
        }
    }

    /// Returns how many threads run the tasks: one in a simulation.
    pub fn workers(&self) -> usize {
        match &*self.0 {
            Which::Threads(engine) => engine.workers(),
            Which::Sim(_) => 1,
            #[cfg(all(loom, not(test)))]
            Which::Model(model) => model.workers,
        }
    }

    /// Lets a new task in and gives its home; `None`: the runtime is ending.
    #[inline]
    pub(crate) fn admit(&self) -> Option<(&Home, Option<Pass<'_>>)> {
        match &*self.0 {
            Which::Threads(engine) => engine.admit(),
            Which::Sim(world) => (!world.is_closed()).then(|| (world.home(), None)),
            #[cfg(all(loom, not(test)))]
            Which::Model(model) => model.admit(),
        }
    }

    /// This thread's home in this runtime, or the one that all other threads share.
    pub(crate) fn home(&self) -> &Home {
        match &*self.0 {
            Which::Threads(engine) => engine.home(),
            Which::Sim(world) => world.home(),
            #[cfg(all(loom, not(test)))]
            Which::Model(model) => model.stage.home(),
        }
    }

    /// Whether these are handles to one runtime.
    pub(crate) fn is_same(&self, other: &Handle) -> bool {
        match (&*self.0, &*other.0) {
            (Which::Threads(one), Which::Threads(other)) => Arc::ptr_eq(one, other),
            (Which::Sim(one), Which::Sim(other)) => Arc::ptr_eq(one, other),
            #[cfg(all(loom, not(test)))]
            (Which::Model(one), Which::Model(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    pub(crate) fn arm(&self, timer: Pin<&Timer>, at: Instant, bell: Bell) {
        match &*self.0 {
            Which::Threads(engine) => engine.shared().arm(timer, at, bell),
            Which::Sim(world) => world.arm(timer, at, bell),
            #[cfg(all(loom, not(test)))]
            Which::Model(model) => model.stage.arm(timer, at, bell),
        }
    }

    pub(crate) fn timers(&self) -> &Timers {
        match &*self.0 {
            Which::Threads(engine) => engine.shared().timers(),
            Which::Sim(world) => world.timers(),
            #[cfg(all(loom, not(test)))]
            Which::Model(model) => model.stage.timers(),
        }
    }

    pub(crate) fn calls(&self) -> &std::sync::Arc<Calls> {
        match &*self.0 {
            Which::Threads(engine) => engine.calls(),
            Which::Sim(simulation) => &simulation.calls,
            #[cfg(all(loom, not(test)))]
            Which::Model(model) => &model.calls,
        }
    }

    /// The home of what nobody polls.
    pub(crate) fn unpolled(&self) -> &Home {
        match &*self.0 {
            Which::Threads(engine) => engine.unpolled(),
            Which::Sim(simulation) => &simulation.unpolled,
            #[cfg(all(loom, not(test)))]
            Which::Model(model) => &model.unpolled,
        }
    }

    pub(crate) fn settings(&self) -> &Arc<Settings> {
        match &*self.0 {
            Which::Threads(engine) => engine.settings(),
            Which::Sim(simulation) => &simulation.settings,
            #[cfg(all(loom, not(test)))]
            Which::Model(model) => &model.settings,
        }
    }

    /// Makes this the thread's runtime until the guard is dropped.
    pub(crate) fn enter(&self) -> Entered {
        Entered::new(self.clone())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine = match &*self.0 {
            Which::Threads(_) => "threads",
            Which::Sim(_) => "simulation",
            #[cfg(all(loom, not(test)))]
            Which::Model(_) => "model",
        };
        f.debug_tuple("Handle").field(&engine).finish()
    }
}

#[cold]
#[track_caller]
pub(super) fn outside() -> ! {
    panic!(
        "this thread belongs to no runtime: call this inside `filch::run` or \
         `Runtime::block_on`, or use a `Handle`"
    )
}
