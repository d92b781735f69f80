//! One timer: a moment, a waker, and where the timer is kept.
//!
//! A [`Timer`] lives inside a pinned future; the structures that keep it (`buckets.rs`, `heap.rs`)
//! hold a [`Link`], a plain pointer to it. What makes the pointer good:
//!
//! Invariant: a structure holds a link exactly as long as the timer's state names that structure,
//! and the state changes to and from that name only under the structure's lock. A timer that is
//! armed cannot be dropped (its `Drop` would end the process), so whoever holds the lock may follow
//! every link it finds, until it changes the state.
//!
//! | state   | set by               | the node belongs to                               |
//! |---------|----------------------|---------------------------------------------------|
//! | IDLE    | new, disarm          | nobody                                            |
//! | FIRED   | fire                 | nobody; the firer has let go of the timer for good|
//! | CLAIMED | arm, from IDLE, FIRED| the thread that arms                              |
//! | NEVER   | arm, for no moment   | nobody; no structure keeps the timer              |
//! | HEAP    | arm, inspection      | whoever locks the heap                            |
//! | BUCKET  | arm, inspection      | whoever locks the slot; the upper bits say which  |
//!
//! Model: `loom-tests/timers.rs`.

use std::marker::PhantomPinned;
use std::ptr::NonNull;
use std::task::Waker;

use crate::driver::buckets;
use crate::sys::quiet::AtomicU32;
use crate::sys::{Ordering, UnsafeCell};

/// A timer to be kept by a [`Timers`](super::timers::Timers); whoever owns it disarms it in `Drop`.
#[derive(Debug)]
pub(crate) struct Timer {
    state: AtomicU32,
    node: UnsafeCell<Node>,
    _pinned: PhantomPinned,
}

/// What the lock of the structure guards.
#[derive(Debug)]
pub(super) struct Node {
    /// Where in its vector the link is.
    pub(super) index: u32,
    /// The deadline, in nanoseconds.
    pub(super) at: u64,
    pub(super) waker: Option<Waker>,
}

/// Where a timer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Idle,
    Fired,
    Claimed,
    Never,
    Heap,
    Bucket { slot: usize, bucket: usize },
}

// SAFETY: `state` is atomic, and `node` is touched only by whom the table above names; a `Waker`
// may be taken and dropped by any thread.
unsafe impl Sync for Timer {}

impl Timer {
    pub(crate) fn new() -> Self {
        Timer {
            state: AtomicU32::new(Place::Idle.encode()),
            node: UnsafeCell::new(Node { index: 0, at: 0, waker: None }),
            _pinned: PhantomPinned,
        }
    }

    /// Whether its moment has come since it was last armed. One load.
    #[inline]
    pub(crate) fn fired(&self) -> bool {
        // Pairs with `Link::fired`: whoever sees this may free the timer.
        self.state.load(Ordering::Acquire) == FIRED
    }

    /// Whether it is still to fire; true for a moment that never comes.
    #[inline]
    pub(crate) fn is_armed(&self) -> bool {
        !matches!(self.place(), Place::Idle | Place::Fired)
    }

    #[inline]
    pub(super) fn place(&self) -> Place {
        Place::decode(self.state.load(Ordering::Acquire))
    }

    /// Takes the node for this thread, if nobody has it; says where the timer is otherwise.
    #[inline]
    pub(super) fn claim(&self) -> Result<Claim<'_>, Place> {
        let before = self.state.load(Ordering::Relaxed);
        let free = before == IDLE || before == FIRED;
        let claimed = free
            && self
                .state
                .compare_exchange(before, CLAIMED, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        if claimed { Ok(Claim(self)) } else { Err(Place::decode(before)) }
    }

    /// Disarms a timer that no structure keeps; false if that is not so any more.
    pub(super) fn leave_never(&self) -> bool {
        let state = &self.state;
        state.compare_exchange(NEVER, IDLE, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if self.is_armed() && self.place() != Place::Never {
            // A structure points here: going on would let it follow a dangling pointer.
            eprintln!("filch: a timer was dropped while it was armed");
            std::process::abort();
        }
    }
}

/// The right to fill in a timer's node. Ends with [`never`](Claim::never) or
/// [`link`](Claim::link).
#[must_use]
pub(super) struct Claim<'a>(&'a Timer);

