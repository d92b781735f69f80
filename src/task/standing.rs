//! What a task keeps between polls of its scopes, and of whom they await: one word.
//!
//! The length of a `chain`, a tree of `scopes`, or the note of the root alone: most tasks have one
//! of them at a time, and a tree has a place for the root's note.
//!
//! The bits that are zero in every address tell what the word is:
//!
//! | it is                        | the address of | bits 0, 1        | bit 2 | bit 3       |
//! |------------------------------|----------------|------------------|-------|-------------|
//! | nothing                      | (zero)         | 0                | 0     | 0           |
//! | a note of one task           | the task       | what was carried | 0     | the task's  |
//! | a note of several            | the several    | what was carried | 1     | 0           |
//! | a blank note                 | (zero)         | 0                | 1     | 0           |
//! | a tree, with the root's note | the tree       | 0                | 1     | 1           |
//! | a chain                      | (its length)   | 1                | 1     | 1           |

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr;

use crate::sys::Arc;
use crate::task::notes::{Carried, Note};
use crate::task::raw::TaskRef;
use crate::task::scopes::Tree;
use crate::task::several::Several;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Standing {
    word: *const (),
    what: PhantomData<(Note, Option<Box<Tree>>)>,
}

/// What a word stands for, taken out.
pub(super) enum Kept {
    Note(Note),
    Tree(Box<Tree>),
}

const CARRIED: usize = 0b11;
const NO_TASK: usize = 0b100;
const SCOPES: usize = 0b1000 | NO_TASK;
const CHAIN: usize = SCOPES | 1;
/// All bits that are not of an address, where it is no task's.
const BITS: usize = 0b1111;
/// The length of a chain begins here.
const LENGTH: u32 = 4;

const _: () = assert!(align_of::<Several>() > BITS && align_of::<Tree>() > BITS);

impl Standing {
    pub(super) const NONE: Standing = Standing { word: ptr::null(), what: PhantomData };

    #[inline]
    pub(super) fn is_some(&self) -> bool {
        !self.word.is_null()
    }

    #[inline]
    fn is_chain(&self) -> bool {
        self.word.addr() & BITS == CHAIN
    }

    fn is_tree(&self) -> bool {
        self.word.addr() & BITS == SCOPES
    }

    /// Puts a chain where nothing is.
    #[inline]
    pub(super) fn put_chain(&mut self, length: u32) {
        debug_assert!(!self.is_some());
        self.word = ptr::without_provenance((length as usize) << LENGTH | CHAIN);
    }

    /// Takes the length out, if it is a chain.
    #[inline]
    pub(super) fn take_chain(&mut self) -> Option<u32> {
        self.is_chain().then(|| {
            let word = std::mem::replace(&mut self.word, ptr::null());
            (word.addr() >> LENGTH) as u32
        })
    }

    /// Puts a tree where nothing is.
    pub(super) fn put_tree(&mut self, tree: Box<Tree>) {
        debug_assert!(!self.is_some());
        let tree = Box::into_raw(tree).cast_const().cast::<()>();
        self.word = tree.map_addr(|address| address | SCOPES);
    }

    /// Puts a note where nothing is.
    #[inline]
    pub(super) fn put_note(&mut self, note: Note) {
        debug_assert!(!self.is_some());
        self.word = match note {
            Note::None => ptr::null(),
            Note::Blank => ptr::without_provenance(NO_TASK),
            Note::One(task, carried) => {
                let address = ManuallyDrop::new(task).address();
                address.map_addr(|address| address | carried.bits())
            }
            Note::Several(several, carried) => {
                let address = Arc::into_raw(several).cast::<()>();
                address.map_addr(|address| address | carried.bits() | NO_TASK)
            }
        };
    }

