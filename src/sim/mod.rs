//! The story of a simulated run: one thread, no real time.
//!
//! What is ready stands in one queue. Seed 0 takes from its head, which is asyncio's order; any
//! other seed takes a task at random, the same for the same seed. When nothing is ready, time
//! jumps to the next timer; when there is none, nothing can ever happen again, and the run ends
//! with a report of who waits for what.
//!
//! Tasks, scopes and timers are the very same code as on real threads: this room is only another
//! `task::Schedule` and another clock.

mod report;
mod strike;
mod world;

pub(crate) use report::report;
pub(crate) use strike::{Blow, Limit, Strike};
pub(crate) use world::{Stuck, World};
