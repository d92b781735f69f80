//! A result that is set once and awaited by many: what asyncio calls a future.
//!
//! A promise is a task that nobody polls (`task::unpolled`), and a place for its value. So whoever
//! awaits it waits as for a task: a request to end goes on to the promise, which is cancelled by
//! it, and with it all who await it (CAN-03).
//!
//! Model: `loom-tests/promise.rs`.

use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::{Error, Result};
use crate::runtime::Handle;
use crate::sys::{Arc, Mutex};
use crate::task::answers::Ending;
use crate::task::handle::Join;
use crate::task::memory::Home;
use crate::task::raw::TaskRef;
use crate::task::unpolled;

/// A result that is set once, by anybody, and awaited by any number of tasks: `asyncio.Future`.
///
/// Clones are the same promise; each can be awaited, by value or as `&mut`, and so can `&promise`,
/// again and again: everybody gets a clone of the value, or the error. All that does not need the
/// value is said to the [`TaskRef`] that this dereferences to, which also stands for the promise
/// where tasks are asked for: [`cancel`](TaskRef::cancel), [`is_finished`](TaskRef::is_finished),
/// [`error`](TaskRef::error), [`add_done_callback`](TaskRef::add_done_callback).
///
/// Callbacks are never called by whoever sets the result, but soon after, like those of
/// [`Handle::call_soon`], in one queue with them (FUT-05, FUT-06). When the last clone of a pending
/// promise is gone, nobody can set it any more, and it ends cancelled.
///
/// # Errors
/// Awaited: the error that was set, or a cancellation. An error that nobody ever looks at is
/// reported (FUT-13).
///
/// # Cancellation
/// A request to the task that awaits cancels the promise, and with it everybody who awaits it
/// (CAN-03, FUT-04). Dropped for any other reason, the await just ends.
///
/// # Examples
///
/// ```
/// use filch::{Promise, spawn};
///
/// # filch::sim::run(0, async {
/// let promise = Promise::new();
/// let waiters: Vec<_> = (0..3).map(|_| spawn(promise.clone())).collect();
/// promise.set("ready")?;
/// for waiter in waiters {
///     assert_eq!(waiter.await?, "ready");
/// }
/// assert!(promise.set("again").is_err());
/// # Ok(())
/// # }).unwrap();
/// ```
#[doc(alias("asyncio.Future", "loop.create_future", "oneshot"))]
pub struct Promise<T> {
    shared: Arc<Shared<T>>,
    join: Option<Join>,
}

struct Shared<T> {
    task: TaskRef,
    value: Mutex<Option<Arc<T>>>,
}

/// The promise has its result already, or has been cancelled (FUT-02).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "InvalidStateError")]
pub struct InvalidState(());

impl fmt::Display for InvalidState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("promise has its result already, or is cancelled")
    }
}

impl std::error::Error for InvalidState {}

impl<T> Promise<T> {
    /// Makes a promise of this thread's runtime.
    ///
    /// # Panics
    /// Outside a runtime: there, ask a [`Handle`] for one.
    #[track_caller]
    pub fn new() -> Self {
        let location = Location::caller();
        Handle::with_current(|handle| Promise::in_home(handle.unpolled(), location))
    }

    pub(crate) fn in_home(home: &Home, location: &'static Location<'static>) -> Self {
        let task = unpolled::new(home, location);
        Promise { shared: Arc::new(Shared { task, value: Mutex::new(None) }), join: None }
    }

    /// Returns what stands for the promise where tasks are asked for. It does not keep it pending.
    pub fn task_ref(&self) -> TaskRef {
        self.shared.task.clone()
    }

    /// Sets the value, and wakes whoever awaits it.
    ///
    /// # Errors
    /// [`InvalidState`], if the promise has its result already, or has been cancelled; then the
    /// value is dropped and nothing changes (FUT-02).
    #[doc(alias = "Future.set_result")]
    pub fn set(&self, value: T) -> Result<(), InvalidState> {
        let mut value = Some(Arc::new(value));
        self.settle(Ending::Value, None, || *self.shared.value.lock() = value.take())
    }

    /// Sets an error, and wakes whoever awaits the value.
    ///
    /// # Errors
    /// As of [`set`](Promise::set).
    #[doc(alias = "Future.set_exception")]
    pub fn set_error(&self, error: impl Into<Error>) -> Result<(), InvalidState> {
        self.settle(Ending::Failed, Some(error.into()), || ())
    }

    fn settle(
        &self,
        ending: Ending,
        error: Option<Error>,
        put: impl FnOnce(),
    ) -> Result<(), InvalidState> {
        match self.shared.task.settle(ending, error, put) {
            true => Ok(()),
            false => Err(InvalidState(())),
        }
    }

    /// Returns the value or the error, if there is one by now; an error counts as looked at.
    ///
    /// # Errors
    /// The inner one is what awaiting the promise gives.
    #[doc(alias("Future.result", "Future.exception"))]
    pub fn result(&self) -> Option<Result<T>>
    where
        T: Clone,
    {
        self.is_finished().then(|| self.outcome())
    }

    /// The outcome of a promise that has one.
    fn outcome(&self) -> Result<T>
    where
        T: Clone,
    {
        if let Some(error) = self.error() {
            return Err(error);
        }
        let value = self.shared.value.lock().clone();
        Ok(value.expect("a promise that is kept has a value").as_ref().clone())
    }
}

impl Handle {
    /// Makes a promise of this runtime.
    #[track_caller]
    #[doc(alias = "loop.create_future")]
    pub fn promise<T>(&self) -> Promise<T> {
        Promise::in_home(self.unpolled(), Location::caller())
    }
}

impl<T> Default for Promise<T> {
    #[track_caller]
    fn default() -> Self {
        Promise::new()
    }
}

impl<T> Clone for Promise<T> {
    fn clone(&self) -> Self {
        Promise { shared: self.shared.clone(), join: None }
    }
}

impl<T> Deref for Promise<T> {
    type Target = TaskRef;

    fn deref(&self) -> &TaskRef {
        &self.shared.task
    }
}

impl<T: Clone> Future for Promise<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let this = &mut *self;
        let join = this.join.get_or_insert_with(|| this.shared.task.join());
        match Pin::new(join).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(_) => {
                this.join = None;
                Poll::Ready(this.outcome())
            }
        }
    }
}

impl<T: Clone> IntoFuture for &Promise<T> {
    type Output = Result<T>;
    type IntoFuture = Promise<T>;

    fn into_future(self) -> Promise<T> {
        self.clone()
    }
}

impl<T> Unpin for Promise<T> {}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shared.task, f)
    }
}

impl<T> Drop for Shared<T> {
    /// Nobody can set it any more. If it is done, this does nothing.
    fn drop(&mut self) {
        self.task.abandon();
    }
}
