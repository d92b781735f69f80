//! The one fair queue of waiting futures.
//!
//! A [`Waiter`] lives inside a pinned future: waiting allocates nothing. A [`WaitList`] stands,
//! with the state that is waited for, behind the one short lock of its primitive; whoever has
//! `&mut` of the list holds that lock. First in line, first woken.
//!
//! | state   | set by                 | the node belongs to                                 |
//! |---------|------------------------|-----------------------------------------------------|
//! | IDLE    | new, leave, `reset`    | the waiter's owner                                  |
//! | WAITING | join                   | whoever has `&mut` of the list it joined            |
//! | WOKEN   | wake one, wake all     | the waiter's owner; the list has let go for good    |
//!
//! Invariant: a list holds pointers to exactly the waiters that are WAITING in it, and a waiter
//! enters and leaves that state only under the list's lock. A waiter that is dropped while it
//! waits would end the process, so every pointer found in a list is good.
//!
//! Being woken is seen by one load, without the lock. What it means is for the primitive to say:
//! a promise (a lock handed over), which a waiter that is dropped must pass on, or a mere notice.
//! Model: `loom-tests/wait_list.rs`.

use std::marker::PhantomPinned;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::Waker;

use crate::probe::{self, Kept};
use crate::sys::{AtomicU32, Ordering, UnsafeCell};

const IDLE: u32 = 0;
const WAITING: u32 = 1;
const WOKEN: u32 = 2;

/// One who waits, with what he waits for; its owner calls [`WaitList::leave`] before dropping it.
#[derive(Debug)]
pub(crate) struct Waiter<T> {
    state: AtomicU32,
    node: UnsafeCell<Node<T>>,
    _pinned: PhantomPinned,
}

#[derive(Debug)]
struct Node<T> {
    before: Link<T>,
    after: Link<T>,
    waker: Option<Kept>,
    /// The list it waits in: to be compared only.
    list: *const (),
    value: T,
}

type Link<T> = Option<NonNull<Waiter<T>>>;

// SAFETY: `state` is atomic, and `node` is touched only by whom the table above names; pointers
// in it are followed only under the lock.
unsafe impl<T: Send> Sync for Waiter<T> {}
// SAFETY: as above; a waiter that waits does not move, but its future may change threads.
unsafe impl<T: Send> Send for Waiter<T> {}

/// No foreign code runs while a list changes, so none can leave it half changed.
impl<T: UnwindSafe> UnwindSafe for Waiter<T> {}
/// As above.
impl<T: RefUnwindSafe> RefUnwindSafe for Waiter<T> {}

impl<T> Waiter<T> {
    pub(crate) fn new(value: T) -> Self {
        let (before, after, waker) = (None, None, None);
        let node = UnsafeCell::new(Node { before, after, waker, list: ptr::null(), value });
        Waiter { state: AtomicU32::new(IDLE), node, _pinned: PhantomPinned }
    }

    /// Whether it has been woken since it last joined. One load.
    #[inline]
    pub(crate) fn is_woken(&self) -> bool {
        // Pairs with `WaitList::wake`: whoever sees this may free the waiter.
        self.state.load(Ordering::Acquire) == WOKEN
    }

    /// Whether it stands in a list, as far as can be told without the lock.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        self.state.load(Ordering::Acquire) == WAITING
    }

    /// Whether it neither stands in a list nor has been woken.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.state.load(Ordering::Acquire) == IDLE
    }

    /// The waiter has seen that it was woken, and may join again.
    #[inline]
    pub(crate) fn reset(self: Pin<&mut Self>) {
        debug_assert!(!self.is_waiting());
        self.state.store(IDLE, Ordering::Relaxed);
    }

    /// The value of a waiter that stands in no list.
    ///
    /// # Panics
    /// If it waits.
    pub(crate) fn value(self: Pin<&mut Self>) -> &mut T {
        assert!(!self.is_waiting(), "the value of a waiter belongs to its list");
        // SAFETY: the node belongs to the owner, see the table above, and `&mut self` is his.
        self.get_node(|node| unsafe { &mut (*node).value })
    }

    fn get_node<R>(self: Pin<&mut Self>, look: impl FnOnce(*mut Node<T>) -> R) -> R {
        self.into_ref().get_ref().node.with_mut(look)
    }
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        if self.is_waiting() {
            // A list points here: going on would let it follow a dangling pointer.
            eprintln!("filch: a future was dropped while it stood in a wait list");
            std::process::abort();
        }
    }
}

