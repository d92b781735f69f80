//! The children of a task group: who lives, who failed, and who may still come.
//!
//! | phase    | entered by                           | a child spawned | a child fails        |
//! |----------|--------------------------------------|-----------------|----------------------|
//! | Created  | `task_group`                         | refused         |                      |
//! | Open     | the first poll                       | joins           | abort, of the parent too |
//! | Aborting | a failure, a body that does not end well | refused     | is noted down        |
//! | Finished | all children's end, after the body's | refused         |                      |
//! | Dropped  | the group's drop, half-way           | refused         | is reported          |
//!
//! One lock decides (TG-19): a child either joins before an abort, and is asked to end by it, or is
//! refused. It is spawned outside the lock, between [`reserve`](Children::reserve), which keeps the
//! group from finishing, and [`admit`](Reserved::admit), which finds out about an abort meanwhile.
//! Model: `loom-tests/group.rs`.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::Error;
use crate::probe;
use crate::sys::{Arc, Mutex};
use crate::task::answers::Ending;
use crate::task::cancel;
use crate::task::grouped::Trigger;
use crate::task::hooks::{Behind, Listen};
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
    /// The body has ended.
    exiting: bool,
    /// Being spawned.
    reserved: usize,
    live: BTreeMap<u64, TaskRef>,
    /// Of children that failed, in the order of their ends.
    errors: Vec<Error>,
}

impl State {
    fn is_empty(&self) -> bool {
        self.live.is_empty() && self.reserved == 0
    }

    /// The body is over, and nobody is left: the parent is to leave.
    fn is_over(&self) -> bool {
        self.exiting && self.is_empty()
    }

    /// Those who are asked to end now, by their numbers.
    fn abort(&mut self, phase: Phase) -> Aborted {
        self.phase = phase;
        let members = Arc::new(Members::new(self.live.keys().copied().collect()));
        Aborted { tasks: self.live.values().cloned().collect(), members }
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
            cancel::request_but(task, None, Some(&self.members));
        }
    }
}

/// The listener of a child.
struct ChildEnded(Arc<Children>);

impl Listen for ChildEnded {
    fn ended(self: Box<Self>, task: &TaskRef) {
        self.0.ended(task);
    }

    fn behind(&self) -> Behind {
        Behind::Group(self.0.trigger.clone())
    }
}

impl Children {
    pub(crate) fn new(trigger: Arc<Trigger>) -> Self {
        let (phase, exiting, reserved) = (Phase::Created, false, 0);
        let (live, errors) = (BTreeMap::new(), Vec::new());
        Children { state: Mutex::new(State { phase, exiting, reserved, live, errors }), trigger }
    }

    /// The group begins.
    pub(crate) fn open(&self) {
        self.state.lock().phase = Phase::Open;
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
        let aborted = {
            let mut state = this.state.lock();
            state.reserved -= 1;
            state.live.insert(task.header().id(), task.clone());
            state.phase != Phase::Open
        };
        task.listen(Box::new(ChildEnded(this)));
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

    /// A child has ended. The first that fails makes the parent and all others end, too (TG-03).
    fn ended(&self, task: &TaskRef) {
        let failed = task.header().state.ending() == Some(Ending::Failed);
        let mut state = self.state.lock();
        state.live.remove(&task.header().id());
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
        // The children first, then the parent, which may await somebody, too.
        let waker = aborted.and_then(|aborted| {
            aborted.cancel();
            self.trigger.fire(&aborted.members)
        });
        match waker {
            Some(waker) => probe::wake(waker),
            None if over => self.wake(),
            None => {}
        }
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

    /// Have all children ended, after the body? Then the group is finished; their errors.
    pub(crate) fn finish(&self) -> Option<Vec<Error>> {
        let mut state = self.state.lock();
        if !state.is_over() {
            return None;
        }
        state.phase = Phase::Finished;
        Some(std::mem::take(&mut state.errors))
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
        let live: Vec<TaskRef> = state.live.values().cloned().collect();
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
