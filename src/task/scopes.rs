//! The cancel scopes of one task: who is inside whom, who is owed a request, who awaits what.
//!
//! Plain data, touched only by the thread that polls the task: at the start of a poll it moves
//! from the task's header to the poll's stack, at the end it moves back. The law it serves
//! (`cancel` tells the story of a request, `unwind` that of a scope):
//!
//! - A scope's parent is the scope that polls it, re-read at every poll. When a scope leaves, its
//!   children go to its parent. A scope with none below it is a **leaf**; with no scopes at all,
//!   the root is.
//! - A request that is to be delivered is **owed** to every leaf below its maker, the root or a
//!   scope with a trigger of its own. A debt stays until its leaf is polled. Whoever **takes**
//!   pays for all scopes around it.
//! - A scope below which a leaf was owed and nobody took is still marked `BELOW` after it was
//!   polled: it takes itself, or leaves the debt to its parent if it is over.
//! - A scope that awaits one task keeps a **note** of it until its next poll. An owed leaf with a
//!   note passes the request on. If the note is not taken up again by then, the request comes
//!   back to its maker.

use std::task::Waker;

use crate::error::Message;
use crate::probe;
use crate::sys::Arc;
use crate::task::members::Members;
use crate::task::notes::{Carried, Note, Remains};
use crate::task::standing::{Kept, Standing};

/// The task itself, around all its scopes.
pub(crate) const ROOT: u32 = 0;

/// Owed a request that was made of the task from outside.
pub(super) const OWED_TASK: u8 = 1 << 0;
/// Owed a request that a scope around it made.
pub(super) const OWED_SCOPE: u8 = 1 << 1;
/// A leaf below is owed, and nobody has taken yet.
pub(super) const BELOW: u8 = 1 << 2;
/// Something inside wants this scope unwound.
pub(super) const UNWIND: u8 = 1 << 3;
/// It made a request of its own: one of the task's counted requests is its.
pub(super) const FIRED: u8 = 1 << 4;
/// Its own request is owed below, or to itself.
pub(super) const OWING: u8 = 1 << 5;
/// Its own request came back and is to be owed again.
pub(super) const RETURNED: u8 = 1 << 6;
/// In use.
pub(super) const LIVE: u8 = 1 << 7;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) flags: u8,
    pub(super) parent: u32,
    pub(super) children: u32,
    pub(super) generation: u32,
    /// What its latest poll left.
    pub(super) note: Note,
    /// What the poll before left, until the present one takes it up again.
    pub(super) before: Note,
    /// The waker it is polled with, if that is not the task's own.
    pub(super) waker: Option<Waker>,
    /// A group's request is made of these, too.
    pub(super) members: Option<Arc<Members>>,
}

/// A group made a request of its parent, from outside: it is counted already.
#[derive(Debug)]
pub(crate) struct Fired {
    pub(crate) place: (u32, u32),
    pub(crate) members: Arc<Members>,
    /// It went on to what the task awaited, sleeping.
    pub(crate) passed: bool,
}

impl Entry {
    const NEW: Entry = Entry {
        flags: 0,
        parent: ROOT,
        children: 0,
        generation: 0,
        note: Note::None,
        before: Note::None,
        waker: None,
        members: None,
    };

    pub(super) fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    #[inline]
    fn has_no_notes(&self) -> bool {
        matches!((&self.note, &self.before), (Note::None, Note::None))
    }
}

/// All scopes of a task but the root.
///
/// Aligned to two words where a word is long: its address has bits to spare (`standing`).
#[derive(Debug, Default)]
#[repr(align(16))]
pub(crate) struct Tree {
    /// Entry `i` is scope `i + 1`.
    pub(super) entries: Vec<Entry>,
    free: Vec<u32>,
    pub(super) fired: u32,
    /// The root's children, and its note, between polls.
    under_root: u32,
    root_note: Note,
    /// Which scope's request went through whose note: (holder, maker, maker's generation).
    pub(super) passed: Vec<(u32, u32, u32)>,
    /// The one leaf, if its note is published.
    published: Option<u32>,
}

impl Drop for Tree {
    /// Scopes may stay behind: the wakers go each for itself, for foreign ones may panic.
    fn drop(&mut self) {
        let wakers = self.entries.iter_mut().filter_map(|entry| entry.waker.take());
        wakers.for_each(probe::drop_waker);
    }
}

impl Tree {
    /// The tree that a chain of that length stands for, which is not zero.
    pub(super) fn of_chain(length: u32) -> Box<Tree> {
        let entry = |parent: u32| {
            let children = u32::from(parent + 1 < length);
            Entry { flags: LIVE, parent, children, ..Entry::NEW }
        };
        let mut tree = Box::<Tree>::default();
        tree.entries.extend((0..length).map(entry));
        tree.under_root = 1;
        tree
    }

    /// The note that is published, if one is: that of the one leaf.
    pub(super) fn published(&self) -> &Note {
        self.published.map_or(&self.root_note, |leaf| &self.entries[leaf as usize - 1].note)
    }
}