/// Who waits, in order of arrival.
#[derive(Debug)]
pub(crate) struct WaitList<T> {
    first: Link<T>,
    last: Link<T>,
}

// SAFETY: what its pointers lead to is touched under the list's lock only, from any thread.
unsafe impl<T: Send> Send for WaitList<T> {}

impl<T> WaitList<T> {
    pub(crate) const fn new() -> Self {
        WaitList { first: None, last: None }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The number of those who wait, by counting them.
    pub(crate) fn len(&self) -> usize {
        let mut count = 0;
        let mut next = self.first;
        while let Some(waiter) = next {
            count += 1;
            // SAFETY: it is in this list, and `self` is the lock.
            next = unsafe { node(waiter, |node| node.after) };
        }
        count
    }

    /// Goes to the end of the line; `waker` is used once, when it is woken. Only the waiter's owner
    /// calls this, who has it pinned for himself.
    ///
    /// # Panics
    /// If it stands in a list already.
    pub(crate) fn join(&mut self, waiter: Pin<&Waiter<T>>, waker: Kept) {
        // Pairs with `wake` and `leave`: what the last list wrote is over.
        let state = waiter.state.load(Ordering::Acquire);
        assert!(state != WAITING, "a waiter stands in one list at a time");
        waiter.state.store(WAITING, Ordering::Relaxed);
        let link = NonNull::from(waiter.get_ref());
        let (list, before) = (ptr::from_ref(self).cast(), self.last);
        // SAFETY: the node was its owner's, who gives it to this list: nobody else calls this.
        unsafe {
            node(link, |node| {
                node.before = before;
                node.after = None;
                node.waker = Some(waker);
                node.list = list;
            });
        }
        match before {
            // SAFETY: it is in this list.
            Some(last) => unsafe { node(last, |node| node.after = Some(link)) },
            None => self.first = Some(link),
        }
        self.last = Some(link);
    }

    /// Exchanges the waker of one who waits for `waker`, which is to be dropped once the lock is
    /// released; false if it has been woken, or never joined.
    #[must_use]
    pub(crate) fn update(&mut self, waiter: Pin<&Waiter<T>>, waker: &mut Kept) -> bool {
        if !waiter.is_waiting() {
            return false;
        }
        self.own(waiter, |node| {
            let kept = node.waker.as_mut().expect("whoever waits has a waker");
            std::mem::swap(kept, waker);
        });
        true
    }

    /// Leaves the line, with the waker, to be dropped once the lock is released; `None` if it has
    /// been woken, or never joined.
    #[must_use = "a waker is dropped outside the lock"]
    pub(crate) fn leave(&mut self, waiter: Pin<&Waiter<T>>) -> Option<Kept> {
        if !waiter.is_waiting() {
            return None;
        }
        let waker = self.own(waiter, |node| node.waker.take());
        self.unlink(NonNull::from(waiter.get_ref()));
        waiter.state.store(IDLE, Ordering::Release);
        waker
    }

    /// What the first in line waits for.
    pub(crate) fn first(&mut self) -> Option<&mut T> {
        let first = self.first?;
        // SAFETY: it is in this list, and stays there while `self` is borrowed.
        Some(unsafe { node(first, |node| &mut *ptr::from_mut(&mut node.value)) })
    }

    /// Takes the first in line out; the waker is to be used once the lock is released.
    #[must_use = "somebody is to be woken"]
    pub(crate) fn wake_one(&mut self) -> Option<Waker> {
        let first = self.first?;
        self.unlink(first);
        // SAFETY: it was in this list until now, and its state has not been changed yet.
        unsafe { wake(first) }
    }

    /// Takes everybody out, in order.
    pub(crate) fn wake_all(&mut self, wakers: &mut Wakers) {
        let mut next = self.first.take();
        self.last = None;
        while let Some(waiter) = next {
            // SAFETY: it was in this list until now, and its state has not been changed yet.
            next = unsafe { node(waiter, |node| node.after) };
            // SAFETY: as above.
            wakers.extend(unsafe { wake(waiter) });
        }
    }

    /// Shows each of those who wait what it waits for, in order.
    pub(crate) fn for_each(&mut self, mut look: impl FnMut(&mut T)) {
        let mut next = self.first;
        while let Some(waiter) = next {
            // SAFETY: it is in this list, and `self` is the lock.
            next = unsafe {
                node(waiter, |node| {
                    look(&mut node.value);
                    node.after
                })
            };
        }
    }

    /// The node of a waiter that waits, in this list.
    fn own<R>(&mut self, waiter: Pin<&Waiter<T>>, change: impl FnOnce(&mut Node<T>) -> R) -> R {
        let list = ptr::from_ref(self).cast();
        waiter.node.with_mut(|node| {
            // SAFETY: only the word that says which list it is is read, which only the list that
            // it is in ever changes: if that is another one, this panics.
            assert!(ptr::eq(unsafe { (*node).list }, list), "a waiter waits in another list");
            // SAFETY: it is in this list, and `self` is the lock.
            change(unsafe { &mut *node })
        })
    }

    fn unlink(&mut self, waiter: NonNull<Waiter<T>>) {
        // SAFETY: every caller has it from this list.
        let (before, after) = unsafe { node(waiter, |node| (node.before, node.after)) };
        match before {
            // SAFETY: it is in this list.
            Some(before) => unsafe { node(before, |node| node.after = after) },
            None => self.first = after,
        }
        match after {
            // SAFETY: it is in this list.
            Some(after) => unsafe { node(after, |node| node.before = before) },
            None => self.last = before,
        }
    }
}

/// # Safety
/// The waiter is in a list whose lock is held, and `look` does not leave it.
unsafe fn node<T, R>(waiter: NonNull<Waiter<T>>, look: impl FnOnce(&mut Node<T>) -> R) -> R {
    // SAFETY: in a list, a pointer is good, by the invariant above.
    let waiter = unsafe { waiter.as_ref() };
    // SAFETY: the lock gives this thread the node, see the table above.
    waiter.node.with_mut(|node| look(unsafe { &mut *node }))
}

/// Lets go of a waiter. The pointer dangles from now on.
///
/// # Safety
/// It was in a list whose lock is held, and is in none any more.
unsafe fn wake<T>(waiter: NonNull<Waiter<T>>) -> Option<Waker> {
    // SAFETY: the caller's promise.
    let waker = unsafe { node(waiter, |node| node.waker.take()) };
    // SAFETY: as above. The store is the last touch: it pairs with the load in `is_woken`.
    unsafe { waiter.as_ref() }.state.store(WOKEN, Ordering::Release);
    waker.map(Kept::into_waker)
}

/// Takes a waker from whoever drops what is left of it once the lock is released.
pub(crate) fn take(waker: &mut Kept) -> Kept {
    std::mem::replace(waker, Kept::noop())
}

/// Wakers to be used once the lock is released; dropping them uses them, too.
///
/// The first needs no allocation. If a waker panics, the others are still used.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl Wakers {
    pub(crate) const fn new() -> Self {
        Wakers { first: None, more: Vec::new() }
    }

    /// Wakes everybody, in order.
    pub(crate) fn wake(self) {
        drop(self);
    }

    /// Wakes everybody, in order, and has room for as many again.
    pub(crate) fn wake_and_keep_room(&mut self) {
        probe::wake_all(self.first.take().into_iter().chain(self.more.drain(..)));
    }
}

impl Extend<Waker> for Wakers {
    fn extend<I: IntoIterator<Item = Waker>>(&mut self, wakers: I) {
        for waker in wakers {
            match self.first {
                None => self.first = Some(waker),
                Some(_) => self.more.push(waker),
            }
        }
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        self.wake_and_keep_room();
    }
}
