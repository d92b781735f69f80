//! Panics that are expected again and again are not told each time, but kept for the last word.

use std::cell::{Cell, RefCell};
use std::panic;
use std::sync::Once;

std::thread_local! {
    /// How many searches on this thread want silence.
    static HUSHED: Cell<u32> = const { Cell::new(0) };
    /// Where the last panic was.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// While it lives, panics of this thread are not printed.
pub(super) struct Hush(());

impl Hush {
    pub(super) fn begin() -> Self {
        static HOOKED: Once = Once::new();
        HOOKED.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| match HUSHED.get() {
                0 => before(info),
                _ => PLACE.set(info.location().map(ToString::to_string)),
            }));
        });
        HUSHED.set(HUSHED.get() + 1);
        PLACE.take();
        Hush(())
    }

    /// Where the last panic was.
    pub(super) fn place(&self) -> Option<String> {
        PLACE.with_borrow(Clone::clone)
    }
}

impl Drop for Hush {
    fn drop(&mut self) {
        HUSHED.set(HUSHED.get() - 1);
    }
}
