//! A simulated stream: what a program holds of one end of a connection.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::task::Waker;
use std::time::Duration;

use rustix::io::Errno;

use super::connection::{End, Holder, Options, Payload, Side};
use super::network::{Id, Network, State};
use super::waiting::Ticket;
use super::{Endpoint, Way, closed};
use crate::probe::Kept;
use crate::sys::Arc;

/// One end of a connection, held by a program.
pub(crate) struct Stream {
    network: Arc<Network>,
    id: Id,
    side: Side,
}

impl Stream {
    pub(super) fn new(network: Arc<Network>, id: Id, side: Side) -> Self {
        Stream { network, id, side }
    }

    /// How the attempt to connect stands.
    pub(crate) fn connected(&self) -> io::Result<()> {
        self.with(|end| {
            end.take_fault()?;
            match (end.open, end.over) {
                (true, _) => Ok(()),
                // The host has crashed, and the attempt goes on on another one.
                (false, true) => Err(Errno::CONNRESET.into()),
                (false, false) => Err(io::ErrorKind::WouldBlock.into()),
            }
        })
    }

    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.network.with(|state| self.read_some(state, buffer))
    }

    pub(crate) fn read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.network.with(|state| {
            let mut total = 0;
            for buffer in buffers.iter_mut().filter(|buffer| !buffer.is_empty()) {
                match self.read_some(state, buffer) {
                    Ok(count) if count == buffer.len() => total += count,
                    Ok(count) => return Ok(total + count),
                    Err(_) if total > 0 => return Ok(total),
                    Err(error) => return Err(error),
                }
            }
            Ok(total)
        })
    }

    fn read_some(&self, state: &mut State, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.held(state)?.read(buffer, false)?;
        state.say_read(self.id, self.side, count);
        Ok(count)
    }

    pub(crate) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.network.with(|state| self.held(state)?.read(buffer, true))
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.network.with(|state| self.write_some(state, bytes))
    }

    pub(crate) fn write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        // One write of all, as the systems do it, so that no packet ends where a buffer does; and
        // as with them, a write of nothing does not come as far as the connection.
        let bytes = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect::<Vec<u8>>();
        if bytes.is_empty() { Ok(0) } else { self.write(&bytes) }
    }

    fn write_some(&self, state: &mut State, bytes: &[u8]) -> io::Result<usize> {
        let count = self.held(state)?.may_write(bytes.len())?;
        state.send_bytes(self.id, self.side, &bytes[..count]);
        Ok(count)
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.network.with(|state| {
            let end = state.end(self.id, self.side).ok_or_else(closed)?;
            if !end.is_connected() {
                return Err(Errno::NOTCONN.into());
            }
            end.deaf |= how != Shutdown::Write;
            if how != Shutdown::Read && !std::mem::replace(&mut end.sent_end, true) {
                state.send(self.id, self.side, Payload::End);
            }
            state.wake(self.id, self.side);
            Ok(())
        })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.with(|end| Ok(end.address))
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.network.with(|state| {
            let connection = state.connections.get(&self.id).ok_or_else(closed)?;
            let connected = connection[self.side].is_connected();
            Ok(connected.then_some(connection[!self.side].address).ok_or(Errno::NOTCONN)?)
        })
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.with(|end| Ok(end.take_fault().err()))
    }

    pub(crate) fn nodelay(&self) -> io::Result<bool> {
        self.option(|options| options.nodelay)
    }

    pub(crate) fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.option(|options| options.nodelay = nodelay)
    }

    pub(crate) fn ttl(&self) -> io::Result<u32> {
        self.option(|options| options.ttl)
    }

    pub(crate) fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.option(|options| options.ttl = ttl)
    }

    pub(crate) fn linger(&self) -> io::Result<Option<Duration>> {
        self.option(|options| options.linger)
    }

    pub(crate) fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.option(|options| options.linger = linger)
    }

    fn option<R>(&self, act: impl FnOnce(&mut Options) -> R) -> io::Result<R> {
        self.with(|end| Ok(act(&mut end.options)))
    }

    /// The end, unless it is nobody's, as its host has crashed: what is lost with it must not look
    /// like the end of the bytes.
    fn held<'s>(&self, state: &'s mut State) -> io::Result<&'s mut End> {
        let end = state.end(self.id, self.side);
        end.filter(|end| end.holder == Holder::Program).ok_or_else(closed)
    }

    fn with<R>(&self, act: impl FnOnce(&mut End) -> io::Result<R>) -> io::Result<R> {
        self.network.with(|state| state.end(self.id, self.side).ok_or_else(closed).and_then(act))
    }
}

impl Endpoint for Stream {
    fn wait(
        &self,
        way: Way,
        ticket: Option<&mut Option<Ticket>>,
        waker: &Waker,
    ) -> io::Result<bool> {
        // Cloned, and dropped if it is not needed, outside of the lock: it may be anybody's.
        let waker = Kept::of(waker);
        let joined = self.network.with(|state| {
            let closes = state.closed;
            let end = state.end(self.id, self.side).ok_or_else(closed)?;
            let (ready, waiters) = match way {
                Way::Read => (end.is_readable(), &mut end.readers),
                Way::Write => (end.is_writable(), &mut end.writers),
            };
            match ready {
                true => Ok(None),
                false if closes => Err(closed()),
                false => Ok(Some(waiters.join(ticket, waker))),
            }
        })?;
        Ok(joined.is_some())
    }

    fn leave(&self, way: Way, ticket: Ticket) {
        // The waker is dropped outside of the lock.
        let _waker = self.with(|end| {
            Ok(match way {
                Way::Read => end.readers.leave(ticket),
                Way::Write => end.writers.leave(ticket),
            })
        });
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Passers-by go with it, outside of the lock.
        let _waiters = self.network.with(|state| {
            let end = state.end(self.id, self.side);
            let waiters = end.map(|end| [&mut end.readers, &mut end.writers].map(std::mem::take));
            state.release(self.id, self.side);
            waiters
        });
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("TcpStream");
        if let (Ok(local), Ok(peer)) = (self.local_addr(), self.peer_addr()) {
            text.field("simulated", &local).field("peer", &peer);
        }
        text.finish()
    }
}
