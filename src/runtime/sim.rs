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

use std::ops::Deref;
use std::panic::Location;
use std::time::Duration;

use crate::driver::clock::{Instant, VirtualClock};
use crate::error::{Error, Outcome, Result};
use crate::runtime::Handle;
use crate::runtime::calls::Calls;
use crate::runtime::handle::Which;
use crate::runtime::report::debug_by_environment;
use crate::runtime::unpolled::Unpolled;
use crate::simulated::{Stuck, World, report};
use crate::sys::Arc;
use crate::task::current;
use crate::task::handle::Task;
use crate::task::memory::{Home, HomeHandle, Kind};
use crate::task::raw::{self, First};
use crate::task::report::Settings;

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
    assert!(!current::is_polling(), "a task cannot run a simulation: use a plain thread");
    let clock = VirtualClock::enter();
    let simulation = Arc::new(Simulation::new(seed));
    let world = &simulation.world;
    let _entered = Handle(Arc::new(Which::Sim(simulation.clone()))).enter();
    let location = Location::caller();
    // SAFETY: the task is polled and dropped on this thread only, by `world` below, and it has
    // ended, at the latest by `kill`, before this call and all that `main` borrows do.
    let (runnable, task) = unsafe { raw::new(world.home(), main, location, First::Queued) };
    task.set_name("main");
    // SAFETY: `task` was made just now, with this type of value.
    let main = Ending { world: &simulation, clock: &clock, main: Some(unsafe { Task::new(task) }) };
    runnable.queue();
    main.finish()
}

/// What the tasks of one simulated run share, and its handles hold.
pub(crate) struct Simulation {
    world: Arc<World>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) calls: std::sync::Arc<Calls>,
    /// Of what nobody polls.
    pub(crate) unpolled: HomeHandle,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let settings = Arc::new(Settings::new(debug_by_environment(), Settings::SLOW, None));
        let world = Arc::new(World::new(seed, settings.clone()));
        let calls = Calls::simulated(world.clone(), settings.clone());
        let unpolled = Box::new(Unpolled::new(&calls, &settings));
        let unpolled = Home::new_with_own_numbers(unpolled, Kind::Shared);
        Simulation { world, settings, calls, unpolled }
    }
}

impl Deref for Simulation {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

/// Sees to it that every task has ended when the run does, also when it ends by a panic.
struct Ending<'a, T> {
    world: &'a Simulation,
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
        for task in self.world.live() {
            task.add_done_callback(|task| task.report_failed_end());
        }
        let left = self.world.wind_up(self.clock, Instant::now() + GRACE);
        for task in &left {
            task.header().report_refusal();
        }
        self.world.calls.close();
        self.world.kill(left);
    }
}

impl<T> Drop for Ending<'_, T> {
    fn drop(&mut self) {
        self.world.close();
        self.world.calls.close();
        self.world.kill(self.world.live());
    }
}
