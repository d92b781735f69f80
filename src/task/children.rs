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
//! One word holds the phase and counts the children that live or are being spawned: a child that
//! ends well takes one step on it. The list of them is for those who ask them all to end; whoever
//! has ended stays in it until it is tidied.
//!
//! A child is [reserved](Children::reserve) in the word, which keeps the group from finishing, and
//! spawned, and [admitted](Reserved::admit) to the list, where it finds out about an abort
//! meanwhile: so it either joins before, and is asked to end, or is refused (TG-19). The phase
//! changes under the list's lock only.
//! Model: `loom-tests/group.rs`.

use std::fmt;
use std::task::Waker;

use crate::error::Error;
use crate::probe;
use crate::sys::{Arc, AtomicU64, Mutex, MutexGuard, Ordering};
use crate::task::answers::Ending;
use crate::task::cancel;
use crate::task::grouped::Trigger;
use crate::task::hooks::Listener;
use crate::task::members::Members;
use crate::task::raw::TaskRef;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    Created = 0,
    Open = 1,
    Aborting = 2,
    Finished = 3,
    Dropped = 4,
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

/// Who belongs to a group.
pub(crate) struct Children {
    word: AtomicU64,
    list: Mutex<List>,
    trigger: Arc<Trigger>,
}

/// What the word says: the phase in its lowest bits, whether the body has ended, and a count.
#[derive(Clone, Copy)]
struct Word(u64);

const PHASE: u64 = 0b111;
/// The body has ended.
const EXITING: u64 = 0b1000;
/// One child that lives, or is being spawned.
const CHILD: u64 = 0b1_0000;

impl Word {
    fn phase(self) -> Phase {
        match self.0 & PHASE {
            0 => Phase::Created,
            1 => Phase::Open,
            2 => Phase::Aborting,
            3 => Phase::Finished,
            _ => Phase::Dropped,
        }
    }

    fn count(self) -> usize {
        (self.0 / CHILD) as usize
    }

    /// The body is over, and nobody is left: the parent is to leave.
    fn is_over(self) -> bool {
        self.0 & !PHASE == EXITING
    }
}

#[derive(Default)]
struct List {
    /// All who live, and some who have ended.
    tasks: Vec<TaskRef>,
    /// Of children that failed, in the order of their ends.
    errors: Vec<Error>,
    /// The group was asked to end early, and did not shut down before.
    cancelled: bool,
}

/// A list that is shorter is never tidied.
const SHORT: usize = 64;

impl List {
    /// Takes those out who have ended, for the caller to drop outside the lock, if they may be half
    /// of all: so each is looked at a few times at most.
    fn tidy(&mut self, live: usize) -> Vec<TaskRef> {
        if self.tasks.len() < SHORT.max(2 * live) {
            return Vec::new();
        }
        let ended = |task: &TaskRef| task.is_finished();
        let (ended, live) = std::mem::take(&mut self.tasks).into_iter().partition(ended);
        self.tasks = live;
        ended
    }

    /// All who live, in the order of their spawning.
    fn live(&self) -> Vec<TaskRef> {
        let live = self.tasks.iter().filter(|task| !task.is_finished());
        let mut live: Vec<TaskRef> = live.cloned().collect();
        live.sort_unstable_by_key(|task| task.header().id());
        live
    }

    /// Those who are asked to end now.
    fn abort(&self) -> Aborted {
        let tasks = self.live();
        let members = Arc::new(Members::new(&tasks));
        Aborted { tasks, members }
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
        let word = AtomicU64::new(Phase::Created as u64);
        Children { word, list: Mutex::new(List::default()), trigger }
    }

    fn word(&self) -> Word {
        // Pairs with the steps of those who have left: what they did is seen.
        Word(self.word.load(Ordering::Acquire))
    }

