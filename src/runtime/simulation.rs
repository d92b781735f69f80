//! Running a program in a simulation.

use std::fmt;
use std::ops::{Deref, RangeInclusive};
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use crate::driver::clock::{Instant, VirtualClock};
use crate::error::{Error, Outcome, Result};
use crate::runtime::Handle;
use crate::runtime::calls::Calls;
use crate::runtime::handle::Which;
use crate::runtime::hosts::{check_latency, check_loss};
use crate::runtime::report::debug_by_environment;
use crate::runtime::unpolled::Unpolled;
use crate::simulated::{Course, Halt, Limits, Strike, Weather, World};
use crate::sys::{Arc, assert_real};
use crate::task::handle::Task;
use crate::task::jobs;
use crate::task::memory::{Home, HomeHandle, Kind};
use crate::task::raw::{self, First};
use crate::task::reasons::Noting;
use crate::task::report::Settings;

/// How long, in virtual time, tasks that are left may clean up.
const GRACE: Duration = Duration::from_secs(3600);

/// Runs a program in a simulation, to its end.
///
/// Seed 0 runs what is ready in asyncio's order, first in, first out; any other seed chooses the
/// next task at random, and the same seed always the same. When `main` has ended, what is left is
/// cancelled and cleans up, as in [`filch::run`](crate::run).
///
/// Threads have no place in a simulation: a closure for [`to_thread`](crate::to_thread) runs on
/// this one, in a turn of its own. Nothing else goes on meanwhile: one that would have to wait for
/// a task, by [`Task::wait`], or for what a task does, by a `.._blocking` form of
/// [`sync`](crate::sync), panics instead.
///
/// # Errors
/// What `main` ends with; or, if no task can run, no timer is left and nothing is on its way, an
/// error with [`is_deadlock`](Error::is_deadlock) whose text names the tasks and what they await:
/// another task, a socket, a sleep, or something of [`sync`](crate::sync), with the place in the
/// source where it was asked for.
///
/// # Panics
/// Inside a task or a callback.
///
/// # Examples
///
/// ```
/// use filch::sync::Lock;
///
/// let stuck = filch::sim::run(0, async {
///     let lock = Lock::new(());
///     let (_held, _forgotten) = (lock.lock().await, lock.lock().await);
/// });
/// let error = stuck.unwrap_err();
/// assert!(error.is_deadlock());
/// // "main (src/main.rs:3:13) awaits a lock at src/main.rs:5:56"
/// assert!(error.to_string().contains("awaits a lock at "));
/// ```
#[track_caller]
pub fn run<F, T>(seed: u64, main: F) -> Result<T>
where
    F: Future<Output: Outcome<Value = T>>,
{
    Builder::new().seed(seed).run(main)
}

/// A simulation to be run, with settings of its own.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use filch::sim;
///
/// let endless = async {
///     loop {
///         filch::sleep(Duration::from_secs(1)).await;
///     }
///     # #[allow(unreachable_code)]
///     Ok(())
/// };
/// let error = sim::Builder::new().time_limit(Duration::from_secs(60)).run(endless).unwrap_err();
/// assert!(error.is::<sim::LimitReached>());
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder runs nothing until `run` or `check`"]
pub struct Builder {
    seed: u64,
    turns: u64,
    time: Duration,
    weather: Weather,
}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}

impl Builder {
    /// Begins a simulation with seed 0 and no limits, between whose hosts packets take from 1 to
    /// 5 milliseconds and none is lost.
    pub fn new() -> Self {
        Builder { seed: 0, turns: u64::MAX, time: Duration::MAX, weather: Weather::default() }
    }

    /// Sets what decides the order of tasks, and what happens on the network.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets how many polls and callbacks there may be: for programs that might spin for ever.
    pub fn turn_limit(mut self, turns: u64) -> Self {
        self.turns = turns;
        self
    }

