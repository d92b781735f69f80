//! Where tasks live: cells that are handed out at home, end anywhere, and come home.
//!
//! Each worker has a home: freelists of cells in classes of size, cut from chunks. Only the thread
//! that entered the home touches them, without atomics. A cell that ends on another worker is
//! gathered there with others of its home and class; a chain of up to `FULL` cells goes home by one
//! CAS and is taken up whole, never walked. A home for all other threads has the same freelists
//! behind a lock.
//!
//! ~~~text
//! owner:    allocate <- list <- chains <- collect() <- `returned` <- chain <- free, elsewhere
//!           free ------> list                         (a stack, taken whole: no ABA)
//! ~~~
//! The first word of a cell is its state word for ever (`live`); a free cell's links lie behind it.
//!
//! Invariant: a cell is either out (its task owns it) or in exactly one list, outgoing chain or
//! returned chain; whoever holds it there owns all of it but its state word.
//!
//! **The end.** Handles and wakers may outlive the runtime, so memory stays until the last cell
//! is home. The owner's count of cells that are out is no atomic matter; closing turns it into one:
//! ~~~text
//! close:           returned := CLOSED, count what was in it | left += out - OPEN
//! free, elsewhere: sees CLOSED                              | left -= length of the chain
//! ~~~
//! `left` starts at OPEN, so it is 0 only after the close, and for the last one, who frees all.
//!
//! Model: `loom-tests/memory.rs`.

use std::alloc::Layout;
use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::{self, NonNull};

use crate::sys::quiet::{AtomicBool, AtomicUsize, Mutex, MutexGuard};
use crate::sys::{CachePadded, Ordering, UnsafeCell, thread_local};

use super::Schedule;
pub(crate) use super::freelist::Shape;
use super::freelist::{
    CLASSES, Chain, Free, List, Outgoing, Returned, class_of, sent_chains, take_idle,
};
use super::live::Cells;

/// Bytes of a class's first chunk.
const FIRST_CHUNK: usize = 16 * 1024;
/// `left` of an open home, so that no return can bring it to 0.
const OPEN: usize = usize::MAX / 2 + 1;

thread_local! {
    /// The home this thread has entered, or null.
    static CURRENT: Cell<*const Home> = const { Cell::new(ptr::null()) };
}

/// Who may allocate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The thread that has entered the home.
    Worker,
    /// Any thread, behind a short lock.
    Shared,
}

/// Where the tasks of one worker get their memory.
pub(crate) struct Home {
    /// Chains that came home.
    returned: CachePadded<Returned>,
    /// OPEN and the number of big cells; once closed, the number of cells that are out.
    left: CachePadded<AtomicUsize>,
    cells: Cells,
    schedule: Box<dyn Schedule>,
    kind: Kind,
    /// Whose pointer frees the home: it was never narrowed by a reference.
    root: NonNull<Home>,
    /// For [`Kind::Shared`]: guards `local`.
    lock: Mutex<()>,
    /// For [`Kind::Worker`]: some thread is the owner.
    entered: AtomicBool,
    /// Cells that are out, or on their way home; written only by who may touch `local`.
    out: AtomicUsize,
    local: UnsafeCell<Local>,
}

// SAFETY: `local` is touched only by the owner or under `lock` (`with_local`), and by who closes.
unsafe impl Send for Home {}
// SAFETY: as above.
unsafe impl Sync for Home {}

/// What only the owner touches.
struct Local {
    lists: [List; CLASSES],
    outgoing: Outgoing,
    /// The next task number, and the first that is not ours any more.
    number: u64,
    numbers_end: u64,
}

impl Home {
    /// Opens a home whose tasks are numbered as its [`Schedule`] says.
    #[expect(clippy::new_ret_no_self, reason = "a home is used through its handle")]
    pub(crate) fn new(schedule: Box<dyn Schedule>, kind: Kind) -> HomeHandle {
        Home::open(schedule, kind, Local::new(FIRST_CHUNK, 0..0))
    }

    /// Opens a home whose tasks are numbered from 1, whatever else there is in the process.
    #[cfg(test)]
    pub(crate) fn new_with_own_numbers(schedule: Box<dyn Schedule>, kind: Kind) -> HomeHandle {
        Home::open(schedule, kind, Local::new(FIRST_CHUNK, 1..u64::MAX))
    }

    /// Opens a home that begins with chunks of so many bytes: models need small ones.
    #[cfg(loom)]
    pub(crate) fn new_small(schedule: Box<dyn Schedule>, kind: Kind, chunk: usize) -> HomeHandle {
        Home::open(schedule, kind, Local::new(chunk, 1..u64::MAX))
    }

