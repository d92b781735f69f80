//! Deterministic simulation: the same program, on one thread, in virtual time.
//!
//! (placeholder)

pub use crate::runtime::hosts::{Host, Link, Net, host, host_at, net};
pub use crate::runtime::simulation::{Builder, LimitReached, check, run};
