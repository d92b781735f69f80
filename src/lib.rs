//! A multi-threaded, work-stealing task runtime whose tasks behave like Python's asyncio tasks.
//!
//! One worker thread per core, each with its own queue and event loop, stealing from its peers;
//! and asyncio's semantics across all of them: cancellation is a request with a count, delivered
//! where the task is suspended, that can be caught, cleaned up after with awaits, and taken back.
//!
//! ```
//! use std::time::Duration;
//! use filch::{catch_cancelled, sleep, spawn, timeout};
//!
//! # fn main() -> filch::Result<()> {
//! filch::run(async {
//!     let task = spawn(async {
//!         // `try: .. except CancelledError: ..`
//!         if let Err(cancelled) = catch_cancelled(sleep(Duration::from_secs(3600))).await {
//!             sleep(Duration::from_millis(1)).await; // clean up, with awaits
//!             cancelled.raise().await;
//!         }
//!         Ok(())
//!     });
//!     // `asyncio.wait_for`: cancels the task, and waits for its clean-up.
//!     let error = timeout(Duration::from_millis(10), task).await.unwrap_err();
//!     assert!(error.is_timeout());
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # Where to find what
//!
//! | asyncio | here |
//! |---|---|
//! | `run`, `Runner` | [`run`], [`Runtime`] |
//! | `create_task`, `eager_start` | [`spawn`], [`spawn_eager`], [`TaskBuilder`] |
//! | `Task` and its methods | [`Task`], which owns the value; [`TaskRef`], for everybody else |
//! | `except CancelledError` | [`catch_cancelled`] |
//! | `timeout`, `wait_for` | [`timeout`], [`timeout_at`], [`timeout_scope`], [`timeout_any`] |
//! | `TaskGroup`, `TaskGroup.cancel` | [`task_group`], [`TaskGroup::cancel`] |
//! | `ExceptionGroup` | [`Error::errors`], [`Error::split`] |
//! | `shield`, `gather` | [`shield`], [`gather`](fn@gather), [`gather!`](macro@gather) |
//! | `wait`, `as_completed` | [`wait`], [`as_completed`] |
//! | `staggered_race` | [`staggered_race`] |
//! | `sleep`, `loop.time()` | [`sleep`], [`sleep_until`], [`interval`], [`time::Instant`] |
//! | `to_thread` | [`to_thread`] |
//! | `contextvars` | [`context_var!`], [`ContextVar`], [`Context`] |
//! | `Lock`, `Event`, `Condition`, `Semaphore`, `Barrier`, `Queue` | the same in [`sync`] |
//! | `current_task`, `all_tasks` | [`current_task`], [`all_tasks`] |
//! | `run_coroutine_threadsafe` | [`Handle::spawn`], [`Task::wait`] |
//! | `Future` | [`Promise`] |
//! | `call_soon` | [`Handle::call_soon`] |
//! | `call_later`, `call_at` | [`Handle::call_later`], [`Handle::call_at`] |
//! | exception handler, debug mode | [`Handle::set_exception_handler`], [`Handle::set_debug`] |
//! | call graph, `python -m asyncio pstree` | [`inspect::await_graph`], [`Handle::await_graph`] |
//! | streams and sockets | [`net`] |
//!
//! Nothing like it in asyncio: [`sim`], which runs the same program on one thread in virtual time,
//! in an order that a seed decides; and [`model`], which runs it in every order there is, up to a
//! number of preemptions.
//!
//! # The house
//!
//! The source is a house with floors; a room uses only rooms on lower floors. From the ground:
//! the machine (`sys`), and what is told to tracing (`probe`); small parts that know nothing of
//! tasks (`context`, `driver`, `error`, `wait_list`); one task (`task`); what moves tasks along
//! (`blocking`, `model`, `reactor`, `scheduler`, `signal`, `sim`); the parts put together
//! (`runtime`); what programs are written with (`scope`, `sync`, `time`); the outside world
//! (`net`); a look inside (`inspect`).

mod probe;
mod sys;

mod context;
mod driver;
mod error;
mod wait_list;

mod task;

mod blocking;
#[cfg(all(loom, not(test)))]
#[path = "model/mod.rs"]
mod modelled;
mod reactor;
mod scheduler;
mod signal;
#[path = "sim/mod.rs"]
mod simulated;

mod runtime;

mod scope;
pub mod sync;
pub mod time;

pub mod net;

pub mod inspect;

pub use crate::context::{AlreadyEntered, Context, ContextVar};
pub use crate::error::{Cancelled, Elapsed, Error, IntoError, Outcome, Result};
pub use crate::runtime::model;
pub use crate::runtime::sim;
pub use crate::runtime::{
    BuildError, Builder, CallHandle, Handle, Interrupted, Runtime, TaskBuilder, TryCurrentError,
};
pub use crate::runtime::{RuntimeShutdown, ToThread, YieldNow};
pub use crate::runtime::{all_tasks, run, spawn, spawn_eager, to_thread, yield_now};
#[doc(hidden)]
pub use crate::scope::gather_together;
pub use crate::scope::{AsCompleted, AsCompletedBefore, as_completed};
pub use crate::scope::{Deadline, NotActive, Timeout, TimeoutAny, TimeoutScope};
pub use crate::scope::{Gather, GatherResults, Together, gather};
pub use crate::scope::{GroupCancelled, GroupRefused, UntilCancelled};
pub use crate::scope::{GroupScope, TaskGroup, task_group};
pub use crate::scope::{Raced, staggered_race};
pub use crate::scope::{ReturnWhen, Shield, TaskHandle, Wait, Waited, shield, wait};
pub use crate::scope::{timeout, timeout_any, timeout_at, timeout_scope};
pub use crate::sync::{InvalidState, Promise};
pub use crate::task::current::current_task;
pub use crate::task::handle::{Join, Task, TaskId};
pub use crate::task::hooks::CallbackId;
pub use crate::task::raw::TaskRef;
pub use crate::task::report::Report;
pub use crate::task::unwind::{CatchCancelled, catch_cancelled, catch_cancelled_any};
pub use crate::task::vars::{ResetError, Token};
pub use crate::time::{Interval, Missed, Sleep, interval, sleep, sleep_until};

/// The README's program compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(all(test, loom))]
#[path = "../loom-tests/mod.rs"]
mod loom_tests;