    fn open(schedule: Box<dyn Schedule>, kind: Kind, local: Local) -> HomeHandle {
        let home = Box::into_raw(Box::new(Home {
            returned: CachePadded::new(Returned::new()),
            left: CachePadded::new(AtomicUsize::new(OPEN)),
            cells: Cells::new(),
            schedule,
            kind,
            root: NonNull::dangling(),
            lock: Mutex::new(()),
            entered: AtomicBool::new(false),
            out: AtomicUsize::new(0),
            local: UnsafeCell::new(local),
        }));
        // SAFETY: just made by `Box`; nobody else knows it.
        unsafe { (*home).root = NonNull::new_unchecked(home) };
        // SAFETY: a box is never null.
        HomeHandle(unsafe { NonNull::new_unchecked(home) })
    }

    /// Returns what puts this home's tasks on a queue.
    pub(crate) fn schedule(&self) -> &dyn Schedule {
        &*self.schedule
    }

    /// Returns the pointer that [`free`](Home::free) asks for.
    pub(crate) fn pointer(&self) -> NonNull<Home> {
        self.root
    }

    /// Makes this thread the owner of `home` for as long as the guard lives.
    ///
    /// # Panics
    /// If the home is shared, or a thread is its owner already.
    pub(crate) fn enter(home: &HomeHandle) -> Entered<'_> {
        assert!(home.kind == Kind::Worker, "a shared home is not entered");
        assert!(!home.entered.swap(true, Ordering::Acquire), "a home has one owner");
        let before = CURRENT.with(|current| current.replace(home.0.as_ptr()));
        Entered { home: home.0, before, handle: PhantomData }
    }

    /// Returns the home this thread has entered. It stays open while its guard lives.
    #[inline]
    pub(crate) fn current() -> Option<NonNull<Home>> {
        NonNull::new(CURRENT.with(Cell::get).cast_mut())
    }

    /// Hands out a cell, uninitialised but for its state word, which is 0.
    ///
    /// That word is an atomic that others look at even now. So the cell is filled with plain writes
    /// *behind* it, and then the word is stored, with `Release`.
    ///
    /// # Panics
    /// If this is a worker's home and this thread has not entered it.
    #[inline]
    pub(crate) fn allocate(&self, layout: Layout) -> NonNull<u8> {
        match class_of(layout) {
            Some(class) => self.with_local(|local| local.allocate(self, class)),
            None => self.allocate_big(layout),
        }
    }

    #[cold]
    fn allocate_big(&self, layout: Layout) -> NonNull<u8> {
        self.left.fetch_add(1, Ordering::Relaxed);
        self.cells.add_big(layout)
    }

    /// Gives a cell back, from any thread. The home may be closed, and may be gone afterwards.
    ///
    /// # Safety
    /// `cell` was handed out by `home` for that layout, what was in it is dropped, and nobody
    /// uses it any more; `home` comes from [`pointer`](Home::pointer), or
    /// [`current`](Home::current).
    #[inline]
    pub(crate) unsafe fn free(home: NonNull<Home>, cell: NonNull<u8>, shape: Shape) {
        let Some(class) = shape.class else {
            // SAFETY: the caller's word.
            return unsafe { Home::free_big(home, cell, shape.layout) };
        };
        let cell = cell.cast::<Free>();
        // SAFETY: every cell begins with its state word. Whoever frees comes after all who used the
        // cell, and the word's next change comes after that, so nothing has to be ordered here.
        unsafe { (*cell.as_ptr()).state.store(0, Ordering::Relaxed) };
        let here = CURRENT.with(Cell::get);
        if here == home.as_ptr() {
            // SAFETY: this thread has entered `home`, so it exists, and `local` is this thread's.
            unsafe { Home::free_here(home, cell, class) };
        } else if let Some(here) = NonNull::new(here.cast_mut()) {
            // SAFETY: as above for `here`.
            unsafe { Home::free_elsewhere(here, home, cell, class) };
        } else {
            // SAFETY: the cell is the caller's.
            unsafe { Home::take_back(Chain::of(home, class, cell)) };
        }
    }

    /// # Safety
    /// This thread has entered `home`; else as [`free`](Home::free).
    #[inline]
    unsafe fn free_here(home: NonNull<Home>, cell: NonNull<Free>, class: u32) {
        // SAFETY: an entered home exists.
        let home = unsafe { home.as_ref() };
        home.add_out(1_usize.wrapping_neg());
        // SAFETY: only the owner touches `local`, and no call into it is under way.
        home.local.with_mut(|local| unsafe { (*local).lists[class as usize].push(cell) });
    }

    /// # Safety
    /// This thread has entered `here`; else as [`free`](Home::free).
    #[inline]
    unsafe fn free_elsewhere(
        here: NonNull<Home>,
        home: NonNull<Home>,
        cell: NonNull<Free>,
        class: u32,
    ) {
        // SAFETY: an entered home exists.
        let local = unsafe { &here.as_ref().local };
        // SAFETY: only the owner touches `local`, and no call into it is under way.
        let full = local.with_mut(|local| unsafe { (*local).outgoing.add(home, class, cell) });
        if let Some(chain) = full {
            // SAFETY: it was gathered from cells freed here.
            unsafe { Home::take_back(chain) };
        }
    }

    /// # Safety
    /// As [`free`](Home::free).
    #[cold]
    unsafe fn free_big(home: NonNull<Home>, cell: NonNull<u8>, layout: Layout) {
        // SAFETY: `cell` is out, so `home` exists; and the caller's word.
        unsafe { (*home.as_ptr()).cells.remove_big(cell, layout) };
        // SAFETY: the cell was counted in `left`, so `home` still exists.
        unsafe { Home::leave(home, 1) };
    }

    /// Sends this thread's outgoing chains home, and takes in what came home here.
    pub(crate) fn flush() {
        let Some(home) = Home::current() else { return };
        // SAFETY: an entered home exists.
        let home = unsafe { home.as_ref() };
        for slot in 0..Outgoing::SLOTS {
            let chain = home.with_local(|local| local.outgoing.take(slot));
            if let Some(chain) = chain {
                // SAFETY: it was gathered from cells freed here.
                unsafe { Home::take_back(chain) };
            }
        }
        home.collect();
    }

    /// Takes in what came home.
    ///
    /// # Panics
    /// As [`allocate`](Home::allocate).
    pub(crate) fn collect(&self) {
        self.with_local(|local| local.take_in(self));
    }

    /// Trims this thread's home, if it has one.
    pub(crate) fn trim_here() {
        if let Some(home) = Home::current() {
            // SAFETY: an entered home exists.
            unsafe { home.as_ref() }.trim();
        }
    }

    /// Gives chunks that hold no cell that is out back to the system, but one of each class.
    ///
    /// This looks at every free cell: it is for an owner who sleeps for long.
    ///
    /// # Panics
    /// As [`allocate`](Home::allocate).
    pub(crate) fn trim(&self) {
        self.with_local(|local| {
            local.take_in(self);
            // SAFETY: `take_idle` takes out chunks whose cells all hang in the lists, and with
            // them these cells.
            unsafe { self.cells.give_back(|chunks| take_idle(&mut local.lists, chunks)) };
        });
    }

    /// Draws the number of a new task.
    ///
    /// # Panics
    /// As [`allocate`](Home::allocate).
    #[inline]
    pub(crate) fn next_id(&self) -> u64 {
        self.with_local(|local| local.next_id(self))
    }

    /// Visits every cell that has references, from any thread, without stopping the owner.
    ///
    /// The references may be gone when the visitor looks: it takes one with a CAS that acquires.
    /// It neither drops references nor allocates cells.
    pub(crate) fn for_each_cell(&self, visit: &mut dyn FnMut(NonNull<u8>)) {
        self.cells.for_each(visit);
    }

    /// Returns about how many cells are out, those on their way home included.
    #[cfg(test)]
    pub(crate) fn outstanding(&self) -> usize {
        let big = self.left.load(Ordering::Relaxed).wrapping_sub(OPEN);
        self.out.load(Ordering::Relaxed).wrapping_add(big)
    }

    #[inline]
    fn with_local<R>(&self, act: impl FnOnce(&mut Local) -> R) -> R {
        let guard = if ptr::eq(CURRENT.with(Cell::get), self) { None } else { Some(self.share()) };
        // SAFETY: this thread is the owner, or holds the lock of a home that has none; and no act
        // calls back here.
        let result = self.local.with_mut(|local| act(unsafe { &mut *local }));
        drop(guard);
        result
    }

    #[cold]
    fn share(&self) -> MutexGuard<'_, ()> {
        assert!(self.kind == Kind::Shared, "a worker's home is used by its own thread");
        self.lock.lock()
    }

    /// Only for who may touch `local`: nobody else writes, so this need not be one atomic step.
    #[inline]
    fn add_out(&self, count: usize) {
        let out = self.out.load(Ordering::Relaxed);
        self.out.store(out.wrapping_add(count), Ordering::Relaxed);
    }

    /// Lets a chain come home, or counts it off if the home is closed; that may free the home and
    /// drop its `Schedule`, so no [`Local`] is borrowed meanwhile.
    ///
    /// # Safety
    /// The chain's cells are as it says, and belong to the caller.
    unsafe fn take_back(chain: Chain) {
        let Chain { home, head, sent } = chain;
        // SAFETY: its cells are out, so the home exists until they are in `returned`; and the
        // caller's word.
        if unsafe { (*home.as_ptr()).returned.push(head, sent) } {
            return;
        }
        // SAFETY: the close counts these cells in `left`.
        unsafe { Home::leave(home, sent.length as usize) };
    }

    /// Counts cells that came home too late, or never had a list to come home to; the last one
    /// frees the home.
    ///
    /// # Safety
    /// The cells were counted in `left`, or are as soon as the close is through.
    unsafe fn leave(home: NonNull<Home>, count: usize) {
        // SAFETY: until they are counted off here, these cells keep the home.
        let before = unsafe { (*home.as_ptr()).left.fetch_sub(count, Ordering::AcqRel) };
        if before == count {
            // SAFETY: the home is closed, and this was the last cell.
            unsafe { Home::destroy(home) };
        }
    }

    /// # Safety
    /// The home is closed and no cell is out.
    unsafe fn destroy(home: NonNull<Home>) {
        // SAFETY: the caller's word: nobody has a pointer to it any more; `root` came from a box.
        drop(unsafe { Box::from_raw((*home.as_ptr()).root.as_ptr()) });
    }
}

