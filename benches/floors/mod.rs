//! What cannot be beaten: the floors beneath every runtime.
//!
//! The *plain* floor (`plain.rs`) does a workload's work with no runtime at all: boxed futures
//! polled in a loop, a raw epoll loop, two threads that hand over through a bare futex. The
//! *honest* floor (`honest.rs`) does what a runtime cannot go without, and nothing else: for each
//! task one allocation and one push to and one pop from a queue, for each transition one atomic
//! step. It is an [`Engine`](crate::common::Engine), so it runs the very same workloads.
// No bench needs all of it.
#![allow(dead_code)]

pub(crate) mod honest;
pub(crate) mod plain;
pub(crate) mod sockets;
pub(crate) mod timers;
