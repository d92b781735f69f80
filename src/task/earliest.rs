//! Who was the first to want to know of a task's end, in two words.
//!
//! Most tasks are awaited by one task, or are children of one group, and nobody else asks: so the
//! header has a place for one, be it a waker or a listener of the library, and the list (`hooks`)
//! begins behind it. A waker's functions, and what listeners lead to, are at addresses whose lowest
//! bits are zero; these bits tell the three apart.
//!
//! | first word                  | second word     | it is                     |
//! |-----------------------------|-----------------|---------------------------|
//! | null                        |                 | nobody                    |
//! | its table of functions      | its data        | a waker                   |
//! | the several, + `SEVERAL`    | which of them   | the listener of several   |
//! | the children, + `CHILD`     |                 | the listener of a group   |
//!
//! Invariant: what the words stand for is owned by them, and is taken out once.

use std::mem::ManuallyDrop;
use std::ptr;
use std::task::{RawWakerVTable, Waker};

use crate::sys::Arc;
use crate::task::children::Children;
use crate::task::hooks::Listener;
use crate::task::raw::TaskRef;
use crate::task::several::Several;
use crate::task::waker;

/// The first, as it stands in the header.
pub(crate) struct Earliest {
    word: *const (),
    data: *const (),
}

/// The first, taken out.
pub(super) enum Who {
    Waiter(Waker),
    Listener(Listener),
}

const SEVERAL: usize = 1 << 0;
const CHILD: usize = 1 << 1;
const BITS: usize = SEVERAL | CHILD;

const _: () = assert!(align_of::<RawWakerVTable>() > BITS);
const _: () = assert!(align_of::<Several>() > BITS && align_of::<Children>() > BITS);

impl Earliest {
    pub(super) const NONE: Earliest = Earliest { word: ptr::null(), data: ptr::null() };

    #[inline]
    pub(super) fn is_none(&self) -> bool {
        self.word.is_null()
    }

    fn bits(&self) -> usize {
        self.word.addr() & BITS
    }

    /// Puts somebody where nobody is.
    #[inline]
    pub(super) fn put(&mut self, who: Who) {
        debug_assert!(self.is_none());
        (self.word, self.data) = match who {
            Who::Waiter(waker) => {
                let waker = ManuallyDrop::new(waker);
                (ptr::from_ref(waker.vtable()).cast(), waker.data())
            }
            Who::Listener(Listener::Several(several, number)) => {
                (marked(Arc::into_raw(several), SEVERAL), ptr::without_provenance(number))
            }
            Who::Listener(Listener::Child(children)) => {
                (marked(Arc::into_raw(children), CHILD), ptr::null())
            }
        };
    }

    #[inline]
    pub(super) fn take(&mut self) -> Option<Who> {
        let (word, data) = (self.word, self.data);
        self.word = ptr::null();
        if word.is_null() {
            return None;
        }
        let address = word.map_addr(|word| word & !BITS);
        // SAFETY: `put` took these words from what it owned from then on, and told by the bits what
        // that was; they are taken out only here, and stand nowhere any more.
        Some(unsafe {
            match word.addr() & BITS {
                SEVERAL => {
                    let several: Arc<Several> = Arc::from_raw(address.cast());
                    Who::Listener(Listener::Several(several, data.addr()))
                }
                CHILD => {
                    let children: Arc<Children> = Arc::from_raw(address.cast());
                    Who::Listener(Listener::Child(children))
                }
                _ => Who::Waiter(Waker::new(data, &*address.cast::<RawWakerVTable>())),
            }
        })
    }

    /// Takes the first out if it is a waker.
    pub(super) fn take_waker(&mut self) -> Option<Waker> {
        if self.bits() != 0 {
            return None;
        }
        match self.take() {
            Some(Who::Waiter(waker)) => Some(waker),
            _ => None,
        }
    }

    /// Takes the first out if it is a listener.
    pub(super) fn take_listener(&mut self) -> Option<Listener> {
        if self.bits() == 0 {
            return None;
        }
        match self.take() {
            Some(Who::Listener(listener)) => Some(listener),
            _ => None,
        }
    }

    /// Looks at the first, if it is a waker, which may be replaced by another.
    pub(super) fn with_waker<R>(&mut self, look: impl FnOnce(&mut Waker) -> R) -> Option<R> {
        let mut waker = self.take_waker()?;
        let seen = look(&mut waker);
        self.put(Who::Waiter(waker));
        Some(seen)
    }

    /// The task whose waker this is.
    pub(super) fn waiting_task(&mut self) -> Option<TaskRef> {
        self.with_waker(|waker| waker::task_of(waker)).flatten()
    }

    /// Another of this listener.
    pub(super) fn listener(&mut self) -> Option<Listener> {
        let listener = self.take_listener()?;
        let another = listener.clone();
        self.put(Who::Listener(listener));
        Some(another)
    }
}

fn marked<T>(pointer: *const T, bit: usize) -> *const () {
    debug_assert!(pointer.addr() & BITS == 0);
    pointer.cast::<()>().map_addr(|address| address | bit)
}

impl Drop for Earliest {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::task::Wake;

    use super::*;
    use crate::sys::{AtomicUsize, Ordering};
    use crate::task::grouped::Trigger;
    use crate::task::several::{Enough, Watch};

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_waker_comes_out_as_it_went_in() {
        let wakes = Arc::new(Wakes::default());
        let mut first = Earliest::NONE;
        assert!(first.is_none() && first.take().is_none());
        first.put(Who::Waiter(wakes.clone().into()));
        assert!(first.take_listener().is_none() && first.waiting_task().is_none());
        let other = Arc::new(Wakes::default());
        let mut new = other.clone().into();
        first.with_waker(|waker| std::mem::swap(waker, &mut new)).unwrap();
        new.wake();
        assert_eq!((wakes.0.load(Ordering::Relaxed), Arc::strong_count(&wakes)), (1, 1));
        drop(first);
        assert_eq!((other.0.load(Ordering::Relaxed), Arc::strong_count(&other)), (0, 1));
    }

    #[test]
    fn a_listener_comes_out_as_it_went_in() {
        let watch = Watch::new(Vec::new(), Enough::All, true);
        let children = Arc::new(Children::new(Arc::new(Trigger::new())));
        let mut first = Earliest::NONE;
        first.put(Who::Listener(Listener::Several(watch.several().clone(), 7)));
        assert!(first.take_waker().is_none() && first.with_waker(|_| ()).is_none());
        let Some(Listener::Several(several, 7)) = first.listener() else { panic!("another") };
        assert!(Arc::ptr_eq(&several, watch.several()));
        assert!(matches!(first.take(), Some(Who::Listener(Listener::Several(_, 7)))));
        first.put(Who::Listener(Listener::Child(children.clone())));
        assert!(matches!(first.listener(), Some(Listener::Child(_))));
        assert!(matches!(first.take_listener(), Some(Listener::Child(_))));
        first.put(Who::Listener(Listener::Child(children.clone())));
        drop(first);
        assert_eq!(Arc::strong_count(&children), 1);
    }
}
