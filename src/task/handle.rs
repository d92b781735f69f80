//! The handles of a task: the one that owns its value, and those that anybody may keep.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::{Error, Message, Result};
use crate::sys::{Arc, Condvar, Mutex};
use crate::task::answers::Ending;
use crate::task::cancel;
use crate::task::hooks::{self, Callback, CallbackId};
use crate::task::jobs;
use crate::task::raw::TaskRef;
use crate::task::reasons;
use crate::task::wait::Wait;

/// Tells tasks apart; never used twice in a process, or in a simulated run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub(crate) u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The owner of a task's value: a future of its result.
///
/// Await it by value, or as `&mut Task` if it is to be kept. Dropping it detaches the task, which
/// runs on: an error that nobody ever looks at is then reported through `tracing`. All that does
/// not need the value is said to the [`TaskRef`] that this dereferences to.
///
/// # Errors
/// The task's own error; a cancellation, if it ended cancelled; a panic, if it panicked; misuse,
/// if a task awaits itself (TASK-07).
///
/// # Cancellation
/// A request to the task that awaits goes on to the awaited one, and this waits for what that one
/// makes of it: if it swallows the request, its value arrives as if nothing had happened; if it
/// ends cancelled, the awaiting task is unwound here (CAN-17). A cancellation that somebody else
/// asked for is an `Err` with [`is_cancelled`](Error::is_cancelled) (CAN-18).
///
/// # Panics
/// If it is awaited again after it has given its value.
///
/// # Examples
///
/// ```
/// # filch::sim::run(0, async {
/// let task = filch::spawn(async { Ok(6 * 7) });
/// assert_eq!(task.await?, 42);
/// # Ok(())
/// # }).unwrap();
/// ```
#[doc(alias("asyncio.Task", "JoinHandle"))]
pub struct Task<T> {
    task: ManuallyDrop<TaskRef>,
    wait: Wait,
    value: PhantomData<fn() -> T>,
}

impl<T> Task<T> {
    /// # Safety
    /// `task` is the reference that [`raw::new`](crate::task::raw::new) made, of that output.
    pub(crate) unsafe fn new(task: TaskRef) -> Self {
        Task { task: ManuallyDrop::new(task), wait: Wait::default(), value: PhantomData }
    }

    /// Lets the task run on without a handle.
    pub fn detach(self) {
        drop(self);
    }

    /// Returns a handle that anybody may keep, and that does not own the value.
    pub fn task_ref(&self) -> TaskRef {
        TaskRef::clone(&self.task)
    }

    /// Blocks this plain thread until the task ends: `Future.result()` of
    /// `run_coroutine_threadsafe` (THR-04).
    ///
    /// # Errors
    /// As when it is awaited.
    ///
    /// # Panics
    /// Inside a task or a callback, whose worker it would block: await the task, in a task. Where
    /// its own simulation runs, as in a closure of [`to_thread`](crate::to_thread), unless the task
    /// has ended: it would never go on.
    #[track_caller]
    pub fn wait(mut self) -> Result<T> {
        jobs::refuse_to_block("`wait`", "await the task instead");
        self.task.block();
        self.take()
    }

    /// The outcome of a finished task, on the thread that ran it.
    pub(crate) fn outcome(mut self) -> Result<T> {
        self.take()
    }

    /// The outcome of a finished task.
    pub(crate) fn take(&mut self) -> Result<T> {
        match self.task.error() {
            Some(error) => Err(error),
            None => {
                let mut value = None;
                // SAFETY: the task is done, and this is its one handle, of its type (`new`).
                unsafe { self.task.take_value(&mut value) };
                Ok(value.expect("a task is awaited again after it has given its value"))
            }
        }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let this = &mut *self;
        match this.wait.poll(&this.task, context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(misuse)) => Poll::Ready(Err(misuse)),
            Poll::Ready(Ok(())) => Poll::Ready(this.take()),
        }
    }
}

impl<T> Unpin for Task<T> {}

impl<T> Deref for Task<T> {
    type Target = TaskRef;

