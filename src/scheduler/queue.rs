//! Where runnable tasks stand: next-slot, line, injector.
//!
//! A worker puts a task that was just woken into its *next-slot*, and runs it next: what it needs
//! is still in the cache. The task that stood there moves to the worker's *line* (`line`), which is
//! always open to thieves. Threads that are no workers push to the *injector*.
//!
//! The slot is one atomic pointer, so that a watchdog can free a task from behind a worker that
//! computes on (`watch`). Only the owner fills it, so an empty slot stays empty for everybody else,
//! and the owner fills it with a plain store; taking is an exchange, and one taker wins.
//!
//! Invariant: a task that is queued stands in exactly one place.
//! Model: `loom-tests/queue.rs`.

use std::cell::Cell;
use std::ptr::{self, NonNull};

use crate::scheduler::line::{Line, Thief};
use crate::sys::deque::Steal;
use crate::sys::{AtomicBool, AtomicPtr, Ordering, quiet, thread_local};
use crate::task::Runnable;
use crate::task::jobs::Working;

/// A line of so many tasks has work for another worker. Fewer are run here sooner than a
/// sleeper wakes up, and a second core that joins a fine-grained exchange makes it slower.
pub(crate) const SURPLUS: usize = 16;

/// The task that its worker runs next.
#[derive(Debug)]
pub(crate) struct Slot(AtomicPtr<()>);

impl Slot {
    pub(crate) fn new() -> Self {
        Slot(AtomicPtr::new(ptr::null_mut()))
    }

    /// Puts a task in, and gives back the one that stood there. Only the owner.
    #[inline]
    pub(crate) fn put(&self, task: Runnable) -> Option<Runnable> {
        let task = task.into_raw().as_ptr();
        if self.0.load(Ordering::Relaxed).is_null() {
            // Nobody else fills it: it is empty still. Pairs with the exchange in `steal`.
            self.0.store(task, Ordering::Release);
            return None;
        }
        Slot::own(self.0.swap(task, Ordering::AcqRel))
    }

    /// Takes the task out, if there is one. Only the owner, or whoever comes after it.
    #[inline]
    pub(crate) fn take(&self) -> Option<Runnable> {
        if self.is_empty() {
            return None;
        }
        Slot::own(self.0.swap(ptr::null_mut(), Ordering::AcqRel))
    }

    /// Takes the task out from behind its owner, unless it has just been replaced. It writes only
    /// where a task stood, so the owner's plain store into the empty slot meets nobody. (If it was
    /// replaced by a task at the same address, that one is taken, and is as good.)
    pub(crate) fn steal(&self) -> Option<Runnable> {
        let seen = self.0.load(Ordering::Relaxed);
        if seen.is_null() {
            return None;
        }
        let (taken, failed) = (Ordering::AcqRel, Ordering::Relaxed);
        Slot::own(self.0.compare_exchange(seen, ptr::null_mut(), taken, failed).ok()?)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// Makes a task of what one exchange took out.
    #[inline]
    fn own(raw: *mut ()) -> Option<Runnable> {
        // SAFETY: every pointer in the slot comes from `into_raw` in `put`, and each exchange
        // gives it to one thread only.
        NonNull::new(raw).map(|raw| unsafe { Runnable::from_raw(raw) })
    }
}

/// What others may know of one worker.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) slot: Slot,
    /// Goes on with every task and every round of searching; only the owner writes it. Two equal
    /// readings some time apart: the worker is inside one poll.
    ticks: quiet::AtomicU32,
    /// So many of these steps ran no task.
    vain: quiet::AtomicU32,
    /// The worker waits in its driver, or has left for good.
    parked: AtomicBool,
    pub(crate) thief: Thief,
}

impl Lane {
    pub(crate) fn new(thief: Thief) -> Self {
        Lane {
            slot: Slot::new(),
            ticks: quiet::AtomicU32::new(0),
            vain: quiet::AtomicU32::new(0),
            parked: AtomicBool::new(true),
            thief,
        }
    }

    #[inline]
    pub(crate) fn publish_tick(&self, tick: u32) {
        self.ticks.store(tick, Ordering::Relaxed);
    }

    /// The step that comes next runs no task. Only the owner.
    pub(crate) fn step_in_vain(&self) {
        let vain = self.vain.load(Ordering::Relaxed);
        self.vain.store(vain.wrapping_add(1), Ordering::Relaxed);
    }

    /// How many tasks it has run; the number wraps around.
    pub(crate) fn ran(&self) -> u32 {
        self.tick().wrapping_sub(self.vain.load(Ordering::Relaxed))
    }

    pub(crate) fn set_parked(&self, parked: bool) {
        self.parked.store(parked, Ordering::Relaxed);
    }

    pub(crate) fn tick(&self) -> u32 {
        self.ticks.load(Ordering::Relaxed)
    }

    pub(crate) fn is_parked(&self) -> bool {
        self.parked.load(Ordering::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slot.is_empty() && self.thief.is_empty()
    }

    pub(crate) fn has_surplus(&self) -> bool {
        self.thief.len() >= SURPLUS
    }
}

/// Asks again until the queue says yes or no.
pub(crate) fn insist(mut steal: impl FnMut() -> Steal<Runnable>) -> Option<Runnable> {
    loop {
        match steal() {
            Steal::Success(task) => return Some(task),
            Steal::Empty => return None,
            Steal::Retry => std::hint::spin_loop(),
        }
    }
}

thread_local! {
    /// What this thread owns as a worker, or null.
    static LOCAL: Cell<*const Local> = const { Cell::new(ptr::null()) };
}

/// What only a worker's own thread touches.
#[derive(Debug)]
pub(crate) struct Local {
    /// Whose worker it is: the address of the scheduler, for comparison only.
    owner: *const (),
    pub(crate) index: usize,
    pub(crate) line: Line,
    /// Its polls are long at present: what waits behind one is worth a sleeper's while.
    pub(crate) coarse: Cell<bool>,
}

// SAFETY: `owner` is only compared; the line is `Send`.
unsafe impl Send for Local {}

impl Local {
    pub(crate) fn new(owner: *const (), index: usize, line: Line) -> Self {
        Local { owner, index, line, coarse: Cell::new(false) }
    }

    /// Makes this thread the worker for as long as the guard lives.
    pub(crate) fn enter(&self) -> Entered<'_> {
        let before = LOCAL.with(|local| local.replace(self));
        Entered { before, local: self, _working: Working::begin() }
    }

    /// Calls `look` with what this thread owns as a worker of `owner`, if it is one.
    #[inline]
    pub(crate) fn with<R>(owner: *const (), look: impl FnOnce(Option<&Local>) -> R) -> R {
        let local = LOCAL.with(Cell::get);
        // SAFETY: not null means that the guard of `enter` is alive further up this very thread's
        // stack, and it borrows the `Local`.
        let local = unsafe { local.as_ref() };
        look(local.filter(|local| local.owner == owner))
    }
}

/// While it lives, this thread is a worker.
#[derive(Debug)]
pub(crate) struct Entered<'a> {
    before: *const Local,
    #[expect(dead_code, reason = "keeps what the thread-local points to borrowed")]
    local: &'a Local,
    _working: Working,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        LOCAL.with(|local| local.set(self.before));
    }
}
