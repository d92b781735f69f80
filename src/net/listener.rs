//! TCP sockets that accept connections.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use socket2::{Domain, Protocol, Type};

use crate::net::TcpStream;
use crate::net::resolve::{ToSocketAddrs, resolve};
use crate::net::socket::{End, Socket, no_system};
use crate::reactor::{Attempt, Io, Origin, Way};
use crate::runtime::Network;
use crate::simulated;

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
///                 })
///                 .detach();
///             }
///             Err(_) => filch::sleep(Duration::from_secs(1)).await,
///         }
///     }
///     # #[allow(unreachable_code)]
///     Ok(())
/// }).unwrap();
/// ```
pub struct TcpListener {
    socket: Socket<std::net::TcpListener, simulated::Listener>,
}

impl TcpListener {
    /// Listens on the first of the given addresses that can be had.
    ///
    /// Port 0 lets the system choose one; [`local_addr`](TcpListener::local_addr) tells which. An
    /// address whose former connections are still dying out can be had (`SO_REUSEADDR`).
    ///
    /// # Errors
    /// If no address can be had: the error, or one that names all.
    ///
    /// # Cancellation
    /// Nothing is bound.
    ///
    /// # Panics
    /// Outside a runtime.
    #[doc(alias("asyncio.start_server", "loop.create_server"))]
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        let network = Network::current();
        let mut errors = Vec::new();
        for address in resolve(address.candidates()?, &network).await? {
            match TcpListener::listen(&network, address) {
                Ok(listener) => return Ok(listener),
                Err(error) => errors.push(error),
            }
        }
        Err(super::combined(errors))
    }

    fn listen(network: &Network, address: SocketAddr) -> io::Result<TcpListener> {
        let socket = match network {
            Network::Real(reactor) => {
                Socket::Real(Io::new(reactor.clone(), listen(address)?, Origin::Opened)?)
            }
            Network::Simulated(place) => {
                Socket::Simulated(place.listen(address, BACKLOG as usize)?)
            }
        };
        Ok(TcpListener { socket })
    }

    /// Takes the next connection, waiting for one.
    ///
    /// Small writes are not delayed on it (`TCP_NODELAY`). One that was broken off before it was
    /// accepted may come all the same, and fails when it is used; in a simulation it is skipped.
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
        let (stream, peer) = self.socket.run(Way::Read, take_one).await?;
        Ok((self.adopt(stream)?, peer))
    }

    /// Takes the next connection if there is one; if not, the task is woken when there may be.
    ///
    /// # Errors
    /// As for [`accept`](TcpListener::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.socket.poll(Way::Read, cx, take_one).map(|result| {
            let (stream, peer) = result?;
            Ok((self.adopt(stream)?, peer))
        })
    }

    /// Makes a stream of a connection that was accepted here.
    fn adopt(&self, taken: Taken) -> io::Result<TcpStream> {
        let socket = match (taken, &self.socket) {
            (Taken::Real(stream), Socket::Real(io)) => {
                stream.set_nonblocking(true)?;
                // Some systems refuse when the peer has gone already; the first read tells that
                // better.
                let _ = stream.set_nodelay(true);
                Socket::Real(Io::new(io.reactor().clone(), stream, Origin::Accepted)?)
            }
            (Taken::Simulated(stream), _) => Socket::Simulated(stream),
            (Taken::Real(_), Socket::Simulated(_)) => unreachable!("a listener is of one kind"),
        };
        Ok(TcpStream::accepted(socket))
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
        match self.socket.get() {
            End::Real(listener) => listener.local_addr(),
            End::Simulated(listener) => Ok(listener.local_addr()),
        }
    }

    /// Returns the time to live of the packets sent by accepted connections.
    ///
    /// # Errors
    /// The system's.
    pub fn ttl(&self) -> io::Result<u32> {
        match self.socket.get() {
            End::Real(listener) => listener.ttl(),
            End::Simulated(listener) => listener.ttl(),
        }
    }

    /// Sets the time to live of the packets sent by accepted connections.
    ///
    /// # Errors
    /// The system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        match self.socket.get() {
            End::Real(listener) => listener.set_ttl(ttl),
            End::Simulated(listener) => listener.set_ttl(ttl),
        }
    }

    /// Takes over a listener of the standard library.
    ///
    /// # Errors
    /// The system's; [`Unsupported`](io::ErrorKind::Unsupported) in a simulation.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        let Network::Real(reactor) = Network::current() else { return Err(no_system()) };
        listener.set_nonblocking(true)?;
        Ok(TcpListener { socket: Socket::Real(Io::new(reactor, listener, Origin::Opened)?) })
    }

    /// Gives the socket to the standard library; it does not block until it is told to.
    ///
    /// # Errors
    /// The system's; [`Unsupported`](io::ErrorKind::Unsupported) in a simulation.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        self.socket.into_std()
    }
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let kind = Type::STREAM;
    let socket = socket2::Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A connection that was just accepted.
enum Taken {
    Real(std::net::TcpStream),
    Simulated(simulated::Stream),
}

fn take_one(
    listener: End<'_, std::net::TcpListener, simulated::Listener>,
) -> io::Result<Attempt<(Taken, SocketAddr)>> {
    let (stream, peer) = match listener {
        End::Real(listener) => loop {
            match listener.accept() {
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                result => break result.map(|(stream, peer)| (Taken::Real(stream), peer))?,
            }
        },
        End::Simulated(listener) => {
            listener.accept().map(|(stream, peer)| (Taken::Simulated(stream), peer))?
        }
    };
    Ok(Attempt::done((stream, peer)))
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket.get() {
            End::Real(listener) => listener.fmt(f),
            End::Simulated(listener) => listener.fmt(f),
        }
    }
}

/// # Panics
/// In a simulation, whose sockets have no descriptor.
impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.real().as_fd()
    }
}

/// # Panics
/// In a simulation, whose sockets have no descriptor.
impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.real().as_raw_fd()
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
