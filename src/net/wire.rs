//! What can be done with the socket of a stream, real or simulated.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use socket2::SockRef;

use crate::net::socket::End;
use crate::reactor::Attempt;
use crate::simulated::Stream;

/// One end of a connection.
pub(super) type Wire<'a> = End<'a, std::net::TcpStream, Stream>;

// On a stream, the standard library receives and sends, which is cheaper than reading and writing.
impl Wire<'_> {
    /// How the attempt to connect stands.
    pub(super) fn connected(self) -> io::Result<Attempt<()>> {
        match self {
            End::Real(stream) => connected(stream),
            End::Simulated(stream) => stream.connected(),
        }
        .map(Attempt::done)
    }

    #[inline]
    pub(super) fn read(self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            End::Real(mut stream) => stream.read(buffer),
            End::Simulated(stream) => stream.read(buffer),
        }
    }

    #[inline]
    pub(super) fn receive(self, buffer: &mut [u8]) -> io::Result<Attempt<usize>> {
        Ok(Attempt::read(self.read(buffer)?, buffer.len()))
    }

    pub(super) fn receive_vectored(
        self,
        buffers: &mut [IoSliceMut<'_>],
    ) -> io::Result<Attempt<usize>> {
        let count = match self {
            End::Real(mut stream) => stream.read_vectored(buffers)?,
            End::Simulated(stream) => stream.read_vectored(buffers)?,
        };
        // The system takes a bounded number of buffers; with more, a short read says nothing.
        let few = buffers.len() <= 16;
        let room = if few { buffers.iter().map(|buffer| buffer.len()).sum() } else { 0 };
        Ok(Attempt::read(count, room))
    }

    pub(super) fn peek(self, buffer: &mut [u8]) -> io::Result<Attempt<usize>> {
        match self {
            End::Real(stream) => stream.peek(buffer),
            End::Simulated(stream) => stream.peek(buffer),
        }
        .map(Attempt::done)
    }

    #[inline]
    pub(super) fn write(self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            End::Real(mut stream) => stream.write(bytes),
            End::Simulated(stream) => stream.write(bytes),
        }
    }

    #[inline]
    pub(super) fn send(self, bytes: &[u8]) -> io::Result<Attempt<usize>> {
        self.write(bytes).map(Attempt::done)
    }

    pub(super) fn send_vectored(self, buffers: &[IoSlice<'_>]) -> io::Result<Attempt<usize>> {
        match self {
            End::Real(mut stream) => stream.write_vectored(buffers),
            End::Simulated(stream) => stream.write_vectored(buffers),
        }
        .map(Attempt::done)
    }

    pub(super) fn shutdown(self, how: Shutdown) -> io::Result<()> {
        match self {
            End::Real(stream) => stream.shutdown(how),
            End::Simulated(stream) => stream.shutdown(how),
        }
    }

    pub(super) fn local_addr(self) -> io::Result<SocketAddr> {
        match self {
            End::Real(stream) => stream.local_addr(),
            End::Simulated(stream) => stream.local_addr(),
        }
    }

    pub(super) fn peer_addr(self) -> io::Result<SocketAddr> {
        match self {
            End::Real(stream) => stream.peer_addr(),
            End::Simulated(stream) => stream.peer_addr(),
        }
    }

    pub(super) fn nodelay(self) -> io::Result<bool> {
        match self {
            End::Real(stream) => stream.nodelay(),
            End::Simulated(stream) => stream.nodelay(),
        }
    }

    pub(super) fn set_nodelay(self, nodelay: bool) -> io::Result<()> {
        match self {
            End::Real(stream) => stream.set_nodelay(nodelay),
            End::Simulated(stream) => stream.set_nodelay(nodelay),
        }
    }

    pub(super) fn ttl(self) -> io::Result<u32> {
        match self {
            End::Real(stream) => stream.ttl(),
            End::Simulated(stream) => stream.ttl(),
        }
    }

    pub(super) fn set_ttl(self, ttl: u32) -> io::Result<()> {
        match self {
            End::Real(stream) => stream.set_ttl(ttl),
            End::Simulated(stream) => stream.set_ttl(ttl),
        }
    }

    pub(super) fn linger(self) -> io::Result<Option<Duration>> {
        match self {
            End::Real(stream) => SockRef::from(stream).linger(),
            End::Simulated(stream) => stream.linger(),
        }
    }

    pub(super) fn set_linger(self, limit: Option<Duration>) -> io::Result<()> {
        match self {
            End::Real(stream) => SockRef::from(stream).set_linger(limit),
            End::Simulated(stream) => stream.set_linger(limit),
        }
    }

    pub(super) fn take_error(self) -> io::Result<Option<io::Error>> {
        match self {
            End::Real(stream) => stream.take_error(),
            End::Simulated(stream) => stream.take_error(),
        }
    }

    pub(super) fn fmt(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Real(stream) => fmt::Debug::fmt(stream, f),
            End::Simulated(stream) => fmt::Debug::fmt(stream, f),
        }
    }
}

fn connected(stream: &std::net::TcpStream) -> io::Result<()> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(error) => Err(error),
    }
}
