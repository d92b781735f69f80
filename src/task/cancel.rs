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
//! it waits for another only upwards in memory, so rings cannot block it; it meets no task twice on
//! one way, and a ring's last task takes the request itself (CAN-23).
//!
//! Where several tasks are awaited as one the walk branches, and goes on from each that has not
//! ended; no lock is held then, but while it begins, and while it ends without anybody's having
//! taken the request, so that the one that awaits them cannot slip away: then that one takes it.
//!
//! A group's requests may meet: see `members`.
//! Models: `loom-tests/cancel.rs`, `loom-tests/several.rs`.

use std::collections::BTreeSet;

use crate::error::Message;
use crate::sys::{Arc, Patience, thread};
use crate::task::answers::{Recorded, Request, Wake};
use crate::task::current;
use crate::task::members::Members;
use crate::task::notes::{Key, Note};
use crate::task::raw::TaskRef;
use crate::task::several::Several;

/// Asks `task` to end. False: it is done already, and nothing changes (CAN-01).
pub(crate) fn request(task: &TaskRef, message: Option<Message>) -> bool {
    is_asked(task);
    request_but(task, message, None)
}

/// Whoever is being polled here asks `task`, perhaps itself.
pub(super) fn is_asked(task: &TaskRef) {
    current::with(|current| current.asks(task));
}

/// As [`request`], for a group that asks its members itself.
pub(crate) fn request_but(
    task: &TaskRef,
    message: Option<Message>,
    members: Option<&Members>,
) -> bool {
    let walk = Walk { message, members };
    match walk.ask(task) {
        Met::Refused => return false,
        Met::Here => {}
        Met::Further => walk.go_from(task.clone()),
    }
    true
}

/// As [`request_but`], of several tasks that `waiter` awaits as one. False: they have all ended.
pub(super) fn request_several(
    several: Arc<Several>,
    waiter: &TaskRef,
    message: Option<Message>,
    members: Option<&Members>,
) -> bool {
    Walk { message, members }.branch_out(Branch::new(several, None, Way::from(waiter)))
}

/// What becomes of a group's request, where its parent stands.
pub(super) enum Offered {
    /// The parent awaits nothing that can take it.
    Refused,
    /// It goes on, see [`go_on`].
    Passed(Onward),
    /// Somebody looks into the awaited task: let go of the parent, and try again.
    Busy,
}

/// Where a group's request goes once the parent's lock is free.
pub(super) enum Onward {
    Nowhere,
    /// It has arrived at a sleeping task, which is still to be queued.
    Queue(TaskRef),
    From(TaskRef),
    /// From a member that was asked already.
    Counted(TaskRef),
    Several(Arc<Several>, bool),
}

/// Offers a group's request to what its parent awaits. The parent's short lock is held.
pub(super) fn offer(parent: &TaskRef, members: &Members) -> Offered {
    if !parent.header().state.is_idle_with_note(false) {
        return Offered::Refused;
    }
    let walk = Walk { message: None, members: Some(members) };
    let next = match parent.header().published() {
        Note::One(next, _) => next,
        Note::Several(several, _) => {
            return several.begin_request().map_or(Offered::Refused, |before| {
                Offered::Passed(Onward::Several(several, before))
            });
        }
        Note::None | Note::Blank => return Offered::Refused,
    };
    let mut patience = Patience::new();
    loop {
        match walk.request(&next) {
            Request::Refused => return Offered::Refused,
            Request::Accepted(recorded) if recorded.follow => {
                return Offered::Passed(Onward::From(next));
            }
            Request::Accepted(recorded) => {
                // Where nobody polls it, to be queued is to end, and that calls foreign code.
                let queue = record(&next, recorded, None);
                return Offered::Passed(if queue { Onward::Queue(next) } else { Onward::Nowhere });
            }
            Request::Counted => return Offered::Passed(Onward::Counted(next)),
            // As in `Walk::go_on`.
            Request::Busy if parent.address() < next.address() => patience.wait(),
            Request::Busy => return Offered::Busy,
        }
    }
}

