//! One socket, real or simulated: the one place where the sockets of the two engines meet.
//!
//! An operation is a closure over the [`End`] that this socket has, which is tried as soon as it is
//! worth trying. Which of the two it is was decided when the socket was made; an operation on a
//! real socket costs one look at that.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::reactor::{Attempt, Io, Operation, Way};
use crate::simulated::{self, Endpoint, Ticket};

/// A socket; `T` is the system's, `S` the simulation's.
pub(super) enum Socket<T: AsFd, S> {
    Real(Io<T>),
    Simulated(S),
}

/// What an operation is tried on.
#[derive(Debug)]
pub(super) enum End<'a, T, S> {
    Real(&'a T),
    Simulated(&'a S),
}

impl<T, S> Clone for End<'_, T, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, S> Copy for End<'_, T, S> {}

impl<T: AsFd, S: Endpoint> Socket<T, S> {
    #[inline]
    pub(super) fn get(&self) -> End<'_, T, S> {
        match self {
            Socket::Real(io) => End::Real(io.get()),
            Socket::Simulated(socket) => End::Simulated(socket),
        }
    }

    /// Is this a copy in a forked process? What is done to the connection is done to the parent's.
    pub(super) fn is_copy(&self) -> bool {
        match self {
            Socket::Real(io) => io.reactor().is_copy(),
            Socket::Simulated(_) => false,
        }
    }

    /// Does `op` as soon as it does not block.
    #[inline]
    pub(super) fn run<'a, R, F>(
        &'a self,
        way: Way,
        mut op: F,
    ) -> impl Future<Output = io::Result<R>> + use<'a, T, S, R, F>
    where
        F: FnMut(End<'_, T, S>) -> io::Result<Attempt<R>>,
    {
        match self {
            Socket::Real(io) => Run::Real(io.run(way, move |socket| op(End::Real(socket)))),
            Socket::Simulated(socket) => Run::Simulated(Turn {
                socket,
                way,
                ticket: None,
                op: move |socket: &S| op(End::Simulated(socket)),
            }),
        }
    }

    /// Tries `op`; if it would block, the task is woken when it may be tried again.
    #[inline]
    pub(super) fn poll<R>(
        &self,
        way: Way,
        cx: &mut Context<'_>,
        mut op: impl FnMut(End<'_, T, S>) -> io::Result<Attempt<R>>,
    ) -> Poll<io::Result<R>> {
        match self {
            Socket::Real(io) => io.poll(way, cx, |socket| op(End::Real(socket))),
            Socket::Simulated(socket) => {
                poll_simulated(socket, way, None, cx, |socket| op(End::Simulated(socket)))
            }
        }
    }

    /// Tries `op` now and never waits.
    #[inline]
    pub(super) fn attempt<R>(
        &self,
        way: Way,
        mut op: impl FnMut(End<'_, T, S>) -> io::Result<R>,
    ) -> io::Result<R> {
        match self {
            Socket::Real(io) => io.attempt(way, |socket| op(End::Real(socket))),
            Socket::Simulated(socket) => op(End::Simulated(socket)),
        }
    }

    /// The system's socket.
    ///
    /// # Panics
    /// In a simulation.
    #[track_caller]
    pub(super) fn real(&self) -> &T {
        match self {
            Socket::Real(io) => io.get(),
            Socket::Simulated(_) => panic!("a simulated socket has no descriptor"),
        }
    }

    /// Gives the system's socket back.
    pub(super) fn into_std(self) -> io::Result<T> {
        match self {
            Socket::Real(io) => io.into_inner(),
            Socket::Simulated(_) => Err(no_system()),
        }
    }
}

/// The standard library's sockets are the system's.
pub(super) fn no_system() -> io::Error {
    let text = "the sockets of a simulation are not the system's";
    io::Error::new(io::ErrorKind::Unsupported, text)
}

/// The future of [`Socket::run`].
enum Run<'a, T: AsFd, S: Endpoint, A, B> {
    Real(Operation<'a, T, A>),
    Simulated(Turn<'a, S, B>),
}

/// An operation on a simulated socket.
struct Turn<'a, S: Endpoint, F> {
    socket: &'a S,
    way: Way,
    /// Held while this waits.
    ticket: Option<Ticket>,
    op: F,
}

// The operations are called, never pinned.
impl<T: AsFd, S: Endpoint, A, B> Unpin for Run<'_, T, S, A, B> {}

impl<R, T, S, A, B> Future for Run<'_, T, S, A, B>
where
    T: AsFd,
    S: Endpoint,
    A: FnMut(&T) -> io::Result<Attempt<R>>,
    B: FnMut(&S) -> io::Result<Attempt<R>>,
{
    type Output = io::Result<R>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        match self.get_mut() {
            Run::Real(operation) => Pin::new(operation).poll(cx),
            Run::Simulated(Turn { socket, way, ticket, op }) => {
                poll_simulated(*socket, *way, Some(ticket), cx, op)
            }
        }
    }
}

impl<S: Endpoint, F> Drop for Turn<'_, S, F> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.socket.leave(side(self.way), ticket);
        }
    }
}

fn poll_simulated<R, S: Endpoint>(
    socket: &S,
    way: Way,
    mut ticket: Option<&mut Option<Ticket>>,
    cx: &mut Context<'_>,
    mut op: impl FnMut(&S) -> io::Result<Attempt<R>>,
) -> Poll<io::Result<R>> {
    loop {
        if socket.wait(side(way), ticket.as_deref_mut(), cx.waker())? {
            return Poll::Pending;
        }
        match op(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result.map(Attempt::into_value)),
        }
    }
}

fn side(way: Way) -> simulated::Way {
    match way {
        Way::Read => simulated::Way::Read,
        Way::Write => simulated::Way::Write,
    }
}