    fn deref(&self) -> &TaskRef {
        &self.task
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.task, f)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.wait.leave(&self.task);
        // SAFETY: the field is not touched again.
        TaskRef::drop_handle(ManuallyDrop::new(unsafe { ManuallyDrop::take(&mut self.task) }));
    }
}

impl TaskRef {
    /// Asks the task to end, and returns whether it was still to do so.
    ///
    /// It is a request with a count, not a change of state (CAN-02): it is delivered where the
    /// task is suspended, to its innermost cancel scope; the task may clean up, with awaits, and
    /// may swallow it. If the task awaits another one, the request goes on to that one (CAN-03).
    /// A task that was never polled never runs (CAN-08). A finished task is left alone (CAN-01).
    ///
    /// # Examples
    ///
    /// ```
    /// # filch::sim::run(0, async {
    /// let task = filch::spawn(std::future::pending::<()>());
    /// assert!(task.cancel());
    /// assert!(!task.is_cancelled(), "not yet: it was only asked");
    /// assert_eq!(task.cancelling(), 1);
    /// assert!(task.await.unwrap_err().is_cancelled());
    /// # Ok(())
    /// # }).unwrap();
    /// ```
    #[doc(alias("Task.cancel", "abort", "CancellationToken"))]
    pub fn cancel(&self) -> bool {
        cancel::request(self, None)
    }

    /// As [`cancel`](TaskRef::cancel), saying why: the text arrives with the cancellation, also
    /// through chains of tasks (CAN-20).
    pub fn cancel_with(&self, message: impl Into<Message>) -> bool {
        cancel::request(self, Some(message.into()))
    }

    /// Takes one request back, and returns how many are left (CAN-13).
    ///
    /// At zero, a request that was not delivered yet never happens; one that is on its way
    /// arrives all the same (CAN-14).
    #[doc(alias = "Task.uncancel")]
    pub fn uncancel(&self) -> u32 {
        self.header().state.uncancel()
    }

    /// Returns how many requests to end stand.
    #[doc(alias = "Task.cancelling")]
    pub fn cancelling(&self) -> u32 {
        self.header().state.requests()
    }

    /// Tells whether the task has ended, in whatever way. All it did is visible then (MOD-05).
    #[doc(alias = "Task.done")]
    pub fn is_finished(&self) -> bool {
        self.header().state.is_done()
    }

    /// Tells whether the task has ended by cancellation.
    #[doc(alias = "Task.cancelled")]
    pub fn is_cancelled(&self) -> bool {
        self.header().state.ending() == Some(Ending::Cancelled)
    }

    /// Returns what the task ended with, if it ended with an error or cancelled.
    ///
    /// An error that was looked at is not reported any more.
    #[doc(alias = "Task.exception")]
    pub fn error(&self) -> Option<Error> {
        let header = self.header();
        let ending = header.state.ending()?;
        if ending == Ending::Value {
            return None;
        }
        header.state.see();
        header.state.lock();
        let error = header.with_cold_if_any(|cold| cold.and_then(|cold| cold.error.clone()));
        header.state.unlock();
        Some(error.unwrap_or_else(|| Error::cancelled(None)))
    }

    /// Returns the task's name: what it was given, else `Task-N`, where `N` is its id (TASK-11).
    #[doc(alias = "Task.get_name")]
    pub fn name(&self) -> String {
        self.header().name()
    }

    /// Names the task anew.
    #[doc(alias = "Task.set_name")]
    pub fn set_name(&self, name: impl Into<String>) {
        let name = name.into();
        self.header().state.lock();
        let former = self.header().with_cold(|cold, _| cold.name.replace(name));
        self.header().state.unlock();
        drop(former);
    }

    /// Returns the task's id.
    pub fn id(&self) -> TaskId {
        TaskId(self.header().id())
    }

    /// Returns where in the source the task was spawned.
    pub fn location(&self) -> &'static Location<'static> {
        self.header().location()
    }

