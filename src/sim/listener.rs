//! Simulated listeners, and how a connection comes to them: knock, welcome, entry.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::task::Waker;

use rustix::io::Errno;

use super::connection::{Connection, End, Holder, Payload, Side};
use super::network::{Id, Network, State};
use super::stream::Stream;
use super::waiting::{Ticket, Waiters};
use super::{Endpoint, Way, closed};
use crate::probe::Kept;
use crate::sys::Arc;

/// What belongs to one listener.
#[derive(Debug)]
pub(super) struct Queue {
    /// Tells it from one that listened here before its host crashed.
    number: u64,
    /// Complete connections that wait to be accepted.
    ready: VecDeque<Id>,
    /// Those whose handshake is under way.
    half_open: Vec<Id>,
    /// How many connections may be ready.
    limit: usize,
    ttl: u32,
    pub(super) waiters: Waiters,
}

impl State {
    /// Begins to listen; the answer is the address, and the number of the listener.
    pub(super) fn listen(
        &mut self,
        host: usize,
        mut address: SocketAddr,
        limit: usize,
    ) -> io::Result<(SocketAddr, u64)> {
        let ip = address.ip();
        if !ip.is_unspecified() && self.route(host, ip) != Some(host) {
            return Err(Errno::ADDRNOTAVAIL.into());
        }
        if address.port() == 0 {
            address.set_port(self.free_port(host).ok_or(Errno::ADDRINUSE)?);
        }
        let taken = self.listeners.keys().any(|(on, other)| {
            let same = other.ip() == ip || other.ip().is_unspecified() || ip.is_unspecified();
            *on == host && other.port() == address.port() && same
        });
        if taken {
            return Err(Errno::ADDRINUSE.into());
        }
        let (ready, half_open, waiters) = (VecDeque::new(), Vec::new(), Waiters::default());
        self.listened += 1;
        let number = self.listened;
        let queue = Queue { number, ready, half_open, limit, ttl: 64, waiters };
        self.listeners.insert((host, address), queue);
        Ok((address, number))
    }

    /// Begins to connect; the answer is the connection, whose client end the caller holds.
    pub(super) fn connect(&mut self, host: usize, mut remote: SocketAddr) -> io::Result<Id> {
        if remote.ip().is_unspecified() {
            remote.set_ip(super::loopback(remote.is_ipv4()));
        }
        let to = self.route(host, remote.ip()).ok_or(Errno::HOSTUNREACH)?;
        let here = if to == host { remote.ip() } else { self.address(host) };
        if here.is_ipv4() != remote.is_ipv4() {
            return Err(Errno::NETUNREACH.into());
        }
        let port = self.free_port(host).ok_or(Errno::ADDRNOTAVAIL)?;
        let room = self.links.weather.buffer;
        let id = self.add(Connection {
            client: End::new(host, (here, port).into(), Holder::Program, room),
            server: End::new(to, remote, Holder::Nobody, room),
        });
        self.send(id, Side::Client, Payload::Knock);
        Ok(id)
    }

    /// The listener that a connection goes to, if there is one.
    fn listener(&mut self, id: Id) -> Option<&mut Queue> {
        let server = &self.connections.get(&id)?.server;
        let (host, address) = (server.host, server.address);
        let everywhere = |ipv4| SocketAddr::new(super::unspecified(ipv4), address.port());
        // One that listens on all addresses takes both families, as the systems do.
        [address, everywhere(address.is_ipv4()), everywhere(false)]
            .into_iter()
            .map(|address| (host, address))
            .find(|key| self.listeners.contains_key(key))
            .and_then(|key| self.listeners.get_mut(&key))
    }

    /// Somebody wants to connect, perhaps not for the first time.
    pub(super) fn knock(&mut self, id: Id) {
        let room = self.links.weather.buffer;
        let Some(end) = self.end(id, Side::Server) else { return };
        if end.holder != Holder::Nobody || !end.flights.is_empty() {
            return; // An answer is on its way.
        }
        // What came of it before is over.
        let first = end.first;
        *end = End { first, ..End::new(end.host, end.address, Holder::Nobody, room) };
        let server = end.address;
        let refused = self.refused.contains(&server);
        let Some(queue) = self.listener(id).filter(|_| !refused) else {
            return self.send(id, Side::Server, Payload::Refusal);
        };
        if queue.ready.len() + queue.half_open.len() > queue.limit {
            return; // It is too crowded to hear this.
        }
        queue.half_open.push(id);
        let ttl = queue.ttl;
        if let Some(end) = self.end(id, Side::Server) {
            end.holder = Holder::Listener;
            end.options.ttl = ttl;
        }
        self.send(id, Side::Server, Payload::Welcome);
    }

