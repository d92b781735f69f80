//! TCP connections.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use socket2::{Domain, Protocol, Type};

use crate::net::halves::{self, OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::net::resolve::{ToSocketAddrs, resolve};
use crate::net::socket::{Socket, no_system};
use crate::net::wire::Wire;
use crate::reactor::{Attempt, Io, Origin, Way};
use crate::runtime::Network;
use crate::simulated;

/// A TCP connection.
///
/// Reading and writing take `&self`, so one task may read while another writes; to keep two tasks
/// from reading by mistake, [`split`](TcpStream::split) it. Dropping it closes the connection.
///
/// # Examples
///
/// ```no_run
/// use filch::net::TcpStream;
///
/// filch::run(async {
///     let stream = TcpStream::connect("example.com:80").await?;
///     stream.write_all(b"GET / HTTP/1.0\r\nHost: example.com\r\n\r\n").await?;
///     let mut buffer = [0; 1024];
///     let count = stream.read(&mut buffer).await?;
///     println!("{}", String::from_utf8_lossy(&buffer[..count]));
///     Ok(())
/// }).unwrap();
/// ```
pub struct TcpStream {
    socket: Socket<std::net::TcpStream, simulated::Stream>,
}

impl TcpStream {
    /// Opens a connection, trying the given addresses one after the other.
    ///
    /// Small writes are not delayed on it (`TCP_NODELAY`).
    ///
    /// # Errors
    /// If no attempt succeeds: the error, or one that names all.
    ///
    /// # Cancellation
    /// The attempt is given up and its socket closed.
    ///
    /// # Panics
    /// Outside a runtime.
    #[doc(alias("asyncio.open_connection", "loop.create_connection", "loop.sock_connect"))]
    pub async fn connect(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
        let network = Network::current();
        let mut errors = Vec::new();
        for address in resolve(address.candidates()?, &network).await? {
            match TcpStream::connect_to(&network, address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => errors.push(error),
            }
        }
        Err(super::combined(errors))
    }

    async fn connect_to(network: &Network, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = match network {
            Network::Real(reactor) => {
                Socket::Real(Io::new(reactor.clone(), begin(address)?, Origin::Opened)?)
            }
            Network::Simulated(place) => Socket::Simulated(place.connect(address)?),
        };
        let stream = TcpStream { socket };
        stream.socket.run(Way::Write, |wire: Wire<'_>| wire.connected()).await?;
        Ok(stream)
    }

    /// A connection that a listener has accepted.
    pub(super) fn accepted(socket: Socket<std::net::TcpStream, simulated::Stream>) -> TcpStream {
        TcpStream { socket }
    }

    /// Reads what is there, at least one byte, waiting for it; 0 is the end of the stream. Where
    /// there is no room for a byte, it waits for one all the same, and gives 0.
    ///
    /// # Errors
    /// The system's, for example that the peer has reset the connection.
    ///
    /// # Cancellation
    /// Takes nothing.
    #[doc(alias("loop.sock_recv", "loop.sock_recv_into"))]
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.run(Way::Read, |stream| stream.receive(buffer)).await
    }

    /// Reads what is there into several buffers, filling one after the other.
    ///
    /// # Errors
    /// As for [`read`](TcpStream::read).
    ///
    /// # Cancellation
    /// Takes nothing.
    pub async fn read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.socket.run(Way::Read, |stream| stream.receive_vectored(buffers)).await
    }

    /// Reads until the buffer is full.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the stream ends before, with what came
    /// in the buffer; else as for [`read`](TcpStream::read).
    ///
    /// # Cancellation
    /// What came so far is in the buffer, but how much that is, is lost.
    pub async fn read_exact(&self, buffer: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        Ok(())
    }

    /// Reads what is there and leaves it there.
    ///
    /// # Errors
    /// As for [`read`](TcpStream::read).
    ///
    /// # Cancellation
    /// Takes nothing.
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.run(Way::Read, |stream| stream.peek(buffer)).await
    }

    /// Writes as much as there is room for, waiting for room.
    ///
    /// # Errors
    /// The system's, for example that the peer has closed the connection.
    ///
    /// # Cancellation
    /// Sends nothing.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.run(Way::Write, |stream| stream.send(bytes)).await
    }

    /// Writes from several buffers, one after the other, as much as there is room for.
    ///
    /// # Errors
    /// As for [`write`](TcpStream::write).
    ///
    /// # Cancellation
    /// Sends nothing.
    pub async fn write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.run(Way::Write, |stream| stream.send_vectored(buffers)).await
    }

    /// Writes everything.
    ///
    /// # Errors
    /// As for [`write`](TcpStream::write); how much was sent before is lost.
    ///
    /// # Cancellation
    /// A part may have been sent; no more is. How much is lost with the call.
    #[doc(alias("loop.sock_sendall", "StreamWriter.drain"))]
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write(bytes).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => bytes = &bytes[count..],
            }
        }
        Ok(())
    }

    /// Reads what is there, without waiting.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing is there; else as for
    /// [`read`](TcpStream::read).
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.attempt(Way::Read, |stream| stream.read(buffer))
    }

    /// Writes as much as there is room for, without waiting.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room; else as for
    /// [`write`](TcpStream::write).
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.attempt(Way::Write, |stream| stream.write(bytes))
    }

    /// Waits until [`try_read`](TcpStream::try_read) is worth trying. It may fail all the same.
    ///
    /// # Errors
    /// If the runtime has shut down.
    ///
    /// # Cancellation
    /// Nothing is lost.
    #[doc(alias = "loop.add_reader")]
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.run(Way::Read, |_| Ok(Attempt::done(()))).await
    }

    /// Waits until [`try_write`](TcpStream::try_write) is worth trying. It may fail all the same.
    ///
    /// # Errors
    /// If the runtime has shut down.
    ///
    /// # Cancellation
    /// Nothing is lost.
    #[doc(alias = "loop.add_writer")]
    pub async fn writable(&self) -> io::Result<()> {
        self.socket.run(Way::Write, |_| Ok(Attempt::done(()))).await
    }

    /// Ends one direction, or both. The peer reads the end of the stream; a task that waits here
    /// goes on.
    ///
    /// # Errors
    /// The system's.
    #[doc(alias = "StreamWriter.write_eof")]
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.get().shutdown(how)
    }

    pub(super) fn is_copy(&self) -> bool {
        self.socket.is_copy()
    }

    /// Splits the stream in two halves that borrow it.
    ///
    /// Where a trait with a method of this name is in scope that takes streams by value, such as
    /// `futures::AsyncReadExt`, call it as `TcpStream::split(&mut stream)`.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// Splits the stream in two halves that own it together.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        halves::own(self)
    }

    /// Returns the address of this end.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().local_addr()
    }

    /// Returns the address of the other end.
    ///
    /// # Errors
    /// The system's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().peer_addr()
    }

    /// Returns whether small writes are sent at once.
    ///
    /// # Errors
    /// The system's.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket.get().nodelay()
    }

    /// Sets whether small writes are sent at once, which they are from the start.
    ///
    /// # Errors
    /// The system's.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.get().set_nodelay(nodelay)
    }

    /// Returns the time to live of sent packets.
    ///
    /// # Errors
    /// The system's.
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.get().ttl()
    }

    /// Sets the time to live of sent packets.
    ///
    /// # Errors
    /// The system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.get().set_ttl(ttl)
    }

    /// Returns how long the system goes on sending after the stream is closed, if it was set.
    ///
    /// # Errors
    /// The system's.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.socket.get().linger()
    }

    /// Sets how long the system goes on sending after the stream is closed.
    ///
    /// With [`Duration::ZERO`], closing resets the connection. With more, closing may block the
    /// thread.
    ///
    /// # Errors
    /// The system's.
    pub fn set_linger(&self, limit: Option<Duration>) -> io::Result<()> {
        self.socket.get().set_linger(limit)
    }

    /// Takes the error that the system holds for this socket, if there is one.
    ///
    /// # Errors
    /// The system's, in asking.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.get().take_error()
    }

    /// Takes over a connection of the standard library.
    ///
    /// # Errors
    /// The system's; [`Unsupported`](io::ErrorKind::Unsupported) in a simulation.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        let Network::Real(reactor) = Network::current() else { return Err(no_system()) };
        stream.set_nonblocking(true)?;
        Ok(TcpStream { socket: Socket::Real(Io::new(reactor, stream, Origin::Opened)?) })
    }

    /// Gives the socket to the standard library; it does not block until it is told to.
    ///
    /// # Errors
    /// The system's; [`Unsupported`](io::ErrorKind::Unsupported) in a simulation.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        self.socket.into_std()
    }
}

