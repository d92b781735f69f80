//! What goes wrong where nobody waits for it, and who is told: the exception handler, or `tracing`.
//!
//! Every home knows the settings of its runtime, so whatever happens to a task or a callback,
//! wherever its last holder lets it go, is reported on behalf of the right runtime, with the
//! context variables of the task or callback that it is about (CTX-05). The handler is never run
//! by two threads at once (DBG-10); what goes wrong inside it goes to `tracing`.
//!
//! Debug mode is a branch on one word of the process as long as no runtime is in it.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::time::Duration;

use crate::driver::clock::Instant;
use crate::error::Error;
use crate::probe;
use crate::sys::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, thread_local};
use crate::task::answers::Ending;
use crate::task::handle::TaskId;
use crate::task::raw::{Header, TaskRef};

/// Something that went wrong where nobody waits for it.
///
/// Made by the runtime for the exception handler that was set with
/// [`Builder::exception_handler`](crate::Builder::exception_handler) or
/// [`Handle::set_exception_handler`](crate::Handle::set_exception_handler) (LOOP-15).
#[derive(Clone)]
pub struct Report {
    message: &'static str,
    error: Option<Error>,
    task: Option<(TaskId, String)>,
    place: Option<&'static Location<'static>>,
    took: Option<Duration>,
}

impl Report {
    /// Begins a report that says `message`.
    pub(crate) fn new(message: &'static str) -> Self {
        Report { message, error: None, task: None, place: None, took: None }
    }

    /// A report about a task.
    pub(crate) fn about(message: &'static str, task: &Header) -> Self {
        let name = task.name();
        let report = Report::new(message).at(task.location());
        Report { task: Some((TaskId(task.id()), name)), ..report }
    }

    pub(crate) fn with_error(self, error: Error) -> Self {
        Report { error: Some(error), ..self }
    }

    pub(crate) fn at(self, place: &'static Location<'static>) -> Self {
        Report { place: Some(place), ..self }
    }

    pub(crate) fn took(self, time: Duration) -> Self {
        Report { took: Some(time), ..self }
    }

    /// Returns what happened.
    pub fn message(&self) -> &str {
        self.message
    }

    /// Returns the error, if there is one.
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Returns the id of the task that it is about.
    pub fn task_id(&self) -> Option<TaskId> {
        self.task.as_ref().map(|(id, _)| *id)
    }

    /// Returns the name of the task that it is about.
    pub fn task_name(&self) -> Option<&str> {
        self.task.as_ref().map(|(_, name)| &**name)
    }

    /// Returns where in the source the task was spawned, or the callback registered.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.place
    }

    /// Returns how long it took, if it is about something slow.
    pub fn duration(&self) -> Option<Duration> {
        self.took
    }

    /// Tells whom the runtime wants told.
    pub(crate) fn tell(&self, settings: Option<&Settings>) {
        match settings {
            Some(settings) => settings.report(self),
            None => self.trace(),
        }
    }

    /// Tells `tracing`.
    fn trace(&self) {
        let (id, name) = match &self.task {
            Some((id, name)) => (Some(id.0), Some(&**name)),
            None => (None, None),
        };
        match self.took {
            Some(took) => probe::slow(self.message, id, name, self.place, took),
            None => probe::reported(self.message, id, name, self.place, self.error.as_ref()),
        }
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One line: the message, and what else is known.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)?;
        if let Some((_, name)) = &self.task {
            write!(f, ": {name}")?;
        }
        if let Some(place) = self.place {
            write!(f, " at {place}")?;
        }
        if let Some(took) = self.took {
            write!(f, " took {took:?}")?;
        }
        if let Some(error) = &self.error {
            write!(f, ": {error}")?;
        }
        Ok(())
    }
}

/// Who is told.
pub(crate) type Handler = Box<dyn Fn(&Report) + Send + Sync>;

/// What one runtime does about reports, and which ones it wants.
pub(crate) struct Settings {
    handler: Mutex<Option<Arc<Handler>>>,
    /// Held while the handler runs.
    handling: Mutex<()>,
    debug: AtomicBool,
    /// What takes so long is slow, in nanoseconds.
    slow: AtomicU64,
}

thread_local! {
    /// This thread is inside a handler.
    static HANDLING: Cell<bool> = const { Cell::new(false) };
}

impl Settings {
    /// What asyncio calls slow.
    pub(crate) const SLOW: Duration = Duration::from_millis(100);

    pub(crate) fn new(debug: bool, slow: Duration, handler: Option<Handler>) -> Self {
        let settings = Settings {
            handler: Mutex::new(handler.map(Arc::new)),
            handling: Mutex::new(()),
            debug: AtomicBool::new(false),
            slow: AtomicU64::new(0),
        };
        settings.set_slow(slow);
        settings.set_debug(debug);
        settings
    }

