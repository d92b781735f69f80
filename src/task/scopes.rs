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
use crate::sys::Arc;
use crate::task::notes::{Carried, Note, Packed, Remains};

/// The task itself, around all its scopes.
pub(crate) const ROOT: u32 = 0;

/// Owed a request that was made of the task from outside.
const OWED_TASK: u8 = 1 << 0;
/// Owed a request that a scope around it made.
const OWED_SCOPE: u8 = 1 << 1;
/// A leaf below is owed, and nobody has taken yet.
const BELOW: u8 = 1 << 2;
/// Something inside wants this scope unwound.
const UNWIND: u8 = 1 << 3;
/// It made a request of its own: one of the task's counted requests is its.
const FIRED: u8 = 1 << 4;
/// Its own request is owed below, or to itself.
const OWING: u8 = 1 << 5;
/// Its own request came back and is to be owed again.
pub(super) const RETURNED: u8 = 1 << 6;
/// In use.
const LIVE: u8 = 1 << 7;

#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) flags: u8,
    parent: u32,
    children: u32,
    generation: u32,
    /// What its latest poll left.
    pub(super) note: Note,
    /// What the poll before left, until the present one takes it up again.
    pub(super) before: Note,
    /// The waker it is polled with, if that is not the task's own.
    waker: Option<Waker>,
    /// A group's request concerns the tasks with these numbers, too, and was made of them already.
    members: Option<Members>,
}

/// The numbers of tasks, sorted.
pub(crate) type Members = Arc<Vec<u64>>;

/// A group made a request of its parent, from outside: it is counted already.
#[derive(Debug)]
pub(crate) struct Fired {
    pub(crate) place: (u32, u32),
    pub(crate) members: Members,
    /// It went on to what the task awaited, sleeping.
    pub(crate) passed: bool,
}

impl Entry {
    fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }
}

/// All scopes of a task but the root.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Entry `i` is scope `i + 1`.
    pub(super) entries: Vec<Entry>,
    free: Vec<u32>,
    fired: u32,
    /// The root's children, between polls.
    under_root: u32,
    /// Which scope's request went through whose note: (holder, maker, maker's generation).
    pub(super) passed: Vec<(u32, u32, u32)>,
    /// The one leaf, if its note is published.
    published: Option<u32>,
}

impl Tree {
    /// The published note, if the one leaf is a scope.
    pub(crate) fn published(&self) -> Option<&Note> {
        self.published.map(|leaf| &self.entries[leaf as usize - 1].note)
    }
}

/// The scopes of a task while it is polled.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    root: Entry,
    pub(super) tree: Option<Box<Tree>>,
    /// The message of the request that is being delivered.
    pub(crate) message: Option<Message>,
    /// A scope that takes drops its inside: what was passed on there does not come back.
    pub(crate) absorbing: bool,
}

impl Scopes {
    /// Begins a poll: takes over what the header kept. `passed`: a request went through the
    /// published note.
    ///
    /// In place, and nothing is moved that is not there: this is part of many polls.
    #[inline(never)]
    pub(super) fn begin(
        scopes: &mut Option<Scopes>,
        note: &mut Packed,
        tree: &mut Option<Box<Tree>>,
        passed: bool,
    ) {
        let scopes = scopes.get_or_insert_default();
        if note.is_some() {
            scopes.root.before = note.take();
        }
        let mut published = None;
        if let Some(mut tree) = tree.take() {
            published = tree.published.take();
            scopes.root.children = tree.under_root;
            scopes.tree = Some(tree);
        }
        if passed {
            let carried = Carried { task: true, scope: false };
            match published {
                Some(leaf) => scopes.entry(leaf).note.carry(carried),
                None => scopes.root.before.carry(carried),
            }
        }
    }

