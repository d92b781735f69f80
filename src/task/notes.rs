//! Which tasks a scope awaits: requests go on to them, and come back if nobody awaits them after
//! all.
//!
//! While its scope is polled there are two of each note: what the poll before left (`before`), to
//! be taken up again, and what the present one leaves.

use std::task::Waker;

use crate::sys::Arc;
use crate::task::raw::TaskRef;
use crate::task::scopes::{RETURNED, ROOT, Scopes};
use crate::task::several::Several;

/// Which requests were passed on through a note.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) task: bool,
    pub(crate) scope: bool,
}

const CARRIED_TASK: usize = 1 << 0;
const CARRIED_SCOPE: usize = 1 << 1;

impl Carried {
    pub(crate) fn any(self) -> bool {
        self.task || self.scope
    }

    /// As the two lowest bits of a word.
    pub(super) fn bits(self) -> usize {
        usize::from(self.task) * CARRIED_TASK + usize::from(self.scope) * CARRIED_SCOPE
    }

    pub(super) fn of(bits: usize) -> Self {
        Carried { task: bits & CARRIED_TASK != 0, scope: bits & CARRIED_SCOPE != 0 }
    }
}

/// What a scope awaits, if it is exactly one task, or several as one.
#[derive(Debug, Default)]
pub(crate) enum Note {
    #[default]
    None,
    /// More than one, or one that cannot be relied on.
    Blank,
    One(TaskRef, Carried),
    Several(Arc<Several>, Carried),
}

/// Tells what is awaited apart: where it is in memory, which it is as long as it is awaited.
pub(crate) type Key = *const ();

/// The key of several tasks awaited as one.
pub(crate) fn key_of(several: &Arc<Several>) -> Key {
    std::ptr::from_ref::<Several>(several).cast()
}

impl Note {
    fn is_of(&self, key: Key) -> bool {
        match self {
            Note::One(task, _) => task.address() == key,
            Note::Several(several, _) => key_of(several) == key,
            Note::None | Note::Blank => false,
        }
    }

    /// Something that requests can be passed on to.
    pub(super) fn is_reliable(&self) -> bool {
        matches!(self, Note::One(..) | Note::Several(..))
    }

    /// The one task, if it is one.
    pub(crate) fn target(&self) -> Option<&TaskRef> {
        match self {
            Note::One(task, _) => Some(task),
            _ => None,
        }
    }

    pub(super) fn carried(&self) -> Carried {
        match self {
            Note::One(_, carried) | Note::Several(_, carried) => *carried,
            Note::None | Note::Blank => Carried::default(),
        }
    }

    /// What requests can be passed on to, without what went there before.
    pub(crate) fn awaited(&self) -> Note {
        match self {
            Note::One(task, _) => Note::One(task.clone(), Carried::default()),
            Note::Several(several, _) => Note::Several(several.clone(), Carried::default()),
            Note::None | Note::Blank => Note::None,
        }
    }

    pub(super) fn carry(&mut self, more: Carried) {
        if let Note::One(_, carried) | Note::Several(_, carried) = self {
            carried.task |= more.task;
            carried.scope |= more.scope;
        }
    }
}

/// What must happen to pieces of an entry outside the borrow of the scopes: foreign code may run.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Remains {
    pub(super) notes: [Note; 2],
    pub(super) waker: Option<Waker>,
    /// A request made from outside came back to the task.
    pub(crate) mark_back: bool,
}

impl Scopes {
    /// A poll of the scope begins: its note is the one of the poll before.
    pub(crate) fn turn(&mut self, scope: u32) -> Note {
        let entry = self.entry(scope);
        let note = std::mem::take(&mut entry.note);
        std::mem::replace(&mut entry.before, note)
    }

    /// What is awaited is looked at again: gives what went through the scope's note of it.
    pub(crate) fn claim(&mut self, scope: u32, key: Key) -> (Carried, Note) {
        let entry = self.entry(scope);
        if !entry.before.is_of(key) {
            return (Carried::default(), Note::None);
        }
        let note = std::mem::take(&mut entry.before);
        (note.carried(), note)
    }

    /// What was carried has arrived: the awaited task is done.
    pub(crate) fn forget_passed(&mut self, holder: u32) {
        if let Some(tree) = &mut self.tree {
            tree.passed.retain(|passed| passed.0 != holder);
        }
    }

    /// The scope awaits what `note` says. `reliable`: it is polled with the scope's own waker.
    pub(crate) fn note(&mut self, scope: u32, note: Note, reliable: bool) -> Remains {
        let entry = self.entry(scope);
        let mut remains = Remains::default();
        if reliable && matches!(entry.note, Note::None) {
            entry.note = note;
            return remains;
        }
        let former = std::mem::replace(&mut entry.note, Note::Blank);
        let both = [former.carried(), note.carried()];
        for carried in both {
            remains.mark_back |= self.give_back(scope, carried);
        }
        remains.notes = [former, note];
        remains
    }

    /// The scope no longer awaits this, before its poll is over: what it carried comes back.
    pub(crate) fn withdraw(&mut self, scope: u32, key: Key) -> Remains {
        let mut remains = Remains::default();
        let entry = self.entry(scope);
        let notes = [&mut entry.note, &mut entry.before];
        for (note, kept) in notes.into_iter().zip(&mut remains.notes) {
            if note.is_of(key) {
                *kept = std::mem::take(note);
            }
        }
        for carried in [remains.notes[0].carried(), remains.notes[1].carried()] {
            remains.mark_back |= self.give_back(scope, carried);
        }
        remains
    }

    /// The scope's poll is over: what its former note carried and nobody took up comes back.
    pub(crate) fn settle(&mut self, scope: u32) -> Remains {
        let before = std::mem::take(&mut self.entry(scope).before);
        let mark_back = self.give_back(scope, before.carried());
        Remains { notes: [before, Note::None], waker: None, mark_back }
    }

    /// The task was polled for the last time: it will not look again at what it awaited in that
    /// poll, so what that carries comes back, too.
    pub(crate) fn let_go(&mut self) -> Remains {
        let note = std::mem::take(&mut self.entry(ROOT).note);
        let mark_back = self.give_back(ROOT, note.carried());
        Remains { notes: [note, Note::None], waker: None, mark_back }
    }

    /// Returns carried requests to whoever made them. True: the task's own mark is to be set.
    pub(super) fn give_back(&mut self, holder: u32, carried: Carried) -> bool {
        if carried.scope
            && let Some(tree) = &mut self.tree
        {
            let passed = std::mem::take(&mut tree.passed);
            let (back, rest) = passed.into_iter().partition(|passed| passed.0 == holder);
            tree.passed = rest;
            let back: Vec<(u32, u32, u32)> = back;
            for (_, maker, generation) in back {
                let absorbed = self.absorbing;
                if let Some(entry) = self.live(maker, generation).filter(|_| !absorbed) {
                    entry.flags |= RETURNED;
                }
            }
        }
        carried.task && !self.absorbing
    }

    /// Nobody passes the present request on.
    pub(crate) fn forget_notes(&mut self) -> Vec<Remains> {
        let mut all = Vec::new();
        let last = self.tree.as_ref().map_or(0, |tree| tree.entries.len()) as u32;
        for scope in ROOT..=last {
            // A free entry has no notes.
            let entry = self.entry(scope);
            let notes = [std::mem::take(&mut entry.note), std::mem::take(&mut entry.before)];
            self.forget_passed(scope);
            all.push(Remains { notes, waker: None, mark_back: false });
        }
        all
    }
}
