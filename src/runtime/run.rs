//! Running a program: main task in, result out, all closed.

use std::panic::Location;
use std::time::Duration;

use crate::context::{Context, Vars};
use crate::error::{Outcome, Result};
use crate::runtime::builder::{BuildError, Builder};
use crate::runtime::desk::{Desk, Post, Seat};
use crate::runtime::ending::RuntimeShutdown;
use crate::runtime::engine::Engine;
use crate::runtime::handle::{Handle, Which};
use crate::runtime::interrupt::Watch;
use crate::sys::{Arc, Mutex, assert_real, thread};
use crate::task::handle::Task;
use crate::task::memory::{Home, Kind};
use crate::task::raw::{self, First};
use crate::task::{jobs, reasons, vars};

/// Where a runtime cannot be blocked for.
const INSTEAD: &str = "await the future, or spawn it";

/// A set of worker threads that run tasks, with all that belongs to them.
///
/// Dropping it ends it: what is left is cancelled, cleans up and is awaited; what still refuses
/// after the [grace period](Builder::grace) is named in the log and dropped. Closures on
/// threads that run are waited for, too, within that time. Inside a task or a callback, and
/// wherever else a worker drops it, nothing may block: there it ends in a thread of its own
/// instead, which nobody waits for, and which the end of the process cuts short: await
/// [`shutdown`](Runtime::shutdown) there. Several runtimes may live in one process.
///
/// # Forks
/// A process that forks leaves its threads behind: the child has a copy of this, but nobody to run
/// it. What promises the following is a fork by a thread outside of any task:
/// - The child may begin another program, or just end; the parent takes no notice of it.
/// - It may drop the runtime, its tasks' handles and its sockets. Nothing waits for a thread that
///   is not there, and nothing is taken from the parent: no task of it is cancelled, no socket is
///   closed. What the tasks hold is not dropped in the child.
/// - It may begin a runtime of its own.
///
/// All else that it does to its parent's runtime is an error: [`block_on`](Runtime::block_on)
/// panics; a task that is spawned there never runs, and who waits for one waits for ever. A fork
/// from inside a task must begin another program or end: returning from there would go on with
/// the worker's work, a second time.
///
/// # Examples
///
/// ```
/// let runtime = filch::Runtime::new().unwrap();
/// let sum = runtime.block_on(async {
///     let task = filch::spawn(async { Ok(20) });
///     Ok(task.await? + 22)
/// });
/// assert_eq!(sum.unwrap(), 42);
/// ```
#[derive(Debug)]
#[doc(alias("asyncio.Runner", "new_event_loop"))]
pub struct Runtime {
    handle: Handle,
    grace: Duration,
    /// What main tasks see, one after the other (RUN-06).
    vars: Mutex<Vars>,
    ctrl_c: bool,
    /// It has been shut down: to drop it ends nothing.
    ended: bool,
}

/// Runs a program on a runtime of its own, to its end: `asyncio.run`.
///
/// The main future is a task, polled on this thread; it need not be `Send`. When it has ended, in
/// whatever way, the tasks that are left are cancelled, clean up and are awaited (RUN-03).
///
/// On the program's main thread, Ctrl-C (SIGINT) cancels the main task, which may clean up, with
/// awaits, or go on. A second one ends the main task by force, and a third one the process
/// (RUN-07). A program with a handler of its own for that signal runs on a [`Runtime`] instead,
/// which leaves it alone unless it is [told to](Builder::ctrl_c).
///
/// # Errors
/// What `main` ends with; or a [`BuildError`], if the runtime cannot be started; or
/// [`Interrupted`](crate::Interrupted), if Ctrl-C has ended it (RUN-08).
///
/// # Panics
/// Inside a task or a callback: await the future there, or spawn it. In a closure of a simulation.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// filch::run(async {
///     filch::sleep(Duration::from_millis(1)).await;
///     println!("hello");
/// })
/// .unwrap();
/// ```
#[track_caller]
#[doc(alias("asyncio.run", "main"))]
pub fn run<F, T>(main: F) -> Result<T>
where
    F: Future<Output: Outcome<Value = T>>,
{
    assert_real();
    refuse("`run`");
    let on_main_thread = thread::current().name() == Some("main");
    Runtime::builder().ctrl_c(on_main_thread).build()?.block_on(main)
}

/// Panics where no main task can be run.
#[track_caller]
fn refuse(what: &str) {
    jobs::refuse_to_block(what, INSTEAD);
    let why = "in a closure of a simulation would go by the simulation's clock";
    assert!(!reasons::is_simulating(), "{what} {why}: use a plain thread");
}

impl Runtime {
    /// Starts a runtime with default settings.
    ///
    /// # Errors
    /// As of [`Builder::build`].
    pub fn new() -> Result<Runtime, BuildError> {
        Runtime::builder().build()
    }

