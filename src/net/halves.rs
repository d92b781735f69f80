//! The two directions of a stream, in different hands.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};

use crate::net::TcpStream;
use crate::sys::Arc;

/// Implements `AsyncRead` by that of the reference to the stream inside.
macro_rules! pass_on_reading {
    ($half:ty, |$this:ident| $stream:expr) => {
        impl futures_io::AsyncRead for $half {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buffer: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                std::pin::Pin::new(&mut &*$stream).poll_read(cx, buffer)
            }

            fn poll_read_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buffers: &mut [std::io::IoSliceMut<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                std::pin::Pin::new(&mut &*$stream).poll_read_vectored(cx, buffers)
            }
        }
    };
}

/// Implements `AsyncWrite` by that of the reference to the stream inside.
macro_rules! pass_on_writing {
    ($half:ty, |$this:ident| $stream:expr) => {
        impl futures_io::AsyncWrite for $half {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bytes: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                std::pin::Pin::new(&mut &*$stream).poll_write(cx, bytes)
            }

            fn poll_write_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buffers: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                std::pin::Pin::new(&mut &*$stream).poll_write_vectored(cx, buffers)
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let $this = &*self;
                std::pin::Pin::new(&mut &*$stream).poll_flush(cx)
            }

            fn poll_close(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let $this = &*self;
                std::pin::Pin::new(&mut &*$stream).poll_close(cx)
            }
        }
    };
}

pub(super) use {pass_on_reading, pass_on_writing};

/// The reading half of a borrowed stream, from [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a>(pub(super) &'a TcpStream);

/// The writing half of a borrowed stream, from [`TcpStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'a>(pub(super) &'a TcpStream);

/// The reading half of a stream, from [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf {
    stream: Arc<TcpStream>,
}

/// The writing half of a stream, from [`TcpStream::into_split`].
///
/// Dropping it ends the writing direction: the peer reads the end of the stream.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Arc<TcpStream>,
    ends: bool,
}

pub(super) fn own(stream: TcpStream) -> (OwnedReadHalf, OwnedWriteHalf) {
    let stream = Arc::new(stream);
    (OwnedReadHalf { stream: stream.clone() }, OwnedWriteHalf { stream, ends: true })
}

/// What both reading halves do.
macro_rules! reading {
    ($half:ty, |$this:ident| $stream:expr) => {
        impl $half {
            fn stream(&self) -> &TcpStream {
                let $this = self;
                &$stream
            }

            /// Reads what is there; see [`TcpStream::read`].
            ///
            /// # Errors
            /// As there.
            ///
            /// # Cancellation
            /// Takes nothing.
            pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.stream().read(buffer).await
            }

            /// Reads into several buffers; see [`TcpStream::read_vectored`].
            ///
            /// # Errors
            /// As there.
            ///
            /// # Cancellation
            /// Takes nothing.
            pub async fn read_vectored(
                &mut self,
                buffers: &mut [IoSliceMut<'_>],
            ) -> io::Result<usize> {
                self.stream().read_vectored(buffers).await
            }

            /// Reads until the buffer is full; see [`TcpStream::read_exact`].
            ///
            /// # Errors
            /// As there.
            ///
            /// # Cancellation
            /// What came so far is in the buffer, but how much that is, is lost.
            pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
                self.stream().read_exact(buffer).await
            }

            /// Reads what is there and leaves it there; see [`TcpStream::peek`].
            ///
            /// # Errors
            /// As there.
            ///
            /// # Cancellation
            /// Takes nothing.
            pub async fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.stream().peek(buffer).await
            }

            /// Returns the address of this end.
            ///
            /// # Errors
            /// The system's.
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.stream().local_addr()
            }

            /// Returns the address of the other end.
            ///
            /// # Errors
            /// The system's.
            pub fn peer_addr(&self) -> io::Result<SocketAddr> {
                self.stream().peer_addr()
            }
        }
    };
}

/// What both writing halves do.
macro_rules! writing {
    ($half:ty, |$this:ident| $stream:expr) => {
        impl $half {
            fn stream(&self) -> &TcpStream {
                let $this = self;
                &$stream
            }

            /// Writes as much as there is room for; see [`TcpStream::write`].
            ///
            /// # Errors
            /// As there.
            ///
            /// # Cancellation
            /// Sends nothing.
            pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.stream().write(bytes).await
            }

            /// Writes from several buffers; see [`TcpStream::write_vectored`].
            ///
            /// # Errors
            /// As there.
            ///
            /// # Cancellation
            /// Sends nothing.
            pub async fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                self.stream().write_vectored(buffers).await
            }

            /// Writes everything; see [`TcpStream::write_all`].
            ///
            /// # Errors
            /// As there.
            ///
            /// # Cancellation
            /// A part may have been sent; no more is.
            pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
                self.stream().write_all(bytes).await
            }

            /// Ends the writing direction: the peer reads the end of the stream.
            ///
            /// # Errors
            /// The system's.
            pub fn shutdown(&mut self) -> io::Result<()> {
                self.stream().shutdown(Shutdown::Write)
            }

            /// Returns the address of this end.
            ///
            /// # Errors
            /// The system's.
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.stream().local_addr()
            }

            /// Returns the address of the other end.
            ///
            /// # Errors
            /// The system's.
            pub fn peer_addr(&self) -> io::Result<SocketAddr> {
                self.stream().peer_addr()
            }
        }
    };
}

reading!(ReadHalf<'_>, |this| this.0);
writing!(WriteHalf<'_>, |this| this.0);
reading!(OwnedReadHalf, |this| this.stream);
writing!(OwnedWriteHalf, |this| this.stream);

impl OwnedReadHalf {
    /// Puts the two halves of one stream together again.
    ///
    /// # Errors
    /// [`ReuniteError`], with both halves, if they are not of one stream.
    pub fn reunite(self, mut other: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        if !Arc::ptr_eq(&self.stream, &other.stream) {
            return Err(ReuniteError(self, other));
        }
        other.ends = false;
        drop(other);
        Ok(Arc::try_unwrap(self.stream).expect("a stream has two halves"))
    }
}

impl OwnedWriteHalf {
    /// Gives this half up without ending its direction.
    pub fn forget(mut self) {
        self.ends = false;
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if self.ends && !self.stream.is_copy() {
            // It fails only if there is nothing to end any more.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }
}

pass_on_reading!(ReadHalf<'_>, |this| this.0);
pass_on_writing!(WriteHalf<'_>, |this| this.0);
pass_on_reading!(OwnedReadHalf, |this| this.stream);
pass_on_writing!(OwnedWriteHalf, |this| this.stream);

/// Two halves that are not of one stream, given back.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of one stream")
    }
}

impl std::error::Error for ReuniteError {}
