//! Task groups: tasks that end before the block that started them does.
//!
//! The group's future (`group_scope`) runs the body, in a scope of its own, and then waits for the
//! children; `children` keeps the list and decides who is refused and when all are asked to end.

use std::fmt;
use std::panic::Location;

use crate::error::{Outcome, Result};
use crate::runtime::{Handle, TaskBuilder};
use crate::scope::group_scope::GroupScope;
use crate::sys::{Arc, Mutex};
use crate::task::children::{Children, GroupRefused, Reserved};
use crate::task::grouped::Trigger;
use crate::task::handle::Task;

/// A handle to a task group: whoever holds one spawns children into it.
///
/// It is given to the body of [`task_group`], and may be cloned and handed on, to children, too.
///
/// # Examples
///
/// Children that spawn their siblings. The plain function is needed: the compiler cannot see that
/// the future of an `async fn` is `Send` if that function spawns itself.
///
/// ```
/// use filch::TaskGroup;
///
/// fn count_down(group: TaskGroup, from: u32) {
///     let next = group.clone();
///     group.spawn(async move {
///         if from > 0 {
///             count_down(next, from - 1);
///         }
///     });
/// }
///
/// # filch::sim::run(0, async {
/// filch::task_group(async |group| {
///     count_down(group, 10);
///     Ok(())
/// }).await
/// # }).unwrap();
/// ```
#[derive(Clone)]
#[doc(alias("asyncio.TaskGroup", "nursery", "JoinSet"))]
pub struct TaskGroup(Arc<Shared>);

pub(super) struct Shared {
    pub(super) children: Arc<Children>,
    /// Where the parent runs, from its first poll on.
    pub(super) handle: Mutex<Option<Handle>>,
}

impl TaskGroup {
    /// Starts a child (TG-01).
    ///
    /// It runs in the runtime that this thread belongs to; on a plain thread, in the parent's. The
    /// group waits for it, so its [`Task`] need not be kept.
    ///
    /// A group that is shutting down, or finished, takes no more children (TG-15): then `future` is
    /// dropped, and the task has ended with [`GroupRefused`]. To be told at once, see
    /// [`try_spawn`](TaskGroup::try_spawn).
    ///
    /// # Panics
    /// Before the group's first poll, outside a runtime.
    #[track_caller]
    #[doc(alias = "TaskGroup.create_task")]
    pub fn spawn<F, T>(&self, future: F) -> Task<T>
    where
        F: Future<Output: Outcome<Value = T>> + Send + 'static,
        T: Send + 'static,
    {
        self.start_or_fail(TaskBuilder::new(), future, false)
    }

    /// As [`spawn`](TaskGroup::spawn), with what the builder says of the task (TG-14).
    ///
    /// # Panics
    /// As [`spawn`](TaskGroup::spawn).
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::TaskBuilder;
    ///
    /// # filch::sim::run(0, filch::task_group(async |group| {
    /// let task = group.spawn_with(TaskBuilder::new().name("reader"), async {});
    /// assert_eq!(task.name(), "reader");
    /// # Ok(())
    /// # })).unwrap();
    /// ```
    #[track_caller]
    pub fn spawn_with<F, T>(&self, builder: TaskBuilder, future: F) -> Task<T>
    where
        F: Future<Output: Outcome<Value = T>> + Send + 'static,
        T: Send + 'static,
    {
        self.start_or_fail(builder, future, false)
    }

    /// As [`spawn`](TaskGroup::spawn), running the child up to its first suspension at once.
    ///
    /// A child that fails there does not interrupt the caller: the group learns of it as of any
    /// other (TG-16).
    ///
    /// # Panics
    /// As [`spawn`](TaskGroup::spawn).
    #[track_caller]
    pub fn spawn_eager<F, T>(&self, future: F) -> Task<T>
    where
        F: Future<Output: Outcome<Value = T>> + Send + 'static,
        T: Send + 'static,
    {
        self.start_or_fail(TaskBuilder::new(), future, true)
    }

    /// As [`spawn`](TaskGroup::spawn), but tells the caller if the group takes no more children.
    ///
    /// # Errors
    /// [`GroupRefused`]; the future is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # filch::sim::run(0, async {
    /// let escaped = filch::task_group(async |group| Ok(group)).await?;
    /// assert!(escaped.try_spawn(async {}).is_err());
    /// # Ok(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn try_spawn<F, T>(&self, future: F) -> Result<Task<T>, GroupRefused>
    where
        F: Future<Output: Outcome<Value = T>> + Send + 'static,
        T: Send + 'static,
    {
        self.start(TaskBuilder::new(), future, false, Location::caller())
    }

