//! What a runtime owns: its engine, its homes, its threads; how it starts, runs and ends.
//!
//! Two engines drive the same tasks: worker threads (`engine`) and the simulation (`sim`). The
//! choice shows in one enum, [`Handle`], and nowhere above.

pub(crate) mod alarm;
mod builder;
mod call;
pub(crate) mod calls;
mod desk;
mod ending;
pub(crate) mod engine;
mod handle;
mod hosts;
mod hush;
mod interrupt;
pub(crate) mod lender;
pub mod model;
mod report;
mod run;
mod search;
pub mod sim;
mod simulation;
mod slot;
mod spawn;
mod sweep;
mod to_thread;
mod unpolled;

pub use builder::{BuildError, Builder};
pub use call::CallHandle;
pub use ending::RuntimeShutdown;
pub(crate) use handle::Network;
pub use handle::{Handle, TryCurrentError};
pub use interrupt::Interrupted;
pub use run::{Runtime, run};
pub use spawn::{TaskBuilder, YieldNow, all_tasks, spawn, spawn_eager, yield_now};
pub use to_thread::{ToThread, to_thread};
