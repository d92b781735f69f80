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
//! Whoever the node belongs to by this table may read it; only who owns the timer writes it, while
//! it arms or exchanges the waker, so the owner may look at it at any time. The index belongs to
//! who holds the lock.
//!
//! A waker is counted, or **lent**: then the state has a bit more, the one who lent it keeps it
//! alive until the timer is disarmed or has fired, and whoever fires makes a counted one of it
//! before he lets go.
//!
//! Model: `loom-tests/timers.rs`.

use std::marker::PhantomPinned;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::NonNull;
use std::task::Waker;

use crate::driver::buckets;
use crate::driver::clock::Instant;
use crate::probe;
use crate::sys::quiet::AtomicU32;
use crate::sys::{Ordering, UnsafeCell};

/// A timer to be kept by a [`Timers`](super::timers::Timers); whoever owns it disarms it in `Drop`.
#[derive(Debug)]
pub(crate) struct Timer {
    state: AtomicU32,
    /// At which index its structure has the link.
    index: UnsafeCell<u32>,
    node: UnsafeCell<Node>,
    _pinned: PhantomPinned,
}

/// What is to happen, and when. There, except for its waker, since the timer was armed.
#[derive(Debug)]
pub(super) struct Node {
    /// The deadline, in nanoseconds.
    pub(super) at: u64,
    /// Moved away by whoever fires or disarms, its bits stay.
    waker: MaybeUninit<Waker>,
}

// Four words: a million of them are looked at in no order.
#[cfg(not(loom))]
const _: () = assert!(size_of::<Timer>() <= 16 + 2 * size_of::<usize>());

/// What a timer calls when its moment comes.
#[derive(Debug)]
pub(crate) struct Bell {
    waker: ManuallyDrop<Waker>,
    lent: bool,
}

impl From<Waker> for Bell {
    fn from(waker: Waker) -> Self {
        Bell { waker: ManuallyDrop::new(waker), lent: false }
    }
}

impl Bell {
    /// A waker that is not counted; to clone it calls nobody who arms or disarms timers.
    ///
    /// # Safety
    /// What the waker stands for stays alive until the timer that gets it is disarmed, or has
    /// fired.
    #[inline]
    pub(crate) unsafe fn lent(waker: &Waker) -> Self {
        // SAFETY: a copy that is never dropped; the caller's promise keeps its target alive.
        let waker = unsafe { Waker::new(waker.data(), waker.vtable()) };
        Bell { waker: ManuallyDrop::new(waker), lent: true }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        if !self.lent {
            // SAFETY: it is dropped here only; who takes it out forgets the bell.
            probe::drop_waker(unsafe { ManuallyDrop::take(&mut self.waker) });
        }
    }
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
            index: UnsafeCell::new(0),
            node: UnsafeCell::new(Node { at: 0, waker: MaybeUninit::uninit() }),
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

    /// Whether it will wake as this waker does, if it is still to fire, and ever does.
    ///
    /// # Safety
    /// Nobody arms the timer or exchanges its waker meanwhile.
    #[inline]
    pub(crate) unsafe fn will_wake(&self, waker: &Waker) -> bool {
        if self.state.load(Ordering::Relaxed) & ((1 << KIND) - 1) < HEAP {
            return true;
        }
        // SAFETY: it has been armed, so the bits of a waker are there, and nobody writes them.
        self.node.with(|node| unsafe { (*node).waker.assume_init_ref() }.will_wake(waker))
    }

    /// The moment for which it was armed last.
    ///
    /// # Safety
    /// Nobody arms the timer meanwhile.
    pub(crate) unsafe fn at(&self) -> Instant {
        // SAFETY: only who arms it writes the moment.
        Instant::from_nanoseconds(self.node.with(|node| unsafe { (*node).at }))
    }

    #[inline]
    pub(super) fn place(&self) -> Place {
        Place::decode(self.state.load(Ordering::Acquire))
    }

