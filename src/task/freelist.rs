//! Free cells: their classes, and how they hang together.
//!
//! A free cell holds its links behind its state word. Cells of one class hang in a *list*, ended by
//! null; a list that travels is a *chain*, and its first cell says how long it is, of which class,
//! and which chain comes next. So whoever takes up a chain touches one cell of it.
//!
//! Cells of up to two lines are as large as what is asked for, and lie side by side; larger ones
//! begin at a line and are multiples of one, so that no two share it.
//!
//! Invariant: a free cell hangs in one place, and who owns that place owns its links.

use std::alloc::Layout;
use std::ptr::{self, NonNull};

use crate::sys::quiet::AtomicPtr;
use crate::sys::{Ordering, UnsafeCell};

use super::live::{Chunk, LINE, StateWord};
use super::memory::Home;

/// Up to here classes are a word apart: there may be a million of the smallest tasks.
const TINY: usize = 128;
const WORD: usize = 8;
/// Up to here classes are a line apart, from here on four lines.
const SMALL: usize = 1024;
/// What is larger gets memory of its own.
const LARGE: usize = 4096;
const TINY_CLASSES: usize = TINY / WORD;
const SMALL_CLASSES: usize = TINY_CLASSES + (SMALL - TINY) / LINE;
pub(super) const CLASSES: usize = SMALL_CLASSES + (LARGE - SMALL) / (4 * LINE);
/// Cells that travel together at most.
const FULL: u32 = 64;
/// Chunks double until they have so many bytes.
const LAST_CHUNK: usize = 64 * 1024;

/// What a cell is given back by: its layout, and the class that follows from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(super) layout: Layout,
    pub(super) class: Option<u32>,
}

impl Shape {
    #[inline]
    pub(crate) const fn of(layout: Layout) -> Self {
        Shape { layout, class: class_of(layout) }
    }
}

/// Returns the class of a cell, or `None` for one that gets memory of its own.
#[inline]
pub(super) const fn class_of(layout: Layout) -> Option<u32> {
    let least = size_of::<Free>();
    let size = if layout.size() < least { least } else { layout.size() };
    if layout.align() > LINE || size > LARGE {
        None
    } else if size > SMALL {
        Some((SMALL_CLASSES + (size - SMALL - 1) / (4 * LINE)) as u32)
    } else if size > TINY {
        Some((TINY_CLASSES + (size - TINY - 1) / LINE) as u32)
    } else {
        // A whole number of lines, if it must begin at one.
        let size = if layout.align() > WORD { size.next_multiple_of(LINE) } else { size };
        Some(((size - 1) / WORD) as u32)
    }
}

fn size_of_class(class: usize) -> usize {
    if class < TINY_CLASSES {
        (class + 1) * WORD
    } else if class < SMALL_CLASSES {
        TINY + (class + 1 - TINY_CLASSES) * LINE
    } else {
        SMALL + (class + 1 - SMALL_CLASSES) * 4 * LINE
    }
}

/// A free cell.
#[repr(C)]
pub(super) struct Free {
    pub(super) state: StateWord,
    /// The next in the list.
    next: UnsafeCell<*mut Free>,
    /// In the first cell of a chain.
    sent: UnsafeCell<Sent>,
}

const _: () = assert!(size_of::<Free>() <= LINE && align_of::<Free>() <= WORD);

/// What a chain says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) next: *mut Free,
    pub(super) length: u32,
    pub(super) class: u32,
}

/// The free cells of one class, at home.
pub(super) struct List {
    head: *mut Free,
    /// Chains that came home, each waiting to become the list.
    chains: *mut Free,
    size: usize,
    next_chunk: usize,
}

impl List {
    /// All classes, whose first chunks have so many bytes.
    pub(super) fn of_all_classes(first_chunk: usize) -> [List; CLASSES] {
        std::array::from_fn(|class| List {
            head: ptr::null_mut(),
            chains: ptr::null_mut(),
            size: size_of_class(class),
            next_chunk: first_chunk,
        })
    }

