//! Model checking: a program is run in *every* order of what its tasks do to each other.
//!
//! A test on real threads shows one order, [`sim::check`](crate::sim::check) as many as there are
//! seeds. [`run`] goes through all there are, within a bound, and tells the one that fails: with
//! the program's own tasks, groups, locks, queues, promises, cancellations and timeouts, on two
//! workers that may be stopped at any of them.
//!
//! # First: a test
//!
//! ```
//! use std::sync::Arc;
//! use filch::sync::Lock;
//! use filch::{model, spawn};
//!
//! # fn main() {
//! model::run(|| async {
//!     let sum = Arc::new(Lock::new(0));
//!     let there = sum.clone();
//!     let task = spawn(async move { *there.lock().await += 1 });
//!     *sum.lock().await += 1;
//!     task.await?;
//!     assert_eq!(*sum.lock().await, 2);
//!     Ok(())
//! });
//! # }
//! ```
//!
//! The closure is called anew for each run, and makes everything that the program uses; what it
//! makes must not outlive it. The program fails the model if it ends with an error or a panic; if
//! it deadlocks; and if something goes wrong that nobody looks at, such as a panic in a task that
//! was let go of.
//!
//! # Second: all orders
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --release --test model_check
//! ```
//!
//! The flag has this crate work on [loom](https://docs.rs/loom), which stops and goes on wherever
//! threads meet. Without it, the same test runs in the [simulation](crate::sim), with a hundred
//! seeds: it compiles and passes either way, and finds less. Two things differ. What goes wrong
//! where nobody looks, such as a panic in a task that was let go of, is only reported. And a
//! closure for `to_thread` that waits for a task, by [`Task::wait`](crate::Task::wait) or a
//! `.._blocking` form of [`sync`](crate::sync), panics there if it would have to wait, for the
//! simulation has but one thread. Give the flag a target folder of its own
//! (`CARGO_TARGET_DIR=target/loom`), or everything is compiled anew each time it changes.
//!
//! Under the flag, only models run: [`filch::run`](crate::run) and [`sim`](crate::sim) panic, and
//! there are no sockets, signals or threads of one's own inside a model. A closure for
//! [`to_thread`](crate::to_thread) runs on one of the workers. So the test stands in a file of its
//! own, or has a `#[cfg(loom)]` before it.
//!
//! # Third: data of one's own
//!
//! Between two awaits a task may be stopped only where loom can see it: at what this crate offers,
//! and at the types of [`sync`] and [`cell`]. They are loom's under the flag and those of the
//! standard library without it. A program that uses atomics writes them with these, and loom shows
//! it old values, too, if its orderings allow them. What stands in a `std::sync::Mutex` is not
//! seen, nor is a race that lies between two of its locks.
//!
//! A program must do the same whenever the order is the same: one that rolls dice, as
//! `futures::select!` does, ends in a panic of loom's. Take `futures::select_biased!`.
//!
//! ```
//! use filch::model::sync::Arc;
//! use filch::model::sync::atomic::{AtomicU32, Ordering};
//! use filch::{model, spawn};
//!
//! let lost = model::Builder::new().check(|| async {
//!     let hits = Arc::new(AtomicU32::new(0));
//!     let there = hits.clone();
//!     let task = spawn(async move {
//!         let before = there.load(Ordering::Relaxed);
//!         there.store(before + 1, Ordering::Relaxed); // another one may be lost
//!     });
//!     hits.fetch_add(1, Ordering::Relaxed);
//!     task.await?;
//!     assert_eq!(hits.load(Ordering::Relaxed), 2);
//!     Ok(())
//! });
//! // Tasks of a simulation are not stopped between two awaits: only the model can find it.
//! assert_eq!(lost.is_err(), model::is_exhaustive());
//! ```
//!
//! # Fourth: what it found
//!
//! A [`Failure`] has the panic, or who waits for whom, and the story of the run: who ran on which
//! worker, what it woke, where it was stopped. Runs with few preemptions come first, so that the
//! story is about as short as it can be. What a program says with [`note`] stands in it, too.
//! The example `model_check` has three classics: an update that is lost across an await, two locks
//! taken in two orders, and a cancellation that leaves something behind.
//!
//! # Time
//!
//! Time stands still while a task can run; when none can, it jumps to the next timer. So a sleep
//! orders what comes after it behind whatever can run now: a model with sleeps is small, and one
//! without them shows more. With [`Builder::eager_timers`], timers go off while tasks run.
//!
//! # How large
//!
//! The number of orders grows with each task and each step. Two or three tasks with a lock, a
//! queue and a cancellation take seconds; more of the same shows nothing new. Between two runs of
//! the same task loom switches freely; in the middle of one, it may do so twice in a run, unless
//! [`Builder::preemptions`] says otherwise: few mistakes need three. Each bound is gone through
//! twice, with workers that take the oldest ready task and with workers that take the newest. With
//! more tasks ready than there are workers, some other orders are not gone through: say
//! [`Builder::workers`].
//!
//! Steps of this crate itself, such as taking a lock, are not taken apart: that they can be relied
//! on is what its own models check.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::error::Outcome;

