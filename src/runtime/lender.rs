//! References to a runtime, counted without atomics on the thread that they come from.
//!
//! A thread that enters a runtime makes a [`Lender`]; an alarm that is set there holds a [`Held`]
//! reference to it. Most are given back on the same thread, and that is a plain number's matter.
//! The others come back by an atomic one, which hears of the plain one when the thread leaves:
//! ~~~text
//! lend, give back here:   near += 1, near -= 1
//! give back elsewhere:                             far -= 1
//! the thread leaves:                               far += near - OPEN
//! ~~~
//! `far` starts at OPEN, so it is 0 only after the thread has left, and for the last one, who frees
//! the lender.
//!
//! Invariant: `near` is touched only while the lender is its thread's present one, by that thread.
//!
//! Model: `loom-tests/lender.rs`.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::ptr::{self, NonNull};

use crate::runtime::Handle;
use crate::sys::quiet::AtomicUsize;
use crate::sys::{Ordering, UnsafeCell, fence, thread_local};

thread_local! {
    /// The lender of the runtime that this thread works for, or has entered; or null.
    static PRESENT: Cell<*const Lender> = const { Cell::new(ptr::null()) };
}

/// `far` of a lender whose thread has not left, so that nothing can bring it to 0.
const OPEN: usize = usize::MAX / 2 + 1;

/// A thread's own reference to a runtime.
struct Lender {
    handle: Handle,
    /// Lent, and not given back here.
    near: UnsafeCell<usize>,
    far: AtomicUsize,
}

/// Calls `look` with the runtime that this thread belongs to, if it belongs to one.
#[inline]
pub(super) fn with_present<R>(look: impl FnOnce(&Handle) -> R) -> Option<R> {
    // SAFETY: the lender is there while it is the present one: `Entered` lies below this call.
    unsafe { PRESENT.with(Cell::get).as_ref() }.map(|lender| look(&lender.handle))
}

/// While it lives, the thread belongs to a runtime; then to the one before, if any.
pub(crate) struct Entered {
    lender: NonNull<Lender>,
    before: *const Lender,
}

impl Entered {
    pub(super) fn new(handle: Handle) -> Self {
        let lender = Lender { handle, near: UnsafeCell::new(0), far: AtomicUsize::new(OPEN) };
        // SAFETY: a box is never null.
        let lender = unsafe { NonNull::new_unchecked(Box::into_raw(Box::new(lender))) };
        Entered { lender, before: PRESENT.with(|present| present.replace(lender.as_ptr())) }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        PRESENT.with(|present| present.set(self.before));
        // SAFETY: this guard keeps the lender until the call.
        let lender = unsafe { self.lender.as_ref() };
        // SAFETY: it was this thread's present one until now, and never will be again.
        let near = lender.near.with(|near| unsafe { *near });
        give_back(self.lender, OPEN - near);
    }
}

/// Takes so many off `far`; at 0, frees the lender.
fn give_back(lender: NonNull<Lender>, count: usize) {
    // SAFETY: what the caller gives back has kept the lender until now.
    let before = unsafe { lender.as_ref() }.far.fetch_sub(count, Ordering::Release);
    if before == count {
        // Pairs with the others' decrements: all that they did comes before this.
        fence(Ordering::Acquire);
        // SAFETY: nobody else has a reference, and the thread has left; it came from a box.
        drop(unsafe { Box::from_raw(lender.as_ptr()) });
    }
}

/// A reference to the runtime of the thread that asked for it.
pub(crate) struct Held(NonNull<Lender>);

// SAFETY: `Handle` is both; `near` is touched only by the lender's thread (`drop` asks).
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

impl Held {
    /// The runtime that this thread belongs to, if it belongs to one.
    #[inline]
    pub(crate) fn present() -> Option<Held> {
        let lender = NonNull::new(PRESENT.with(Cell::get).cast_mut())?;
        // SAFETY: as in `with_present`.
        let near = unsafe { &lender.as_ref().near };
        // SAFETY: the lender is this thread's present one.
        near.with_mut(|near| unsafe { *near += 1 });
        Some(Held(lender))
    }

    /// Does this thread still belong to it as it did when it asked?
    #[inline]
    pub(crate) fn is_present(&self) -> bool {
        ptr::eq(PRESENT.with(Cell::get), self.0.as_ptr())
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        if !self.is_present() {
            return give_back(self.0, 1);
        }
        // SAFETY: this reference is counted.
        let near = unsafe { &self.0.as_ref().near };
        // SAFETY: the lender is this thread's present one.
        near.with_mut(|near| unsafe { *near -= 1 });
    }
}

impl Deref for Held {
    type Target = Handle;

    #[inline]
    fn deref(&self) -> &Handle {
        // SAFETY: this reference is counted.
        unsafe { &self.0.as_ref().handle }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Handle::fmt(self, f)
    }
}
