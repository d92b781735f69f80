//! Several tasks awaited as one: who of them has ended, and when that is enough.
//!
//! Whoever awaits them (`gather`, `wait`, `as_completed`, `shield`) leaves one listener with each.
//! The listeners count; the one whose task makes it enough wakes the waiter, once, so that a
//! thousand tasks cost it one poll and not a thousand. The decision is made when a listener runs,
//! under one lock, and never changes (GAT-12).
//!
//! A [`Several`] can stand in a scope's note as one awaited task does: a request to the waiter then
//! goes to all that have not ended.
//! Model: `loom-tests/several.rs`.

use std::collections::VecDeque;
use std::task::{Poll, Waker};

use crate::probe::{self, Kept};
use crate::sys::{Arc, Mutex};
use crate::task::answers::Ending;
use crate::task::hooks::Listener;
use crate::task::raw::TaskRef;
use crate::task::waker;

/// When have enough tasks ended?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enough {
    /// Every one has.
    All,
    /// The first one has.
    First,
    /// One has failed; a cancelled one does not count (WAIT-04). Else all.
    FirstFailed,
    /// One has failed or was cancelled (GAT-04, GAT-05). Else all.
    FirstWithoutValue,
}

impl Enough {
    fn is_met_by(self, ending: Option<Ending>) -> bool {
        match self {
            Enough::All => false,
            Enough::First => true,
            Enough::FirstFailed => ending == Some(Ending::Failed),
            Enough::FirstWithoutValue => ending != Some(Ending::Value),
        }
    }
}

/// The tasks, and how far they are.
///
/// Aligned to two words where a word is long: notes of them use the low bits (`standing`).
#[derive(Debug)]
#[repr(align(16))]
pub(crate) struct Several {
    tasks: Vec<TaskRef>,
    enough: Enough,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    left: usize,
    /// Those that ended, in that order, until they are taken.
    ended: VecDeque<usize>,
    /// Which one made it enough.
    decided: Option<usize>,
    /// A request went to them, or is about to.
    requested: bool,
    /// The waiter has ended for it.
    answered: bool,
    waker: Option<Kept>,
}

impl Several {
    pub(crate) fn tasks(&self) -> &[TaskRef] {
        &self.tasks
    }

    /// The task that waits for them, if it is polled with its own waker.
    pub(super) fn waiter(&self) -> Option<TaskRef> {
        self.progress.lock().waker.as_deref().and_then(waker::task_of)
    }

    /// A request goes to them; did one before? `None`: it is decided already (GAT-07).
    pub(super) fn begin_request(&self) -> Option<bool> {
        let mut progress = self.progress.lock();
        match progress.decided {
            Some(_) => None,
            None => Some(std::mem::replace(&mut progress.requested, true)),
        }
    }

    /// All were asked. False: nobody took it, so that whoever awaits them must.
    pub(super) fn end_request(&self, before: bool, accepted: bool) -> bool {
        let mut progress = self.progress.lock();
        // The waiter may have looked meanwhile, and have taken it for what it ends with.
        let passed = accepted || progress.answered;
        progress.requested = before || passed;
        passed
    }

    /// It is decided: did a request go to them, which whoever awaits them now answers?
    pub(crate) fn answer_request(&self) -> bool {
        let mut progress = self.progress.lock();
        progress.answered = progress.requested;
        progress.requested
    }

    /// A listener was called: that task has ended.
    pub(super) fn ended(&self, number: usize, task: &TaskRef) {
        let ending = task.header().state.ending();
        let mut progress = self.progress.lock();
        if progress.decided.is_some() && self.enough == Enough::FirstWithoutValue {
            drop(progress);
            // Nobody will ever ask what became of it (GAT-04).
            task.header().state.see();
            return;
        }
        progress.left -= 1;
        progress.ended.push_back(number);
        if progress.decided.is_none() && (progress.left == 0 || self.enough.is_met_by(ending)) {
            progress.decided = Some(number);
        }
        let waker = progress.decided.and_then(|_| progress.waker.take());
        drop(progress);
        if let Some(waker) = waker {
            probe::wake(waker.into_waker());
        }
    }
}

/// The waiter's hold on them: its listeners go with it.
#[derive(Debug)]
pub(crate) struct Watch {
    several: Arc<Several>,
    /// Their keys, task by task.
    listeners: Vec<u64>,
}

impl Watch {
    /// Leaves a listener with each task. `at_once`: those that have ended already are counted
    /// here; else in their turn.
    pub(crate) fn new(tasks: Vec<TaskRef>, enough: Enough, at_once: bool) -> Self {
        let left = tasks.len();
        let (ended, decided, requested, answered) = (VecDeque::new(), None, false, false);
        let progress = Progress { left, ended, decided, requested, answered, waker: None };
        let several = Arc::new(Several { tasks, enough, progress: Mutex::new(progress) });
        let listen = |(number, task): (usize, &TaskRef)| {
            if at_once && task.is_finished() {
                several.ended(number, task);
                return 0;
            }
            task.listen(Listener::Several(several.clone(), number))
        };
        let listeners = several.tasks.iter().enumerate().map(listen).collect();
        Watch { several, listeners }
    }

    pub(crate) fn several(&self) -> &Arc<Several> {
        &self.several
    }

    /// Have enough ended? Gives the one that made it enough; there is none if there are no tasks.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<Option<usize>> {
        self.look(waker, |progress| match progress.decided {
            None if progress.left > 0 => None,
            decided => Some(decided),
        })
    }

    /// The next one that has ended; `None`: all were given.
    pub(crate) fn poll_next(&mut self, waker: &Waker) -> Poll<Option<usize>> {
        self.look(waker, |progress| match progress.ended.pop_front() {
            None if progress.left > 0 => None,
            next => Some(next),
        })
    }

    fn look<T>(
        &mut self,
        waker: &Waker,
        mut found: impl FnMut(&mut Progress) -> Option<T>,
    ) -> Poll<T> {
        let mut progress = self.several.progress.lock();
        if let Some(found) = found(&mut progress) {
            return Poll::Ready(found);
        }
        if progress.waker.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            return Poll::Pending;
        }
        drop(progress);
        // Foreign code: outside the lock.
        let new = Kept::of(waker);
        let mut progress = self.several.progress.lock();
        let former = progress.waker.replace(new);
        let found = found(&mut progress);
        drop(progress);
        drop(former);
        found.map_or(Poll::Pending, Poll::Ready)
    }

    /// Who is woken if this is to be polled again.
    pub(crate) fn take_waker(&mut self) -> Option<Kept> {
        self.several.progress.lock().waker.take()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.take_waker());
        let several = &self.several;
        // What becomes of the others once one has failed is nobody's business: the listeners stay,
        // and look at their errors (GAT-04).
        let keep = several.enough == Enough::FirstWithoutValue;
        if keep && several.progress.lock().decided.is_some() {
            return;
        }
        for (task, listener) in several.tasks.iter().zip(&self.listeners) {
            task.remove_hook(*listener);
        }
    }
}
