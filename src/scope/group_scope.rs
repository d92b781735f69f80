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
    Wait(Body<T>),
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
    pub(super) fn new(body: F, trigger: Arc<Trigger>, shared: Arc<Shared>) -> Self {
        GroupScope { grouped: Grouped::new(body, trigger), stage: Stage::Created, shared }
    }

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
