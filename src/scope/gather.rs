//! Several tasks awaited as one, for all their values.
//!
//! Unlike in a group, nobody is cancelled when one fails; but a request to whoever awaits the
//! gathering goes to all of them, as an await passes it on to one (`task::several`).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::error::{Error, Message, Result};
use crate::probe;
use crate::scope::task_handle::{TaskHandle, distinct};
use crate::task::current;
use crate::task::notes::{Note, key_of};
use crate::task::raw::TaskRef;
use crate::task::several::{Enough, Watch};

/// What can be gathered: a list of handles of tasks, or a tuple of unlike ones
/// ([`gather!`](crate::gather!)).
pub trait Together {
    /// What they yield when all end well.
    type Values;
    /// How each of them ended.
    type Results;

    #[doc(hidden)]
    fn tasks(&self) -> Vec<TaskRef>;

    #[doc(hidden)]
    fn values(self) -> Result<Self::Values>;

    #[doc(hidden)]
    fn results(self) -> Self::Results;
}

impl<H: TaskHandle> Together for Vec<H> {
    type Values = Vec<H::Value>;
    type Results = Vec<Result<H::Value>>;

    fn tasks(&self) -> Vec<TaskRef> {
        crate::scope::task_handle::tasks(self)
    }

    fn values(self) -> Result<Self::Values> {
        self.into_iter().map(H::outcome).collect()
    }

    fn results(self) -> Self::Results {
        self.into_iter().map(H::outcome).collect()
    }
}

/// Waits for tasks, and stands for all of them in the scope's note.
#[derive(Debug)]
struct Gathering {
    watch: Watch,
    /// The request came back: whoever polls this again is unwound again.
    passed: bool,
}

impl Gathering {
    fn new(tasks: Vec<TaskRef>, enough: Enough) -> Self {
        Gathering { watch: Watch::new(distinct(tasks), enough, true), passed: false }
    }

    /// Waits until it is decided. `Err`: one of them failed, or was cancelled by somebody else.
    fn poll(&mut self, context: &mut Context<'_>, collect: bool) -> Poll<Result<()>> {
        if self.passed {
            return self.go_on(None, context);
        }
        let decided = ready!(self.poll_noted(context));
        let several = self.watch.several();
        let error = decided.and_then(|number| several.tasks()[number].error());
        match error {
            Some(error) if !collect && !error.is_cancelled() => Poll::Ready(Err(error)),
            // What comes back, once all have ended, is the awaiter's own request (GAT-08).
            error if several.answer_request() => {
                self.go_on(error.and_then(Error::into_message), context)
            }
            Some(error) if !collect => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Waits, with a note of all of them in the present scope.
    fn poll_noted(&mut self, context: &mut Context<'_>) -> Poll<Option<usize>> {
        let key = key_of(self.watch.several());
        let carried = current::with(|current| current.claim(key)).unwrap_or_default();
        let polled = self.watch.poll(context.waker());
        match polled {
            Poll::Pending => {
                let note = || Note::Several(self.watch.several().clone(), carried);
                current::with(|current| current.note(note(), context.waker()));
            }
            Poll::Ready(_) if carried.any() => {
                current::with(|current| current.arrived(carried));
            }
            Poll::Ready(_) => {}
        }
        polled
    }

    /// The scope that this stands in is unwound.
    fn go_on<T>(&mut self, message: Option<Message>, context: &Context<'_>) -> Poll<Result<T>> {
        self.passed = true;
        match current::with(|current| current.unwind(message.clone(), context.waker())) {
            Some(()) => Poll::Pending,
            None => Poll::Ready(Err(Error::cancelled(message))),
        }
    }
}

impl Drop for Gathering {
    /// A request that went to the tasks through this comes back to whoever waited: if that is not
    /// the task that drops it now, it is woken to find out.
    fn drop(&mut self) {
        let Some(waker) = self.watch.take_waker() else { return };
        let key = key_of(self.watch.several());
        let own = current::with(|current| {
            current.withdraw(key);
            current.is_own(&waker)
        });
        if own != Some(true) {
            probe::wake(waker.into_waker());
        }
    }
}

/// The future of [`gather`] and [`gather!`](crate::gather!).
#[derive(Debug)]
#[must_use = "futures do nothing unless they are polled"]
pub struct Gather<G> {
    tasks: Option<G>,
    gathering: Gathering,
}

impl<G> Unpin for Gather<G> {}

impl<G: Together> Gather<G> {
    /// Takes errors as results: waits for all tasks, whatever becomes of them, and never fails
    /// (GAT-06).
    ///
    /// # Cancellation
    /// As of [`gather`]; since errors are results, a request that was passed on always unwinds
    /// whoever awaits this, once all tasks have ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::{Error, gather, spawn};
    ///
    /// # filch::sim::run(0, async {
    /// let tasks = [spawn(async { Ok(1) }), spawn(async { Err(Error::msg("no")) })];
    /// let results = gather(tasks).return_errors().await;
    /// assert_eq!(results[0].as_ref().unwrap(), &1);
    /// assert_eq!(results[1].as_ref().unwrap_err().to_string(), "no");
    /// # Ok(())
    /// # }).unwrap();
    /// ```
    #[doc(alias = "return_exceptions")]
    pub fn return_errors(mut self) -> GatherResults<G> {
        let tasks = self.tasks.take();
        let all = tasks.as_ref().map(Together::tasks).unwrap_or_default();
        GatherResults { tasks, gathering: Gathering::new(all, Enough::All) }
    }
}

impl<G: Together> Future for Gather<G> {
    type Output = Result<G::Values>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.gathering.poll(context, false))?;
        Poll::Ready(self.tasks.take().expect("a gathering is polled after its end").values())
    }
}

