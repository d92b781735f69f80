//! The children of a task group: who lives, who failed, and who may still come.
//!
//! | phase    | entered by                           | a child spawned | a child fails        |
//! |----------|--------------------------------------|-----------------|----------------------|
//! | Created  | `task_group`                         | refused         |                      |
//! | Open     | the first poll                       | joins           | abort, of the parent too |
//! | Aborting | a failure, `cancel`, a body that does not end well | refused | is noted down  |
//! | Finished | all children's end, after the body's | refused         |                      |
//! | Dropped  | the group's drop, half-way           | refused         | is reported          |
//!
//! One lock decides (TG-19): a child either joins before an abort, and is asked to end by it, or is
//! refused. It is spawned outside the lock, between [`reserve`](Children::reserve), which keeps the
//! group from finishing, and [`admit`](Reserved::admit), which finds out about an abort meanwhile.
//! Model: `loom-tests/group.rs`.

use std::fmt;

use crate::error::Error;
use crate::probe;
use crate::sys::{Arc, Mutex};
use crate::task::answers::Ending;
use crate::task::cancel;
use crate::task::grouped::Trigger;
use crate::task::hooks::Listener;
use crate::task::members::Members;
use crate::task::raw::TaskRef;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Created,
    Open,
    Aborting,
    Finished,
    Dropped,
}

/// The task group takes no more children: it has not begun, is shutting down, or is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupRefused(Phase);

impl fmt::Display for GroupRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Phase::Created => "task group has not been entered",
            Phase::Open | Phase::Aborting => "task group is shutting down",
            Phase::Finished | Phase::Dropped => "task group is finished",
        })
    }
}

impl std::error::Error for GroupRefused {}

/// The list.
pub(crate) struct Children {
    state: Mutex<State>,
    trigger: Arc<Trigger>,
}

struct State {
    phase: Phase,
    /// The group was asked to end early, and did not shut down before.
    cancelled: bool,
    /// The body has ended.
    exiting: bool,
    /// Being spawned.
    reserved: usize,
    live: Live,
    /// Of children that failed, in the order of their ends.
    errors: Vec<Error>,
}

/// So many places an empty group keeps.
const KEPT: usize = 1024;

/// The children that live, each at a place of its own, which its listener knows.
///
/// Invariant: a place that is in `free` is empty; all others are taken.
#[derive(Default)]
struct Live {
    places: Vec<Option<TaskRef>>,
    free: Vec<usize>,
}

impl Live {
    fn is_empty(&self) -> bool {
        self.places.len() == self.free.len()
    }

    fn insert(&mut self, task: TaskRef) -> usize {
        match self.free.pop() {
            Some(place) => {
                self.places[place] = Some(task);
                place
            }
            None => {
                self.places.push(Some(task));
                self.places.len() - 1
            }
        }
    }

    fn remove(&mut self, place: usize) -> Option<TaskRef> {
        let task = self.places[place].take();
        self.free.push(place);
        if self.is_empty() {
            self.begin_again();
        }
        task
    }

    /// Nobody is left: what many children took is given back, what few took is kept.
    fn begin_again(&mut self) {
        if self.places.len() > KEPT {
            *self = Live::default();
        }
        self.places.clear();
        self.free.clear();
    }

    /// All of them, in the order of their spawning.
    fn tasks(&self) -> Vec<TaskRef> {
        let mut tasks: Vec<TaskRef> = self.places.iter().flatten().cloned().collect();
        tasks.sort_unstable_by_key(|task| task.header().id());
        tasks
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.live.is_empty() && self.reserved == 0
    }

    /// The body is over, and nobody is left: the parent is to leave.
    fn is_over(&self) -> bool {
        self.exiting && self.is_empty()
    }

    /// Those who are asked to end now.
    fn abort(&mut self, phase: Phase) -> Aborted {
        self.phase = phase;
        let tasks = self.live.tasks();
        let numbers = tasks.iter().map(|task| task.header().id()).collect();
        Aborted { tasks, members: Arc::new(Members::new(numbers)) }
    }
}

/// Who is to be asked to end, outside the lock.
struct Aborted {
    tasks: Vec<TaskRef>,
    members: Arc<Members>,
}

impl Aborted {
    fn cancel(&self) {
        for task in &self.tasks {
            cancel::is_asked(task);
            cancel::request_but(task, None, Some(&self.members));
        }
    }
}

impl Children {
    pub(crate) fn new(trigger: Arc<Trigger>) -> Self {
        let state = State {
            phase: Phase::Created,
            cancelled: false,
            exiting: false,
            reserved: 0,
            live: Live::default(),
            errors: Vec::new(),
        };
        Children { state: Mutex::new(state), trigger }
    }

    /// The group begins. True: it was cancelled before, and the parent is to be
    /// [interrupted](Children::interrupt) as soon as it is inside.
    #[must_use]
    pub(crate) fn open(&self) -> bool {
        let mut state = self.state.lock();
        state.phase = if state.cancelled { Phase::Aborting } else { Phase::Open };
        state.cancelled
    }

