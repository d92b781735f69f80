//! TCP sockets that accept connections.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use socket2::{Domain, Protocol, Socket, Type};

use crate::net::TcpStream;
use crate::net::resolve::{ToSocketAddrs, resolve};
use crate::reactor::{Attempt, Io, Origin, Way};

/// How many connections may be complete and not yet accepted.
const BACKLOG: i32 = 1024;

/// A socket that listens for TCP connections.
///
/// # Examples
///
/// A server that survives what the world does to it: when descriptors or memory run out,
/// [`accept`](TcpListener::accept) returns the error, the connection stays in the system's queue,
/// and the next `accept` tries again; only haste would be wrong.
///
/// ```no_run
/// use std::time::Duration;
/// use filch::net::TcpListener;
///
/// filch::run(async {
///     let listener = TcpListener::bind("127.0.0.1:8080").await?;
///     loop {
///         match listener.accept().await {
///             Ok((stream, _peer)) => {
///                 filch::spawn(async move {
///                     let mut buffer = [0; 1024];
///                     loop {
///                         let count = stream.read(&mut buffer).await?;
///                         if count == 0 {
///                             return Ok(());
///                         }
///                         stream.write_all(&buffer[..count]).await?;
///                     }
///                 });
///             }
///             Err(_) => filch::sleep(Duration::from_secs(1)).await,
///         }
///     }
///     # #[allow(unreachable_code)]
///     Ok(())
/// }).unwrap();
/// ```
pub struct TcpListener {
    io: Io<std::net::TcpListener>,
}

impl TcpListener {
    /// Listens on the first of the given addresses that can be had.
    ///
    /// Port 0 lets the system choose one; [`local_addr`](TcpListener::local_addr) tells which. An
    /// address whose former connections are still dying out can be had (`SO_REUSEADDR`).
    ///
    /// # Errors
    /// If no address can be had: the error, or one that names all.
    /// [`Unsupported`](io::ErrorKind::Unsupported) in a simulation.
    ///
    /// # Cancellation
    /// Nothing is bound.
    ///
    /// # Panics
    /// Outside a runtime.
    #[doc(alias("asyncio.start_server", "loop.create_server"))]
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        let reactor = super::reactor()?;
        let mut errors = Vec::new();
        for address in resolve(address.candidates()?).await? {
            match listen(address) {
                Ok(listener) => {
                    let io = Io::new(reactor, listener, Origin::Opened)?;
                    return Ok(TcpListener { io });
                }
                Err(error) => errors.push(error),
            }
        }
        Err(super::combined(errors))
    }

    /// Takes the next connection, waiting for one.
    ///
    /// Small writes are not delayed on it (`TCP_NODELAY`). A connection that was broken off
    /// before it was accepted is skipped.
    ///
    /// # Errors
    /// The system's: out of descriptors (`EMFILE`, `ENFILE`), out of memory (`ENOBUFS`,
    /// `ENOMEM`). The listener stays as it is; the next call tries again at once, so a loop should
    /// pause a moment for others to free what is missing.
    ///
    /// # Cancellation
    /// Takes no connection.
    #[doc(alias = "loop.sock_accept")]
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.io.run(Way::Read, take_one).await?;
        Ok((TcpStream::accepted(self.io.reactor().clone(), stream)?, peer))
    }

    /// Takes the next connection if there is one; if not, the task is woken when there may be.
    ///
    /// # Errors
    /// As for [`accept`](TcpListener::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.io.poll(Way::Read, cx, take_one).map(|result| {
            let (stream, peer) = result?;
            Ok((TcpStream::accepted(self.io.reactor().clone(), stream)?, peer))
        })
    }

    /// Returns the connections as a stream, which never ends.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Returns the address this socket listens on.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get().local_addr()
    }

    /// Returns the time to live of the packets sent by accepted connections.
    ///
    /// # Errors
    /// The system's.
    pub fn ttl(&self) -> io::Result<u32> {
        self.io.get().ttl()
    }

    /// Sets the time to live of the packets sent by accepted connections.
    ///
    /// # Errors
    /// The system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.io.get().set_ttl(ttl)
    }

    /// Takes over a listener of the standard library.
    ///
    /// # Errors
    /// The system's; [`Unsupported`](io::ErrorKind::Unsupported) in a simulation.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        let reactor = super::reactor()?;
        listener.set_nonblocking(true)?;
        Ok(TcpListener { io: Io::new(reactor, listener, Origin::Opened)? })
    }

    /// Gives the socket to the standard library; it does not block until it is told to.
    ///
    /// # Errors
    /// The system's.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        self.io.into_inner()
    }
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let kind = Type::STREAM;
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn take_one(
    listener: &std::net::TcpListener,
) -> io::Result<Attempt<(std::net::TcpStream, SocketAddr)>> {
    loop {
        match listener.accept() {
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            result => return result.map(Attempt::done),
        }
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.get().fmt(f)
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.get().as_fd()
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.io.get().as_raw_fd()
    }
}

/// The connections of a listener, from [`TcpListener::incoming`].
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Stream for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.listener.poll_accept(cx).map(|result| Some(result.map(|(stream, _)| stream)))
    }
}
