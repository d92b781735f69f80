//! Task groups: tasks that end before the block that started them does.
//!
//! The group's future runs the body, in a scope of its own, and then waits for the children; both
//! are one scope (`task::grouped`). `children` keeps the list and decides who is refused and when
//! all are asked to end.

use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::error::{Cancelled, Error, Message, Outcome, Result};
use crate::runtime::{Handle, TaskBuilder};
use crate::scope::children::{Children, GroupRefused, Reserved};
use crate::sys::{Arc, Mutex};
use crate::task::current;
use crate::task::grouped::{Grouped, Trigger};
use crate::task::handle::Task;
use crate::task::unwind::by_error;

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

struct Shared {
    children: Arc<Children>,
    /// Where the parent runs, from its first poll on.
    handle: Mutex<Option<Handle>>,
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

    #[track_caller]
    fn start_or_fail<F, T>(&self, builder: TaskBuilder, future: F, eagerly: bool) -> Task<T>
    where
        F: Future<Output: Outcome<Value = T>> + Send + 'static,
        T: Send + 'static,
    {
        let location = Location::caller();
        self.start(builder, future, eagerly, location).unwrap_or_else(|refused| {
            let failed = std::future::ready(Err(refused.into()));
            TaskBuilder::new().start_in(&self.handle(), failed, true, location)
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
        let task = builder.start_in(&self.handle(), future, eagerly, location);
        reserved.admit(&task);
        Ok(task)
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

/// How the body ended.
enum Body<T> {
    Value(T),
    Failed(Error),
    /// A request came, here or in the wait, and nothing else.
    Cancelled(Option<Message>),
}

/// Where the group is in its life.
enum Stage<T> {
    Created,
    Body,
    Wait(Body<T>),
    /// Over, but for a request that goes on: whoever polls it again is unwound again.
    Passed,
}

pin_project! {
    /// The future of [`task_group`].
    #[must_use = "futures do nothing unless they are polled"]
    pub struct GroupScope<F> where F: Future<Output: Outcome> {
        #[pin]
        grouped: Grouped<F>,
        stage: Stage<<F::Output as Outcome>::Value>,
        shared: Arc<Shared>,
    }

    impl<F> PinnedDrop for GroupScope<F> where F: Future<Output: Outcome> {
        fn drop(this: Pin<&mut Self>) {
            this.project().shared.children.abandon();
        }
    }
}

impl<F: Future<Output: Outcome>> Future for GroupScope<F> {
    type Output = Result<<F::Output as Outcome>::Value>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        if let Stage::Created = this.stage {
            *this.shared.handle.lock() = Handle::try_current().ok();
            this.shared.children.open();
            *this.stage = Stage::Body;
        }
        match this.stage {
            Stage::Created | Stage::Body => {
                let body = ready!(self.as_mut().poll_body(context));
                let this = self.as_mut().project();
                *this.stage = Stage::Wait(body);
                this.shared.children.exit();
                self.poll_wait(context, true)
            }
            Stage::Wait(_) => self.poll_wait(context, false),
            Stage::Passed => go_on(None),
        }
    }
}

impl<F: Future<Output: Outcome>> GroupScope<F> {
    /// Polls the body. However it ends, other than by a value, its children are asked to end.
    fn poll_body(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Body<<F::Output as Outcome>::Value>> {
        let mut this = self.project();
        let poll = || this.grouped.as_mut().poll_body(context, by_error);
        let ended = match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(polled) => match ready!(polled) {
                Ok(output) => output.into_result().map_or_else(Body::Failed, Body::Value),
                Err(cancelled) => Body::Cancelled(cancelled.into_message()),
            },
            // It waits for its children even so, and is an error like others (TG-13).
            Err(payload) => {
                this.grouped.drop_body();
                Body::Failed(Error::panic(payload))
            }
        };
        if !matches!(ended, Body::Value(_)) {
            this.shared.children.abort();
        }
        Poll::Ready(ended)
    }

    /// Waits for the children. `begun`: the body has ended just now.
    fn poll_wait(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        begun: bool,
    ) -> Poll<Result<<F::Output as Outcome>::Value>> {
        let mut this = self.project();
        let children = &this.shared.children;
        if !begun {
            let cancelled = this.grouped.as_mut().poll_wait(context, false);
            take(children, this.stage, cancelled);
        }
        let Some(mut errors) = children.finish() else {
            if begun {
                let cancelled = this.grouped.as_mut().poll_wait(context, true);
                take(children, this.stage, cancelled);
            }
            return Poll::Pending;
        };
        let Stage::Wait(body) = std::mem::replace(this.stage, Stage::Passed) else {
            unreachable!("a group waits after its body");
        };
        let ended = match body {
            Body::Failed(error) => {
                errors.push(error);
                None
            }
            Body::Value(value) => Some(Ok(value)),
            Body::Cancelled(message) => Some(Err(message)),
        };
        this.grouped.leave(!errors.is_empty());
        match ended {
            _ if !errors.is_empty() => Poll::Ready(Err(Error::group(errors))),
            Some(Ok(value)) => Poll::Ready(Ok(value)),
            Some(Err(message)) => go_on(message),
            None => unreachable!("the body's error is one of the errors"),
        }
    }
}

/// A request arrives in the wait. The first one makes the children end, too, and goes on when they
/// have (TG-06); further ones only count.
fn take<T>(children: &Children, stage: &mut Stage<T>, cancelled: Option<Cancelled>) {
    if let Some(cancelled) = cancelled
        && children.abort()
    {
        *stage = Stage::Wait(Body::Cancelled(cancelled.into_message()));
    }
}

/// Lets a request go on to the scope around.
fn go_on<T>(message: Option<Message>) -> Poll<T> {
    current::with(|current| current.unwind(message));
    Poll::Pending
}

impl<F: Future<Output: Outcome>> fmt::Debug for GroupScope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GroupScope").field(&self.shared.children).finish()
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
/// A [group](Error::is_group) of all errors: those of the children as they ended, then the body's
/// own (TG-04, TG-05). Even a single error comes in a group.
///
/// # Cancellation
/// A request to the task, in the body or while it waits, is made of all children, too, and goes on
/// when they have ended; if some of them fail, the group of their errors comes instead, and the
/// request arrives at the next await (TG-06, TG-07, TG-10). Dropped half-way, the group asks its
/// children to end, and they clean up as tasks without a parent.
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
    GroupScope { grouped: Grouped::new(body, trigger), stage: Stage::Created, shared }
}
