//! A work-stealing task runtime whose tasks behave like Python's asyncio tasks.

mod sys;

mod driver;
mod error;
mod probe;

mod task;

mod blocking;
mod scheduler;
#[path = "sim/mod.rs"]
mod simulated;

mod runtime;

mod scope;

pub mod time;

pub use crate::error::{Cancelled, Elapsed, Error, Outcome, Result};
pub use crate::runtime::sim;
pub use crate::runtime::{Handle, TaskBuilder, TryCurrentError, YieldNow};
pub use crate::runtime::{all_tasks, spawn, spawn_eager, yield_now};
pub use crate::scope::{Deadline, NotActive, Timeout, TimeoutAny, TimeoutScope};
pub use crate::scope::{timeout, timeout_any, timeout_at, timeout_scope};
pub use crate::task::current::current_task;
pub use crate::task::handle::{Join, Task, TaskId};
pub use crate::task::hooks::CallbackId;
pub use crate::task::raw::TaskRef;
pub use crate::task::unwind::{CatchCancelled, catch_cancelled, catch_cancelled_any};
pub use crate::time::{sleep, sleep_until};
