//! Every setting of a runtime, its default and its limit.

use std::fmt;
use std::time::Duration;

use crate::blocking::Pool;
use crate::reactor::Reactor;
use crate::runtime::engine::Engine;
use crate::runtime::handle::Handle;
use crate::runtime::report::{Wired, debug_by_environment};
use crate::runtime::run::Runtime;
use crate::scheduler::{Config, Shared};
use crate::sys::{Arc, assert_real, thread};
use crate::task::memory::{Home, Kind};
use crate::task::report::{Handler, Report, Settings};

/// More workers than this are a mistake.
const MOST_WORKERS: usize = 1024;
/// More blocking threads than this are a mistake.
const MOST_BLOCKING: usize = 1 << 16;

/// The settings of a [`Runtime`].
///
/// # Examples
///
/// ```
/// let runtime = filch::Runtime::builder().workers(2).thread_name("web").build().unwrap();
/// assert_eq!(runtime.handle().workers(), 2);
///
/// let error = filch::Runtime::builder().workers(0).build().unwrap_err();
/// assert_eq!(error.to_string(), "workers = 0: a runtime needs at least one worker");
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    workers: Option<usize>,
    thread_name: String,
    blocking_threads: usize,
    blocking_idle: Duration,
    grace: Duration,
    ctrl_c: bool,
    debug: Option<bool>,
    slow: Duration,
    handler: Option<Handler>,
}

/// Why a runtime could not be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting makes no sense.
    Setting {
        /// The setting, as the builder's method is called.
        name: &'static str,
        /// What it was set to.
        value: String,
        /// What is wrong with that.
        why: &'static str,
    },
    /// The system gave no poller for I/O.
    Poller(std::io::Error),
    /// The system gave no thread for a worker.
    Thread(std::io::Error),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Setting { name, value, why } => write!(f, "{name} = {value}: {why}"),
            BuildError::Poller(error) => write!(f, "cannot make a poller: {error}"),
            BuildError::Thread(error) => write!(f, "cannot start a worker: {error}"),
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BuildError::Setting { .. } => None,
            BuildError::Poller(error) | BuildError::Thread(error) => Some(error),
        }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            workers: None,
            thread_name: "filch".to_owned(),
            blocking_threads: 512,
            blocking_idle: Duration::from_secs(10),
            grace: Duration::from_secs(10),
            ctrl_c: false,
            debug: None,
            slow: Settings::SLOW,
            handler: None,
        }
    }
}

