//! Scopes of which there is nothing to say but how many there are.
//!
//! Most scopes stand straight inside one another, are polled with the task's own waker, await no
//! task, and nobody asks anything of them. Of such a **chain** only the length is kept: scope `i`
//! is inside scope `i - 1`, the root is scope 0. So a scope is entered and left by counting, and a
//! poll of it looks at nothing. As soon as anybody wants to know or change more of any scope, a
//! request, a note, a fork of awaits, the chain becomes the [`Tree`] that it stands for, with the
//! same numbers, and the task stays with it.
//!
//! Invariant: while the chain of a poll has a length, the poll has no [`Scopes`]. Scopes that are
//! known outside their task, those of groups, never stand in a chain: all of its scopes have
//! generation 0, and news of one that is over must not be taken for those of the next.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr;

use crate::task::current::Current;
use crate::task::scopes::{Scopes, Tree};

/// What a task keeps of its scopes between polls, in one word: nothing, a chain, or a tree.
#[derive(Debug)]
pub(super) struct Standing {
    /// Null; a box; or twice the length of the chain and one, for a box is even.
    word: *mut Tree,
    tree: PhantomData<Option<Box<Tree>>>,
}

const _: () = assert!(align_of::<Tree>() > 1);

impl Standing {
    pub(super) const NONE: Standing = Standing { word: ptr::null_mut(), tree: PhantomData };

    #[inline]
    pub(super) fn chain(length: u32) -> Self {
        match length {
            0 => Standing::NONE,
            _ => {
                let word = ptr::without_provenance_mut((length as usize) << 1 | 1);
                Standing { word, tree: PhantomData }
            }
        }
    }

    pub(super) fn tree(tree: Box<Tree>) -> Self {
        Standing { word: Box::into_raw(tree), tree: PhantomData }
    }

    #[inline]
    pub(super) fn is_some(&self) -> bool {
        !self.word.is_null()
    }

    #[inline]
    fn is_chain(&self) -> bool {
        self.word.addr() & 1 != 0
    }

    /// Takes the length out, if it is a chain, and there is no `more` to say.
    #[inline]
    pub(super) fn take_chain_unless(&mut self, more: bool) -> Option<u32> {
        (self.is_chain() && !more).then(|| {
            let word = std::mem::replace(&mut self.word, ptr::null_mut());
            (word.addr() >> 1) as u32
        })
    }

    /// Takes the tree out; a chain becomes one.
    pub(super) fn take_tree(&mut self) -> Option<Box<Tree>> {
        if let Some(length) = self.take_chain_unless(false) {
            return Some(Tree::of_chain(length));
        }
        let word = std::mem::replace(&mut self.word, ptr::null_mut());
        // SAFETY: it is even, so it comes from the box in `tree`, and is taken out once.
        (!word.is_null()).then(|| unsafe { Box::from_raw(word) })
    }

    /// The tree, if it is one.
    pub(super) fn as_tree(&self) -> Option<&Tree> {
        if self.is_chain() {
            return None;
        }
        // SAFETY: it is null, or comes from the box in `tree`, which is there until it is taken.
        unsafe { self.word.as_ref() }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        drop(self.take_tree());
    }
}

/// The chain of a poll.
#[derive(Debug, Default)]
pub(super) struct Chain(Cell<u32>);

impl Chain {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.get() == 0
    }

    #[inline]
    pub(super) fn set(&self, length: u32) {
        self.0.set(length);
    }

    #[inline]
    pub(super) fn take(&self) -> u32 {
        self.0.take()
    }

    /// May a scope inside `parent` be the next one?
    #[inline]
    pub(super) fn ends_at(&self, parent: u32) -> bool {
        self.0.get() == parent
    }

    /// Does that scope stand in it, inside `parent`?
    #[inline]
    pub(super) fn has(&self, scope: u32, parent: u32) -> bool {
        scope <= self.0.get() && scope == parent + 1
    }

    /// The scope leaves, if it is the last one.
    #[inline]
    pub(super) fn drop_last(&self, scope: u32) -> bool {
        let last = self.0.get() == scope;
        if last {
            self.0.set(scope - 1);
        }
        last
    }
}

impl Current {
    /// All scopes of the task, if they stand in a chain.
    #[inline]
    pub(super) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// A new scope inside `parent` goes on with the chain, if that is all there is to say.
    #[inline]
    pub(super) fn extend_chain(&self, parent: u32) -> bool {
        let extends = self.chain.ends_at(parent) && self.forget_blank();
        if extends {
            self.chain.set(parent + 1);
        }
        extends
    }

    /// Lets go of scopes that say nothing.
    #[inline]
    fn forget_blank(&self) -> bool {
        let mut scopes = self.scopes.borrow_mut();
        let blank = scopes.as_ref().is_none_or(Scopes::is_blank);
        if blank && scopes.is_some() {
            // Blank ones have nothing that is to be dropped.
            std::mem::forget(std::mem::take(&mut **scopes));
        }
        blank
    }

    /// As [`go_into`](Current::go_into), in a chain and with the task's own waker, both ways.
    #[inline]
    pub(super) fn go_straight(&self, scope: u32) -> u32 {
        self.scope.replace(scope)
    }
}
