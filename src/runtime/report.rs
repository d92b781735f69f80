//! What a runtime is told about reports and debug mode, by its builder, its handle, the
//! environment.

use std::time::Duration;

use crate::runtime::Handle;
use crate::scheduler::Shared;
use crate::sys::Arc;
use crate::task::report::{Report, Settings};
use crate::task::{Job, Runnable, Schedule, Why};

/// Does the environment ask for debug mode?
pub(crate) fn debug_by_environment() -> bool {
    std::env::var_os("FILCH_DEBUG").is_some_and(|value| !value.is_empty() && value != "0")
}

/// How the tasks of workers' homes are queued, and what is done about their reports.
pub(crate) struct Wired {
    pub(crate) shared: Arc<Shared>,
    pub(crate) settings: Arc<Settings>,
}

impl Schedule for Wired {
    #[inline]
    fn schedule(&self, task: Runnable, why: Why) {
        self.shared.schedule(task, why);
    }

    fn job(&self, job: Job) {
        self.shared.job(job);
    }

    fn settings(&self) -> Option<&Settings> {
        Some(&self.settings)
    }
}

impl Handle {
    /// Sets who is told of what goes wrong where nobody waits for it, instead of `tracing`.
    ///
    /// That is: a panic in a callback, an error that nobody retrieved before its last holder let it
    /// go, a task that refuses to end with its runtime, and in debug mode what is slow. The handler
    /// is called with the context variables of the task or callback that it is about (CTX-05), by
    /// one thread at a time. If it panics, that and the report go to `tracing` (LOOP-16).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use filch::Handle;
    ///
    /// let reports = Arc::new(Mutex::new(Vec::new()));
    /// let there = reports.clone();
    /// filch::sim::run(0, async move {
    ///     let here = Handle::current();
    ///     here.set_exception_handler(move |report| {
    ///         there.lock().unwrap().push(report.message().to_owned());
    ///     });
    ///     here.call_soon(|| panic!("oh"));
    ///     filch::yield_now().await;
    /// })
    /// .unwrap();
    /// assert_eq!(*reports.lock().unwrap(), ["panic in a callback"]);
    /// ```
    #[doc(alias = "loop.set_exception_handler")]
    pub fn set_exception_handler(&self, handler: impl Fn(&Report) + Send + Sync + 'static) {
        self.settings().set_handler(Some(Box::new(handler)));
    }

    /// Has `tracing` told again.
    pub fn clear_exception_handler(&self) {
        self.settings().set_handler(None);
    }

    /// Turns debug mode on or off, from now on (DBG-01).
    ///
    /// In debug mode, polls and callbacks that take longer than the
    /// [limit](Handle::set_slow_callback_duration) are reported, with the task's name and where it
    /// was spawned (DBG-02); so are tasks that are destroyed while they are pending (DBG-08). In a
    /// simulation nothing is slow: its clock stands still while somebody runs.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use std::time::Duration;
    /// use filch::Runtime;
    ///
    /// let reports = Arc::new(Mutex::new(Vec::new()));
    /// let there = reports.clone();
    /// let runtime = Runtime::builder()
    ///     .debug(true)
    ///     .slow_callback_duration(Duration::from_millis(5))
    ///     .exception_handler(move |report| there.lock().unwrap().push(report.clone()))
    ///     .build()
    ///     .unwrap();
    /// runtime.block_on(async { std::thread::sleep(Duration::from_millis(10)) }).unwrap();
    /// let report = reports.lock().unwrap().remove(0);
    /// assert_eq!(report.message(), "a poll was slow");
    /// assert!(report.duration().unwrap() >= Duration::from_millis(10));
    /// ```
    #[doc(alias = "loop.set_debug")]
    pub fn set_debug(&self, debug: bool) {
        self.settings().set_debug(debug);
    }

    /// Tells whether debug mode is on.
    #[doc(alias = "loop.get_debug")]
    pub fn is_debug(&self) -> bool {
        self.settings().is_debug()
    }

    /// Sets how long a poll or a callback may take before debug mode calls it slow.
    #[doc(alias = "loop.slow_callback_duration")]
    pub fn set_slow_callback_duration(&self, time: Duration) {
        self.settings().set_slow(time);
    }
}