/// The scopes of a task while it is polled.
#[derive(Debug)]
pub(crate) struct Scopes {
    root: Entry,
    pub(super) tree: Option<Box<Tree>>,
    /// The message of the request that is being delivered.
    pub(crate) message: Option<Message>,
    /// A scope that takes drops its inside: what was passed on there does not come back.
    pub(crate) absorbing: bool,
}

impl Scopes {
    pub(super) const NEW: Scopes =
        Scopes { root: Entry::NEW, tree: None, message: None, absorbing: false };

    /// Goes on with the tree that a chain stands for.
    #[cold]
    pub(super) fn unfold(&mut self, chain: u32) {
        let tree = Tree::of_chain(chain);
        self.root.children = tree.under_root;
        self.tree = Some(tree);
    }

    /// Begins a poll: takes over what the header kept. `passed`: a request went through the
    /// published note.
    ///
    /// In place, and nothing is moved that is not there: this is part of many polls.
    #[inline(never)]
    pub(super) fn begin(&mut self, standing: &mut Standing, passed: bool) {
        let mut published = None;
        match standing.take() {
            Kept::Note(note) => self.root.before = note,
            Kept::Tree(mut tree) => {
                published = tree.published.take();
                self.root.before = std::mem::take(&mut tree.root_note);
                self.root.children = tree.under_root;
                self.tree = Some(tree);
            }
        }
        if passed {
            let carried = Carried { task: true, scope: false };
            match published {
                Some(leaf) => self.entry(leaf).note.carry(carried),
                None => self.root.before.carry(carried),
            }
        }
    }

    /// Ends a poll that stays pending: what the header is to keep goes there. True: the task's one
    /// leaf has a note to publish.
    #[inline(never)]
    pub(super) fn end(&mut self, standing: &mut Standing) -> bool {
        let note = std::mem::take(&mut self.root.note);
        let mut noted = note.is_reliable();
        let Some(mut tree) = self.tree.take() else {
            standing.put_note(note);
            return noted;
        };
        tree.under_root = self.root.children;
        tree.root_note = note;
        if self.root.children > 0 {
            tree.published = tree.single_noted_leaf();
            noted = tree.published.is_some();
        }
        standing.put_tree(tree);
        noted
    }

