//! One registered socket: readiness per direction, and where its memory is.
//!
//! Readiness is one word:
//! ~~~text
//! | bits  | name  | set by              | cleared by                 | while set               |
//! |-------|-------|---------------------|----------------------------|-------------------------|
//! | 0     | READ  | opening, an event   | a read that found no more  | a read may be tried     |
//! | 1     | WRITE | opening, an event   | a write that would block   | a write may be tried    |
//! | 2     | WARY  | end, error, urgent  | never                      | a short read says nothing |
//! | 3..32 | tick  | every event, +1     |                            |                         |
//! ~~~
//! An operation remembers the word it began with, and takes readiness back only while the tick is
//! the same. A read that fills less than its buffer has emptied the socket and saves the attempt
//! that would tell so, except beside the end of the stream or urgent data, which an event has
//! announced already and will not announce again.
//!
//! Waiting crosses delivering under one lock: a waiter looks at the word and joins inside it, an
//! event sets the word, then takes the waiters inside it.
//! Invariant: nobody is in the list whose readiness was set before it joined.
//!
//! Sources lie in pages that are given back with the reactor only. The key of an event is the
//! source's address, so an event that comes late, when its socket is closed and the place used
//! by another, is readiness too much for that one and nothing else.

use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::task::Waker;

use super::poll::Reactor;
use super::waiters::{Ticket, Waiters, Wakers};
use crate::probe::Kept;
use crate::sys::{AtomicU32, Mutex, Ordering};

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Read = 0,
    Write = 1,
}

/// How a socket came to be: only one end of a connection may follow the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Opened,
    Accepted,
}

/// What an event said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Readiness {
    pub(super) read: bool,
    pub(super) write: bool,
    /// The stream has ended, failed, or holds urgent data.
    pub(super) wary: bool,
}

/// The word an operation began with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen(u32);

const READ: u32 = 1;
const WRITE: u32 = 1 << 1;
const WARY: u32 = 1 << 2;
const TICK: u32 = 1 << 3;

/// One registered socket.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Source {
    word: AtomicU32,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    waiters: Waiters,
    home: Home,
}

/// Where the socket is registered, and what speaks for another place.
#[derive(Debug, Clone, Copy)]
struct Home {
    instance: u32,
    /// It is registered nowhere, because a move failed: the next wait registers again.
    lost: bool,
    /// Waits from other workers, less those from its own.
    away: u32,
    waits: u32,
    origin: Origin,
}

impl Source {
    /// So many more waits from other workers than from its own, and a source follows its task.
    /// A task that is stolen for one poll, from a worker that the system holds up for instance, is
    /// back at its own with the next event: whoever moved then would move back soon, for two
    /// system calls each time, and leave the other end of its connection behind.
    pub(super) const FOLLOW: u32 = 8;

    fn new() -> Self {
        let home = Home::new(0, Origin::Opened);
        let inner = Inner { waiters: Waiters::default(), home };
        Source { word: AtomicU32::new(0), inner: Mutex::new(inner) }
    }

    /// The word, if an operation in direction `way` may be tried.
    pub(super) fn ready(&self, way: Way) -> Option<Seen> {
        let word = self.word.load(Ordering::Acquire);
        (word & bit(way) != 0).then_some(Seen(word))
    }

    pub(super) fn seen(&self) -> Seen {
        Seen(self.word.load(Ordering::Acquire))
    }

    /// Takes readiness back after an operation that would block.
    pub(super) fn exhausted(&self, way: Way, seen: Seen) {
        let _ = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            (word / TICK == seen.0 / TICK).then_some(word & !bit(way))
        });
    }

    /// Takes readiness back after a read that left room in its buffer, unless that says nothing.
    pub(super) fn drained(&self, seen: Seen) {
        let _ = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            (word / TICK == seen.0 / TICK && word & WARY == 0).then_some(word & !READ)
        });
    }

    /// Sets readiness and hands out who waits for it.
    pub(super) fn deliver(&self, came: Readiness) -> Wakers {
        let when = |came: bool, bit: u32| if came { bit } else { 0 };
        let bits = when(came.read, READ) | when(came.write, WRITE) | when(came.wary, WARY);
        let _ = self.word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
            Some((word | bits).wrapping_add(TICK))
        });
        self.inner.lock().waiters.take(came.read, came.write)
    }

    /// Joins those who wait, unless there is readiness or the reactor has closed: then `false`.
    /// Without a ticket the waiter is a passer-by.
    pub(super) fn wait(
        &self,
        reactor: &Reactor,
        socket: BorrowedFd<'_>,
        way: Way,
        ticket: Option<&mut Ticket>,
        waker: &Waker,
    ) -> std::io::Result<bool> {
        // Cloned, and dropped if it is not needed, outside of the lock: it may be anybody's.
        let waker = Kept::of(waker);
        let mut inner = self.inner.lock();
        if self.ready(way).is_some() || reactor.is_closed() {
            return Ok(false);
        }
        let ticket = match ticket {
            None => Ticket::PASSER_BY,
            Some(ticket) => {
                if *ticket == Ticket::PASSER_BY {
                    *ticket = inner.waiters.issue();
                }
                *ticket
            }
        };
        let joined = inner.waiters.join(way, ticket, waker);
        let stay = inner.home.instance as usize;
        let to = inner.home.better(reactor, socket).unwrap_or(stay);
        let settled = if to == stay && !inner.home.lost {
            Ok(())
        } else {
            self.settle(&mut inner.home, reactor, socket, to)
        };
        // Nothing is delivered to a source that is registered nowhere: whoever waits has to try
        // again, and registers it anew or has the error.
        let deserted = settled.is_err().then(|| inner.waiters.take(true, true));
        drop(inner);
        joined.finish();
        deserted.into_iter().for_each(Wakers::wake);
        settled.map(|()| true)
    }

    /// Forgets a waiter that gives up.
    pub(super) fn leave(&self, way: Way, ticket: Ticket) {
        let waker = self.inner.lock().waiters.leave(way, ticket);
        drop(waker);
    }

    /// Ends the registration.
    pub(super) fn deregister(
        &self,
        reactor: &Reactor,
        socket: BorrowedFd<'_>,
    ) -> std::io::Result<()> {
        let home = self.inner.lock().home;
        if home.lost { Ok(()) } else { reactor.delete(home.instance as usize, socket) }
    }

    /// Moves the registration. What is ready is reported there at once, so nothing is lost.
    fn settle(
        &self,
        home: &mut Home,
        reactor: &Reactor,
        socket: BorrowedFd<'_>,
        to: usize,
    ) -> std::io::Result<()> {
        let key = NonNull::from(self).as_ptr().expose_provenance();
        let old = home.instance as usize;
        if !std::mem::replace(&mut home.lost, true) {
            // It fails only where the registration has gone, as in `deregister`.
            reactor.delete(old, socket)?;
        }
        // The system may be out of memory or of watches: then stay.
        let there = reactor.add(to, socket, key).map(|()| to);
        let there = there.or_else(|_| reactor.add(old, socket, key).map(|()| old));
        home.lost = there.is_err();
        home.away = 0;
        there.map(|instance| home.instance = instance as u32)
    }
}

