//! Which cells exist, and which of them are alive.
//!
//! There is no list of live tasks. A home knows the chunks its cells were cut from, and the first
//! word of every cell is its state word, an atomic from the birth of the chunk to its end: whoever
//! wants to know what lives walks the chunks and reads state words. Spawning a task and ending it
//! touch no list.
//!
//! Invariant: of a cell that it does not own, nobody here reads anything but the state word; a
//! cell whose state word counts no reference is free, or its memory is not filled in yet.
//!
//! A walk takes the lock only to copy the list of chunks, and again for the big cells. While one is
//! under way chunks are added but not given back.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use crate::sys::quiet::Mutex;
use crate::sys::{AtomicU64, Ordering};

use super::memory::Home;
use super::raw::TaskRef;

/// The first word of every cell. Its upper half counts references; in a free cell it is 0.
pub(crate) type StateWord = AtomicU64;

const REFS_SHIFT: u32 = 32;

/// What chunks are aligned to; and cells, all but the smallest.
pub(super) const LINE: usize = 64;

/// Takes a reference to everything alive in `homes`, in no particular order.
///
/// `try_ref` gets each cell that had references a moment ago, and answers with a reference of its
/// own if it could still take one. It neither drops references nor allocates cells.
pub(crate) fn snapshot<'a, T>(
    homes: impl IntoIterator<Item = &'a Home>,
    mut try_ref: impl FnMut(NonNull<u8>) -> Option<T>,
) -> Vec<T> {
    let mut found = Vec::new();
    for home in homes {
        home.for_each_cell(&mut |cell| found.extend(try_ref(cell)));
    }
    found
}

/// The unfinished tasks of `homes`, in the order of their ids.
pub(crate) fn tasks<'a>(homes: impl IntoIterator<Item = &'a Home>) -> Vec<TaskRef> {
    // SAFETY: the cells are those of a home that lives.
    let mut tasks = snapshot(homes, |cell| unsafe { TaskRef::from_cell(cell) });
    tasks.sort_by_key(TaskRef::id);
    tasks
}

/// All cells of one home.
pub(super) struct Cells {
    list: Mutex<List>,
}

struct List {
    chunks: Vec<Chunk>,
    /// Walks under way: chunks stay.
    walks: usize,
    /// Cells too large for a chunk, each with its place in this list noted right before it.
    big: Vec<NonNull<u8>>,
}

/// A run of cells of one size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    pub(super) first: NonNull<u8>,
    pub(super) size: usize,
    pub(super) count: usize,
}

// SAFETY: the pointers own the memory they point to, which holds nothing bound to a thread.
unsafe impl Send for List {}

impl Cells {
    pub(super) fn new() -> Self {
        Cells { list: Mutex::new(List { chunks: Vec::new(), walks: 0, big: Vec::new() }) }
    }

    /// Gets a chunk from the system, its state words 0.
    pub(super) fn add_chunk(&self, size: usize, count: usize) -> Chunk {
        let chunk = Chunk::new(size, count);
        self.list.lock().chunks.push(chunk);
        chunk
    }

    /// Gives back the chunks that `take_idle` takes out, unless somebody walks over them.
    ///
    /// # Safety
    /// No cell of what it takes out is in use, or hangs anywhere.
    pub(super) unsafe fn give_back(&self, take_idle: impl FnOnce(&mut Vec<Chunk>) -> Vec<Chunk>) {
        let mut list = self.list.lock();
        if list.walks == 0 {
            take_idle(&mut list.chunks).into_iter().for_each(Chunk::give_back);
        }
    }

    /// Gets a cell of its own from the system, its state word 0.
    pub(super) fn add_big(&self, layout: Layout) -> NonNull<u8> {
        let (whole, offset) = big_layout(layout);
        // SAFETY: `whole` holds at least the place in the list.
        let base = unsafe { alloc(whole) };
        let Some(base) = NonNull::new(base) else { handle_alloc_error(whole) };
        // SAFETY: `offset` lies inside `whole`.
        let cell = unsafe { base.byte_add(offset) };
        // SAFETY: fresh memory, large enough and aligned for a state word (`big_layout`).
        unsafe { cell.cast::<StateWord>().write(StateWord::new(0)) };
        let mut list = self.list.lock();
        // SAFETY: the word before the cell is ours, and this lock guards it.
        unsafe { place_of(cell).write(list.big.len()) };
        list.big.push(cell);
        cell
    }

