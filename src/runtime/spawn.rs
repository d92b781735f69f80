//! How tasks are started: from a queue, or here and now.

use std::panic::Location;
use std::pin::Pin;
use std::task::{self, Poll};

use crate::context::{Context, Vars};
use crate::error::Outcome;
use crate::runtime::Handle;
use crate::task::current;
use crate::task::handle::Task;
use crate::task::raw::{self, First, TaskRef};

/// Starts a task: queues its first poll and returns at once (TASK-01).
///
/// The future ends with [`Result<T>`](crate::Result), `()` or `!`; an error or a panic in it is
/// the task's outcome, and nobody else's business.
///
/// # Panics
/// Outside a runtime. (In a runtime that is ending, the future is dropped, and the task ends
/// cancelled.)
///
/// # Examples
///
/// ```
/// filch::sim::run(0, async {
///     let task = filch::spawn(async { Ok(std::fs::read("/no/such/file")?) });
///     assert!(task.await.unwrap_err().is::<std::io::Error>());
///     Ok(())
/// }).unwrap();
/// ```
#[track_caller]
#[must_use = "a task that is not kept runs on detached: say so with `detach`"]
#[doc(alias("asyncio.create_task", "asyncio.ensure_future"))]
pub fn spawn<F, T>(future: F) -> Task<T>
where
    F: Future<Output: Outcome<Value = T>> + Send + 'static,
    T: Send + 'static,
{
    let location = Location::caller();
    Handle::with_current(|handle| handle.start(future, location))
}

/// Starts a task by running it at once, up to its first suspension (EAG-01).
///
/// If it ends there, it was never queued. Inside it, it is the current task; afterwards the
/// caller is again (EAG-06). Eager starts nest at most 64 deep; beyond that, they are queued.
///
/// # Panics
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// filch::sim::run(0, async {
///     let task = filch::spawn_eager(async { Ok(1) });
///     assert!(task.is_finished());
///     Ok(())
/// }).unwrap();
/// ```
#[track_caller]
#[must_use = "a task that is not kept runs on detached: say so with `detach`"]
#[doc(alias("asyncio.eager_task_factory", "eager_start"))]
pub fn spawn_eager<F, T>(future: F) -> Task<T>
where
    F: Future<Output: Outcome<Value = T>> + Send + 'static,
    T: Send + 'static,
{
    let location = Location::caller();
    Handle::current().start_eagerly(future, TaskBuilder::new(), location)
}

/// Returns the unfinished tasks of this thread's runtime, in the order of their spawning.
///
/// # Panics
/// Outside a runtime.
#[track_caller]
#[doc(alias = "asyncio.all_tasks")]
pub fn all_tasks() -> Vec<TaskRef> {
    Handle::current().all_tasks()
}

/// A task to be started, with what is to be known of it.
///
/// # Examples
///
/// ```
/// filch::sim::run(0, async {
///     let task = filch::TaskBuilder::new().name("reader").spawn(async {});
///     assert_eq!(task.name(), "reader");
///     Ok(())
/// }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder starts nothing until `spawn`"]
pub struct TaskBuilder {
    name: Option<String>,
    context: Option<Context>,
}

impl TaskBuilder {
    /// Begins a task without a name of its own.
    pub fn new() -> Self {
        TaskBuilder::default()
    }

    /// Names the task, for logs and reports.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Has the task run in this context, as it is (CTX-02); else it has a copy of the spawner's.
    ///
    /// Tasks that share a context see each other's changes, and are polled one at a time (CTX-12).
    pub fn context(mut self, context: &Context) -> Self {
        self.context = Some(context.clone());
        self
    }

    /// Starts it as [`spawn`] does.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    #[must_use = "a task that is not kept runs on detached: say so with `detach`"]
    pub fn spawn<F, T>(self, future: F) -> Task<T>
    where
        F: Future<Output: Outcome<Value = T>> + Send + 'static,
        T: Send + 'static,
    {
        let location = Location::caller();
        Handle::with_current(|handle| handle.start_with(future, self, location))
    }

    /// Starts it as [`spawn_eager`] does; if somebody else is in its context, as [`spawn`] does.
    ///
    /// # Panics
    /// Outside a runtime.
    #[track_caller]
    #[must_use = "a task that is not kept runs on detached: say so with `detach`"]
    pub fn spawn_eager<F, T>(self, future: F) -> Task<T>
    where
        F: Future<Output: Outcome<Value = T>> + Send + 'static,
        T: Send + 'static,
    {
        let location = Location::caller();
        Handle::current().start_eagerly(future, self, location)
    }
}

