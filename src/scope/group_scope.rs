//! The future of a task group: the body, then the wait for the children.
//!
//! Both are one scope (`task::grouped`). However the body ends, the children are waited for; who of
//! them is asked to end, and when, is `task::children`'s to say.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::error::{Cancelled, Error, Message, Outcome, Result};
use crate::runtime::Handle;
use crate::scope::task_group::Shared;
use crate::sys::Arc;
use crate::task::children::Children;
use crate::task::current;
use crate::task::grouped::{Grouped, Trigger};
use crate::task::unwind::by_error;

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
    /// With a request that came when all had been asked to end already.
    Wait(Body<T>, Option<Cancelled>),
    /// Over, but for a request that goes on: whoever polls it again is unwound again.
    Passed,
}

pin_project! {
    /// The future of [`task_group`](crate::task_group).
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

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_end(context).map(|ended| ended?.ok_or_else(|| GroupCancelled.into()))
    }
}

/// The task group was [cancelled](crate::TaskGroup::cancel) before its body had given its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupCancelled;

impl fmt::Display for GroupCancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("task group was cancelled before its body had ended")
    }
}

impl std::error::Error for GroupCancelled {}

pin_project! {
    /// The future of [`GroupScope::until_cancelled`].
    #[must_use = "futures do nothing unless they are polled"]
    pub struct UntilCancelled<F> where F: Future<Output: Outcome> {
        #[pin]
        group: GroupScope<F>,
    }
}

impl<F: Future<Output: Outcome>> Future for UntilCancelled<F> {
    type Output = Result<Option<<F::Output as Outcome>::Value>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().group.poll_end(context)
    }
}

impl<F: Future<Output: Outcome>> GroupScope<F> {
    pub(super) fn new(body: F, trigger: Arc<Trigger>, shared: Arc<Shared>) -> Self {
        GroupScope { grouped: Grouped::new(body, trigger), stage: Stage::Created, shared }
    }

    /// Takes an early end as a result: gives `None` if the group was
    /// [cancelled](crate::TaskGroup::cancel) before its body had given its value.
    ///
    /// # Errors
    /// As of [`task_group`](crate::task_group), but for [`GroupCancelled`].
    ///
    /// # Cancellation
    /// As of [`task_group`](crate::task_group).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use filch::{sleep, task_group};
    ///
    /// # filch::sim::run(0, async {
    /// let ended = task_group(async |group| {
    ///     group.spawn(sleep(Duration::from_secs(3600)));
    ///     sleep(Duration::from_secs(1)).await;
    ///     group.cancel();
    ///     sleep(Duration::from_secs(3600)).await;
    ///     Ok("never")
    /// });
    /// assert_eq!(ended.until_cancelled().await?, None);
    /// # Ok(())
    /// # }).unwrap();
    /// ```
    pub fn until_cancelled(self) -> UntilCancelled<F> {
        UntilCancelled { group: self }
    }

    /// `None`: the group was cancelled, and there is no value.
    fn poll_end(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<<F::Output as Outcome>::Value>>> {
        let this = self.as_mut().project();
        let mut cancelled = false;
        if let Stage::Created = this.stage {
            *this.shared.handle.lock() = Handle::try_current().ok();
            cancelled = this.shared.children.open();
            *this.stage = Stage::Body;
        }
        match this.stage {
            Stage::Created | Stage::Body => {
                let body = ready!(self.as_mut().poll_body(context, cancelled));
                let this = self.as_mut().project();
                *this.stage = Stage::Wait(body, None);
                this.shared.children.exit();
                self.poll_wait(context, true)
            }
            Stage::Wait(..) => self.poll_wait(context, false),
            Stage::Passed => go_on(None, context),
        }
    }

    /// Polls the body. However it ends, other than by a value, its children are asked to end.
    /// `cancelled`: before it began; it is interrupted as if that were the first thing it did.
    fn poll_body(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        cancelled: bool,
    ) -> Poll<Body<<F::Output as Outcome>::Value>> {
        let mut this = self.project();
        let begin = || {
            if cancelled {
                this.shared.children.interrupt();
            }
        };
        let poll = || this.grouped.as_mut().poll_body(context, by_error, begin);
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
    ) -> Poll<Result<Option<<F::Output as Outcome>::Value>>> {
        let mut this = self.project();
        let children = &this.shared.children;
        if !begun {
            let cancelled = this.grouped.as_mut().poll_wait(context, false);
            take(children, this.stage, cancelled);
        }
        let Some((mut errors, cancelled)) = children.finish() else {
            if begun {
                let cancelled = this.grouped.as_mut().poll_wait(context, true);
                take(children, this.stage, cancelled);
            }
            return Poll::Pending;
        };
        let Stage::Wait(body, late) = std::mem::replace(this.stage, Stage::Passed) else {
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
        // Cancelled, and by nobody else: that ends here.
        let alone = this.grouped.leave(!errors.is_empty()) && cancelled;
        match (ended, late) {
            _ if !errors.is_empty() => Poll::Ready(Err(Error::group(errors))),
            (Some(Ok(_)), Some(late)) if cancelled && !alone => go_on(late.into_message(), context),
            (Some(Ok(value)), _) => Poll::Ready(Ok(Some(value))),
            (Some(Err(_)), _) if alone => Poll::Ready(Ok(None)),
            (Some(Err(message)), late) => {
                go_on(message.or_else(|| late.and_then(Cancelled::into_message)), context)
            }
            (None, _) => unreachable!("the body's error is one of the errors"),
        }
    }
}

/// A request arrives in the wait. The first one makes the children end, too, and goes on when they
/// have (TG-06); further ones only count, unless all that came before was the group's cancellation.
fn take<T>(children: &Children, stage: &mut Stage<T>, cancelled: Option<Cancelled>) {
    let (Some(cancelled), Stage::Wait(body, late)) = (cancelled, stage) else { return };
    if children.abort() {
        *body = Body::Cancelled(cancelled.into_message());
    } else {
        late.get_or_insert(cancelled);
    }
}

/// Lets a request go on to the scope around.
fn go_on<T>(message: Option<Message>, context: &Context<'_>) -> Poll<T> {
    current::with(|current| current.unwind(message, context.waker()));
    Poll::Pending
}

impl<F: Future<Output: Outcome>> fmt::Debug for UntilCancelled<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UntilCancelled").field(&self.group).finish()
    }
}

impl<F: Future<Output: Outcome>> fmt::Debug for GroupScope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GroupScope").field(&self.shared.children).finish()
    }
}