    pub(crate) fn set_handler(&self, handler: Option<Handler>) {
        let former = std::mem::replace(&mut *self.handler.lock(), handler.map(Arc::new));
        drop(former);
    }

    pub(crate) fn is_debug(&self) -> bool {
        self.debug.load(Ordering::Relaxed)
    }

    pub(crate) fn set_debug(&self, debug: bool) {
        if self.debug.swap(debug, Ordering::Relaxed) != debug {
            probe::count_debugged(debug);
        }
    }

    pub(crate) fn slow(&self) -> Duration {
        Duration::from_nanos(self.slow.load(Ordering::Relaxed))
    }

    pub(crate) fn set_slow(&self, slow: Duration) {
        let nanoseconds = u64::try_from(slow.as_nanos()).unwrap_or(u64::MAX);
        self.slow.store(nanoseconds, Ordering::Relaxed);
    }

    /// Tells the handler; without one, or if it fails, `tracing` (LOOP-16).
    pub(crate) fn report(&self, report: &Report) {
        let handler = self.handler.lock().clone();
        match handler {
            Some(handler) if !HANDLING.with(Cell::get) => self.handle(&handler, report),
            _ => report.trace(),
        }
    }

    fn handle(&self, handler: &Handler, report: &Report) {
        let one_at_a_time = self.handling.lock();
        HANDLING.with(|handling| handling.set(true));
        let handled = catch_unwind(AssertUnwindSafe(|| handler(report)));
        HANDLING.with(|handling| handling.set(false));
        drop(one_at_a_time);
        if let Err(payload) = handled {
            Report::new("the exception handler panicked").with_error(Error::panic(payload)).trace();
            report.trace();
        }
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        self.set_debug(false);
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("debug", &self.is_debug()).finish_non_exhaustive()
    }
}

impl Header {
    /// What it was named, else its kind and its id (TASK-11).
    pub(crate) fn name(&self) -> String {
        self.state.lock();
        let name = self.with_cold_if_any(|cold| cold.and_then(|cold| cold.name.clone()));
        self.state.unlock();
        name.unwrap_or_else(|| format!("{}-{}", self.kind(), self.id()))
    }

    /// The runtime ends, and this task will not: it is dropped while it is pending (DBG-08).
    pub(crate) fn report_refusal(&self) {
        self.report(&Report::about("task refuses to end", self));
    }

    /// The last holder goes: an error that nobody looked at is reported (DBG-06).
    pub(super) fn report_unseen(&self) {
        if self.state.is_unseen() {
            let error = self.with_cold_if_any(|cold| cold.and_then(|cold| cold.error.take()));
            if let Some(error) = error {
                // Its destructor is foreign, and whoever lets go of the task is not.
                probe::contain("the error of a task", || {
                    let report = Report::about("error was never retrieved", self);
                    self.report(&report.with_error(error));
                });
            }
        }
    }

    /// The task is ended by force: in debug mode, that is told (DBG-08).
    pub(super) fn report_destroyed(&self) {
        let debugged = |settings: &Settings| settings.is_debug();
        if probe::is_debugged() && self.home().schedule().settings().is_some_and(debugged) {
            self.report(&Report::about("task was destroyed while it was pending", self));
        }
    }

    /// Reports on behalf of the task's runtime, in the task's context.
    pub(super) fn report(&self, report: &Report) {
        let vars = self.vars(Clone::clone);
        super::vars::enter(vars, || report.tell(self.home().schedule().settings()));
    }
}

impl TaskRef {
    /// The task has ended because its runtime ends: an error then is nobody else's (RUN-03).
    pub(crate) fn report_failed_end(&self) {
        if self.header().state.ending() == Some(Ending::Failed)
            && let Some(error) = self.error()
        {
            let report = Report::about("task failed while its runtime ended", self.header());
            self.header().report(&report.with_error(error));
        }
    }
}

/// Since when something runs, in debug mode.
pub(crate) struct Stopwatch(Option<Instant>);

impl Stopwatch {
    /// Starts, if any runtime is in debug mode.
    #[inline]
    pub(crate) fn start() -> Self {
        Stopwatch(if probe::is_debugged() { Some(Instant::now()) } else { None })
    }

    /// Stops; if this runtime is in debug mode and it took long, says so.
    #[inline]
    pub(crate) fn stop(self, settings: Option<&Settings>, report: impl FnOnce() -> Report) {
        if let (Some(start), Some(settings)) = (self.0, settings) {
            Stopwatch::judge(start, settings, report);
        }
    }

    #[cold]
    fn judge(start: Instant, settings: &Settings, report: impl FnOnce() -> Report) {
        let took = Instant::now().duration_since(start);
        if settings.is_debug() && took >= settings.slow() {
            settings.report(&report().took(took));
        }
    }
}