    /// The handshake is over: the connection may be accepted.
    pub(super) fn enter(&mut self, id: Id) {
        if let Some(end) = self.end(id, Side::Server) {
            end.open = true;
        }
        if let Some(mut waiters) = self.listener(id).map(|queue| {
            queue.half_open.retain(|guest| *guest != id);
            queue.ready.push_back(id);
            std::mem::take(&mut queue.waiters)
        }) {
            waiters.take(&mut self.woken);
        }
    }

    /// A connection is broken off before it was complete.
    pub(super) fn forget_guest(&mut self, id: Id) {
        if let Some(queue) = self.listener(id) {
            queue.half_open.retain(|guest| *guest != id);
        }
    }

    /// What belongs to this very listener, if it listens still.
    fn queue_of(&mut self, listener: &Listener) -> Option<&mut Queue> {
        let queue = self.listeners.get_mut(&listener.key);
        queue.filter(|queue| queue.number == listener.number)
    }

    /// Takes the next connection that is ready.
    fn accept(&mut self, listener: &Listener) -> io::Result<(Id, SocketAddr)> {
        let queue = self.queue_of(listener).ok_or_else(closed)?;
        let id = queue.ready.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let connection = self.connections.get_mut(&id).ok_or_else(closed)?;
        connection.server.holder = Holder::Program;
        Ok((id, connection.client.address))
    }

    /// Ends a listener: those who were not accepted are sent away.
    pub(super) fn stop_listening(&mut self, key: (usize, SocketAddr)) -> Option<Queue> {
        let mut queue = self.listeners.remove(&key)?;
        for id in queue.ready.drain(..).chain(queue.half_open.drain(..)) {
            if let Some(end) = self.end(id, Side::Server) {
                end.open = false;
            }
            self.release(id, Side::Server);
        }
        queue.waiters.take(&mut self.woken);
        Some(queue)
    }
}

/// A listening socket.
pub(crate) struct Listener {
    network: Arc<Network>,
    key: (usize, SocketAddr),
    number: u64,
}

impl Listener {
    pub(super) fn new(network: Arc<Network>, key: (usize, SocketAddr), number: u64) -> Self {
        Listener { network, key, number }
    }

    pub(crate) fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (id, peer) = self.network.with(|state| state.accept(self))?;
        Ok((Stream::new(self.network.clone(), id, Side::Server), peer))
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.key.1
    }

    pub(crate) fn ttl(&self) -> io::Result<u32> {
        self.with(|queue| queue.ttl)
    }

    pub(crate) fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.with(|queue| queue.ttl = ttl)
    }

    fn with<R>(&self, act: impl FnOnce(&mut Queue) -> R) -> io::Result<R> {
        self.network.with(|state| state.queue_of(self).map(act)).ok_or_else(closed)
    }
}

impl Endpoint for Listener {
    fn wait(
        &self,
        _way: Way,
        ticket: Option<&mut Option<Ticket>>,
        waker: &Waker,
    ) -> io::Result<bool> {
        // Cloned, and dropped if it is not needed, outside of the lock: it may be anybody's.
        let waker = Kept::of(waker);
        let joined = self.network.with(|state| {
            let closes = state.closed;
            let queue = state.queue_of(self).filter(|_| !closes);
            let queue = queue.ok_or_else(closed)?;
            if !queue.ready.is_empty() {
                return Ok(None);
            }
            Ok::<_, io::Error>(Some(queue.waiters.join(ticket, waker)))
        })?;
        Ok(joined.is_some())
    }

    fn leave(&self, _way: Way, ticket: Ticket) {
        drop(self.with(|queue| queue.waiters.leave(ticket)));
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.network.with(|state| {
            let listens = state.queue_of(self).is_some();
            listens.then(|| state.stop_listening(self.key))
        }));
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("simulated", &self.key.1).finish()
    }
}