    /// Takes the node for this thread, if nobody has it; says where the timer is otherwise.
    #[inline(always)]
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
    pub(super) fn link(self, at: u64, bell: Bell) -> Link {
        let timer = self.0;
        // The old waker is always gone: whoever fires or disarms takes it.
        timer.node.with_mut(|node| {
            // SAFETY: CLAIMED gives this thread the node, see the table above.
            unsafe { (*node).at = at };
            // SAFETY: as above.
            unsafe { (*node).waker.write(std::ptr::read(&*bell.waker)) };
        });
        let lent = if bell.lent { LENT } else { 0 };
        std::mem::forget(bell);
        timer.state.store(CLAIMED | lent, Ordering::Relaxed);
        Link::to(timer)
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

    #[inline]
    pub(super) fn into_raw(self) -> NonNull<Timer> {
        self.0
    }

    #[inline]
    pub(super) fn from_raw(raw: NonNull<Timer>) -> Self {
        Link(raw)
    }

    /// Has the timer's memory be at hand soon.
    #[inline]
    pub(super) fn prefetch(self) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: every x86-64 can; a program cannot tell, wherever the pointer leads.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.0.as_ptr().cast_const().cast()) };
        }
    }

    /// The deadline, in nanoseconds.
    ///
    /// # Safety
    /// The lock of the structure that keeps the timer is held.
    #[inline]
    pub(super) unsafe fn at(self) -> u64 {
        // SAFETY: under the lock a link can be followed, by the invariant above.
        let timer = unsafe { self.0.as_ref() };
        // SAFETY: the lock lets this thread read the node, see the table above.
        timer.node.with(|node| unsafe { (*node).at })
    }

    /// Where its structure has the link.
    ///
    /// # Safety
    /// The lock of the structure that keeps the timer is held.
    #[inline]
    pub(super) unsafe fn index(self) -> usize {
        // SAFETY: under the lock a link can be followed, by the invariant above.
        let timer = unsafe { self.0.as_ref() };
        // SAFETY: the lock gives this thread the index.
        timer.index.with(|index| unsafe { *index }) as usize
    }

    /// Exchanges the waker. `fresh` is made only if the one that is there does not wake the same;
    /// while it is `None`, true says that it is needed. What is replaced comes back in it.
    ///
    /// # Safety
    /// The caller owns the timer, and holds the lock of the structure that keeps it.
    pub(super) unsafe fn exchange(self, waker: &Waker, fresh: &mut Option<Waker>) -> bool {
        // SAFETY: under the lock a link can be followed, by the invariant above.
        let timer = unsafe { self.0.as_ref() };
        timer.node.with_mut(|node| {
            // SAFETY: the timer is armed, so its waker is there, and the owner may write it.
            let kept = unsafe { (*node).waker.assume_init_mut() };
            if kept.will_wake(waker) {
                return false;
            }
            if let Some(counted) = fresh.take() {
                let former = std::mem::replace(kept, counted);
                let state = timer.state.load(Ordering::Relaxed);
                if state & LENT == 0 {
                    *fresh = Some(former);
                } else {
                    std::mem::forget(former);
                    timer.state.store(state & !LENT, Ordering::Relaxed);
                }
            }
            true
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
        let timer = unsafe { self.0.as_ref() };
        // SAFETY: the locks give this thread the index.
        timer.index.with_mut(|slot| unsafe { *slot = index });
        let lent = timer.state.load(Ordering::Relaxed) & LENT;
        timer.state.store(place.encode() | lent, Ordering::Release);
    }

    /// Notes that the timer's moment has come. The link dangles from now on.
    ///
    /// # Safety
    /// The lock of the structure the timer was in is held, and it is in none any more.
    pub(super) unsafe fn fired(self) -> Waker {
        // SAFETY: the caller's promise.
        let timer = unsafe { self.0.as_ref() };
        let lent = timer.state.load(Ordering::Relaxed) & LENT != 0;
        // SAFETY: the caller's promise.
        let waker = ManuallyDrop::new(unsafe { self.waker() });
        // From the store below on, the one who lent it need not keep it alive.
        let waker = if lent { (*waker).clone() } else { ManuallyDrop::into_inner(waker) };
        // SAFETY: the caller's promise.
        unsafe { self.leave(FIRED) };
        waker
    }

    /// Notes that nothing is to happen any more. The link dangles from now on.
    ///
    /// # Safety
    /// The lock of the structure the timer was in is held, and it is in none any more.
    #[inline]
    pub(super) unsafe fn disarmed(self) -> Option<Waker> {
        // SAFETY: the caller's promise.
        let timer = unsafe { self.0.as_ref() };
        let lent = timer.state.load(Ordering::Relaxed) & LENT != 0;
        // SAFETY: the caller's promise.
        let waker = (!lent).then(|| unsafe { self.waker() });
        // SAFETY: the caller's promise.
        unsafe { self.leave(IDLE) };
        waker
    }

    /// Moves the waker out of the node.
    ///
    /// # Safety
    /// As for [`fired`](Link::fired), once.
    #[inline]
    unsafe fn waker(self) -> Waker {
        // SAFETY: the caller's promise.
        let timer = unsafe { self.0.as_ref() };
        // SAFETY: the timer was armed, so the waker is there; the lock lets this thread read it.
        timer.node.with(|node| unsafe { (*node).waker.assume_init_read() })
    }

    /// # Safety
    /// As for [`fired`](Link::fired).
    #[inline]
    unsafe fn leave(self, state: u32) {
        // SAFETY: the caller's promise. The store is the last touch: pairs with the load in
        // `Timer::fired` or `Timer::place`, after which the owner may free the timer.
        unsafe { self.0.as_ref() }.state.store(state, Ordering::Release);
    }
}

const IDLE: u32 = 0;
const FIRED: u32 = 1;
const CLAIMED: u32 = 2;
const NEVER: u32 = 3;
const HEAP: u32 = 4;
const BUCKET: u32 = 5;

/// Bits that tell the states from each other.
const KIND: u32 = 3;
/// The waker is lent. The bits above are the bucket, then the slot.
const LENT: u32 = 1 << KIND;
/// How far up the bucket begins.
const NUMBER: u32 = KIND + 1;

/// How many slots a state can name.
pub(super) const MOST_SLOTS: usize = (1 << (u32::BITS - NUMBER)) / buckets::COUNT;

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
                (((slot * buckets::COUNT) + bucket) as u32) << NUMBER | BUCKET
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
                let number = (state >> NUMBER) as usize;
                Place::Bucket { slot: number / buckets::COUNT, bucket: number % buckets::COUNT }
            }
        }
    }
}