/// The future of [`Gather::return_errors`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are polled"]
pub struct GatherResults<G> {
    tasks: Option<G>,
    gathering: Gathering,
}

impl<G> Unpin for GatherResults<G> {}

impl<G: Together> Future for GatherResults<G> {
    type Output = G::Results;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Outside a task nobody's request can have come, so there is no error.
        let _: Result<()> = ready!(self.gathering.poll(context, true));
        Poll::Ready(self.tasks.take().expect("a gathering is polled after its end").results())
    }
}

/// Awaits several tasks at once, for all their values, in the order in which they are given
/// (GAT-03).
///
/// The first one that fails ends it at that moment; the others are not cancelled and run on
/// (GAT-04); so does one that somebody else cancels (GAT-05). Where tasks belong together,
/// [`task_group`](crate::task_group) is the better choice. A task that is given twice is one
/// task (GAT-01). For tasks with unlike values, see [`gather!`](crate::gather!).
///
/// # Errors
/// The error of the first task that failed or was cancelled. With
/// [`return_errors`](Gather::return_errors), errors are results.
///
/// # Cancellation
/// A request goes on to all tasks that have not ended (GAT-07). The first that ends cancelled then
/// unwinds whoever awaits this; if all swallow the request, that happens when the last has ended,
/// and their values are lost (GAT-08).
///
/// # Examples
///
/// ```
/// use filch::{gather, spawn};
///
/// # filch::sim::run(0, async {
/// let squares = gather((1..=3).map(|n| spawn(async move { Ok(n * n) }))).await?;
/// assert_eq!(squares, [1, 4, 9]);
/// # Ok(())
/// # }).unwrap();
/// ```
#[doc(alias("asyncio.gather", "join_all", "try_join_all"))]
pub fn gather<H: TaskHandle>(tasks: impl IntoIterator<Item = H>) -> Gather<Vec<H>> {
    gather_together(tasks.into_iter().collect())
}

#[doc(hidden)]
pub fn gather_together<G: Together>(tasks: G) -> Gather<G> {
    let gathering = Gathering::new(tasks.tasks(), Enough::FirstWithoutValue);
    Gather { tasks: Some(tasks), gathering }
}
