//! Scopes of which there is nothing to say but how many there are.
//!
//! Most scopes stand straight inside one another, are polled with the task's own waker, await no
//! task, and nobody asks anything of them. Of such a **chain** only the length is kept: scope `i`
//! is inside scope `i - 1`, the root is scope 0. So a scope is entered and left by counting, and a
//! poll of it looks at nothing. As soon as anybody wants to know or change more of any scope, a
//! request, a note, a fork of awaits, the chain becomes the tree that it stands for (`scopes`),
//! with the same numbers, and the task stays with it.
//!
//! Scopes that are known outside their task, those of groups, never stand in a chain: all of its
//! scopes have generation 0, and news of one that is over must not be taken for those of the next.
//!
//! Between polls the task keeps its length in one word (`standing`); a poll has it in `present`.

use crate::task::current::Current;

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
