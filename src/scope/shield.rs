//! Awaiting a task without passing requests on to it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::error::Result;
use crate::scope::task_handle::TaskHandle;
use crate::task::several::{Enough, Watch};

/// The future of [`shield`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are polled"]
pub struct Shield<H> {
    task: Option<H>,
    watch: Watch,
}

impl<H> Unpin for Shield<H> {}

impl<H: TaskHandle> Future for Shield<H> {
    type Output = Result<H::Value>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.watch.poll(context.waker()));
        let task = self.task.take().expect("a shield is polled after its end");
        Poll::Ready(task.outcome())
    }
}

/// Awaits a task, and keeps requests to end from it.
///
/// When whoever awaits this is asked to end, it ends here, at once, and the task runs on (SHD-03):
/// given by value it is detached then, and an error of it that nobody looks at is reported
/// (SHD-04); to keep it, shield `&mut task`. A task that is done already is not waited for
/// (SHD-01). To shield a future, [`spawn`](crate::spawn) it.
///
/// # Errors
/// The task's own. If somebody else cancelled the task, this is an `Err` with
/// [`is_cancelled`](crate::Error::is_cancelled), and the awaiter's
/// [`cancelling`](crate::TaskRef::cancelling) is what it was (SHD-05).
///
/// # Cancellation
/// It does not reach the task.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use filch::{shield, sleep, spawn, timeout};
///
/// # filch::sim::run(0, async {
/// let mut saving = spawn(async {
///     sleep(Duration::from_secs(10)).await;
///     Ok("saved")
/// });
/// let limit = Duration::from_secs(1);
/// assert!(timeout(limit, shield(&mut saving)).await.unwrap_err().is_timeout());
/// assert_eq!(saving.await?, "saved");
/// # Ok(())
/// # }).unwrap();
/// ```
#[doc(alias = "asyncio.shield")]
pub fn shield<H: TaskHandle>(task: H) -> Shield<H> {
    let watch = Watch::new(vec![task.task().clone()], Enough::All, true);
    Shield { task: Some(task), watch }
}
