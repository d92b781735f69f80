//! Panics that are expected again and again are not told each time, but kept for the last word.

use std::cell::{Cell, RefCell};
use std::panic;
use std::sync::Once;

std::thread_local! {
    /// How many searches on this thread want silence.
    static HUSHED: Cell<u32> = const { Cell::new(0) };
    /// Is told each panic, for those that the process does not survive.
    static TOLD: Cell<Option<fn(&str)>> = const { Cell::new(None) };
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
                _ => keep(info),
            }));
        });
        HUSHED.set(HUSHED.get() + 1);
        PLACE.take();
        Hush(())
    }

    /// As above; `told` is called with the text of each panic.
    #[cfg(all(loom, not(test)))]
    pub(super) fn begin_and_tell(told: fn(&str)) -> Self {
        TOLD.set(Some(told));
        Hush::begin()
    }

    /// Where the last panic was.
    pub(super) fn place(&self) -> Option<String> {
        PLACE.with_borrow(Clone::clone)
    }
}

fn keep(info: &panic::PanicHookInfo<'_>) {
    PLACE.set(info.location().map(ToString::to_string));
    if let (Some(told), Some(text)) = (TOLD.get(), info.payload().downcast_ref::<String>()) {
        told(text);
    }
}

impl Drop for Hush {
    fn drop(&mut self) {
        TOLD.set(None);
        HUSHED.set(HUSHED.get() - 1);
    }
}