    /// Gives a big cell back to the system.
    ///
    /// # Safety
    /// `cell` comes from [`add_big`](Cells::add_big) of the same `Cells` with the same layout, and
    /// nobody uses it any more.
    pub(super) unsafe fn remove_big(&self, cell: NonNull<u8>, layout: Layout) {
        let (whole, offset) = big_layout(layout);
        {
            let mut list = self.list.lock();
            // SAFETY: the cell is in the list, so the word before it is, too; the lock guards it.
            let place = unsafe { place_of(cell).read() };
            list.big.swap_remove(place);
            if let Some(&moved) = list.big.get(place) {
                // SAFETY: as above; `moved` is in the list.
                unsafe { place_of(moved).write(place) };
            }
        }
        // SAFETY: `add_big` put the cell at this offset.
        let base = unsafe { cell.byte_sub(offset) };
        // SAFETY: out of the list, and the caller is done with it: nobody knows it any more.
        unsafe { dealloc(base.as_ptr(), whole) };
    }

    /// Visits every cell whose state word counts references.
    pub(super) fn for_each(&self, visit: &mut dyn FnMut(NonNull<u8>)) {
        let walk = Walk::begin(self);
        for cell in walk.chunks.iter().flat_map(Chunk::cells) {
            // SAFETY: the chunk stays while the walk lasts.
            if unsafe { is_alive(cell) } {
                visit(cell);
            }
        }
        let list = self.list.lock();
        for &cell in &list.big {
            // SAFETY: a big cell leaves the list, under this lock, before its memory goes.
            if unsafe { is_alive(cell) } {
                visit(cell);
            }
        }
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn chunks(&self) -> usize {
        self.list.lock().chunks.len()
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        let mut list = self.list.lock();
        debug_assert!(list.big.is_empty(), "a big cell is still out");
        list.chunks.drain(..).for_each(Chunk::give_back);
    }
}

/// Keeps the chunks it has copied from being given back, also if a visitor panics.
struct Walk<'a> {
    cells: &'a Cells,
    chunks: Vec<Chunk>,
}

impl<'a> Walk<'a> {
    fn begin(cells: &'a Cells) -> Self {
        let mut list = cells.list.lock();
        list.walks += 1;
        Walk { cells, chunks: list.chunks.clone() }
    }
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        self.cells.list.lock().walks -= 1;
    }
}

impl Chunk {
    fn new(size: usize, count: usize) -> Self {
        let layout = Chunk::layout(size, count);
        // SAFETY: neither size nor count is 0.
        let first = unsafe { alloc(layout) };
        let Some(first) = NonNull::new(first) else { handle_alloc_error(layout) };
        let chunk = Chunk { first, size, count };
        for cell in chunk.cells() {
            // SAFETY: fresh memory; every class is a multiple of a word, so that cells are aligned.
            unsafe { cell.cast::<StateWord>().write(StateWord::new(0)) };
        }
        chunk
    }

    fn layout(size: usize, count: usize) -> Layout {
        Layout::from_size_align(size * count, LINE).expect("chunks are small")
    }

    pub(super) fn cells(&self) -> impl DoubleEndedIterator<Item = NonNull<u8>> + use<> {
        let Chunk { first, size, count } = *self;
        // SAFETY: the offset stays inside the chunk.
        (0..count).map(move |index| unsafe { first.byte_add(index * size) })
    }

    fn give_back(self) {
        // SAFETY: `new` got it with this layout; it has just left the list that owned it, and
        // whoever took it out made sure that none of its cells is in use.
        unsafe { dealloc(self.first.as_ptr(), Chunk::layout(self.size, self.count)) };
    }
}

/// The layout of a big cell with its place in the list before it, and where in it the cell is.
fn big_layout(cell: Layout) -> (Layout, usize) {
    let cell = cell.align_to(align_of::<StateWord>()).expect("an atomic's alignment is small");
    let (whole, offset) = Layout::new::<usize>().extend(cell).expect("a task fits into memory");
    (whole, offset)
}

fn place_of(cell: NonNull<u8>) -> NonNull<usize> {
    // SAFETY: `big_layout` leaves room for a word before every big cell, and aligns the cell.
    unsafe { cell.cast::<usize>().sub(1) }
}

/// # Safety
/// `cell` is a cell, and stays one for the time of this call.
unsafe fn is_alive(cell: NonNull<u8>) -> bool {
    // SAFETY: every cell begins with a state word, an atomic that may be read at any time. A
    // visitor takes its reference with a CAS that acquires; this is only a hint.
    let state = unsafe { cell.cast::<StateWord>().as_ref() };
    state.load(Ordering::Relaxed) >> REFS_SHIFT != 0
}
