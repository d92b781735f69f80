//! Sockets become ready, and tasks that wait for that are woken.
//!
//! There is one poller of the operating system per worker, an *instance*. A socket is registered
//! once, in one instance, for both directions and by edges: the system reports a change, not a
//! state. The state is therefore kept here, per socket and direction, as *readiness*:
//! ~~~text
//! an event arrives:   readiness is set, the tick moves, the waiting tasks are woken
//! an operation:       readiness not set: wait.  Set: try, and
//!                     "would block" takes readiness back, unless the tick has moved since
//! ~~~
//! Readiness is a promise of nothing but one attempt, so an event too many is harmless, and an
//! event too few is what everything here is built to exclude.
//!
//! Any thread may poll any instance; only its owner blocks in it. A socket begins at the instance
//! of the worker that opens it and *follows* its task to another worker's, because a socket whose
//! events arrive where its task runs costs no traffic between cores.

mod io;
mod poll;
mod source;
mod waiters;

#[cfg_attr(target_os = "linux", path = "epoll.rs")]
#[cfg_attr(not(target_os = "linux"), path = "portable.rs")]
mod instance;

#[cfg_attr(target_os = "linux", path = "processor.rs")]
#[cfg_attr(not(target_os = "linux"), path = "no_processor.rs")]
mod processor;

#[cfg(all(test, not(loom), target_os = "linux"))]
mod portable;

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
#[path = "../../loom-tests/reactor.rs"]
mod loom_tests;

pub(crate) use io::{Attempt, Io, Operation};
pub(crate) use poll::Reactor;
pub(crate) use source::{Origin, Way};