    /// Sets how much virtual time may pass: for programs that might wait for ever, again and
    /// again.
    pub fn time_limit(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Sets how long packets between hosts take at first; see
    /// [`Net::set_latency`](crate::sim::Net::set_latency).
    ///
    /// # Panics
    /// If the range is empty.
    #[track_caller]
    pub fn latency(mut self, latency: RangeInclusive<Duration>) -> Self {
        check_latency(&latency);
        self.weather.latency = latency;
        self
    }

    /// Sets which part of the packets between hosts is lost at first; see
    /// [`Net::set_loss`](crate::sim::Net::set_loss).
    ///
    /// # Panics
    /// If it is not between 0 and 1.
    #[track_caller]
    pub fn loss(mut self, loss: f64) -> Self {
        check_loss(loss);
        self.weather.loss = loss;
        self
    }

    /// Sets how many bytes a connection takes from a writer before it is read: 64 KiB if nothing
    /// is said.
    ///
    /// # Panics
    /// If it is zero.
    #[track_caller]
    pub fn buffer(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "a connection without a buffer carries nothing");
        self.weather.buffer = bytes;
        self
    }

    /// Runs a program; see [`run`].
    ///
    /// # Errors
    /// As there; and [`LimitReached`].
    ///
    /// # Panics
    /// Inside a task or a callback.
    #[track_caller]
    pub fn run<F, T>(&self, main: F) -> Result<T>
    where
        F: Future<Output: Outcome<Value = T>>,
    {
        self.run_with(Course::of_seed(self.seed), None, main, Location::caller())
    }

    /// The first of the seeds to run with.
    pub(super) fn first_seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn run_with<F, T>(
        &self,
        course: Course,
        strike: Option<Arc<Strike>>,
        main: F,
        location: &'static Location<'static>,
    ) -> Result<T>
    where
        F: Future<Output: Outcome<Value = T>>,
    {
        assert_real();
        jobs::refuse_to_block("a simulation", "use a plain thread");
        let clock = VirtualClock::enter();
        let _noting = Noting::begin();
        let limits = Limits { turns: self.turns, until: Instant::now() + self.time };
        let world = Arc::new(Simulation::new(course, self.weather.clone(), strike));
        let _entered = Handle(Arc::new(Which::Sim(world.clone()))).enter();
        // SAFETY: the task is polled and dropped on this thread only, by `world` below, and it has
        // ended, at the latest by `kill`, before this call and all that `main` borrows do.
        let (runnable, task) = unsafe { raw::new(world.home(), main, location, First::Queued) };
        task.set_name("main");
        // SAFETY: `task` was made just now, with this type of value.
        let main = Some(unsafe { Task::new(task) });
        let ending = Ending { world: &world, clock: &clock, main };
        runnable.queue();
        ending.finish(limits)
    }
}

/// A simulation went on for longer than [`Builder::turn_limit`] or [`Builder::time_limit`] allow.
///
/// Its text names the tasks that were left and what they await.
#[derive(Debug, Clone)]
pub struct LimitReached(String);

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LimitReached {}

/// What the tasks of one simulated run share, and its handles hold.
pub(crate) struct Simulation {
    world: Arc<World>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) calls: std::sync::Arc<Calls>,
    /// Of what nobody polls.
    pub(crate) unpolled: HomeHandle,
}

/// As every runtime: users' code is called outside its locks.
impl UnwindSafe for Simulation {}
/// As above.
impl RefUnwindSafe for Simulation {}

impl Simulation {
    fn new(course: Course, weather: Weather, strike: Option<Arc<Strike>>) -> Self {
        let settings = Arc::new(Settings::new(debug_by_environment(), Settings::SLOW, None));
        let world = Arc::new(World::new(course, weather, settings.clone()).struck(strike));
        let calls = Calls::simulated(world.clone(), settings.clone());
        let unpolled = Unpolled::simulated(&calls, &settings, &world);
        let unpolled = Home::new(Box::new(unpolled), Kind::Shared);
        Simulation { world, settings, calls, unpolled }
    }

    /// Ends everything on one host without asking: tasks, callbacks, sockets.
    pub(super) fn crash(&self, host: usize) {
        self.world.crash(host);
        self.calls.forget_cancelled();
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
    fn finish(mut self, limits: Limits) -> Result<T> {
        let main = self.main.take().expect("it is taken only here");
        let halted = self.world.run(self.clock, &main, limits).err().map(|halt| match halt {
            Halt::Stuck => {
                let why = "deadlock: no task can run and no timer is left";
                Error::deadlock(self.world.report(why))
            }
            Halt::Limit => {
                LimitReached(self.world.report("the simulation has reached its limit")).into()
            }
        });
        self.wind_up();
        match halted {
            Some(halted) => Err(halted),
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
        // Before the timers are abandoned, see `Calls::at`.
        self.world.calls.close();
        self.world.kill(self.world.live());
        self.world.timers().abandon();
    }
}