    /// Under the list's lock, whose guard is shown.
    fn enter(&self, phase: Phase, _list: &MutexGuard<'_, List>) {
        let change = |word| Some(word & !PHASE | phase as u64);
        let _ = self.word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, change);
    }

    /// The group begins. True: it was cancelled before, and the parent is to be
    /// [interrupted](Children::interrupt) as soon as it is inside.
    #[must_use]
    pub(crate) fn open(&self) -> bool {
        let list = self.list.lock();
        self.enter(if list.cancelled { Phase::Aborting } else { Phase::Open }, &list);
        list.cancelled
    }

    /// Somebody is about to spawn a child. Until the answer is admitted, or dropped, the group does
    /// not finish.
    pub(crate) fn reserve(this: &Arc<Self>) -> Result<Reserved, GroupRefused> {
        let one_more = |word| match Word(word).phase() {
            Phase::Open if !Word(word).is_over() => Some(word + CHILD),
            _ => None,
        };
        match this.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(Reserved(Some(this.clone()))),
            Err(word) => Err(GroupRefused(match Word(word).phase() {
                Phase::Open => Phase::Finished,
                other => other,
            })),
        }
    }

    /// A child has been spawned.
    fn admit(this: Arc<Self>, task: &TaskRef) {
        let (aborted, ended) = {
            let mut list = this.list.lock();
            let word = this.word();
            list.tasks.push(task.clone());
            (word.phase() != Phase::Open, list.tidy(word.count()))
        };
        drop(ended);
        task.listen(Listener::Child(this));
        if aborted {
            cancel::request_but(task, None, None);
        }
    }

    /// One less: a child has ended, or is not spawned after all. `waker`: who is woken anyway.
    fn leave(&self, waker: Option<Waker>) {
        // Whoever sees the count sees what was done before.
        let word = Word(self.word.fetch_sub(CHILD, Ordering::AcqRel) - CHILD);
        // It may have gone stale since it was taken, so it does not stand for the one below.
        waker.into_iter().for_each(probe::wake);
        match if word.is_over() { self.trigger.take_waker() } else { None } {
            Some(waker) => probe::wake(waker),
            None => self.tidy(word.count()),
        }
    }

    /// Now and then, when so many are left: all, or half of those at the last time.
    fn tidy(&self, live: usize) {
        if live == 0 || live >= SHORT && live.is_power_of_two() {
            // They are dropped outside the lock: with the last reference goes what is the user's.
            let ended = self.list.lock().tidy(live);
            drop(ended);
        }
    }

    /// The task that waits for the children.
    pub(super) fn parent(&self) -> Option<TaskRef> {
        self.trigger.parent()
    }

    /// A child has ended.
    pub(super) fn ended(&self, task: &TaskRef) {
        let failed = task.header().state.ending() == Some(Ending::Failed);
        let waker = if failed { self.failed(task) } else { None };
        self.leave(waker);
    }

    /// The first child that fails makes all others end, and the parent (TG-03). Who is to be woken.
    #[cold]
    fn failed(&self, task: &TaskRef) -> Option<Waker> {
        let mut list = self.list.lock();
        let phase = self.word().phase();
        if phase == Phase::Dropped {
            return None;
        }
        // Looked at only here: what nobody can raise any more is reported (TG-17).
        list.errors.extend(task.error());
        if phase != Phase::Open {
            return None;
        }
        self.enter(Phase::Aborting, &list);
        let aborted = list.abort();
        drop(list);
        self.end_all(&aborted)
    }

    /// Asks the children to end, then the parent, which may await somebody, too: it is to be woken.
    fn end_all(&self, aborted: &Aborted) -> Option<Waker> {
        aborted.cancel();
        self.trigger.fire(&aborted.members)
    }

    /// Makes the group end early. False: it was asked before, shuts down anyway, or is over.
    pub(crate) fn cancel(&self) -> bool {
        let mut list = self.list.lock();
        let word = self.word();
        match word.phase() {
            Phase::Created => return !std::mem::replace(&mut list.cancelled, true),
            Phase::Open if !word.is_over() => list.cancelled = true,
            _ => return false,
        }
        self.enter(Phase::Aborting, &list);
        let aborted = list.abort();
        drop(list);
        self.end_all(&aborted).into_iter().for_each(probe::wake);
        true
    }

    /// Asks the parent of a group to end that was cancelled before it began.
    pub(crate) fn interrupt(&self) {
        let nobody = Arc::new(Members::new(&[]));
        let aborted = Aborted { tasks: Vec::new(), members: nobody };
        self.end_all(&aborted).into_iter().for_each(probe::wake);
    }

    /// Asks all children to end, unless that was done before: then false.
    pub(crate) fn abort(&self) -> bool {
        let aborted = {
            let list = self.list.lock();
            (self.word().phase() == Phase::Open).then(|| {
                self.enter(Phase::Aborting, &list);
                list.abort()
            })
        };
        if let Some(aborted) = &aborted {
            aborted.cancel();
        }
        aborted.is_some()
    }

    /// The body has ended.
    pub(crate) fn exit(&self) {
        self.word.fetch_or(EXITING, Ordering::Relaxed);
    }

    /// Have all children ended, after the body? Then the group is finished; their errors, and
    /// whether it was cancelled.
    pub(crate) fn finish(&self) -> Option<(Vec<Error>, bool)> {
        if !self.word().is_over() {
            return None;
        }
        // Nobody joins any more.
        let mut list = self.list.lock();
        self.enter(Phase::Finished, &list);
        let List { tasks, errors, cancelled } = std::mem::take(&mut *list);
        drop(list);
        drop(tasks);
        Some((errors, cancelled))
    }

    /// The group is dropped before it is finished: its children are asked to end, unless they have
    /// been already, and clean up; and what they failed with is reported.
    pub(crate) fn abandon(&self) {
        let (aborted, errors) = {
            let mut list = self.list.lock();
            let phase = self.word().phase();
            if phase == Phase::Finished {
                return;
            }
            self.enter(Phase::Dropped, &list);
            let aborted = (phase == Phase::Open).then(|| list.abort());
            (aborted, std::mem::take(&mut list.errors))
        };
        aborted.iter().for_each(Aborted::cancel);
        for error in errors {
            probe::group_abandoned(&error);
        }
    }
}

impl fmt::Debug for Children {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = self.list.lock();
        let (phase, live, errors) = (self.word().phase(), list.live(), list.errors.clone());
        drop(list);
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
            children.leave(None);
        }
    }
}
