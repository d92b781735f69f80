//! Scopes of which there is nothing to say but how many there are.
//!
//! Most scopes stand straight inside one another, are polled with the task's own waker, await no
//! task, and nobody asks anything of them. Of such a **chain** only the length is kept: scope `i`
//! is inside scope `i - 1`, the root is scope 0. So a scope is entered and left by counting, and a
//! poll of it looks at nothing. As soon as anybody wants to know or change more of any scope, a
//! request, a note, a fork of awaits, the chain becomes the [`Tree`] that it stands for, with the
//! same numbers, and the task stays with it.
//!
//! Scopes that are known outside their task, those of groups, never stand in a chain: all of its
//! scopes have generation 0, and news of one that is over must not be taken for those of the next.
//!
//! Between polls the task keeps a [`Standing`], one word; a poll has its scopes in `present`.

use std::marker::PhantomData;
use std::ptr;

use crate::task::current::Current;
use crate::task::scopes::Tree;

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

    pub(super) fn tree(tree: Box<Tree>) -> Self {
        Standing { word: Box::into_raw(tree), tree: PhantomData }
    }

    #[inline]
    pub(super) fn is_some(&self) -> bool {
        !self.word.is_null()
    }

    /// Puts a chain where nothing is.
    #[inline]
    pub(super) fn put_chain(&mut self, length: u32) {
        debug_assert!(!self.is_some());
        self.word = ptr::without_provenance_mut((length as usize) << 1 | 1);
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

/// While it lives, a scope of a chain is the present one; afterwards the one around it is, also on
/// a panic. All of them are polled with the task's own waker.
pub(super) struct Straight<'a> {
    current: &'a Current,
    parent: u32,
}

impl<'a> Straight<'a> {
    #[inline]
    pub(super) fn go(current: &'a Current, place: u32) -> Self {
        Straight { current, parent: current.go_straight(place) }
    }
}

impl Drop for Straight<'_> {
    #[inline]
    fn drop(&mut self) {
        self.current.go_straight(self.parent);
    }
}
