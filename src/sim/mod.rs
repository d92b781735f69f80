//! The story of a simulated run: one thread, no real time, no real network.
//!
//! What is ready stands in one queue. Seed 0 takes from its head, which is asyncio's order; any
//! other seed takes a task at random, the same for the same seed. When nothing is ready, time
//! jumps to the next timer or the next arrival on the network; when there is none, nothing can
//! ever happen again, and the run ends with a report of who waits for what.
//!
//! Tasks, scopes and timers are the very same code as on real threads: this room is only another
//! `task::Schedule`, another clock, and other sockets (`network` and what follows it), which the
//! room `net` offers its programs under the same names as the real ones.

mod belongings;
mod connection;
mod course;
mod dice;
mod homes;
mod links;
mod listener;
mod network;
mod place;
mod probes;
mod queue;
mod report;
mod stream;
mod strike;
mod transfer;
mod waiting;
mod world;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::task::Waker;

pub(crate) use belongings::Belonging;
pub(crate) use course::{Choice, Course, Deviation, Record, Written};
pub(crate) use listener::Listener;
pub(crate) use network::{Network, Weather};
pub(crate) use place::Place;
pub(crate) use queue::ClosureId;
pub(crate) use stream::Stream;
pub(crate) use strike::{Blow, Limit, Strike};
pub(crate) use waiting::Ticket;
pub(crate) use world::{Halt, Limits, World};

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Read,
    Write,
}

/// Something on the network that can be waited for.
pub(crate) trait Endpoint {
    /// Joins those who wait, unless an attempt is worth while now: then `false`. Without a ticket
    /// the waiter is a passer-by.
    fn wait(
        &self,
        way: Way,
        ticket: Option<&mut Option<Ticket>>,
        waker: &Waker,
    ) -> io::Result<bool>;

    /// Forgets a waiter that gives up.
    fn leave(&self, way: Way, ticket: Ticket);
}

fn closed() -> io::Error {
    io::Error::other("this socket is gone with its host or its simulation")
}

fn loopback(ipv4: bool) -> IpAddr {
    if ipv4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
}

fn unspecified(ipv4: bool) -> IpAddr {
    if ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}
