//! Deterministic simulation: the same program, on one thread, in virtual time.
//!
//! [`run`] drives a program as [`filch::run`](crate::run) does, but nothing in it depends on the
//! machine: sleeps take no real time, the order of tasks is fixed by a seed, and a program that
//! can neither run nor wait ends with an error that names who waits for what. A test written with
//! it takes microseconds and cannot be flaky.
//!
//! # Examples
//!
//! A timeout of an hour, tested at once:
//!
//! ```
//! use std::time::Duration;
//!
//! let hour = Duration::from_secs(3600);
//! let result = filch::sim::run(0, filch::timeout(hour, std::future::pending::<()>()));
//! assert!(result.unwrap_err().is_timeout());
//! ```

use std::panic::Location;
use std::time::Duration;

use crate::driver::clock::{Instant, VirtualClock};
use crate::error::{Error, Outcome, Result};
use crate::probe;
use crate::runtime::Handle;
use crate::runtime::handle::Which;
use crate::simulated::{Stuck, World, report};
use crate::sys::Arc;
use crate::task::current;
use crate::task::handle::Task;
use crate::task::raw::{self, First};

pub use crate::runtime::sweep::{Broken, Swept, TimeoutWhenSwept};
pub use crate::runtime::sweep::{cancel_everywhere, timeout_everywhere, timeout_when_swept};

/// How long, in virtual time, tasks that are left may clean up.
const GRACE: Duration = Duration::from_secs(3600);

/// Runs a program in a simulation, to its end.
///
/// Seed 0 runs what is ready in asyncio's order, first in, first out; any other seed chooses the
/// next task at random, and the same seed always the same. When `main` has ended, what is left is
/// cancelled and cleans up, as in [`filch::run`](crate::run).
///
/// Threads have no place in a simulation: closures for [`to_thread`](crate::to_thread) run inline.
///
/// # Errors
/// What `main` ends with; or, if no task can run and no timer is left, an error with
/// [`is_deadlock`](Error::is_deadlock) whose text names the tasks and what they await.
///
/// # Panics
/// Inside a task.
///
/// # Examples
///
/// ```
/// let stuck = filch::sim::run(0, std::future::pending::<()>());
/// assert!(stuck.unwrap_err().is_deadlock());
/// ```
#[track_caller]
pub fn run<F, T>(seed: u64, main: F) -> Result<T>
where
    F: Future<Output: Outcome<Value = T>>,
{
    run_in(&Arc::new(World::new(seed)), main)
}

/// Runs a program in a new world.
#[track_caller]
pub(super) fn run_in<F, T>(world: &Arc<World>, main: F) -> Result<T>
where
    F: Future<Output: Outcome<Value = T>>,
{
    assert!(!current::is_polling(), "a task cannot run a simulation: use a plain thread");
    let clock = VirtualClock::enter();
    let _entered = Handle(Arc::new(Which::Sim(world.clone()))).enter();
    let location = Location::caller();
    // SAFETY: the task is polled and dropped on this thread only, by `world` below, and it has
    // ended, at the latest by `kill`, before this call and all that `main` borrows do.
    let (runnable, task) = unsafe { raw::new(world.home(), main, location, First::Queued) };
    task.set_name("main");
    // SAFETY: `task` was made just now, with this type of value.
    let main = Ending { world, clock: &clock, main: Some(unsafe { Task::new(task) }) };
    runnable.queue();
    main.finish()
}

/// Sees to it that every task has ended when the run does, also when it ends by a panic.
struct Ending<'a, T> {
    world: &'a World,
    clock: &'a VirtualClock,
    main: Option<Task<T>>,
}

impl<T> Ending<'_, T> {
    fn finish(mut self) -> Result<T> {
        let main = self.main.take().expect("it is taken only here");
        let ended = self.world.run(self.clock, &main);
        let stuck = match ended {
            Ok(()) => None,
            Err(Stuck) => Some(Error::deadlock(report(&self.world.live()))),
        };
        self.wind_up();
        match stuck {
            Some(stuck) => Err(stuck),
            None => main.outcome(),
        }
    }

    fn wind_up(&self) {
        self.world.close();
        let left = self.world.wind_up(self.clock, Instant::now() + GRACE);
        for task in &left {
            probe::refuses_to_end(task.header().id(), &task.name(), task.location());
        }
        self.world.kill(left);
    }
}

impl<T> Drop for Ending<'_, T> {
    fn drop(&mut self) {
        self.world.close();
        self.world.kill(self.world.live());
    }
}
