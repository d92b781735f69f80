//! A request to end, from the one who makes it to the task that must hear it.
//!
//! **Cancellation is a wake with a reason.** A request adds one to the task's count and marks the
//! state word; the poll that follows delivers it (`scopes`, `unwind`). If the task awaits another
//! one and has published a note of it, the request goes on to that one at once, and from there
//! along the whole chain (CAN-03, CAN-17): only the task at its end is marked. What that one makes
//! of it comes back as its outcome.
//!
//! The walk is a loop, so a chain may be of any length (MOD-11). It holds the short lock of the
//! task it stands on while it asks the next one: so the first cannot begin a poll, and find out
//! how the next one ended, before it is written down that the request went there. Holding one lock
//! it waits for another only upwards in memory, so rings cannot block it; it meets each task once,
//! and a ring's last task takes the request itself (CAN-23).
//! Model: `loom-tests/cancel.rs`.

use std::collections::BTreeSet;

use crate::error::Message;
use crate::sys::{Patience, thread};
use crate::task::answers::{Recorded, Request, Wake};
use crate::task::raw::TaskRef;

/// Asks `task` to end. False: it is done already, and nothing changes (CAN-01).
pub(crate) fn request(task: &TaskRef, message: Option<Message>) -> bool {
    ask(task, message, None)
}

/// As [`request`], for a group, which asks its members, by their numbers, itself: if the request
/// meets one of them, it adds to that one's count and goes no further. Else a member that awaits
/// another one, or that the parent awaits, could be asked again while it cleans up.
pub(crate) fn request_but(
    task: &TaskRef,
    message: Option<Message>,
    members: Option<&[u64]>,
) -> bool {
    match is_member(task, members) {
        true => task.header().state.count_one(),
        false => ask(task, message, members),
    }
}

/// As [`request_but`], of a member: the request that the group itself makes of it.
pub(crate) fn request_member(task: &TaskRef, members: &[u64]) -> bool {
    ask(task, None, Some(members))
}

fn is_member(task: &TaskRef, members: Option<&[u64]>) -> bool {
    members.is_some_and(|members| members.binary_search(&task.header().id()).is_ok())
}

fn ask(task: &TaskRef, message: Option<Message>, members: Option<&[u64]>) -> bool {
    let mut patience = Patience::new();
    loop {
        match task.header().state.request(message.is_some()) {
            Request::Refused => return false,
            Request::Busy => patience.wait(),
            Request::Accepted(recorded) if recorded.follow => {
                forward(task.clone(), message, members);
                return true;
            }
            Request::Accepted(recorded) => {
                write_down(task, recorded, message);
                return true;
            }
        }
    }
}

/// The request ends here: its message is stored, and the task is queued if it slept.
fn write_down(task: &TaskRef, recorded: Recorded, message: Option<Message>) {
    if recorded.locked {
        // Requests before delivery coalesce. One that is on its way keeps its message; of those
        // that only wait for delivery, the last one counts (CAN-12).
        let spare = task.header().with_cold(|cold, _| match recorded.late {
            true => message,
            false => std::mem::replace(&mut cold.message, message),
        });
        let said = task.header().with_cold(|cold, _| cold.message.is_some());
        task.header().state.unlock_with_message(said);
        drop(spare);
    }
    if recorded.queue {
        task.queue();
    }
}

/// Passes a request on from `at`, an idle task that awaits another and whose short lock is held.
pub(crate) fn forward(mut at: TaskRef, message: Option<Message>, members: Option<&[u64]>) {
    let mut met = BTreeSet::new();
    let mut patience = Patience::new();
    loop {
        met.insert(at.address());
        let next = at.header().published().filter(|next| !met.contains(&next.address()));
        let Some(next) = next else { return take_itself(&at, message) };
        if is_member(&next, members) {
            return match next.header().state.count_one() {
                true => at.header().state.unlock_passed(),
                false => take_itself(&at, message),
            };
        }
        match next.header().state.request(message.is_some()) {
            Request::Refused => return take_itself(&at, message),
            Request::Accepted(recorded) => {
                at.header().state.unlock_passed();
                if !recorded.follow {
                    return write_down(&next, recorded, message);
                }
                at = next;
            }
            // In a ring, walks may want each other's locks. Who goes up waits, who goes down lets
            // go: so they never wait for each other, and never dodge each other for ever.
            Request::Busy if at.address() < next.address() => patience.wait(),
            Request::Busy => {
                if !try_again_later(&at, message.clone()) {
                    return;
                }
            }
        }
    }
}

/// The awaited task refuses, or leads back: the one that awaits it takes the request.
fn take_itself(at: &TaskRef, message: Option<Message>) {
    let said = message.is_some();
    let spare = at.header().with_cold(|cold, _| std::mem::replace(&mut cold.message, message));
    let wake = at.header().state.unlock_refused(said);
    drop(spare);
    if wake == Wake::Queue {
        at.queue();
    }
}

/// Lets go of the lock and takes it again; the request waits as a mark meanwhile. False: somebody
/// else has taken care of it.
fn try_again_later(at: &TaskRef, message: Option<Message>) -> bool {
    let said = message.is_some();
    let spare = at.header().with_cold(|cold, _| std::mem::replace(&mut cold.message, message));
    at.header().state.unlock_marked(said);
    drop(spare);
    let mut patience = Patience::new();
    thread::yield_now();
    loop {
        match at.header().state.relock_marked() {
            Some(mine) => return mine,
            None => patience.wait(),
        }
    }
}
