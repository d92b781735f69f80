//! A socket that belongs to a reactor.
//!
//! Every operation is tried first, if readiness allows an attempt, and waits only when it would
//! block. An operation that is dropped while it waits has done nothing and leaves nobody behind
//! in the list.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::poll::Reactor;
use super::source::{Origin, Source, Spot, Way};
use super::waiters::Ticket;
use crate::sys::Arc;

/// A registered socket; owns it, and ends the registration before the socket is closed.
#[derive(Debug)]
pub(crate) struct Io<T: AsFd> {
    /// Taken out at the end only; so is the socket.
    spot: Option<Spot>,
    socket: Option<T>,
    reactor: Arc<Reactor>,
}

/// What an attempt brought.
#[derive(Debug)]
pub(crate) struct Attempt<R> {
    value: R,
    /// There was room for more: the next attempt would block.
    drained: bool,
}

impl<R> Attempt<R> {
    /// The operation is done, and may succeed again.
    pub(crate) fn done(value: R) -> Self {
        Attempt { value, drained: false }
    }

    pub(crate) fn into_value(self) -> R {
        self.value
    }
}

impl Attempt<usize> {
    /// `count` bytes were read into a buffer with room for `room`. Zero is the end of the stream.
    pub(crate) fn read(count: usize, room: usize) -> Self {
        Attempt { value: count, drained: 0 < count && count < room }
    }
}

impl<T: AsFd> Io<T> {
    /// Registers `socket`, which does not block, where this thread works.
    pub(crate) fn new(reactor: Arc<Reactor>, socket: T, origin: Origin) -> io::Result<Self> {
        let instance = reactor.here_or_any();
        let spot = reactor.sources().open(instance, origin);
        if let Err(error) = reactor.add(instance, socket.as_fd(), spot.key()) {
            reactor.sources().close(spot);
            return Err(error);
        }
        Ok(Io { spot: Some(spot), socket: Some(socket), reactor })
    }

    pub(crate) fn get(&self) -> &T {
        self.socket.as_ref().expect("only the end takes the socket")
    }

    pub(crate) fn reactor(&self) -> &Arc<Reactor> {
        &self.reactor
    }

    /// Ends the registration and gives the socket back.
    pub(crate) fn into_inner(mut self) -> io::Result<T> {
        self.deregister()?;
        Ok(self.socket.take().expect("only the end takes the socket"))
    }

    /// Tries `op` now, whatever readiness says, and never waits.
    pub(crate) fn attempt<R>(
        &self,
        way: Way,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            let seen = self.source().seen();
            match op(self.get()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.source().exhausted(way, seen);
                    return Err(error);
                }
                result => return result,
            }
        }
    }

    /// Tries `op`; if it would block, the task is woken when it may be tried again.
    pub(crate) fn poll<R>(
        &self,
        way: Way,
        cx: &mut Context<'_>,
        op: impl FnMut(&T) -> io::Result<Attempt<R>>,
    ) -> Poll<io::Result<R>> {
        self.poll_as(way, None, cx, op)
    }

    /// Does `op` as soon as it does not block.
    pub(crate) fn run<R, F>(&self, way: Way, op: F) -> Operation<'_, T, F>
    where
        F: FnMut(&T) -> io::Result<Attempt<R>>,
    {
        Operation { io: self, way, ticket: Ticket::PASSER_BY, op }
    }

    fn poll_as<R>(
        &self,
        way: Way,
        mut ticket: Option<&mut Ticket>,
        cx: &mut Context<'_>,
        mut op: impl FnMut(&T) -> io::Result<Attempt<R>>,
    ) -> Poll<io::Result<R>> {
        loop {
            let Some(seen) = self.source().ready(way) else {
                let socket = self.get().as_fd();
                let ticket = ticket.as_deref_mut();
                if self.source().wait(&self.reactor, socket, way, ticket, cx.waker())? {
                    return Poll::Pending;
                }
                if self.reactor.is_closed() {
                    return Poll::Ready(Err(closed()));
                }
                continue;
            };
            // An event has come, so it took this waiter out of the list, or is about to.
            if let Some(ticket) = ticket.as_deref_mut() {
                *ticket = Ticket::PASSER_BY;
            }
            match op(self.get()) {
                Ok(Attempt { value, drained }) => {
                    if drained {
                        self.source().drained(seen);
                    }
                    return Poll::Ready(Ok(value));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.source().exhausted(way, seen);
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn source(&self) -> &Source {
        self.spot.as_ref().expect("only the end takes the source")
    }

    fn deregister(&mut self) -> io::Result<()> {
        let Some(spot) = self.spot.take() else { return Ok(()) };
        if self.reactor.is_copy() {
            return Ok(());
        }
        let result = spot.deregister(&self.reactor, self.get().as_fd());
        self.reactor.sources().close(spot);
        result
    }
}

impl<T: AsFd> Drop for Io<T> {
    fn drop(&mut self) {
        // It fails only when somebody else closed the descriptor, and with it the registration.
        let _ = self.deregister();
    }
}

fn closed() -> io::Error {
    io::Error::other("the runtime this socket belongs to has shut down")
}

/// The future of [`Io::run`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Operation<'a, T: AsFd, F> {
    io: &'a Io<T>,
    way: Way,
    /// Held while this waits in the list.
    ticket: Ticket,
    op: F,
}

// `op` is called, never pinned.
impl<T: AsFd, F> Unpin for Operation<'_, T, F> {}

impl<R, T, F> Future for Operation<'_, T, F>
where
    T: AsFd,
    F: FnMut(&T) -> io::Result<Attempt<R>>,
{
    type Output = io::Result<R>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        let this = self.get_mut();
        this.io.poll_as(this.way, Some(&mut this.ticket), cx, &mut this.op)
    }
}

impl<T: AsFd, F> Drop for Operation<'_, T, F> {
    fn drop(&mut self) {
        if self.ticket != Ticket::PASSER_BY {
            self.io.source().leave(self.way, self.ticket);
        }
    }
}
