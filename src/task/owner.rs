//! The task that a scope stands in: a reference that is not counted if the scope is a part of it.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::task::raw::{Header, TaskRef};

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Owner {
    task: ManuallyDrop<TaskRef>,
    counted: bool,
}

impl From<TaskRef> for Owner {
    fn from(task: TaskRef) -> Self {
        Owner { task: ManuallyDrop::new(task), counted: true }
    }
}

impl Owner {
    /// # Safety
    /// The task's memory is given back only after this was dropped.
    #[inline]
    pub(super) unsafe fn uncounted(task: NonNull<Header>) -> Self {
        // SAFETY: the wrapper keeps the reference, which nobody counted, from being dropped.
        let task = unsafe { TaskRef::from_raw(task.as_ptr().cast_const().cast()) };
        Owner { task: ManuallyDrop::new(task), counted: false }
    }
}

impl Deref for Owner {
    type Target = TaskRef;

    #[inline]
    fn deref(&self) -> &TaskRef {
        &self.task
    }
}

impl Drop for Owner {
    #[inline]
    fn drop(&mut self) {
        if self.counted {
            // SAFETY: it is dropped here only.
            unsafe { ManuallyDrop::drop(&mut self.task) };
        }
    }
}