    /// Nobody asks the root for anything, and it awaited no task before.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.root.flags == 0 && matches!(self.root.before, Note::None)
    }

    /// It might as well not be there: no scopes, no notes, and nobody asks for anything.
    pub(super) fn is_blank(&self) -> bool {
        self.root.flags == 0 && !self.absorbing && self.is_bare()
    }

    /// There is nothing in it that has to be dropped.
    #[inline]
    pub(super) fn is_bare(&self) -> bool {
        let Scopes { root, tree, message, .. } = self;
        let own = root.has_no_notes() && root.waker.is_none() && root.members.is_none();
        own && tree.is_none() && message.is_none()
    }

    /// The scope is polled where it was polled before, with the task's own waker, and no note of it
    /// moves.
    #[inline]
    pub(crate) fn stands_as_before(&mut self, scope: u32, parent: u32) -> bool {
        let entry = self.entry(scope);
        entry.parent == parent && entry.waker.is_none() && entry.has_no_notes()
    }

    /// Something concerns the scope before it is polled.
    #[inline]
    pub(crate) fn is_to_hear(&mut self, scope: u32) -> bool {
        self.entry(scope).has(OWED_TASK | OWED_SCOPE | RETURNED)
    }

    /// After its poll there is nothing to be done about the scope.
    #[inline]
    pub(crate) fn is_quiet(&mut self, scope: u32) -> bool {
        let entry = self.entry(scope);
        !entry.has(!(LIVE | FIRED)) && matches!(entry.before, Note::None)
    }

    /// The root awaits a task.
    #[inline]
    pub(crate) fn is_noted(&self) -> bool {
        !matches!(self.root.note, Note::None)
    }

    pub(super) fn entry(&mut self, scope: u32) -> &mut Entry {
        match (scope, &mut self.tree) {
            (ROOT, _) => &mut self.root,
            (_, Some(tree)) => &mut tree.entries[scope as usize - 1],
            (_, None) => unreachable!("a scope without a tree"),
        }
    }

    /// The entry of a scope, if it is still the one that was meant.
    pub(super) fn live(&mut self, scope: u32, generation: u32) -> Option<&mut Entry> {
        let entry = self.tree.as_mut()?.entries.get_mut(scope as usize - 1)?;
        (entry.has(LIVE) && entry.generation == generation).then_some(entry)
    }

    // ---- who is inside whom ----------------------------------------------------------------

    /// A scope is entered for the first time in this task.
    pub(crate) fn enter(&mut self, parent: u32, fired: bool, undelivered: bool) -> (u32, u32) {
        let tree = self.tree.get_or_insert_default();
        let scope = tree.free.pop().unwrap_or_else(|| {
            tree.entries.push(Entry::NEW);
            tree.entries.len() as u32
        });
        let entry = &mut tree.entries[scope as usize - 1];
        entry.generation = entry.generation.wrapping_add(1);
        entry.flags = LIVE;
        entry.members = None;
        entry.parent = parent;
        if fired {
            entry.flags |= FIRED | if undelivered { RETURNED } else { 0 };
            tree.fired += 1;
        }
        let generation = entry.generation;
        self.entry(parent).children += 1;
        (scope, generation)
    }

    /// A scope is polled again, perhaps inside another one than before.
    pub(crate) fn reenter(&mut self, scope: u32, parent: u32) {
        let former = std::mem::replace(&mut self.entry(scope).parent, parent);
        if former != parent {
            self.entry(former).children -= 1;
            self.entry(parent).children += 1;
        }
    }

    pub(crate) fn parent(&mut self, scope: u32) -> u32 {
        self.entry(scope).parent
    }

    /// A scope is over. `absorb`: what was passed on below counts as taken.
    pub(crate) fn leave(&mut self, scope: u32, absorb: bool) -> Remains {
        let mut remains = Remains::default();
        if !absorb {
            for carried in [self.entry(scope).before.carried(), self.entry(scope).note.carried()] {
                remains.mark_back |= self.give_back(scope, carried);
            }
        }
        self.forget_passed(scope);
        let left = self.entry(scope);
        let (parent, children, fired) = (left.parent, left.children, left.has(FIRED));
        remains.notes = [std::mem::take(&mut left.note), std::mem::take(&mut left.before)];
        remains.waker = left.waker.take();
        left.flags = 0;
        left.children = 0;
        self.entry(parent).children -= 1;
        if children > 0 {
            self.adopt(scope, parent, children);
        }
        if let Some(tree) = &mut self.tree {
            tree.fired -= u32::from(fired);
            tree.free.push(scope);
        }
        remains
    }

    /// As [`leave`](Scopes::leave), if the scope leaves nothing behind: gives its parent.
    #[inline]
    pub(crate) fn leave_plainly(&mut self, scope: u32) -> Option<u32> {
        let tree = self.tree.as_mut()?;
        let passed = !tree.passed.is_empty();
        let entry = &mut tree.entries[scope as usize - 1];
        let kept = entry.children > 0 || entry.waker.is_some() || !entry.has_no_notes();
        if passed || kept {
            return None;
        }
        tree.fired -= u32::from(entry.has(FIRED));
        entry.flags = 0;
        let parent = entry.parent;
        tree.free.push(scope);
        self.entry(parent).children -= 1;
        Some(parent)
    }

    fn adopt(&mut self, former: u32, parent: u32, children: u32) {
        let entries = self.tree.iter_mut().flat_map(|tree| &mut tree.entries);
        for entry in entries.filter(|entry| entry.has(LIVE) && entry.parent == former) {
            entry.parent = parent;
        }
        self.entry(parent).children += children;
    }

    /// A scope that ended elsewhere leaves, if it has not left by itself.
    pub(crate) fn purge(&mut self, scope: u32, generation: u32) -> Option<Remains> {
        self.live(scope, generation)?;
        Some(self.leave(scope, false))
    }

    /// How many fired scopes are not around `scope`, itself included in what is around it.
    pub(crate) fn fired_elsewhere(&mut self, scope: u32) -> u32 {
        let mut elsewhere = self.tree.as_ref().map_or(0, |tree| tree.fired);
        let mut at = scope;
        while elsewhere > 0 && at != ROOT {
            let entry = self.entry(at);
            elsewhere -= u32::from(entry.has(FIRED));
            at = entry.parent;
        }
        elsewhere
    }

    // ---- wakers ----------------------------------------------------------------------------

    /// Must the scope's own waker be kept anew? `None` stands for the task's waker.
    pub(crate) fn needs_waker(&mut self, scope: u32, waker: Option<&Waker>) -> bool {
        match (&self.entry(scope).waker, waker) {
            (None, None) => false,
            (Some(kept), Some(waker)) => !kept.will_wake(waker),
            _ => true,
        }
    }

    pub(crate) fn keep_waker(&mut self, scope: u32, waker: Option<Waker>) -> Option<Waker> {
        std::mem::replace(&mut self.entry(scope).waker, waker)
    }
}

impl Tree {
    /// The one leaf, if there is exactly one and it has a note.
    pub(super) fn single_noted_leaf(&self) -> Option<u32> {
        let is_leaf = |entry: &&Entry| entry.has(LIVE) && entry.children == 0;
        let leaves = (1..).zip(&self.entries);
        let mut leaves = leaves.filter(|(_, entry)| is_leaf(entry));
        match (leaves.next(), leaves.next()) {
            (Some((leaf, entry)), None) if entry.note.is_reliable() => Some(leaf),
            _ => None,
        }
    }
}
