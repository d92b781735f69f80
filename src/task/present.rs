//! The scopes of a task while it is polled: a chain, or all that can be said of them.
//!
//! Invariant: `reach` is 0 exactly while `scopes` is made; else it is one more than the length of
//! the chain.

use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;

use crate::task::chain::Standing;
use crate::task::notes::Packed;
use crate::task::scopes::Scopes;

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
    pub(super) fn begin(&self, note: &mut Packed, standing: &mut Standing, passed: bool) {
        if !note.is_some() && !standing.is_some() {
            return;
        }
        match standing.take_chain_unless(note.is_some()) {
            Some(length) => self.reach.set(length + 1),
            None => self.with(|scopes| scopes.begin(note, standing, passed)),
        }
    }

    /// Ends a poll that stays pending: what the header is to keep goes there. True: the task's one
    /// leaf has a note to publish.
    #[inline]
    pub(super) fn end(&mut self, note: &mut Packed, standing: &mut Standing) -> bool {
        match self.reach.get() {
            NONE => false,
            // SAFETY: they are made, by the invariant.
            0 => unsafe { self.scopes.get_mut().assume_init_mut() }.end(note, standing),
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
