//! One instance elsewhere: polling's own wait and notify.
//!
//! Somebody else's [`poll`](Instance::poll) can take the owner's notification, hence the same flag
//! as in `epoll.rs`: whoever has polled while it is up notifies again.
//! Invariant: while the flag is up, the owner's next or present wait ends.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use polling::{Event, Events, PollMode};

use super::source::Readiness;
use crate::sys::{AtomicBool, Ordering};

std::thread_local! {
    /// Room for one batch; taken out while it is in use, so that a waker may come back here.
    static ROOM: Cell<Option<Events>> = const { Cell::new(None) };
}

#[derive(Debug)]
pub(super) struct Instance {
    poller: polling::Poller,
    /// The owner has to be told, and a notification is under way.
    rung: AtomicBool,
}

impl Instance {
    pub(super) fn new() -> io::Result<Self> {
        let poller = polling::Poller::new()?;
        if !poller.supports_edge() {
            return Err(io::Error::other("the system's poller knows no edges"));
        }
        Ok(Instance { poller, rung: AtomicBool::new(false) })
    }

    /// Registers `socket` for both directions, by edges. What is ready already is reported too.
    pub(super) fn add(&self, socket: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        // SAFETY: the caller, `Io`, owns the socket and calls `delete` before it closes it.
        unsafe { self.poller.add_with_mode(socket.as_raw_fd(), Event::all(key), PollMode::Edge) }
    }

    pub(super) fn delete(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.poller.delete(socket)
    }

    /// Hands out the events that are there.
    pub(super) fn poll(&self, deliver: impl FnMut(usize, Readiness)) {
        self.collect(Some(Duration::ZERO), deliver);
        if self.rung.load(Ordering::Acquire) {
            self.ring();
        }
    }

    /// Hands out events; blocks until there is one, or a notification, or `limit` has passed.
    pub(super) fn wait(&self, limit: Option<Duration>, deliver: impl FnMut(usize, Readiness)) {
        let told = self.rung.swap(false, Ordering::AcqRel);
        self.collect(if told { Some(Duration::ZERO) } else { limit }, deliver);
        self.rung.swap(false, Ordering::AcqRel);
    }

    pub(super) fn notify(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.ring();
        }
    }

    /// The system has no alarm that others can set for the owner.
    pub(super) fn remind(&self, _time: Duration) {
        self.notify();
    }

    pub(super) fn forget(&self) {}

    fn ring(&self) {
        self.poller.notify().expect("notifying a poller failed");
    }

    fn collect(&self, limit: Option<Duration>, mut deliver: impl FnMut(usize, Readiness)) {
        let mut events = ROOM.take().unwrap_or_default();
        events.clear();
        self.poller.wait(&mut events, limit).expect("waiting for events failed");
        for event in events.iter() {
            // What arrived together is not told apart here, so a short read says nothing.
            let readiness = Readiness { read: event.readable, write: event.writable, wary: true };
            deliver(event.key, readiness);
        }
        ROOM.set(Some(events));
    }
}
