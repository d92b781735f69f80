//! The scopes of a task while it is polled: a chain, or all that can be said of them.
//!
//! Invariant: `reach` is 0 exactly while `scopes` is made; else it is one more than the length of
//! the chain.

use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;

use crate::task::scopes::Scopes;
use crate::task::standing::Standing;

/// See the head of this file. Of most polls there is nothing to say: so it is made in place, and
/// only if need be.
#[derive(Debug)]
pub(super) struct Present {
    reach: Cell<u32>,
    scopes: RefCell<MaybeUninit<Scopes>>,
}

/// `reach` of no scopes at all.
const NONE: u32 = 1;

impl Present {
    #[inline]
    pub(super) fn new() -> Self {
        Present { reach: Cell::new(NONE), scopes: RefCell::new(MaybeUninit::uninit()) }
    }

    #[inline]
    pub(super) fn is_made(&self) -> bool {
        self.reach.get() == 0
    }

    /// Changes the scopes, for a few steps without foreign code.
    #[inline]
    pub(super) fn with<R>(&self, change: impl FnOnce(&mut Scopes) -> R) -> R {
        let mut scopes = self.scopes.borrow_mut();
        if !self.is_made() {
            self.make(&mut scopes);
        }
        // SAFETY: they are made, by the invariant.
        change(unsafe { scopes.assume_init_mut() })
    }

    /// Makes the scopes: as one constant, for what is written in small pieces and read in large
    /// ones is slow.
    #[inline]
    fn make(&self, scopes: &mut MaybeUninit<Scopes>) {
        let scopes = scopes.write(Scopes::NEW);
        let length = self.reach.take() - 1;
        if length > 0 {
            scopes.unfold(length);
        }
    }

    /// Looks at the scopes, if they are made.
    #[inline]
    pub(super) fn look<R>(&self, look: impl FnOnce(&Scopes) -> R) -> Option<R> {
        self.is_made().then(|| {
            let scopes = self.scopes.borrow();
            // SAFETY: they are made, by the invariant.
            look(unsafe { scopes.assume_init_ref() })
        })
    }

    // ---- a chain ---------------------------------------------------------------------------

    /// Does that scope stand in a chain, inside `parent`?
    #[inline]
    pub(super) fn has(&self, scope: u32, parent: u32) -> bool {
        scope < self.reach.get() && scope == parent + 1
    }

    /// A new scope inside `parent` is the next one in the chain, if that is all there is to say.
    #[inline]
    pub(super) fn extend(&self, parent: u32) -> bool {
        let extends = self.reach.get() == parent + 1;
        if extends {
            self.reach.set(parent + 2);
        }
        extends
    }

    /// The scope leaves the chain, if it is the last one.
    #[inline]
    pub(super) fn drop_last(&self, scope: u32) -> bool {
        let last = self.reach.get() == scope + 1;
        if last {
            self.reach.set(scope);
        }
        last
    }

    /// Lets go of scopes that say nothing: a chain can begin.
    pub(super) fn forget_blank(&self) {
        if self.look(Scopes::is_blank) == Some(true) {
            // There is nothing in them that has to be dropped.
            self.reach.set(NONE);
        }
    }

    // ---- a poll ----------------------------------------------------------------------------

    /// Begins a poll: takes over what the header kept. `passed`: a request went through the
    /// published note.
    #[inline]
    pub(super) fn begin(&self, standing: &mut Standing, passed: bool) {
        if !standing.is_some() {
            return;
        }
        match standing.take_chain() {
            Some(length) => self.reach.set(length + 1),
            None => self.with(|scopes| scopes.begin(standing, passed)),
        }
    }

    /// Ends a poll that stays pending: what the header is to keep goes there. True: the task's one
    /// leaf has a note to publish.
    #[inline]
    pub(super) fn end(&mut self, standing: &mut Standing) -> bool {
        match self.reach.get() {
            NONE => false,
            // SAFETY: they are made, by the invariant.
            0 => unsafe { self.scopes.get_mut().assume_init_mut() }.end(standing),
            reach => {
                standing.put_chain(reach - 1);
                false
            }
        }
    }

    #[inline(never)]
    fn drop_scopes(&mut self) {
        // SAFETY: they are made, by the invariant, and this is called by `drop` alone.
        unsafe { self.scopes.get_mut().assume_init_drop() };
    }
}

impl Drop for Present {
    #[inline]
    fn drop(&mut self) {
        // Most scopes are empty when the poll has ended, and are where they are to stay.
        if self.look(Scopes::is_bare) == Some(false) {
            self.drop_scopes();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::task::scopes::ROOT;

    /// Scopes inside one another, `length` of them, in a chain as long as they may.
    fn chain(length: u32) -> Present {
        let present = Present::new();
        (0..length).for_each(|parent| assert!(present.extend(parent)));
        present
    }

    /// The same, with all that can be said of them.
    fn tree(length: u32) -> Present {
        let present = Present::new();
        for parent in 0..length {
            let (scope, _) = present.with(|scopes| scopes.enter(parent, false, false));
            assert_eq!(scope, parent + 1);
        }
        present
    }

    /// What each scope says of itself.
    fn said(present: &Present, length: u32) -> Vec<(u32, bool, bool, bool)> {
        present.with(|scopes| {
            let said = |scope| {
                let parent = if scope == ROOT { ROOT } else { scopes.parent(scope) };
                let owed = (scopes.is_owed(scope), scopes.is_owed_below(scope));
                (parent, scopes.is_leaf(scope), owed.0, owed.1)
            };
            (ROOT..=length).map(said).collect()
        })
    }

    #[test]
    fn a_chain_becomes_the_tree_that_it_stands_for() {
        for length in 1..5 {
            let (chain, tree) = (chain(length), tree(length));
            assert!(!chain.is_made());
            for maker in ROOT..length {
                for present in [&chain, &tree] {
                    assert!(present.with(|scopes| scopes.owe(maker)).is_empty());
                }
                assert_eq!(said(&chain, length), said(&tree, length), "{length} scopes");
            }
        }
    }

    #[test]
    fn only_the_last_scope_of_a_chain_leaves_it_and_only_there_it_goes_on() {
        let present = chain(2);
        assert!(!present.extend(0) && !present.extend(1));
        assert!(!present.drop_last(1));
        assert!(present.has(2, 1) && present.has(1, 0) && !present.has(2, 0));
        assert!(present.drop_last(2) && present.drop_last(1));
        assert!(!present.has(1, 0) && !present.is_made());
    }

    #[test]
    fn a_chain_outlives_the_poll_in_one_word() {
        let mut standing = Standing::NONE;
        assert!(!chain(3).end(&mut standing));
        let present = Present::new();
        present.begin(&mut standing, false);
        assert!(!standing.is_some() && present.has(3, 2) && !present.has(4, 3));
    }

    #[test]
    fn a_tree_outlives_the_poll_and_has_no_chain() {
        let mut standing = Standing::NONE;
        assert!(!tree(3).end(&mut standing));
        assert!(standing.is_some());
        let present = Present::new();
        present.begin(&mut standing, false);
        assert!(present.is_made() && !present.has(3, 2) && !present.drop_last(3));
        assert_eq!(said(&present, 3), said(&tree(3), 3));
    }

    #[test]
    fn scopes_that_say_nothing_give_way_to_a_chain() {
        let present = Present::new();
        present.with(|_| ());
        assert!(present.is_made() && !present.extend(0));
        present.forget_blank();
        assert!(present.extend(0));

        let present = Present::new();
        present.with(|scopes| scopes.owe(ROOT));
        present.forget_blank();
        assert!(present.is_made(), "the root is owed a request");
    }
}