    /// # Safety
    /// The cell belongs to this class, and to the caller.
    #[inline]
    pub(super) unsafe fn push(&mut self, cell: NonNull<Free>) {
        // SAFETY: the caller's word.
        unsafe { set_next(cell, self.head) };
        self.head = cell.as_ptr();
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<NonNull<Free>> {
        let cell = NonNull::new(self.head)?;
        // SAFETY: the cell hangs in this list.
        self.head = unsafe { next_of(cell) };
        Some(cell)
    }

    /// # Safety
    /// `first` leads a chain of this class that belongs to the caller; `sent` is what it says.
    pub(super) unsafe fn push_chain(&mut self, first: NonNull<Free>, sent: Sent) {
        // SAFETY: the caller's word.
        unsafe { set_sent(first, Sent { next: self.chains, ..sent }) };
        self.chains = first.as_ptr();
    }

    pub(super) fn has_chain(&self) -> bool {
        !self.chains.is_null()
    }

    /// Makes a chain the list, which is empty, and takes its first cell.
    pub(super) fn pop_chain(&mut self) -> Option<NonNull<Free>> {
        let first = NonNull::new(self.chains)?;
        // SAFETY: the chain hangs here.
        self.chains = unsafe { sent_of(first) }.next;
        self.head = first.as_ptr();
        self.pop()
    }

    /// Makes a new chunk the list, which is empty, and takes its first cell.
    pub(super) fn add_chunk(&mut self, make: impl FnOnce(usize, usize) -> Chunk) -> NonNull<Free> {
        let chunk = make(self.size, (self.next_chunk / self.size).max(1));
        self.next_chunk = (2 * self.next_chunk).min(LAST_CHUNK);
        for cell in chunk.cells().rev() {
            // SAFETY: a cell of this class that nobody has seen yet.
            unsafe { self.push(cell.cast()) };
        }
        self.pop().expect("a chunk has a cell")
    }

    /// Drops the cells of idle chunks, and marks those chunks. `chunks` is sorted by address.
    fn drop_idle(&mut self, chunks: &[Chunk], idle: &mut [bool]) {
        let chunk_of = |cell: NonNull<Free>| {
            chunks.partition_point(|chunk| chunk.first.addr() <= cell.addr()) - 1
        };
        let cells: Vec<_> =
            std::iter::from_fn(|| self.pop().or_else(|| self.pop_chain())).collect();
        let mut free = vec![0; chunks.len()];
        cells.iter().for_each(|cell| free[chunk_of(*cell)] += 1);
        let all_free = |at: &usize| free[*at] == chunks[*at].count;
        (0..chunks.len()).filter(all_free).skip(1).for_each(|at| idle[at] = true);
        for cell in cells.into_iter().rev() {
            if !idle[chunk_of(cell)] {
                // SAFETY: it hung here before.
                unsafe { self.push(cell) };
            }
        }
    }
}

/// A chain on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chain {
    pub(super) home: NonNull<Home>,
    pub(super) head: NonNull<Free>,
    pub(super) sent: Sent,
}

impl Chain {
    /// Makes a chain of one cell.
    ///
    /// # Safety
    /// The cell is of this home and class, and belongs to the caller.
    #[inline]
    pub(super) unsafe fn of(home: NonNull<Home>, class: u32, cell: NonNull<Free>) -> Self {
        // SAFETY: the caller's word.
        unsafe { set_next(cell, ptr::null_mut()) };
        Chain { home, head: cell, sent: Sent { next: ptr::null_mut(), length: 1, class } }
    }
}

/// The chains that a thread gathers for other homes, one per home and class.
pub(super) struct Outgoing([Option<Chain>; Outgoing::SLOTS]);

impl Outgoing {
    pub(super) const SLOTS: usize = 16;

    pub(super) fn new() -> Self {
        Outgoing([None; Outgoing::SLOTS])
    }

    /// Adds a cell, and returns the chain that has to go now: it is full, or in the way.
    ///
    /// # Safety
    /// The cell is of this home and class, and belongs to the caller.
    #[inline]
    pub(super) unsafe fn add(
        &mut self,
        home: NonNull<Home>,
        class: u32,
        cell: NonNull<Free>,
    ) -> Option<Chain> {
        let slot = &mut self.0[Outgoing::slot(home, class)];
        let Some(chain) = slot.as_mut().filter(|at| at.home == home && at.sent.class == class)
        else {
            // SAFETY: the caller's word.
            return slot.replace(unsafe { Chain::of(home, class, cell) });
        };
        // SAFETY: the caller's word.
        unsafe { set_next(cell, chain.head.as_ptr()) };
        chain.head = cell;
        chain.sent.length += 1;
        if chain.sent.length == FULL { slot.take() } else { None }
    }

    pub(super) fn take(&mut self, slot: usize) -> Option<Chain> {
        self.0[slot].take()
    }