    /// Waits until the task has ended, as awaiting its [`Task`] does, but without taking its
    /// value: anybody may, any number of times.
    ///
    /// # Errors
    /// As of [`Task`].
    ///
    /// # Cancellation
    /// As of [`Task`]: it goes on to the awaited task.
    pub fn join(&self) -> Join {
        Join { task: self.clone(), wait: Wait::default() }
    }

    /// Calls `callback` when the task has ended, after all that was registered before; as soon as
    /// may be if it has ended already (FUT-05, FUT-06).
    ///
    /// Callbacks run between polls, on the thread where the task ends: one that blocks holds up
    /// other tasks. They never see a current task, and those of one task never overlap. A panic in
    /// one is contained and reported. They see the context variables of where they were registered
    /// (FUT-09).
    #[doc(alias = "Task.add_done_callback")]
    pub fn add_done_callback(&self, callback: impl FnOnce(TaskRef) + Send + 'static) -> CallbackId {
        let callback = self.header().home().schedule().own(hooks::bind(callback));
        self.add_hook(callback).unwrap_or_else(|callback| {
            hooks::call_late(self, callback);
            CallbackId::default()
        })
    }

    /// Registers a callback, unless the task is done.
    fn add_hook(&self, callback: Callback) -> std::result::Result<CallbackId, Callback> {
        if !self.header().state.lock_unless_done() {
            return Err(callback);
        }
        let key = self.header().with_cold(|cold, _| cold.hooks.add_callback(callback));
        self.header().state.unlock_waited();
        Ok(CallbackId { task: self.header().id(), key })
    }

    /// Forgets a callback, and returns whether it was still to be called, by this task (FUT-07).
    #[doc(alias = "Task.remove_done_callback")]
    pub fn remove_done_callback(&self, id: CallbackId) -> bool {
        id.task == self.header().id() && self.remove_hook(id.key).is_some()
    }

    /// The one task that this one awaits, if it sleeps and awaits exactly one.
    pub(crate) fn awaits(&self) -> Option<TaskRef> {
        let header = self.header();
        header.state.lock_idle().then(|| {
            let awaited = header.published().target().cloned();
            header.state.unlock();
            awaited
        })?
    }

    /// Blocks this thread until the task has ended.
    #[track_caller]
    fn block(&self) {
        // A closure of a simulation may wait for another runtime, which has threads of its own.
        let in_its_simulation =
            reasons::is_simulating() && self.header().home().schedule().is_single();
        assert!(
            self.is_finished() || !in_its_simulation,
            "a simulation runs on this thread, and the task does not go on in it while it is \
             blocked: await the task, in a task"
        );
        let end = Arc::new((Mutex::new(false), Condvar::new()));
        let told = end.clone();
        let tell = move |_: TaskRef| {
            *told.0.lock() = true;
            told.1.notify_one();
        };
        if self.add_hook(Box::new(tell)).is_err() {
            return;
        }
        let mut done = end.0.lock();
        while !*done {
            done = end.1.wait(done);
        }
    }
}

/// What happens to a task is one step of its state word. A panic in a poll is the task's end; one
/// in whatever else of users' code runs is contained.
impl UnwindSafe for TaskRef {}
/// As above.
impl RefUnwindSafe for TaskRef {}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.header().state.ending() {
            Some(Ending::Value) => "finished",
            Some(Ending::Failed) => "failed",
            Some(Ending::Cancelled) => "cancelled",
            None if self.cancelling() > 0 => "cancelling",
            None => "pending",
        };
        write!(f, "<{} {status} at {}>", self.name(), self.location())
    }
}

impl Hash for TaskRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

/// The future of [`TaskRef::join`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are polled"]
pub struct Join {
    task: TaskRef,
    wait: Wait,
}

impl Join {
    pub(crate) fn awaited(&self) -> &TaskRef {
        &self.task
    }
}

impl Future for Join {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        match this.wait.poll(&this.task, context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(misuse)) => Poll::Ready(Err(misuse)),
            Poll::Ready(Ok(())) => Poll::Ready(this.task.error().map_or(Ok(()), Err)),
        }
    }
}

impl Drop for Join {
    fn drop(&mut self) {
        self.wait.leave(&self.task);
    }
}