/// Goes on with a group's request, the parent's lock being free. False: all that the parent awaits
/// have ended, it must take the request itself.
pub(super) fn go_on(onward: Onward, parent: &TaskRef, members: &Members) -> bool {
    let walk = Walk { message: None, members: Some(members) };
    match onward {
        Onward::Nowhere => true,
        Onward::Queue(task) => {
            task.queue();
            true
        }
        Onward::From(task) => {
            walk.go_from(task);
            true
        }
        Onward::Counted(task) => {
            count_beyond(task);
            true
        }
        Onward::Several(several, before) => {
            walk.branch_out(Branch::begun(several, None, Way::from(parent), Some(before)))
        }
    }
}

/// Passes a request on from `at`, an idle task that awaits another and whose short lock is held.
pub(crate) fn forward(at: TaskRef, message: Option<Message>) {
    Walk { message, members: None }.go_from(at);
}

/// A request on its way.
struct Walk<'a> {
    message: Option<Message>,
    members: Option<&'a Members>,
}

/// Whom a walk has met. It keeps them: so their addresses stay theirs, and the last of them is
/// dropped when the walk holds no lock.
#[derive(Clone, Default)]
struct Way {
    met: BTreeSet<Key>,
    /// In the order of the way, which is not that of addresses: models repeat.
    kept: Vec<TaskRef>,
}

impl Way {
    fn from(task: &TaskRef) -> Self {
        let mut way = Way::default();
        way.add(task);
        way
    }

    fn add(&mut self, task: &TaskRef) {
        if self.met.insert(task.address()) {
            self.kept.push(task.clone());
        }
    }

    fn has(&self, task: &TaskRef) -> bool {
        self.met.contains(&task.address())
    }
}

/// Where the way parts.
struct Branch {
    several: Arc<Several>,
    /// Who awaits them, and takes the request if they have all ended.
    waiter: Option<TaskRef>,
    way: Way,
    /// A request went to them before.
    before: bool,
    /// It is decided already: nobody is asked any more.
    closed: bool,
    next: usize,
    accepted: bool,
}

impl Branch {
    fn new(several: Arc<Several>, waiter: Option<TaskRef>, way: Way) -> Self {
        let begun = several.begin_request();
        Branch::begun(several, waiter, way, begun)
    }

    fn begun(
        several: Arc<Several>,
        waiter: Option<TaskRef>,
        way: Way,
        begun: Option<bool>,
    ) -> Self {
        let (before, closed) = (begun == Some(true), begun.is_none());
        Branch { several, waiter, way, before, closed, next: 0, accepted: false }
    }

    /// The next one to ask.
    fn next(&mut self) -> Option<TaskRef> {
        let tasks = if self.closed { &[] } else { self.several.tasks() };
        while let Some(task) = tasks.get(self.next) {
            self.next += 1;
            if !self.way.has(task) {
                return Some(task.clone());
            }
        }
        None
    }

    /// All were asked. If nobody has taken the request, the waiter does; then, or if there is none,
    /// false.
    fn end(&mut self, message: &Option<Message>) -> bool {
        if self.closed {
            return false;
        }
        let waiter = if self.accepted { None } else { self.waiter.take() };
        let Some(waiter) = waiter.filter(|waiter| waiter.header().state.lock_unless_done()) else {
            return self.several.end_request(self.before, self.accepted);
        };
        // Its lock is held: it cannot end between the two.
        let passed = self.several.end_request(self.before, false);
        match passed {
            true => waiter.header().state.unlock(),
            false => take_itself(&waiter, message.clone()),
        }
        passed
    }
}

/// Where a request came to.
enum Met {
    /// The task is done.
    Refused,
    /// It stays there.
    Here,
    /// The task is idle and awaits others; its short lock is held.
    Further,
}