    /// Ends a poll that stays pending: what the header is to keep goes there. True: the task's one
    /// leaf has a note to publish.
    #[inline(never)]
    pub(super) fn end(&mut self, note: &mut Packed, tree: &mut Option<Box<Tree>>) -> bool {
        let mut noted = self.root.note.is_reliable();
        if let Some(mut own) = self.tree.take() {
            own.under_root = self.root.children;
            if self.root.children > 0 {
                own.published = own.single_noted_leaf();
                noted = own.published.is_some();
            }
            *tree = Some(own);
        }
        if !matches!(self.root.note, Note::None) {
            *note = Packed::pack(std::mem::take(&mut self.root.note));
        }
        noted
    }

    /// There is no scope but the root, nobody asks it for anything, and it awaited no task before.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.tree.is_none() && self.root.flags == 0 && matches!(self.root.before, Note::None)
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
            tree.entries.push(Entry::default());
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

    // ---- debts -----------------------------------------------------------------------------

    pub(crate) fn is_leaf(&mut self, scope: u32) -> bool {
        self.entry(scope).children == 0
    }

    /// Owes a request of `maker` to every leaf below it, or to itself if it is one. Gives the
    /// wakers through which leaves must be told.
    pub(crate) fn owe(&mut self, maker: u32) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let debt = if maker == ROOT { OWED_TASK } else { OWED_SCOPE };
        self.entry(maker).flags |= OWING;
        if self.is_leaf(maker) {
            self.entry(maker).flags |= debt;
            return wakers;
        }
        for leaf in 1..=self.tree.as_ref().map_or(0, |tree| tree.entries.len()) as u32 {
            let entry = self.entry(leaf);
            if entry.has(LIVE) && entry.children == 0 && self.is_below(leaf, maker) {
                let entry = self.entry(leaf);
                entry.flags |= debt;
                wakers.extend(entry.waker.take());
                self.mark_below(leaf, maker);
            }
        }
        wakers
    }

    fn is_below(&mut self, scope: u32, maker: u32) -> bool {
        let mut at = scope;
        while at != maker && at != ROOT {
            at = self.entry(at).parent;
        }
        at == maker
    }

    fn mark_below(&mut self, leaf: u32, maker: u32) {
        let mut at = leaf;
        while at != maker {
            at = self.entry(at).parent;
            self.entry(at).flags |= BELOW;
        }
    }

    /// Is it owed? A leaf then takes, or passes on; one that has scopes below it by now does not.
    pub(crate) fn is_owed(&mut self, scope: u32) -> bool {
        self.entry(scope).has(OWED_TASK | OWED_SCOPE)
    }

    /// What an owed leaf can pass the request on to.
    pub(crate) fn pass_to(&mut self, scope: u32) -> Note {
        self.entry(scope).before.awaited()
    }

    /// Whom the request that a leaf is owed was made of already, if it is one group's alone.
    pub(crate) fn members(&mut self, leaf: u32) -> Option<Members> {
        if self.entry(leaf).has(OWED_TASK) {
            return None;
        }
        let (mut at, mut members, mut makers) = (leaf, None, 0);
        while at != ROOT {
            let entry = self.entry(at);
            if entry.has(OWING) {
                members = entry.members.clone();
                makers += 1;
            }
            at = entry.parent;
        }
        members.filter(|_| makers == 1)
    }

    /// The request went on to what the note says.
    pub(crate) fn passed_on(&mut self, scope: u32) {
        let owed = self.entry(scope).flags;
        let carried = Carried { task: owed & OWED_TASK != 0, scope: owed & OWED_SCOPE != 0 };
        if carried.scope {
            let mut at = scope;
            while at != ROOT {
                let entry = self.entry(at);
                let (maker, parent) = ((at, entry.generation), entry.parent);
                if entry.has(OWING)
                    && let Some(tree) = &mut self.tree
                {
                    tree.passed.push((scope, maker.0, maker.1));
                }
                at = parent;
            }
        }
        self.entry(scope).before.carry(carried);
        self.taken(scope);
    }

    /// Somebody took, here: all scopes around have been served.
    pub(crate) fn taken(&mut self, scope: u32) {
        self.entry(scope).flags &= !(OWED_TASK | OWED_SCOPE | BELOW | OWING | RETURNED);
        let mut at = scope;
        while at != ROOT {
            at = self.entry(at).parent;
            self.entry(at).flags &= !(BELOW | OWING);
        }
    }

    /// What is inside the scope has been unwound: nothing of what it passed on comes back.
    pub(crate) fn absorb(&mut self, scope: u32) -> Remains {
        self.taken(scope);
        self.forget_passed(scope);
        let entry = self.entry(scope);
        let notes = [std::mem::take(&mut entry.note), std::mem::take(&mut entry.before)];
        Remains { notes, ..Remains::default() }
    }

    /// The scope makes a request of its own.
    pub(crate) fn fire(&mut self, scope: u32) {
        self.entry(scope).flags |= FIRED;
        if let Some(tree) = &mut self.tree {
            tree.fired += 1;
        }
    }

    /// A group has made a request from outside: it has gone on, or is to be owed in the scope's
    /// next poll.
    pub(crate) fn fire_from_outside(&mut self, fired: Fired) {
        let (scope, generation) = fired.place;
        let Some(entry) = self.live(scope, generation) else { return };
        entry.flags |= FIRED;
        entry.members = Some(fired.members);
        let Some(tree) = &mut self.tree else { return };
        tree.fired += 1;
        // What went on did so while the task slept: its note is still where it was.
        match tree.single_noted_leaf().filter(|_| fired.passed) {
            Some(leaf) => {
                tree.passed.push((leaf, scope, generation));
                let carried = Carried { task: false, scope: true };
                self.entry(leaf).note.carry(carried);
            }
            None => self.entry(scope).flags |= RETURNED,
        }
    }

    /// A group's request found nobody to take it.
    pub(crate) fn return_from_outside(&mut self, (scope, generation): (u32, u32)) {
        if let Some(entry) = self.live(scope, generation) {
            entry.flags |= RETURNED;
        }
    }

    pub(crate) fn has_fired(&mut self, scope: u32) -> bool {
        self.entry(scope).has(FIRED)
    }

    /// Did the scope's own request come back? Then it is to be owed again.
    pub(crate) fn take_returned(&mut self, scope: u32) -> bool {
        let entry = self.entry(scope);
        let returned = entry.has(RETURNED);
        entry.flags &= !RETURNED;
        returned
    }

    /// The scope's own request has not been delivered yet.
    pub(crate) fn is_undelivered(&mut self, scope: u32) -> bool {
        self.entry(scope).has(OWING | RETURNED)
    }

    pub(crate) fn has_returned(&mut self, scope: u32) -> bool {
        self.entry(scope).has(RETURNED)
    }

    pub(crate) fn is_owed_below(&mut self, scope: u32) -> bool {
        self.entry(scope).has(BELOW)
    }

    /// Something inside `scope` wants it unwound, whatever its poll returns.
    pub(crate) fn unwind(&mut self, scope: u32, message: Option<Message>) {
        self.entry(scope).flags |= UNWIND;
        self.message = message;
    }

    pub(crate) fn take_unwind(&mut self, scope: u32) -> bool {
        let entry = self.entry(scope);
        let unwind = entry.has(UNWIND);
        entry.flags &= !UNWIND;
        unwind
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
    fn single_noted_leaf(&self) -> Option<u32> {
        let is_leaf = |entry: &&Entry| entry.has(LIVE) && entry.children == 0;
        let leaves = (1..).zip(&self.entries);
        let mut leaves = leaves.filter(|(_, entry)| is_leaf(entry));
        match (leaves.next(), leaves.next()) {
            (Some((leaf, entry)), None) if entry.note.is_reliable() => Some(leaf),
            _ => None,
        }
    }
}