    /// Where to gather cells of this home and class: a hash, for homes have no numbers.
    #[inline]
    fn slot(home: NonNull<Home>, class: u32) -> usize {
        let key = (home.addr().get() as u64).wrapping_add(u64::from(class));
        (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize % Outgoing::SLOTS
    }
}

/// Where chains come home: a stack that any thread pushes to, and that is taken as a whole.
pub(super) struct Returned(AtomicPtr<Free>);

impl Returned {
    pub(super) fn new() -> Self {
        Returned(AtomicPtr::new(ptr::null_mut()))
    }

    /// Puts a chain here, unless this is closed: then it stays the caller's, and the answer is no.
    ///
    /// # Safety
    /// From `head` on hang `sent.length` cells of `sent.class`, owned by the caller.
    pub(super) unsafe fn push(&self, head: NonNull<Free>, mut sent: Sent) -> bool {
        let mut top = self.0.load(Ordering::Relaxed);
        while top != closed() {
            sent.next = top;
            // SAFETY: the chain is the caller's until the CAS.
            unsafe { set_sent(head, sent) };
            // Pairs with the swaps in `take` and `close`.
            let (put, not) = (Ordering::Release, Ordering::Relaxed);
            match self.0.compare_exchange_weak(top, head.as_ptr(), put, not) {
                Ok(_) => return true,
                Err(now) => top = now,
            }
        }
        false
    }

    /// Takes all chains; whoever does is the one that may, and this is not closed.
    #[inline]
    pub(super) fn take(&self) -> *mut Free {
        if self.0.load(Ordering::Relaxed).is_null() {
            return ptr::null_mut();
        }
        // Pairs with the CAS in `push`.
        self.0.swap(ptr::null_mut(), Ordering::Acquire)
    }

    /// Takes all chains and lets no more in.
    pub(super) fn close(&self) -> *mut Free {
        // Pairs with the CAS in `push`.
        self.0.swap(closed(), Ordering::Acquire)
    }
}

/// What stands in [`Returned`] once it is closed.
fn closed() -> *mut Free {
    ptr::without_provenance_mut(1)
}

/// Takes the chunks whose cells all hang in `lists` out of both, but leaves one of each class.
pub(super) fn take_idle(lists: &mut [List], chunks: &mut Vec<Chunk>) -> Vec<Chunk> {
    chunks.sort_unstable_by_key(|chunk| chunk.first);
    let mut idle = vec![false; chunks.len()];
    lists.iter_mut().for_each(|list| list.drop_idle(chunks, &mut idle));
    let mut idle = idle.into_iter();
    chunks.extract_if(.., |_| idle.next() == Some(true)).collect()
}

/// Walks over chains, each with what it says of itself, read before it is given out.
///
/// # Safety
/// The chains belong to the caller for as long as this is used.
pub(super) unsafe fn sent_chains(first: *mut Free) -> impl Iterator<Item = (NonNull<Free>, Sent)> {
    let mut next = NonNull::new(first);
    std::iter::from_fn(move || {
        let chain = next?;
        // SAFETY: the caller's word.
        let sent = unsafe { sent_of(chain) };
        next = NonNull::new(sent.next);
        Some((chain, sent))
    })
}

/// # Safety
/// The cell is free and hangs where the caller is the owner.
#[inline]
unsafe fn next_of(cell: NonNull<Free>) -> *mut Free {
    // SAFETY: a free cell's link is written when it is hung up (`set_next`).
    unsafe { (*cell.as_ptr()).next.with(|next| *next) }
}

/// # Safety
/// The cell is free and belongs to the caller.
#[inline]
pub(super) unsafe fn set_next(cell: NonNull<Free>, next: *mut Free) {
    // SAFETY: the cell is the caller's, and large enough; what was there is gone.
    unsafe { (&raw mut (*cell.as_ptr()).next).write(UnsafeCell::new(next)) };
}

/// # Safety
/// As [`next_of`], and the cell is the first of a chain.
unsafe fn sent_of(cell: NonNull<Free>) -> Sent {
    // SAFETY: written when the chain was made (`set_sent`).
    unsafe { (*cell.as_ptr()).sent.with(|sent| *sent) }
}

/// # Safety
/// As [`set_next`].
#[inline]
pub(super) unsafe fn set_sent(cell: NonNull<Free>, sent: Sent) {
    // SAFETY: as in `set_next`.
    unsafe { (&raw mut (*cell.as_ptr()).sent).write(UnsafeCell::new(sent)) };
}