impl Walk<'_> {
    /// One step of the request, of one task.
    fn request(&self, task: &TaskRef) -> Request {
        let ask = || task.header().state.request(self.message.is_some());
        match self.members {
            Some(members) => members.request(task, ask),
            None => ask(),
        }
    }

    /// Makes the request of one task. No lock is held.
    fn ask(&self, task: &TaskRef) -> Met {
        let mut patience = Patience::new();
        loop {
            match self.request(task) {
                Request::Refused => return Met::Refused,
                Request::Busy => patience.wait(),
                Request::Accepted(recorded) if recorded.follow => return Met::Further,
                Request::Accepted(recorded) => {
                    write_down(task, recorded, self.message.clone());
                    return Met::Here;
                }
                Request::Counted => {
                    count_beyond(task.clone());
                    return Met::Here;
                }
            }
        }
    }

    fn go_from(&self, at: TaskRef) {
        if let Some(branch) = self.go_on(at, Way::default()) {
            self.branch_out(branch);
        }
    }

    /// Goes all ways that part from here, each to its end. False: nobody took the request here.
    fn branch_out(&self, first: Branch) -> bool {
        let mut branches = vec![first];
        loop {
            let branch = branches.last_mut().expect("the first one leaves only below");
            if let Some(task) = branch.next() {
                let met = self.ask(&task);
                branch.accepted |= !matches!(met, Met::Refused);
                if let Met::Further = met {
                    let way = branch.way.clone();
                    branches.extend(self.go_on(task, way));
                }
                continue;
            }
            let passed = branch.end(&self.message);
            branches.pop();
            if branches.is_empty() {
                return passed;
            }
        }
    }

    /// Goes on from an idle task whose short lock is held, to where the way ends or parts.
    fn go_on(&self, mut at: TaskRef, mut way: Way) -> Option<Branch> {
        let mut patience = Patience::new();
        loop {
            way.add(&at);
            let next = match at.header().published() {
                Note::One(next, _) if !way.has(&next) => next,
                Note::Several(several, _) => {
                    let begun = several.begin_request();
                    if begun.is_none() {
                        take_itself(&at, self.message.clone());
                        return None;
                    }
                    at.header().state.unlock_passed();
                    return Some(Branch::begun(several, Some(at), way, begun));
                }
                _ => {
                    take_itself(&at, self.message.clone());
                    return None;
                }
            };
            match self.request(&next) {
                Request::Refused => {
                    take_itself(&at, self.message.clone());
                    return None;
                }
                Request::Accepted(recorded) => {
                    at.header().state.unlock_passed();
                    if !recorded.follow {
                        write_down(&next, recorded, self.message.clone());
                        return None;
                    }
                    at = next;
                }
                Request::Counted => {
                    at.header().state.unlock_passed();
                    count_beyond(next);
                    return None;
                }
                // In a ring, walks may want each other's locks. Who goes up waits, who goes down
                // lets go: so they never wait for each other, and never dodge each other for ever.
                Request::Busy if at.address() < next.address() => patience.wait(),
                Request::Busy => {
                    // Where the lock is held again, this may be the last reference.
                    drop(next);
                    if !try_again_later(&at, self.message.clone()) {
                        return None;
                    }
                }
            }
        }
    }
}

/// A request counts in a member that was asked already: so it does wherever the first one went on
/// to, as long as it is on its way.
fn count_beyond(task: TaskRef) {
    let mut reached = vec![(task, Way::default())];
    while let Some((task, mut way)) = reached.pop() {
        way.add(&task);
        let mut count = |next: &TaskRef, way: Way| {
            if !way.has(next) && next.header().state.count_one() {
                reached.push((next.clone(), way));
            }
        };
        match passed_through(&task) {
            Note::One(next, _) => count(&next, way),
            Note::Several(several, _) => {
                several.tasks().iter().for_each(|next| count(next, way.clone()));
            }
            Note::None | Note::Blank => {}
        }
    }
}

/// What a sleeping task awaits, if a request went there.
fn passed_through(task: &TaskRef) -> Note {
    let header = task.header();
    if !header.state.lock_unless_done() {
        return Note::None;
    }
    let note = match header.state.is_idle_with_note(true) {
        true => header.published(),
        false => Note::None,
    };
    header.state.unlock();
    note
}

/// The request ends here: its message is stored, and the task is queued if it slept.
fn write_down(task: &TaskRef, recorded: Recorded, message: Option<Message>) {
    if record(task, recorded, message) {
        task.queue();
    }
}

/// As [`write_down`], but tells instead whether the task is to be queued.
#[must_use]
fn record(task: &TaskRef, recorded: Recorded, message: Option<Message>) -> bool {
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
    recorded.queue
}

/// What is awaited refuses, or leads back: the one that awaits it, whose short lock is held, takes
/// the request.
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