impl Home {
    fn new(instance: usize, origin: Origin) -> Self {
        Home { instance: instance as u32, lost: false, away: 0, waits: 0, origin }
    }

    /// Counts one wait; the instance this socket should move to, if there is a better one.
    fn better(&mut self, reactor: &Reactor, socket: BorrowedFd<'_>) -> Option<usize> {
        self.waits = self.waits.wrapping_add(1);
        if self.origin == Origin::Accepted && Self::asks(self.waits) {
            let other = reactor.where_packets_arrive(socket);
            if let Some(other) = other.filter(|other| *other as u32 != self.instance) {
                return Some(other);
            }
        }
        match reactor.here() {
            Some(here) if here as u32 != self.instance => {
                self.away += 1;
                (self.away >= Source::FOLLOW).then_some(here)
            }
            _ => {
                self.away = self.away.saturating_sub(1);
                None
            }
        }
    }

    /// Asking the system costs a call: often at first, then now and then.
    fn asks(waits: u32) -> bool {
        waits > 1 && (waits.is_power_of_two() || waits.is_multiple_of(64))
    }
}

fn bit(way: Way) -> u32 {
    match way {
        Way::Read => READ,
        Way::Write => WRITE,
    }
}

/// A source in use; whoever holds it is the only owner of that place.
#[derive(Debug)]
pub(super) struct Spot(NonNull<Source>);

// SAFETY: a shared reference to a source, which is `Sync`, in memory that outlives the spot.
unsafe impl Send for Spot {}
// SAFETY: as above.
unsafe impl Sync for Spot {}

impl Deref for Spot {
    type Target = Source;

    fn deref(&self) -> &Source {
        // SAFETY: pages live as long as `Sources`, whose owner, the reactor, outlives the spot,
        // because `Io` holds both and drops the spot first; sources are only ever shared.
        unsafe { self.0.as_ref() }
    }
}

impl Spot {
    /// The key under which an instance knows this source.
    pub(super) fn key(&self) -> usize {
        self.0.as_ptr().expose_provenance()
    }
}

/// The memory of all sources of one reactor.
#[derive(Debug)]
pub(super) struct Sources {
    pages: Mutex<Pages>,
}

#[derive(Debug)]
struct Pages {
    all: Vec<Box<[Source]>>,
    free: Vec<Spot>,
}

impl Sources {
    const PAGE: usize = 64;

    pub(super) fn new() -> Self {
        Sources { pages: Mutex::new(Pages { all: Vec::new(), free: Vec::new() }) }
    }

    /// Takes a place for a socket that will be registered in `instance`.
    pub(super) fn open(&self, instance: usize, origin: Origin) -> Spot {
        let spot = self.pages.lock().free();
        spot.inner.lock().home = Home::new(instance, origin);
        // One attempt in each direction is free; the tick goes on from the former owner's.
        let _ = spot.word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
            Some(((word & !WARY) | READ | WRITE).wrapping_add(TICK))
        });
        spot
    }

    /// Takes a place back.
    pub(super) fn close(&self, spot: Spot) {
        let wakers = spot.inner.lock().waiters.take(true, true);
        self.pages.lock().free.push(spot);
        wakers.discard();
    }

    /// The source of an event's key.
    pub(super) fn find(&self, key: usize) -> &Source {
        let source = std::ptr::with_exposed_provenance::<Source>(key);
        // SAFETY: instances know only keys that `Spot::key` gave out, for sources in pages of
        // this reactor, which are never given back while it lives; sources are only ever shared.
        unsafe { &*source }
    }

    /// Delivers to all, in use or not.
    pub(super) fn deliver_to_all(&self, came: Readiness) -> Vec<Wakers> {
        let pages = self.pages.lock();
        pages.all.iter().flatten().map(|source| source.deliver(came)).collect()
    }
}

impl Pages {
    fn free(&mut self) -> Spot {
        if let Some(spot) = self.free.pop() {
            return spot;
        }
        let page: Box<[Source]> = (0..Sources::PAGE).map(|_| Source::new()).collect();
        self.free.extend(page.iter().rev().map(|source| Spot(NonNull::from(source))));
        self.all.push(page);
        self.free.pop().expect("a page has sources")
    }
}
