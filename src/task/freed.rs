//! What is left of a task when its last holder is gone.

use std::ptr::{self, NonNull};

use super::Header;
use crate::probe;
use crate::task::memory::Home;

/// The last holder is gone.
#[inline]
pub(in crate::task) fn free(header: NonNull<Header>) {
    // SAFETY: the count of references is zero, so this call is alone with the cell.
    let (home, template, bare) = unsafe {
        let header = header.as_ref();
        (header.home, header.template, header.is_bare())
    };
    if !bare {
        drop_parts(header);
    }
    // SAFETY: the cell came from this home with this layout, and nothing in it is alive.
    unsafe { Home::free(home, header.cast(), template.vtable.shape) };
}

impl Header {
    /// Nothing is left that has to be dropped: so it is with most tasks. Only for who is alone with
    /// the cell. (Through the cells, so that the models see this thread come after all others.)
    #[inline]
    fn is_bare(&self) -> bool {
        // SAFETY: the caller is alone with the cell.
        unsafe {
            let waiter = self.waiter.with_mut(|waiter| (*waiter).is_none());
            let standing = self.standing.with_mut(|standing| !(*standing).is_some());
            let cold = self.cold.with_mut(|cold| (*cold).is_none());
            let vars = self.vars.with_mut(|vars| (*vars).is_unset());
            waiter & standing & cold & vars
        }
    }
}

/// Drops what is left beside the stage, which was cleared when the task ended or its handle went.
#[inline(never)]
fn drop_parts(header: NonNull<Header>) {
    // SAFETY: as in `free`.
    let header = unsafe { header.as_ref() };
    header.report_unseen();
    // SAFETY: as in `free`.
    unsafe {
        header.waiter.with_mut(|waiter| ptr::drop_in_place(waiter));
        header.standing.with_mut(|standing| ptr::drop_in_place(standing));
    }
    // SAFETY: as in `free`; it is not read again.
    let cold = header.cold.with_mut(|cold| unsafe { cold.read() });
    if cold.is_some() {
        probe::contain("the error of a task", || drop(cold));
    }
    // SAFETY: as in `free`; they are not read again.
    let vars = header.vars.with_mut(|vars| unsafe { vars.read() });
    if !vars.is_unset() {
        probe::contain("a context variable", || drop(vars));
    }
}
