//! Sweeps: the same program again and again, with one blow at every moment in turn.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::error::{Cancelled, Error, Outcome, Result};
use crate::runtime::handle::{Handle, Which};
use crate::runtime::simulation::Builder;
use crate::simulated::{Blow, Course, Limit, Strike};
use crate::sys::Arc;
use crate::task::unwind::{Exit, Scoped, by_error, go_on};

/// So many orders of running a sweep goes through: asyncio's, and two others.
const SEEDS: u64 = 3;

/// Runs a program once for every await it passes, and cancels a task exactly there.
///
/// Every task of the program, the main one included, is cancelled at every moment of its life, one
/// task at one moment per run: in particular when it has just been suspended, and when it has been
/// woken, perhaps with a promise, and has not run yet. What the program asserts must hold in all
/// of these runs; it should expect each of its tasks to end cancelled. The sweep goes through
/// three orders of running ([`run`](crate::sim::run)).
///
/// # Errors
/// [`Broken`], if a run ends with an error that is no cancellation: a panic, a deadlock because
/// somebody was forgotten, an error of the program.
///
/// # Panics
/// Inside a task or a callback.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use filch::sync::Semaphore;
///
/// let swept = filch::sim::cancel_everywhere(|| async {
///     let semaphore = Arc::new(Semaphore::new(1));
///     let tasks: Vec<_> = (0..3)
///         .map(|_| {
///             let semaphore = semaphore.clone();
///             filch::spawn(async move {
///                 let _permit = semaphore.acquire().await;
///                 filch::yield_now().await;
///             })
///         })
///         .collect();
///     for task in tasks {
///         let _ = task.await; // cancelled, perhaps
///     }
///     assert_eq!(semaphore.available(), 1);
/// });
/// assert!(swept.unwrap().runs() > 10);
/// ```
#[track_caller]
pub fn cancel_everywhere<M, F>(program: M) -> Result<Swept, Broken>
where
    M: FnMut() -> F,
    F: Future<Output: Outcome>,
{
    Builder::new().cancel_everywhere(program)
}

/// Runs a program once for every moment of every [`timeout_when_swept`] in it, and lets that
/// timeout run out exactly then.
///
/// # Errors
/// [`Broken`], if a run ends with an error that is no timeout.
///
/// # Panics
/// Inside a task or a callback.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use filch::sim::{timeout_everywhere, timeout_when_swept};
/// use filch::sync::Lock;
///
/// let swept = timeout_everywhere(|| async {
///     let lock = Arc::new(Lock::new(0));
///     let held = lock.lock().await;
///     let waiter = filch::spawn({
///         let lock = lock.clone();
///         async move { timeout_when_swept(async { *lock.lock().await += 1 }).await }
///     });
///     filch::yield_now().await;
///     drop(held);
///     let _ = waiter.await;
///     assert!(!lock.is_locked());
/// });
/// swept.unwrap();
/// ```
#[track_caller]
pub fn timeout_everywhere<M, F>(program: M) -> Result<Swept, Broken>
where
    M: FnMut() -> F,
    F: Future<Output: Outcome>,
{
    Builder::new().timeout_everywhere(program)
}

impl Builder {
    /// As [`cancel_everywhere`], with these settings and three
    /// seeds, from this one on: a limit ends runs that would go on for ever.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn cancel_everywhere<M, F>(&self, program: M) -> Result<Swept, Broken>
    where
        M: FnMut() -> F,
        F: Future<Output: Outcome>,
    {
        self.sweep(Blow::Cancel, Error::is_cancelled, program)
    }

    /// As [`timeout_everywhere`], with these settings and three
    /// seeds, from this one on.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn timeout_everywhere<M, F>(&self, program: M) -> Result<Swept, Broken>
    where
        M: FnMut() -> F,
        F: Future<Output: Outcome>,
    {
        self.sweep(Blow::TimeOut, Error::is_timeout, program)
    }

