//! `try: .. except CancelledError`, and its `raise`: the plainest scope.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::{Exit, Scoped, Sort, by_error, by_nothing};
use crate::error::{Cancelled, Outcome};
use crate::task::current;

pin_project! {
    /// The future of [`catch_cancelled`].
    #[must_use = "futures do nothing unless they are polled"]
    #[derive(Debug)]
    pub struct CatchCancelled<F> where F: Future {
        #[pin]
        scoped: Scoped<F>,
        sort: Sort<F::Output>,
    }
}

impl<F: Future> Future for CatchCancelled<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.scoped.poll(context, false, *this.sort).map(|exit| match exit {
            Exit::Value(value) => Ok(value),
            Exit::Unwound { cancelled, .. } => Err(cancelled),
        })
    }
}

/// Runs `future` and catches its cancellation: `try .. except CancelledError`.
///
/// When the task is asked to end while it is suspended inside, `future` is dropped, and this
/// returns `Err`: the code that follows cleans up, with awaits if need be (nothing interrupts it
/// again unless a new request arrives, CAN-27), and then lets the cancellation go on with
/// [`raise`](Cancelled::raise) or swallows it (CAN-11). The task's count of requests stays as it
/// is; [`uncancel`](crate::TaskRef::uncancel) takes one back.
///
/// An output of `Err` whose error is a cancellation counts as one, too. For futures with other
/// outputs than a task's, see [`catch_cancelled_any`].
///
/// # Several at once
/// A task that awaits several futures at once, in a `join!` say, is unwound wherever one of them
/// stands in a scope: this, a timeout, a group. Each such scope is told. A future that stands in
/// none is not, if another one is: it goes on, and is dropped only if what was told raises. If none
/// stands in a scope, all are dropped together. So whoever wants a `join!` unwound as one puts one
/// scope around it.
///
/// # Errors
/// [`Cancelled`], if `future` was unwound.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use filch::{catch_cancelled, sleep, spawn};
///
/// let main = async {
///     let task = spawn(async {
///         if let Err(cancelled) = catch_cancelled(sleep(Duration::from_secs(3600))).await {
///             sleep(Duration::from_secs(1)).await; // clean up
///             cancelled.raise().await;
///         }
///         Ok(())
///     });
///     sleep(Duration::from_secs(1)).await;
///     task.cancel();
///     assert!(task.await.unwrap_err().is_cancelled());
///     Ok(())
/// };
/// filch::sim::run(0, main).unwrap();
/// ```
#[doc(alias("CancelledError", "except", "finally"))]
pub fn catch_cancelled<F>(future: F) -> CatchCancelled<F::IntoFuture>
where
    F: IntoFuture<Output: Outcome>,
{
    CatchCancelled { scoped: Scoped::new(future.into_future()), sort: by_error }
}

/// As [`catch_cancelled`], for a future with any output; it sees unwinding only.
///
/// # Errors
/// [`Cancelled`], if `future` was unwound.
pub fn catch_cancelled_any<F: IntoFuture>(future: F) -> CatchCancelled<F::IntoFuture> {
    CatchCancelled { scoped: Scoped::new(future.into_future()), sort: by_nothing }
}

impl Cancelled {
    /// Lets the cancellation go on: unwinds the scope that this stands in, or ends the task.
    ///
    /// It never returns; what stands beside it, in a `select!` or a `join!`, is unwound with it.
    ///
    /// # Panics
    /// Outside a task.
    pub async fn raise(self) -> ! {
        let mut message = Some(self.into_message());
        std::future::poll_fn(|context| {
            let message = message.take().flatten();
            current::with(|current| current.unwind(message, context.waker())).unwrap_or_else(
                || panic!("a cancellation can be raised only inside a task: return it as an error"),
            );
            Poll::<std::convert::Infallible>::Pending
        })
        .await;
        unreachable!("an unwound future is polled again")
    }
}