impl Claim<'_> {
    /// Arms for a moment that never comes.
    pub(super) fn never(self) {
        self.0.state.store(NEVER, Ordering::Release);
    }

    /// Fills in the node. The structure it goes into is locked, and calls [`Link::enter`] at once.
    #[inline]
    pub(super) fn link(self, at: u64, waker: Waker) -> Link {
        // The old waker is always gone: whoever fires or disarms takes it.
        let old = self.0.node.with_mut(|node| {
            // SAFETY: CLAIMED gives this thread the node, see the table above.
            let node = unsafe { &mut *node };
            node.at = at;
            node.waker.replace(waker)
        });
        debug_assert!(old.is_none());
        Link::to(self.0)
    }
}

/// A structure's pointer to a timer it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link(NonNull<Timer>);

// SAFETY: a `Timer` is `Sync`, and the invariant above does not depend on the thread.
unsafe impl Send for Link {}

impl Link {
    #[inline]
    pub(super) fn to(timer: &Timer) -> Self {
        Link(NonNull::from(timer))
    }

    /// # Safety
    /// The lock of the structure that keeps the timer is held, and `look` does not leave it.
    #[inline]
    pub(super) unsafe fn node<R>(self, look: impl FnOnce(&mut Node) -> R) -> R {
        // SAFETY: under the lock a link can be followed, by the invariant above.
        let timer = unsafe { self.0.as_ref() };
        timer.node.with_mut(|node| {
            // SAFETY: the lock gives this thread the node, see the table above.
            look(unsafe { &mut *node })
        })
    }

    /// Notes where the timer is now.
    ///
    /// # Safety
    /// The locks of the structure it is in (if any: it may be claimed) and of the one it goes
    /// to are held, and it does go there.
    #[inline]
    pub(super) unsafe fn enter(self, place: Place, index: usize) {
        let index = u32::try_from(index).expect("more timers than can be counted");
        // SAFETY: the caller's promise.
        unsafe { self.node(|node| node.index = index) };
        // SAFETY: as above.
        let timer = unsafe { self.0.as_ref() };
        timer.state.store(place.encode(), Ordering::Release);
    }

    /// Notes that the timer's moment has come. The link dangles from now on.
    ///
    /// # Safety
    /// The lock of the structure the timer was in is held, and it is in none any more.
    pub(super) unsafe fn fired(self) -> Option<Waker> {
        // SAFETY: the caller's promise.
        unsafe { self.leave(FIRED) }
    }

    /// Notes that nothing is to happen any more. The link dangles from now on.
    ///
    /// # Safety
    /// The lock of the structure the timer was in is held, and it is in none any more.
    #[inline]
    pub(super) unsafe fn disarmed(self) -> Option<Waker> {
        // SAFETY: the caller's promise.
        unsafe { self.leave(IDLE) }
    }

    /// # Safety
    /// As for [`fired`](Link::fired).
    #[inline]
    unsafe fn leave(self, state: u32) -> Option<Waker> {
        // SAFETY: the caller's promise.
        let waker = unsafe { self.node(|node| node.waker.take()) };
        // SAFETY: as above. The store is the last touch: pairs with the load in `Timer::fired`
        // or `Timer::place`, after which the owner may free the timer.
        unsafe { self.0.as_ref() }.state.store(state, Ordering::Release);
        waker
    }
}

const IDLE: u32 = 0;
const FIRED: u32 = 1;
const CLAIMED: u32 = 2;
const NEVER: u32 = 3;
const HEAP: u32 = 4;
const BUCKET: u32 = 5;

/// Bits that tell the states from each other; the rest is the bucket, then the slot.
const KIND: u32 = 3;

/// How many slots a state can name.
pub(super) const MOST_SLOTS: usize = (1 << (u32::BITS - KIND)) / buckets::COUNT;

impl Place {
    #[inline]
    fn encode(self) -> u32 {
        match self {
            Place::Idle => IDLE,
            Place::Fired => FIRED,
            Place::Claimed => CLAIMED,
            Place::Never => NEVER,
            Place::Heap => HEAP,
            Place::Bucket { slot, bucket } => {
                (((slot * buckets::COUNT) + bucket) as u32) << KIND | BUCKET
            }
        }
    }

    #[inline]
    fn decode(state: u32) -> Self {
        match state & ((1 << KIND) - 1) {
            IDLE => Place::Idle,
            FIRED => Place::Fired,
            CLAIMED => Place::Claimed,
            NEVER => Place::Never,
            HEAP => Place::Heap,
            _ => {
                let number = (state >> KIND) as usize;
                Place::Bucket { slot: number / buckets::COUNT, bucket: number % buckets::COUNT }
            }
        }
    }
}