    /// Somebody is about to spawn a child. Until the answer is admitted, or dropped, the group does
    /// not finish.
    pub(crate) fn reserve(this: &Arc<Self>) -> Result<Reserved, GroupRefused> {
        let mut state = this.state.lock();
        match state.phase {
            Phase::Open if state.is_over() => Err(GroupRefused(Phase::Finished)),
            Phase::Open => {
                state.reserved += 1;
                drop(state);
                Ok(Reserved(Some(this.clone())))
            }
            other => Err(GroupRefused(other)),
        }
    }

    /// A child has been spawned.
    fn admit(this: Arc<Self>, task: &TaskRef) {
        let (place, aborted) = {
            let mut state = this.state.lock();
            state.reserved -= 1;
            (state.live.insert(task.clone()), state.phase != Phase::Open)
        };
        task.listen(Listener::Child(this, place));
        if aborted {
            cancel::request_but(task, None, None);
        }
    }

    /// A child is not spawned after all.
    fn give_up(&self) {
        let over = {
            let mut state = self.state.lock();
            state.reserved -= 1;
            state.is_over()
        };
        if over {
            self.wake();
        }
    }

    /// The task that waits for the children.
    pub(super) fn parent(&self) -> Option<TaskRef> {
        self.trigger.parent()
    }

    /// A child has ended. The first that fails makes the parent and all others end, too (TG-03).
    pub(super) fn ended(&self, place: usize, task: &TaskRef) {
        let failed = task.header().state.ending() == Some(Ending::Failed);
        let mut state = self.state.lock();
        // Its reference is not the last: whoever calls this has one.
        let child = state.live.remove(place);
        let mut aborted = None;
        if failed && state.phase != Phase::Dropped {
            // Looked at only here: what nobody can raise any more is reported (TG-17).
            state.errors.extend(task.error());
            if state.phase == Phase::Open {
                aborted = Some(state.abort(Phase::Aborting));
            }
        }
        let over = state.is_over();
        drop(state);
        drop(child);
        let woken = aborted.is_some_and(|aborted| self.end_all(&aborted));
        if over && !woken {
            self.wake();
        }
    }

    /// Asks the children to end, then the parent, which may await somebody, too. True: it is woken.
    fn end_all(&self, aborted: &Aborted) -> bool {
        aborted.cancel();
        let waker = self.trigger.fire(&aborted.members);
        waker.map(probe::wake).is_some()
    }

    /// Makes the group end early. False: it was asked before, shuts down anyway, or is over.
    pub(crate) fn cancel(&self) -> bool {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Created => return !std::mem::replace(&mut state.cancelled, true),
            Phase::Open if !state.is_over() => state.cancelled = true,
            _ => return false,
        }
        let aborted = state.abort(Phase::Aborting);
        drop(state);
        self.end_all(&aborted);
        true
    }

    /// Asks the parent of a group to end that was cancelled before it began.
    pub(crate) fn interrupt(&self) {
        let nobody = Arc::new(Members::new(Vec::new()));
        self.end_all(&Aborted { tasks: Vec::new(), members: nobody });
    }

    fn wake(&self) {
        if let Some(waker) = self.trigger.take_waker() {
            probe::wake(waker);
        }
    }

    /// Asks all children to end, unless that was done before: then false.
    pub(crate) fn abort(&self) -> bool {
        let aborted = {
            let mut state = self.state.lock();
            (state.phase == Phase::Open).then(|| state.abort(Phase::Aborting))
        };
        if let Some(aborted) = &aborted {
            aborted.cancel();
        }
        aborted.is_some()
    }

    /// The body has ended.
    pub(crate) fn exit(&self) {
        self.state.lock().exiting = true;
    }

    /// Have all children ended, after the body? Then the group is finished; their errors, and
    /// whether it was cancelled.
    pub(crate) fn finish(&self) -> Option<(Vec<Error>, bool)> {
        let mut state = self.state.lock();
        if !state.is_over() {
            return None;
        }
        state.phase = Phase::Finished;
        Some((std::mem::take(&mut state.errors), state.cancelled))
    }

    /// The group is dropped before it is finished: its children are asked to end, and what they
    /// failed with is reported.
    pub(crate) fn abandon(&self) {
        let (aborted, errors) = {
            let mut state = self.state.lock();
            if state.phase == Phase::Finished {
                return;
            }
            (state.abort(Phase::Dropped), std::mem::take(&mut state.errors))
        };
        for error in errors {
            probe::group_abandoned(&error);
        }
        aborted.cancel();
    }
}

impl fmt::Debug for Children {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        let (phase, errors) = (state.phase, state.errors.clone());
        let live = state.live.tasks();
        drop(state);
        let mut shown = f.debug_struct("TaskGroup");
        shown.field("phase", &phase).field("children", &live).field("errors", &errors).finish()
    }
}

/// A place for one more child.
#[derive(Debug)]
pub(crate) struct Reserved(Option<Arc<Children>>);

impl Reserved {
    /// The child is there.
    pub(crate) fn admit(mut self, task: &TaskRef) {
        if let Some(children) = self.0.take() {
            Children::admit(children, task);
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(children) = self.0.take() {
            children.give_up();
        }
    }
}
