//! Which scopes are owed a request, and who serves it: the part of the law in `scopes` that says
//! when a leaf takes, passes on, and leaves a debt behind.

use std::task::Waker;

use crate::error::Message;
use crate::sys::Arc;
use crate::task::members::Members;
use crate::task::notes::{Carried, Note, Remains};
use crate::task::scopes::{
    BELOW, FIRED, Fired, LIVE, OWED_SCOPE, OWED_TASK, OWING, RETURNED, ROOT, Scopes, UNWIND,
};

impl Scopes {
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
    pub(crate) fn members(&mut self, leaf: u32) -> Option<Arc<Members>> {
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
}