    /// Begins a runtime with settings of its own.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new_over(engine: Arc<Engine>, grace: Duration, ctrl_c: bool) -> Self {
        Runtime {
            handle: Handle::threads(engine),
            grace,
            vars: Mutex::new(vars::capture()),
            ctrl_c,
            ended: false,
        }
    }

    /// Returns a handle, for other threads.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs a future to its end, blocking this thread: `run_until_complete`.
    ///
    /// The future is a task: it can be cancelled, and is listed among the others; only this thread
    /// polls it, so it need not be `Send`, and may borrow. Tasks that it leaves behind run on. The
    /// context variables that it sets are seen by the next one (RUN-06).
    ///
    /// # Errors
    /// What the future ends with; [`Interrupted`](crate::Interrupted), if this runtime
    /// [listens](Builder::ctrl_c) and Ctrl-C has ended it.
    ///
    /// # Panics
    /// Inside a task or a callback: await the future there, or spawn it. In a closure of a
    /// simulation; in a forked process, where this [cannot run](Runtime#forks).
    #[track_caller]
    pub fn block_on<F, T>(&self, main: F) -> Result<T>
    where
        F: Future<Output: Outcome<Value = T>>,
    {
        self.refuse_in_fork();
        let vars = self.vars.lock().clone();
        let (result, vars) = self.block(main, vars, Location::caller());
        let former = std::mem::replace(&mut *self.vars.lock(), vars);
        drop(former);
        result
    }

    /// As [`block_on`](Runtime::block_on), in this context, as it is, instead of the runtime's own.
    ///
    /// # Errors
    /// As of [`block_on`](Runtime::block_on).
    ///
    /// # Panics
    /// As [`block_on`](Runtime::block_on).
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::{Context, Runtime};
    ///
    /// filch::context_var! {
    ///     static USER: &'static str;
    /// }
    ///
    /// let (runtime, context) = (Runtime::new().unwrap(), Context::new());
    /// runtime.block_on_in(&context, async { drop(USER.set("ada")) }).unwrap();
    /// assert_eq!(context.get(&USER), Some("ada"));
    /// assert_eq!(runtime.block_on(async { Ok(USER.get()) }).unwrap(), None);
    /// ```
    #[track_caller]
    pub fn block_on_in<F, T>(&self, context: &Context, main: F) -> Result<T>
    where
        F: Future<Output: Outcome<Value = T>>,
    {
        self.refuse_in_fork();
        self.block(main, Vars::shared(context.clone()), Location::caller()).0
    }

    /// Ends the runtime as dropping it does, without blocking: it begins to end at this call, in a
    /// thread of its own, and the future is ready when it has ended.
    ///
    /// # Cancellation
    /// Only the waiting ends; so it does if the future is dropped. A task that ends its own runtime
    /// is one of those that are cancelled by it.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::{Runtime, catch_cancelled, sleep};
    /// use std::time::Duration;
    ///
    /// let main = async {
    ///     let inner = Runtime::new()?;
    ///     let (begun, begins) = filch::sync::oneshot::channel();
    ///     let task = inner.handle().spawn(async move {
    ///         let _ = begun.send(());
    ///         let ended = catch_cancelled(sleep(Duration::from_secs(3600))).await;
    ///         sleep(Duration::from_millis(1)).await; // clean up
    ///         Ok(ended.is_err())
    ///     });
    ///     begins.await?;
    ///     inner.shutdown().await;
    ///     assert!(task.is_finished());
    ///     assert!(task.await?, "it was cancelled");
    ///     Ok(())
    /// };
    /// filch::run(main).unwrap();
    /// ```
    #[doc(alias("Runner.close", "shutdown_timeout", "shutdown_background"))]
    pub fn shutdown(mut self) -> RuntimeShutdown {
        self.ended = true;
        match self.engine().reactor().is_copy() {
            true => RuntimeShutdown::over(),
            false => RuntimeShutdown::begin(self.engine(), self.grace),
        }
    }

    /// Runs a main task to its end; gives what has become of its context variables, too.
    #[track_caller]
    fn block<F, T>(
        &self,
        main: F,
        vars: Vars,
        location: &'static Location<'static>,
    ) -> (Result<T>, Vars)
    where
        F: Future<Output: Outcome<Value = T>>,
    {
        refuse("`block_on`");
        let desk = Arc::new(Desk::new());
        let home =
            Home::new(Box::new(Post(desk.clone(), self.handle.settings().clone())), Kind::Shared);
        let _entered = self.handle.enter();
        // SAFETY: the task is polled and dropped on this thread only, and has ended before this
        // call, and with it all that `main` borrows, does: `Seat` sees to that.
        let (runnable, task) = unsafe { raw::new(&home, main, location, First::Queued) };
        // SAFETY: `task` was made just now, with this type of value.
        let task = unsafe { Task::new(task) };
        task.set_vars(vars);
        let known = task.task_ref();
        let watch = self.ctrl_c.then(|| Watch::begin(task.task_ref(), desk.clone())).flatten();
        let seat = Seat::new(self.engine(), &desk, task);
        runnable.queue();
        let result = seat.wait();
        let result = match watch {
            Some(watch) => watch.judge(result),
            None => result,
        };
        (result, known.header().vars(Vars::clone))
    }

    /// Before any lock of it is taken: in a fork, whoever held one will not come back.
    #[track_caller]
    fn refuse_in_fork(&self) {
        assert!(
            !self.engine().reactor().is_copy(),
            "after a fork this runtime has no threads: begin another one in the child"
        );
    }

    fn engine(&self) -> &Arc<Engine> {
        match &*self.handle.0 {
            Which::Threads(engine) => engine,
            _ => unreachable!("a runtime has threads"),
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let (engine, grace) = (self.engine().clone(), self.grace);
        if self.ended || engine.reactor().is_copy() {
            return;
        }
        if !jobs::must_not_block() {
            return engine.shut_down(grace);
        }
        // A task that drops a runtime, perhaps its own, must not wait for itself; nor must a worker
        // that drops what a task has left.
        drop(RuntimeShutdown::begin(&engine, grace));
    }
}