    /// Takes out what is there; a chain becomes a tree.
    #[inline]
    pub(super) fn take(&mut self) -> Kept {
        if let Some(length) = self.take_chain() {
            return Kept::Tree(Tree::of_chain(length));
        }
        let is_tree = self.is_tree();
        let word = std::mem::replace(&mut self.word, ptr::null());
        if is_tree {
            let tree = word.map_addr(|word| word & !BITS).cast_mut().cast();
            // SAFETY: it comes from the box in `put_tree`, and is taken out once.
            return Kept::Tree(unsafe { Box::from_raw(tree) });
        }
        Kept::Note(Standing::note(word))
    }

    #[inline]
    fn note(word: *const ()) -> Note {
        let carried = Carried::of(word.addr());
        match word.addr() {
            0 => Note::None,
            NO_TASK => Note::Blank,
            bits if bits & NO_TASK != 0 => {
                let several = word.map_addr(|word| word & !BITS).cast();
                // SAFETY: it comes from the `Arc` in `put_note`, and is taken out once.
                Note::Several(unsafe { Arc::from_raw(several) }, carried)
            }
            _ => {
                let task = word.map_addr(|word| word & !CARRIED);
                // SAFETY: it comes from the `TaskRef` in `put_note`, and is taken out once.
                Note::One(unsafe { TaskRef::from_raw(task) }, carried)
            }
        }
    }

    /// The tree, if it is one.
    fn as_tree(&self) -> Option<&Tree> {
        let tree = self.word.map_addr(|word| word & !BITS).cast::<Tree>();
        // SAFETY: it comes from the box in `put_tree`, which is there until it is taken.
        self.is_tree().then(|| unsafe { &*tree })
    }

    /// What can be passed on to through the note that is published, if one is.
    pub(super) fn awaited(&mut self) -> Note {
        if let Some(tree) = self.as_tree() {
            return tree.published().awaited();
        }
        if self.is_chain() {
            return Note::None;
        }
        let Kept::Note(note) = self.take() else { unreachable!("neither a tree nor a chain") };
        let awaited = note.awaited();
        self.put_note(note);
        awaited
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::Location;

    use super::*;
    use crate::task::memory::{Home, Kind};
    use crate::task::raw::{self, First};
    use crate::task::{Job, Runnable, Schedule, Why};

    struct Nobody;

    impl Schedule for Nobody {
        fn schedule(&self, _task: Runnable, _why: Why) {}

        fn job(&self, _job: Job) {}
    }

    /// What comes out again of that word, and what is said of it while it is there.
    fn kept(note: Note) -> (Note, Note) {
        let mut standing = Standing::NONE;
        standing.put_note(note);
        let awaited = standing.awaited();
        assert!(standing.take_chain().is_none());
        match standing.take() {
            Kept::Note(note) => (note, awaited),
            Kept::Tree(_) => panic!("a tree comes out where a note was put in"),
        }
    }

    #[test]
    fn a_note_comes_out_as_it_was_put_in() {
        let home = Home::new(Box::new(Nobody), Kind::Shared);
        // SAFETY: the future owns all it uses, and is `Send`.
        let (runnable, task) =
            unsafe { raw::new(&home, async {}, Location::caller(), First::Queued) };
        for (own, scope) in [(false, false), (false, true), (true, false), (true, true)] {
            let carried = Carried { task: own, scope };
            let (note, awaited) = kept(Note::One(task.clone(), carried));
            assert_eq!((note.target(), note.carried()), (Some(&task), carried));
            assert_eq!((awaited.target(), awaited.carried()), (Some(&task), Carried::default()));
        }
        assert!(matches!(kept(Note::Blank), (Note::Blank, Note::None)));
        assert!(matches!(kept(Note::None), (Note::None, Note::None)));
        runnable.kill();
        // The last one goes with what keeps it.
        let mut standing = Standing::NONE;
        standing.put_note(Note::One(task, Carried::default()));
        assert_eq!(home.outstanding(), 1);
        drop(standing);
        home.collect();
        assert_eq!(home.outstanding(), 0);
    }
}