/// The right to use a home, and the duty to close it: dropping it does, while no thread owns it.
///
/// Its memory goes when the last cell has come home, perhaps at once.
pub(crate) struct HomeHandle(NonNull<Home>);

// SAFETY: a home may be used and freed by any thread.
unsafe impl Send for HomeHandle {}
// SAFETY: as above; the handle gives out only `&Home`.
unsafe impl Sync for HomeHandle {}

impl Deref for HomeHandle {
    type Target = Home;

    #[inline]
    fn deref(&self) -> &Home {
        // SAFETY: the home exists until its handle is dropped.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for HomeHandle {
    fn drop(&mut self) {
        let home = self.0;
        assert!(!self.entered.load(Ordering::Acquire), "a home is left before it is closed");
        let chain = self.returned.close();
        // SAFETY: just taken from `returned`, so these chains are ours.
        let came: usize = unsafe { sent_chains(chain) }.map(|(_, sent)| sent.length as usize).sum();
        let out = self.out.load(Ordering::Relaxed).wrapping_sub(came);
        let change = out.wrapping_sub(OPEN);
        // From here on the last cell may take the home away.
        // SAFETY: OPEN in `left` has kept it so far.
        let before = unsafe { (*home.as_ptr()).left.fetch_add(change, Ordering::AcqRel) };
        if before.wrapping_add(change) == 0 {
            // SAFETY: closed, and no cell is out.
            unsafe { Home::destroy(home) };
        }
    }
}

/// This thread is the owner of a home until this is dropped.
pub(crate) struct Entered<'a> {
    home: NonNull<Home>,
    before: *const Home,
    handle: PhantomData<(&'a HomeHandle, *const ())>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        assert!(Home::current() == Some(self.home), "homes are left in reverse order");
        Home::flush();
        CURRENT.with(|current| current.set(self.before));
        // SAFETY: the guard borrows the handle, so the home exists.
        unsafe { self.home.as_ref() }.entered.store(false, Ordering::Release);
    }
}

