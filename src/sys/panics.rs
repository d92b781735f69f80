//! What is left of a panic that goes no further.

use std::any::Any;
use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Drops what a panic carried. Its destructor is foreign, too: if it panics, that is all.
#[cold]
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // There must be an end to it.
        forget(another);
    }
}