#[cfg_attr(all(loom, not(test)), path = "model_checked.rs")]
#[cfg_attr(not(all(loom, not(test))), path = "model_sampled.rs")]
mod explore;

#[cfg(all(loom, not(test)))]
pub(crate) use explore::Modelled;

/// Tells whether models go through all orders: the crate was compiled with `--cfg loom`.
pub const fn is_exhaustive() -> bool {
    cfg!(all(loom, not(test)))
}

/// Atomics and locks that a model sees.
///
/// Under `--cfg loom` they are [loom](https://docs.rs/loom)'s, else the standard library's. A task
/// must not wait for another one with such a lock: it holds up its worker. If two do so, they block
/// all there is, and the model ends the process, after it has told the story.
pub mod sync {
    #[cfg(loom)]
    pub use loom::sync::{Arc, Mutex, MutexGuard, RwLock, atomic};
    #[cfg(not(loom))]
    pub use std::sync::{Arc, Mutex, MutexGuard, RwLock, atomic};
}

/// Cells whose accesses a model checks for races.
pub mod cell {
    #[cfg(loom)]
    pub use loom::cell::{Cell, UnsafeCell};
    #[cfg(not(loom))]
    pub use std::cell::Cell;

    /// A cell for code that sees to it by itself that nobody else is there.
    ///
    /// It is loom's under `--cfg loom`, which fails the model if somebody else is.
    #[cfg(not(loom))]
    #[derive(Debug, Default)]
    pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    #[cfg(not(loom))]
    impl<T> UnsafeCell<T> {
        /// Makes a cell with that value.
        pub const fn new(value: T) -> Self {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        /// Calls `look` with a pointer to the value, to read it.
        pub fn with<R>(&self, look: impl FnOnce(*const T) -> R) -> R {
            look(self.0.get())
        }

        /// Calls `change` with a pointer to the value.
        pub fn with_mut<R>(&self, change: impl FnOnce(*mut T) -> R) -> R {
            change(self.0.get())
        }

        /// Returns the value.
        pub fn into_inner(self) -> T {
            self.0.into_inner()
        }
    }
}

/// Runs a program in every order of what its tasks do to each other, and panics at the first in
/// which it fails.
///
/// See [the module](self). [`Builder`] has settings, and gives the failure instead of panicking.
///
/// # Panics
/// If the program ends with an error, panics, deadlocks, or leaves something behind that went
/// wrong; and inside a task.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use filch::{model, sleep, spawn, timeout};
///
/// let explored = model::run(|| async {
///     let task = spawn(sleep(Duration::from_secs(60)));
///     assert!(timeout(Duration::from_secs(1), task).await.unwrap_err().is_timeout());
///     Ok(())
/// });
/// assert!(explored.runs() > 1);
/// ```
#[track_caller]
pub fn run<M, F>(program: M) -> Explored
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output: Outcome<Value: Send + 'static>> + Send + 'static,
{
    Builder::new().run(program)
}

/// Has a line stand in the story of a run that fails; see [`Failure`].
///
/// Without `--cfg loom`, or outside a model, it goes to `tracing`, or nowhere.
pub fn note(text: impl fmt::Display) {
    explore::note(text.to_string());
}

/// A search through the orders of a program, with settings of its own.
///
/// # Examples
///
/// ```
/// use filch::model;
///
/// let stuck = model::Builder::new().check(|| std::future::pending::<()>());
/// assert!(stuck.unwrap_err().cause().contains("deadlock"));
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder runs nothing until `run` or `check`"]
pub struct Builder {
    pub(super) workers: usize,
    pub(super) preemptions: Option<usize>,
    pub(super) steps: u64,
    pub(super) eager_timers: bool,
    pub(super) runs: Option<u64>,
    pub(super) duration: Option<Duration>,
}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}