impl Builder {
    /// Sets how many threads run tasks: 1 to 1024. Default: one per core that this process may
    /// use, a container's quota respected.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Sets what the runtime's threads are called, before a dash and a number. Default: `filch`.
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.thread_name = name.into();
        self
    }

    /// Sets how many threads at most run closures of [`to_thread`](crate::to_thread): 1 to 65536.
    /// They are started when needed. Default: 512.
    pub fn blocking_threads(mut self, limit: usize) -> Self {
        self.blocking_threads = limit;
        self
    }

    /// Sets how long such a thread stays without work. Default: 10 s.
    pub fn blocking_idle(mut self, time: Duration) -> Self {
        self.blocking_idle = time;
        self
    }

    /// Sets how long, at the end, cancelled tasks may take to clean up before they are named in
    /// the log and dropped. Time in which the whole process stands still is not taken from it.
    /// Default: 10 s.
    ///
    /// What tasks leave of it is given to callbacks that were registered in time, to be called,
    /// and then once more to closures of [`to_thread`](crate::to_thread) that have begun, to
    /// return; each has at least a second of it, or all, if it is shorter. Callbacks that were not
    /// called are dropped then; threads whose closures have not returned are named in the log and
    /// left behind. Such a closure runs on as long as the process does, so that one which never
    /// returns holds up the end for that long, and no longer.
    ///
    /// A worker that is still in a poll, or in what a task drops, when all tasks have ended or the
    /// grace is over, has as long as this to come back, but 100 ms at least and 1 s at most; then
    /// it is left behind, too.
    pub fn grace(mut self, time: Duration) -> Self {
        self.grace = time;
        self
    }

    /// Sets whether Ctrl-C (SIGINT) cancels the main task while [`Runtime::block_on`] runs it, as
    /// [`run`](crate::run) says. Default: no.
    ///
    /// Afterwards Ctrl-C ends the process again, whatever it did before.
    #[doc(alias("SIGINT", "KeyboardInterrupt"))]
    pub fn ctrl_c(mut self, listen: bool) -> Self {
        self.ctrl_c = listen;
        self
    }

    /// Turns [debug mode](crate::Handle::set_debug) on or off, from the start. Default: on if the
    /// environment variable `FILCH_DEBUG` is set, and neither empty nor 0 (DBG-01, RUN-05).
    #[doc(alias = "PYTHONASYNCIODEBUG")]
    pub fn debug(mut self, debug: bool) -> Self {
        self.debug = Some(debug);
        self
    }

    /// Sets how long a poll or a callback may take before debug mode calls it slow. Default:
    /// 100 ms.
    pub fn slow_callback_duration(mut self, time: Duration) -> Self {
        self.slow = time;
        self
    }

    /// Sets who is told of what goes wrong where nobody waits for it: panics in callbacks, errors
    /// that nobody retrieved, tasks that refuse to end. Default: `tracing`.
    ///
    /// See [`Handle::set_exception_handler`](crate::Handle::set_exception_handler).
    #[doc(alias = "loop.set_exception_handler")]
    pub fn exception_handler(mut self, handler: impl Fn(&Report) + Send + Sync + 'static) -> Self {
        self.handler = Some(Box::new(handler));
        self
    }

    fn check(&self, workers: usize) -> Result<(), BuildError> {
        let wrong = |name, value: String, why| Err(BuildError::Setting { name, value, why });
        if workers == 0 {
            return wrong("workers", "0".into(), "a runtime needs at least one worker");
        }
        if workers > MOST_WORKERS {
            return wrong("workers", workers.to_string(), "more than 1024");
        }
        if self.blocking_threads == 0 {
            return wrong("blocking_threads", "0".into(), "`to_thread` needs at least one thread");
        }
        if self.blocking_threads > MOST_BLOCKING {
            return wrong("blocking_threads", self.blocking_threads.to_string(), "more than 65536");
        }
        if self.thread_name.contains('\0') {
            return wrong("thread_name", format!("{:?}", self.thread_name), "it contains a NUL");
        }
        Ok(())
    }

    /// Starts the runtime.
    ///
    /// # Errors
    /// [`BuildError`]: a setting makes no sense, or the system gave no poller or no thread.
    pub fn build(self) -> Result<Runtime, BuildError> {
        assert_real();
        let workers = self.workers.unwrap_or_else(num_cpus::get);
        self.check(workers)?;
        let reactor = Arc::new(Reactor::new(workers).map_err(BuildError::Poller)?);
        let driver = Box::new(reactor.clone());
        let (shared, bodies) = Shared::new(Config { driver, workers, processors: num_cpus::get() });
        let pool = Pool::new(self.blocking_threads, self.blocking_idle, &self.thread_name);
        let debug = self.debug.unwrap_or_else(debug_by_environment);
        let settings = Arc::new(Settings::new(debug, self.slow, self.handler));
        let wired = || Wired { shared: shared.clone(), settings: settings.clone() };
        let home = |kind| Home::new(Box::new(wired()), kind);
        let homes = (0..workers).map(|_| home(Kind::Worker)).chain([home(Kind::Shared)]).collect();
        let engine = Arc::new(Engine::new(shared.clone(), reactor, pool, homes, settings));
        let runtime = Runtime::new_over(engine.clone(), self.grace, self.ctrl_c);
        for (number, body) in bodies.into_iter().enumerate() {
            let name = format!("{}-{number}", self.thread_name);
            let on_thread = engine.clone();
            engine.expect_worker();
            let started = thread::Builder::new()
                .name(name)
                .spawn(move || Engine::work(on_thread, number, body));
            match started {
                Ok(thread) => engine.worker_started(thread),
                Err(error) => {
                    // Dropping the runtime ends the workers that did start.
                    engine.worker_is_gone();
                    return Err(BuildError::Thread(error));
                }
            }
        }
        Ok(runtime)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.workers)
            .field("thread_name", &self.thread_name)
            .field("blocking_threads", &self.blocking_threads)
            .field("blocking_idle", &self.blocking_idle)
            .field("grace", &self.grace)
            .field("ctrl_c", &self.ctrl_c)
            .field("debug", &self.debug)
            .field("slow_callback_duration", &self.slow)
            .finish_non_exhaustive()
    }
}

impl Handle {
    pub(crate) fn threads(engine: Arc<Engine>) -> Self {
        Handle(Arc::new(crate::runtime::handle::Which::Threads(engine)))
    }
}
