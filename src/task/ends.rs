//! How a task ends: the step after which it has, and who hears of it.
//!
//! Most tasks end with a value, and nobody listens: [`complete_with_value`] is the short way. All
//! others take [`complete`]. Whoever listens (`tracing`) is foreign code, and hears of one end of
//! each task, once the state word says DONE; those who wait hear of it afterwards.

use std::ptr::NonNull;

use crate::error::{Error, Message};
use crate::probe;
use crate::task::answers::{Completed, Ending};
use crate::task::earliest::Who;
use crate::task::hooks::{self, Hook};
use crate::task::raw::{Header, TaskRef, clear_contained, free};

/// The task ends with its value, as most tasks do: the short way, if nobody asks it to end,
/// or hears of it.
#[inline(never)]
pub(super) fn complete_with_value(raw: NonNull<Header>) {
    // SAFETY: as in `complete`.
    let header = unsafe { raw.as_ref() };
    let drops = header.template.vtable.drops_value;
    let short = !probe::hears_of_ends() && !header.state.is_marked();
    if short
        && (!drops || header.state.has_handle())
        && let Some(completed) = header.state.complete(Ending::Value, drops)
    {
        return finish(raw, completed);
    }
    complete(raw, Ending::Value, None);
}

/// The task ends: its future is gone, its value, if it has one, is stored.
pub(super) fn complete(raw: NonNull<Header>, ending: Ending, error: Option<Error>) {
    if probe::hears_of_ends() {
        return complete_aloud(raw, ending, error);
    }
    let (completed, _) = end(raw, ending, error);
    finish(raw, completed);
}

/// As [`complete`], where somebody listens. An error that the task ends with is still there when
/// it is told, whoever looks at it meanwhile.
#[cold]
#[inline(never)]
fn complete_aloud(raw: NonNull<Header>, ending: Ending, error: Option<Error>) {
    // SAFETY: the runtime's reference is there until `end` gives it back; this one stays.
    let task = unsafe { TaskRef::from_header(raw) };
    let told = error.clone();
    let (completed, ending) = end(raw, ending, error);
    finish_aloud(&task, completed, ending, told.as_ref());
}

/// The step after which the task has ended, and how: a request may come before a value. With a
/// second caller it would be a call.
#[inline(always)]
fn end(raw: NonNull<Header>, mut ending: Ending, mut error: Option<Error>) -> (Completed, Ending) {
    // SAFETY: the runtime's reference is there until `completed` says that it is released.
    let header = unsafe { raw.as_ref() };
    // A value that nobody will take, or that nobody need drop, does not hold the task.
    let mut kept = ending == Ending::Value && header.template.vtable.drops_value;
    if kept && !header.state.has_handle() {
        clear_contained(raw, "the value of a task");
        kept = false;
    }
    loop {
        if ending == Ending::Value && !header.state.may_return() {
            clear_contained(raw, "the value of a task");
            (ending, kept) = (Ending::Cancelled, false);
            error = take_message(header).map(|message| Error::cancelled(Some(message)));
        }
        if let Some(error) = error.take() {
            header.state.lock();
            let former = header.with_cold(|cold, _| cold.error.replace(error));
            header.state.unlock();
            drop(former);
        }
        if let Some(completed) = header.state.complete(ending, kept) {
            return (completed, ending);
        }
    }
}

pub(super) fn take_message(header: &Header) -> Option<Message> {
    header.state.lock();
    let message = header.with_cold_if_any(|cold| cold.and_then(|cold| cold.message.take()));
    header.state.unlock();
    message
}

fn report(header: &Header, ending: Ending, error: Option<&Error>) {
    match (ending, error) {
        (Ending::Value, _) => probe::finished(header.id()),
        (Ending::Cancelled, _) => probe::cancelled(header.id()),
        (Ending::Failed, Some(error)) => probe::failed(header.id(), error),
        (Ending::Failed, None) => {}
    }
}

/// Tells whoever waits, and lets go of the runtime's reference.
#[inline(always)]
pub(super) fn finish(raw: NonNull<Header>, completed: Completed) {
    if completed.free {
        return free(raw);
    }
    if completed.release {
        release(raw, completed.waiters);
    }
}

/// As [`finish`], where somebody may listen: what the task has come to is told once, when nothing
/// can change it any more, outside the lock, and before those who wait are told.
pub(super) fn finish_aloud(
    task: &TaskRef,
    mut completed: Completed,
    ending: Ending,
    error: Option<&Error>,
) {
    let waiting = std::mem::take(&mut completed.waiters).then(|| take_waiting(task));
    report(task.header(), ending, error);
    if let Some((first, hooks)) = waiting {
        hooks::tell(task, first, hooks);
    }
    finish(task.raw(), completed);
}

/// Somebody waits for the task, or its value is to be dropped.
#[inline(never)]
fn release(raw: NonNull<Header>, waiters: bool) {
    // SAFETY: the runtime's reference has not been released; it becomes `task`'s.
    let task = unsafe { TaskRef::from_raw(raw.as_ptr().cast_const().cast()) };
    if waiters {
        let (first, hooks) = take_waiting(&task);
        hooks::tell(&task, first, hooks);
    }
    if !task.header().state.has_handle() {
        clear_contained(raw, "the value of a task");
    }
}

/// Takes out who waits for a task that has just ended, and gives the lock back.
#[inline(always)]
fn take_waiting(task: &TaskRef) -> (Option<Who>, Vec<Hook>) {
    let single = task.header().home().schedule().is_single();
    let waiting = task.header().with_waiter(|first, cold| {
        (first.take(), cold.map(|cold| cold.hooks.begin_calls(single)).unwrap_or_default())
    });
    task.header().state.unlock();
    waiting
}