    /// Makes the group end early: asks its body and all its children to end. From any thread.
    ///
    /// That is no failure: its goal is reached, or it is not wanted any more. The children clean up
    /// and are waited for; the body is interrupted at its next await, as by a request to its task,
    /// which is taken back when the group ends. Nobody comes in any more, see
    /// [`spawn`](TaskGroup::spawn). A body that has ended, or ends all the same, has given its
    /// value; else there is none, and the group says so: as `None`, if it was asked for what its
    /// body does [`until_cancelled`](crate::GroupScope::until_cancelled), or with the error
    /// [`GroupCancelled`](crate::GroupCancelled). Errors, also of children that clean up, are told
    /// as ever.
    ///
    /// Returns whether this call did that. It did not, if the group was asked before, is over, or
    /// shuts down anyway because somebody failed, or its task is asked to end. Before the group's
    /// first poll, its body is interrupted at its first await.
    ///
    /// # Cancellation
    /// A request to the task that is made before, or meanwhile, is not touched by this, and goes
    /// on when the children have ended; requests from before the group do not concern it.
    ///
    /// # Examples
    ///
    /// The first answer is enough.
    ///
    /// ```
    /// use std::time::Duration;
    /// use filch::{Promise, sleep, task_group};
    ///
    /// # filch::sim::run(0, async {
    /// let answer = Promise::new();
    /// task_group(async |group| {
    ///     for delay in [3, 1, 2] {
    ///         let (group, answer) = (group.clone(), answer.clone());
    ///         group.clone().spawn(async move {
    ///             sleep(Duration::from_secs(delay)).await;
    ///             let _ = answer.set(delay);
    ///             group.cancel();
    ///         });
    ///     }
    ///     Ok(())
    /// }).await?;
    /// assert_eq!(answer.await?, 1);
    /// # Ok(())
    /// # }).unwrap();
    /// ```
    #[doc(alias("TaskGroup.cancel", "nursery.cancel_scope.cancel"))]
    pub fn cancel(&self) -> bool {
        self.0.children.cancel()
    }

    #[track_caller]
    fn start_or_fail<F, T>(&self, builder: TaskBuilder, future: F, eagerly: bool) -> Task<T>
    where
        F: Future<Output: Outcome<Value = T>> + Send + 'static,
        T: Send + 'static,
    {
        let location = Location::caller();
        self.start(builder, future, eagerly, location).unwrap_or_else(|refused| {
            let failed = std::future::ready(Err(refused.into()));
            TaskBuilder::new().start_eagerly_in(&self.handle(), failed, location)
        })
    }

    fn start<F, T>(
        &self,
        builder: TaskBuilder,
        future: F,
        eagerly: bool,
        location: &'static Location<'static>,
    ) -> Result<Task<T>, GroupRefused>
    where
        F: Future<Output: Outcome<Value = T>> + Send + 'static,
        T: Send + 'static,
    {
        let reserved = self.reserve()?;
        if eagerly {
            let task = builder.start_eagerly_in(&self.handle(), future, location);
            reserved.admit(&task);
            return Ok(task);
        }
        // It joins before anybody can run it.
        let start = |handle: &Handle| {
            builder.start_in(handle, future, location, |task| reserved.admit(task))
        };
        Ok(Handle::with_current_or(|| self.0.handle.lock().clone(), start))
    }

    /// A place for one more child, which is spawned next.
    pub(crate) fn reserve(&self) -> Result<Reserved, GroupRefused> {
        Children::reserve(&self.0.children)
    }

    fn handle(&self) -> Handle {
        let current = Handle::try_current().ok();
        let handle = current.or_else(|| self.0.handle.lock().clone());
        handle.unwrap_or_else(Handle::current)
    }
}

impl fmt::Debug for TaskGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.children.fmt(f)
    }
}

/// Runs what `body` makes, and all tasks that are spawned into its group, to their end.
///
/// Leaving the group waits for all children, also for those that other children spawn meanwhile
/// (TG-01). If one fails, all others, and the body, are asked to end, and all of them are waited
/// for (TG-03); a child that is cancelled by itself is no failure (TG-02), so that the body ends a
/// child early by [cancelling](crate::TaskRef::cancel) its task. The body may borrow what stands
/// around it; children own what they use.
///
/// # Errors
/// A [group](crate::Error::is_group) of all errors: those of the children as they ended, then the
/// body's own (TG-04, TG-05). Even a single error comes in a group. Without any:
/// [`GroupCancelled`](crate::GroupCancelled), if the group was [cancelled](TaskGroup::cancel)
/// before its body had given its value.
///
/// # Cancellation
/// A request to the task, in the body or while it waits, is made of all children, too, and goes on
/// when they have ended; if some of them fail, the group of their errors comes instead, and the
/// request arrives at the next await (TG-06, TG-07, TG-10). A body that ends with a cancellation as
/// its error, because it awaits a task that was cancelled, goes the same way. Dropped half-way, the
/// group asks its children to end, unless it has before, and they clean up as tasks without a
/// parent.
///
/// # Panics
/// Outside a task. A panic in the body, or in a child, is an error like others.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use filch::{Error, sleep, task_group};
///
/// # filch::sim::run(0, async {
/// let error = task_group(async |group| {
///     let six = group.spawn(async { Ok(6) });
///     let seven = group.spawn(async { Ok(7) });
///     assert_eq!(six.await? * seven.await?, 42);
///
///     group.spawn(sleep(Duration::from_secs(3600)));
///     group.spawn(async { Err::<(), _>(Error::msg("out of paper")) });
///     Ok(())
/// }).await.unwrap_err();
/// assert_eq!(error.errors()[0].to_string(), "out of paper");
/// # Ok(())
/// # }).unwrap();
/// ```
#[doc(alias("asyncio.TaskGroup", "nursery", "structured concurrency"))]
pub fn task_group<F, Body>(body: Body) -> GroupScope<F>
where
    F: Future<Output: Outcome>,
    Body: FnOnce(TaskGroup) -> F,
{
    let trigger = Arc::new(Trigger::new());
    let children = Arc::new(Children::new(trigger.clone()));
    let shared = Arc::new(Shared { children, handle: Mutex::new(None) });
    let body = body(TaskGroup(shared.clone()));
    GroupScope::new(body, trigger, shared)
}
