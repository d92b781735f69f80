//! The law that all scopes obey: nothing inside outlives its scope.
//!
//! A scope is a future around another one that knows what to do when that one is unwound
//! (`task::unwind` is the law in code). What stands here gives the law its uses.

mod timeout;
mod timeout_scope;

pub use timeout::{Timeout, TimeoutAny, timeout, timeout_any, timeout_at};
pub use timeout_scope::{Deadline, NotActive, TimeoutScope, timeout_scope};
