//! What stands for one task, whoever holds it and however.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::task::handle::{Join, Task};
use crate::task::raw::TaskRef;

/// What [`gather`](fn@crate::gather), [`wait`](crate::wait), [`shield`](crate::shield) and
/// [`as_completed`](crate::as_completed) take: a [`Task`], by value or as `&mut Task`; or a
/// [`TaskRef`], a `&TaskRef` or a [`Join`], which stand for it without its value.
///
/// Nothing else is one: a future becomes one by [`spawn`](crate::spawn).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    label = "not a task",
    note = "start a future first: `spawn(future)` gives its task"
)]
pub trait TaskHandle: sealed::Sealed {
    /// What the task yields through this handle when it ends well.
    type Value;

    #[doc(hidden)]
    fn task(&self) -> &TaskRef;

    /// The outcome of the task.
    ///
    /// # Panics
    /// If it has not ended.
    #[doc(hidden)]
    fn outcome(self) -> Result<Self::Value>;
}

mod sealed {
    pub trait Sealed {}
}

impl<T> sealed::Sealed for Task<T> {}
impl<T> TaskHandle for Task<T> {
    type Value = T;

    fn task(&self) -> &TaskRef {
        self
    }

    fn outcome(mut self) -> Result<T> {
        (&mut self).outcome()
    }
}

impl<T> sealed::Sealed for &mut Task<T> {}
impl<T> TaskHandle for &mut Task<T> {
    type Value = T;

    fn task(&self) -> &TaskRef {
        self
    }

    fn outcome(self) -> Result<T> {
        // Anybody may call this.
        assert!(self.is_finished(), "the outcome of a task that has not ended");
        self.take()
    }
}

impl sealed::Sealed for TaskRef {}
impl TaskHandle for TaskRef {
    type Value = ();

    fn task(&self) -> &TaskRef {
        self
    }

    fn outcome(self) -> Result<()> {
        (&self).outcome()
    }
}

impl sealed::Sealed for &TaskRef {}
impl TaskHandle for &TaskRef {
    type Value = ();

    fn task(&self) -> &TaskRef {
        self
    }

    fn outcome(self) -> Result<()> {
        self.error().map_or(Ok(()), Err)
    }
}

impl sealed::Sealed for Join {}
impl TaskHandle for Join {
    type Value = ();

    fn task(&self) -> &TaskRef {
        self.awaited()
    }

    fn outcome(self) -> Result<()> {
        self.task().outcome()
    }
}

/// Each task once, at its first place. Numbers would not tell a task of a simulation from others.
pub(super) fn distinct(tasks: Vec<TaskRef>) -> Vec<TaskRef> {
    let mut met = BTreeSet::new();
    tasks.into_iter().filter(|task| met.insert(task.address())).collect()
}

/// The handles of each task but the first are dropped.
pub(super) fn distinct_handles<H: TaskHandle>(handles: impl IntoIterator<Item = H>) -> Vec<H> {
    let mut met = BTreeSet::new();
    handles.into_iter().filter(|handle| met.insert(handle.task().address())).collect()
}

/// The tasks of these handles.
pub(super) fn tasks<H: TaskHandle>(handles: &[H]) -> Vec<TaskRef> {
    handles.iter().map(|handle| handle.task().clone()).collect()
}