/// Begins to connect, without waiting.
fn begin(address: SocketAddr) -> io::Result<std::net::TcpStream> {
    let kind = Type::STREAM;
    let socket = socket2::Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Err(error) if !goes_on(&error) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// Does the attempt go on in the background?
fn goes_on(error: &io::Error) -> bool {
    let in_progress = rustix::io::Errno::INPROGRESS.raw_os_error();
    error.kind() == io::ErrorKind::Interrupted || error.raw_os_error() == Some(in_progress)
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.get().fmt(f)
    }
}

/// # Panics
/// In a simulation, whose sockets have no descriptor.
impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.real().as_fd()
    }
}

/// # Panics
/// In a simulation, whose sockets have no descriptor.
impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.real().as_raw_fd()
    }
}

impl AsyncRead for &TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll(Way::Read, cx, |stream| stream.receive(buffer))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll(Way::Read, cx, |stream| stream.receive_vectored(buffers))
    }
}

impl AsyncWrite for &TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll(Way::Write, cx, |stream| stream.send(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll(Way::Write, cx, |stream| stream.send_vectored(buffers))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.shutdown(Shutdown::Write) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}

halves::pass_on_reading!(TcpStream, |this| this);
halves::pass_on_writing!(TcpStream, |this| this);
