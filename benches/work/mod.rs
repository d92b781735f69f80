//! What the runtimes are asked to do; one file per group of the table's rows.
//!
//! Every function is the main task of a runtime, takes its sizes as numbers, and returns what one
//! operation cost. A floor runs the same functions as far as it has the means.
// No bench needs all of it.
#![allow(dead_code)]

pub(crate) mod blocking;
pub(crate) mod cancellation;
pub(crate) mod fairness;
pub(crate) mod hostage;
pub(crate) mod io;
pub(crate) mod tasks;
pub(crate) mod time;
pub(crate) mod waking;
