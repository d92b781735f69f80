//! The four functions of a task's waker.
//!
//! A waker is a counted reference to the task's header. The one that a poll lends out is borrowed:
//! it counts only once it is cloned.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::probe;
use crate::task::raw::{Header, TaskRef};
use crate::task::{Why, current};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, release);

/// The waker of a task that is being polled; it must not outlive the poll.
pub(crate) fn borrowed(header: NonNull<Header>) -> ManuallyDrop<Waker> {
    // SAFETY: the four functions keep the contract of `RawWaker`; this one is never dropped, and
    // the poll that lends it keeps the task alive.
    ManuallyDrop::new(unsafe { Waker::new(header.as_ptr().cast_const().cast(), &VTABLE) })
}

/// Is this the very waker of that task?
pub(crate) fn belongs_to(waker: &Waker, header: NonNull<Header>) -> bool {
    waker.data() == header.as_ptr().cast_const().cast() && std::ptr::eq(waker.vtable(), &VTABLE)
}

/// The task that a waker wakes, if it is a task's own.
pub(crate) fn task_of(waker: &Waker) -> Option<TaskRef> {
    if !std::ptr::eq(waker.vtable(), &VTABLE) {
        return None;
    }
    // SAFETY: a waker holds a reference, or, lent out by a poll, lives no longer than one.
    let task = unsafe { reference(waker.data()) };
    Some(TaskRef::clone(&task))
}

/// # Safety
/// `data` is the header of a task to which the caller holds a reference.
unsafe fn reference(data: *const ()) -> ManuallyDrop<TaskRef> {
    // SAFETY: the caller's promise; the wrapper leaves the count alone.
    ManuallyDrop::new(unsafe { TaskRef::from_raw(data) })
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: a waker holds a reference.
    let task = unsafe { reference(data) };
    std::mem::forget(TaskRef::clone(&task));
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: a waker holds a reference, which this call takes over.
    let task = ManuallyDrop::into_inner(unsafe { reference(data) });
    // The reference goes last: it keeps the task's home alive while the task may already end.
    wake_task(&task, Why::Woken);
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: a waker holds a reference.
    let task = unsafe { reference(data) };
    wake_task(&task, Why::Woken);
}

/// Wakes one who awaited the end of a task.
pub(super) fn wake_at_end(waker: Waker) {
    if !std::ptr::eq(waker.vtable(), &VTABLE) {
        return probe::wake(waker);
    }
    // SAFETY: a waker holds a reference, which is not dropped with it, but goes over.
    let task = unsafe { reference(ManuallyDrop::new(waker).data()) };
    wake_task(&ManuallyDrop::into_inner(task), Why::Ended);
}

fn wake_task(task: &TaskRef, why: Why) {
    if !current::wakes_itself(task) {
        task.wake_for(why);
    }
}

unsafe fn release(data: *const ()) {
    // SAFETY: a waker holds a reference, which this call takes over.
    drop(ManuallyDrop::into_inner(unsafe { reference(data) }));
}