impl TaskBuilder {
    /// Tells a new task, which has not run yet, what it was given.
    #[inline]
    fn tell(self, task: &TaskRef) {
        if let Some(name) = self.name {
            task.set_name(name);
        }
        if let Some(context) = self.context {
            task.set_vars(Vars::shared(context));
        }
    }
}

impl TaskBuilder {
    /// Starts it in that runtime, for rooms above; `tell` is told of the task before it is queued.
    pub(crate) fn start_in<F, T>(
        self,
        handle: &Handle,
        future: F,
        location: &'static Location<'static>,
        tell: impl FnOnce(&TaskRef),
    ) -> Task<T>
    where
        F: Future<Output: Outcome<Value = T>> + Send + 'static,
        T: Send + 'static,
    {
        handle.start_told(future, location, |task| {
            self.tell(task);
            tell(task);
        })
    }

    /// As [`start_in`](TaskBuilder::start_in), here and now.
    pub(crate) fn start_eagerly_in<F, T>(
        self,
        handle: &Handle,
        future: F,
        location: &'static Location<'static>,
    ) -> Task<T>
    where
        F: Future<Output: Outcome<Value = T>> + Send + 'static,
        T: Send + 'static,
    {
        handle.start_eagerly(future, self, location)
    }
}

impl Handle {
    pub(crate) fn start<F, T>(&self, future: F, location: &'static Location<'static>) -> Task<T>
    where
        F: Future<Output: Outcome<Value = T>> + Send + 'static,
        T: Send + 'static,
    {
        self.start_told(future, location, |_| ())
    }

    fn start_with<F, T>(
        &self,
        future: F,
        given: TaskBuilder,
        location: &'static Location<'static>,
    ) -> Task<T>
    where
        F: Future<Output: Outcome<Value = T>> + Send + 'static,
        T: Send + 'static,
    {
        self.start_told(future, location, |task| given.tell(task))
    }

    /// Queues a new task, which is told something first.
    #[inline]
    fn start_told<F, T>(
        &self,
        future: F,
        location: &'static Location<'static>,
        tell: impl FnOnce(&TaskRef),
    ) -> Task<T>
    where
        F: Future<Output: Outcome<Value = T>> + Send + 'static,
        T: Send + 'static,
    {
        let admitted = self.admit();
        let (home, first) = match &admitted {
            Some((home, _)) => (*home, First::Queued),
            None => (self.home(), First::Eager),
        };
        // SAFETY: the future and its value are `Send` and own all they use.
        let (runnable, task) = unsafe { raw::new(home, future, location, first) };
        tell(&task);
        match first {
            First::Queued => runnable.queue(),
            First::Eager | First::Never => runnable.refuse(),
        }
        // Until here, the end of the runtime waits for a thread that is none of its own.
        drop(admitted);
        // SAFETY: `task` is the reference made with it, and `T` the type of its value.
        unsafe { Task::new(task) }
    }

    fn start_eagerly<F, T>(
        &self,
        future: F,
        given: TaskBuilder,
        location: &'static Location<'static>,
    ) -> Task<T>
    where
        F: Future<Output: Outcome<Value = T>> + Send + 'static,
        T: Send + 'static,
    {
        let turn = given.context.as_ref().map(Context::enter);
        let nests = current::may_nest() && !matches!(turn, Some(Err(_)));
        let Some((home, pass)) = self.admit().filter(|_| nests) else {
            drop(turn);
            return self.start_with(future, given, location);
        };
        // SAFETY: as in `start`.
        let (runnable, task) = unsafe { raw::new(home, future, location, First::Eager) };
        given.tell(&task);
        // From here on it is one of the live, and its end is awaited.
        drop(pass);
        runnable.run_eagerly();
        drop(turn);
        // SAFETY: as in `start`.
        unsafe { Task::new(task) }
    }
}

/// Lets everything else that is ready run first (TASK-08).
///
/// # Examples
///
/// ```
/// # filch::sim::run(0, async {
/// filch::yield_now().await;
/// # Ok(())
/// # }).unwrap();
/// ```
#[doc(alias = "asyncio.sleep(0)")]
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are polled"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