    #[track_caller]
    fn sweep<M, F>(
        &self,
        blow: Blow,
        is_meant: fn(&Error) -> bool,
        mut program: M,
    ) -> Result<Swept, Broken>
    where
        M: FnMut() -> F,
        F: Future<Output: Outcome>,
    {
        let location = Location::caller();
        let mut runs = 0;
        for seed in (0..SEEDS).map(|more| self.first_seed().wrapping_add(more)) {
            for number in 0.. {
                let strike = Arc::new(Strike::new(blow, number));
                let course = Course::of_seed(seed);
                let result = self.run_with(course, Some(strike.clone()), program(), location);
                runs += 1;
                let hit = strike.hit();
                if let Err(error) = result
                    && (hit.is_none() || !is_meant(&error))
                {
                    return Err(Broken { seed, hit, error });
                }
                if hit.is_none() {
                    break;
                }
            }
        }
        Ok(Swept { runs })
    }
}

/// What a sweep that found nothing has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    runs: u64,
}

impl Swept {
    /// Returns how many times the program was run.
    pub fn runs(&self) -> u64 {
        self.runs
    }
}

/// A sweep has found a moment at which a program breaks.
#[derive(Debug, Clone)]
pub struct Broken {
    seed: u64,
    hit: Option<String>,
    error: Error,
}

impl Broken {
    /// Returns what that run ended with.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Returns the seed of that run.
    pub fn seed(&self) -> u64 {
        self.seed
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hit = self.hit.as_deref().unwrap_or("nobody struck");
        write!(f, "with seed {}, {hit}: {}", self.seed, self.error)
    }
}

impl std::error::Error for Broken {}

/// A [`timeout`](crate::timeout) that runs out in a [`timeout_everywhere`], at one moment after
/// the other, and nowhere else.
///
/// # Errors
/// As of [`timeout`](crate::timeout).
///
/// # Cancellation
/// As of [`timeout`](crate::timeout).
pub fn timeout_when_swept<F>(future: F) -> TimeoutWhenSwept<F>
where
    F: Future<Output: Outcome>,
{
    TimeoutWhenSwept { scoped: Scoped::new(future), limit: None, passed: false }
}

pin_project! {
    /// The future of [`timeout_when_swept`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct TimeoutWhenSwept<F> {
        #[pin]
        scoped: Scoped<F>,
        limit: Option<Entry>,
        // Somebody else's request went through here: whoever polls it again is unwound again.
        passed: bool,
    }
}

/// The limit, and the world that may let it run out.
#[derive(Debug)]
struct Entry {
    world: Option<Handle>,
    limit: Arc<Limit>,
}

impl Entry {
    fn new() -> Self {
        let limit = Limit::new();
        let world = Handle::try_current().ok();
        let entry = Entry { world, limit };
        entry.with_strike(|strike| strike.enter(&entry.limit));
        entry
    }

    fn with_strike(&self, tell: impl FnOnce(&Strike)) {
        if let Some(handle) = &self.world
            && let Which::Sim(world) = &*handle.0
            && let Some(strike) = world.strike()
        {
            tell(strike);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.with_strike(|strike| strike.leave(&self.limit));
    }
}

impl<F: Future<Output: Outcome>> Future for TimeoutWhenSwept<F> {
    type Output = Result<<F::Output as Outcome>::Value>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if *this.passed {
            return go_on(Cancelled::new(None), context).map(|cancelled| Err(cancelled.into()));
        }
        let entry = this.limit.get_or_insert_with(Entry::new);
        let over = entry.limit.is_over(context.waker());
        let exit = ready!(this.scoped.poll(context, over, by_error));
        *this.limit = None;
        match exit {
            Exit::Value(value) => Poll::Ready(value.into_result()),
            Exit::Unwound { cancelled, mine: true } => {
                Poll::Ready(Err(Error::timeout(cancelled.into_message())))
            }
            Exit::Unwound { cancelled, mine: false } => {
                *this.passed = true;
                go_on(cancelled, context).map(|cancelled| Err(cancelled.into()))
            }
        }
    }
}