impl Builder {
    /// Begins a search with two workers, two preemptions and 10,000 steps a run.
    ///
    /// The environment variables `LOOM_MAX_PREEMPTIONS` and `LOOM_MAX_DURATION` (in seconds) say
    /// otherwise.
    pub fn new() -> Self {
        let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
        Builder {
            workers: 2,
            preemptions: Some(number("LOOM_MAX_PREEMPTIONS").map_or(2, |number| number as usize)),
            steps: 10_000,
            eager_timers: false,
            runs: None,
            duration: number("LOOM_MAX_DURATION").map(Duration::from_secs),
        }
    }

    /// Sets how many workers there are: 1 to 4. With one for each task, all orders are gone
    /// through, and it takes longer.
    ///
    /// # Panics
    /// With no worker, or more than four.
    #[track_caller]
    pub fn workers(mut self, workers: usize) -> Self {
        assert!((1..=4).contains(&workers), "a model has one worker to four");
        self.workers = workers;
        self
    }

    /// Sets how often in a run a worker is stopped where it could go on; `None`: as often as can
    /// be, which is for the smallest of programs.
    pub fn preemptions(mut self, preemptions: impl Into<Option<usize>>) -> Self {
        self.preemptions = preemptions.into();
        self
    }

    /// Sets how many steps a run may have; one with more never ends, as far as the model knows.
    pub fn steps(mut self, steps: u64) -> Self {
        self.steps = steps;
        self
    }

    /// Sets whether time may pass while a task can run, as it does on a machine that is busy.
    ///
    /// Then a timeout can race with what it is for: a worker with nothing to do has the next timer
    /// go off. A program that arms timers again and again has no end then. Without `--cfg loom` it
    /// changes nothing.
    pub fn eager_timers(mut self, eager: bool) -> Self {
        self.eager_timers = eager;
        self
    }

    /// Sets after how many runs the search ends, finished or not.
    pub fn runs(mut self, runs: u64) -> Self {
        self.runs = Some(runs);
        self
    }

    /// Sets after how long the search ends, finished or not.
    pub fn duration(mut self, duration: Duration) -> Self {
        self.duration = Some(duration);
        self
    }

    /// Searches; see [`run`].
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn run<M, F>(&self, program: M) -> Explored
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output: Outcome<Value: Send + 'static>> + Send + 'static,
    {
        match self.explore(Location::caller(), program) {
            Ok(explored) => explored,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// Searches, and gives back what it found.
    ///
    /// # Errors
    /// The first [`Failure`].
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn check<M, F>(&self, program: M) -> Result<Explored, Failure>
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output: Outcome<Value: Send + 'static>> + Send + 'static,
    {
        self.explore(Location::caller(), program)
    }

    fn explore<M, F>(
        &self,
        location: &'static Location<'static>,
        program: M,
    ) -> Result<Explored, Failure>
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output: Outcome<Value: Send + 'static>> + Send + 'static,
    {
        explore::explore(self, location, program)
    }
}

/// A search that found nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explored {
    pub(super) runs: u64,
    pub(super) complete: bool,
}

impl Explored {
    /// Returns how many runs there were.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// Tells whether these were all within the bounds: the search was not ended before, and it
    /// [is exhaustive](is_exhaustive).
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}

/// A run that failed. Its text is the cause and the story.
#[derive(Debug, Clone)]
pub struct Failure {
    pub(super) cause: String,
    pub(super) run: String,
    pub(super) story: String,
}

impl Failure {
    /// Adds where the last panic was, if that was it.
    #[cfg(all(loom, not(test)))]
    fn at(self, place: Option<String>) -> Self {
        match place.filter(|_| self.cause.contains("panicked: ")) {
            Some(place) => Failure { cause: format!("{}\nat {place}", self.cause), ..self },
            None => self,
        }
    }

    /// Returns what went wrong, in words: an error, a panic, or who waits for whom.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// Returns what happened until then, a line for each event.
    pub fn story(&self) -> &str {
        &self.story
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nthis happened in {}", self.cause, self.run)?;
        if !self.story.is_empty() {
            write!(f, ":\n{}", self.story.trim_end())?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