impl Local {
    fn new(chunk: usize, numbers: std::ops::Range<u64>) -> Self {
        Local {
            lists: List::of_all_classes(chunk),
            outgoing: Outgoing::new(),
            number: numbers.start,
            numbers_end: numbers.end,
        }
    }

    #[inline]
    fn allocate(&mut self, home: &Home, class: u32) -> NonNull<u8> {
        home.add_out(1);
        let cell = match self.lists[class as usize].pop() {
            Some(cell) => cell,
            None => self.refill(home, class),
        };
        cell.cast()
    }

    /// Gets the list new cells, and returns the first of them.
    #[cold]
    fn refill(&mut self, home: &Home, class: u32) -> NonNull<Free> {
        if !self.lists[class as usize].has_chain() {
            self.take_in(home);
        }
        let list = &mut self.lists[class as usize];
        if let Some(cell) = list.pop_chain() {
            return cell;
        }
        list.add_chunk(|size, count| home.cells.add_chunk(size, count))
    }

    fn take_in(&mut self, home: &Home) {
        let chains = home.returned.take();
        let mut came = 0;
        // SAFETY: just taken from `returned`, so these chains are ours.
        for (first, sent) in unsafe { sent_chains(chains) } {
            // SAFETY: as above; the iterator is past what this changes.
            unsafe { self.lists[sent.class as usize].push_chain(first, sent) };
            came += sent.length as usize;
        }
        home.add_out(came.wrapping_neg());
    }

    #[inline]
    fn next_id(&mut self, home: &Home) -> u64 {
        if self.number == self.numbers_end {
            let numbers = home.schedule.numbers();
            (self.number, self.numbers_end) = (numbers.start, numbers.end);
        }
        self.number += 1;
        self.number - 1
    }
}

#[cfg(all(test, not(loom)))]
#[path = "memory_tests.rs"]
mod tests;
