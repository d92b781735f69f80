//! Who waits for one socket.
//!
//! A fast place per direction holds the usual single waiter; more go to a list. A waiter with
//! a ticket can leave. A *passer-by*, from the `poll_..` functions, cannot: it is known only by
//! its waker, the same one is kept once, and when very many have gathered they are all woken, so
//! that those who still want to wait say so again and the others are forgotten.

use std::task::Waker;

use super::source::Way;
use crate::probe::{self, Kept};

/// A waiter's number at its socket; zero until it first waits, and for passers-by.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u32);

impl Ticket {
    pub(super) const PASSER_BY: Ticket = Ticket(0);
}

#[derive(Debug)]
struct Waiter {
    ticket: Ticket,
    waker: Kept,
}

impl Waiter {
    fn is(&self, ticket: Ticket, waker: &Waker) -> bool {
        self.ticket == ticket && (ticket != Ticket::PASSER_BY || self.waker.will_wake(waker))
    }
}

#[derive(Debug, Default)]
pub(super) struct Waiters {
    first: [Option<Waiter>; 2],
    more: Vec<(Way, Waiter)>,
    last_ticket: u32,
    /// The list is cleared of passers-by when it reaches this length.
    limit: u32,
}

/// Wakers that have to be used or dropped once the lock is released. One is the usual number.
#[must_use]
#[derive(Debug, Default)]
pub(super) enum Wakers {
    #[default]
    None,
    One(Waker),
    Many(Vec<Waker>),
}

impl Wakers {
    fn of(wakers: impl IntoIterator<Item = Waker>) -> Self {
        Wakers::Many(wakers.into_iter().collect())
    }

    /// Drops them unused; a panic goes no further.
    pub(super) fn discard(self) {
        match self {
            Wakers::None => {}
            Wakers::One(waker) => probe::drop_waker(waker),
            Wakers::Many(wakers) => wakers.into_iter().for_each(probe::drop_waker),
        }
    }

    /// A panic of one takes nothing from the others, nor from what came with the same events.
    #[inline]
    pub(super) fn wake(self) {
        match self {
            Wakers::None => {}
            Wakers::One(waker) => probe::wake(waker),
            Wakers::Many(wakers) => probe::wake_all(wakers),
        }
    }
}

/// What [`Waiters::join`] leaves to do after the lock is released.
#[must_use]
#[derive(Debug)]
pub(super) enum Joined {
    Alone,
    /// To be dropped.
    Instead(#[expect(dead_code, reason = "it is only dropped")] Kept),
    /// To be woken: they shall say again that they wait.
    Crowded(Wakers),
}

impl Joined {
    /// Does it.
    #[inline]
    pub(super) fn finish(self) {
        if let Joined::Crowded(crowd) = self {
            crowd.wake();
        }
    }
}

impl Waiters {
    /// A list this short is never searched for waiters that have gone.
    const LIMIT: u32 = 16;

    pub(super) fn issue(&mut self) -> Ticket {
        // Zero is the passers-by's. A number could come again after 2^32 waits of one socket,
        // while its first holder still waits; then the two would share one place.
        self.last_ticket = self.last_ticket.wrapping_add(1).max(1);
        Ticket(self.last_ticket)
    }

    /// Notes that `waker` waits; the same waiter again only exchanges its waker.
    #[inline]
    pub(super) fn join(&mut self, way: Way, ticket: Ticket, waker: Kept) -> Joined {
        let first = &mut self.first[way as usize];
        if first.is_none() && self.more.is_empty() {
            *first = Some(Waiter { ticket, waker });
            return Joined::Alone;
        }
        self.join_others(way, ticket, waker)
    }

    #[cold]
    fn join_others(&mut self, way: Way, ticket: Ticket, waker: Kept) -> Joined {
        if let Some(place) = self.place(way, ticket, &waker) {
            return Joined::Instead(std::mem::replace(&mut place.waker, waker));
        }
        let waiter = Waiter { ticket, waker };
        let first = &mut self.first[way as usize];
        if first.is_none() {
            *first = Some(waiter);
            return Joined::Alone;
        }
        let crowded = self.more.len() >= self.limit.max(Self::LIMIT) as usize;
        let crowd =
            if crowded && ticket == Ticket::PASSER_BY { self.disperse() } else { Wakers::None };
        self.more.push((way, waiter));
        Joined::Crowded(crowd)
    }

    /// Forgets a waiter; its waker is to be dropped after the lock is released.
    #[must_use]
    pub(super) fn leave(&mut self, way: Way, ticket: Ticket) -> Option<Kept> {
        let first = &mut self.first[way as usize];
        if let Some(waiter) = first.take_if(|waiter| waiter.ticket == ticket) {
            return Some(waiter.waker);
        }
        let at = self.more.iter().position(|(_, waiter)| waiter.ticket == ticket)?;
        Some(self.more.swap_remove(at).1.waker)
    }

    /// Takes all who wait for one of the directions.
    #[inline]
    pub(super) fn take(&mut self, read: bool, write: bool) -> Wakers {
        let [reader, writer] = &mut self.first;
        let reader = reader.take_if(|_| read);
        let writer = writer.take_if(|_| write);
        match (reader, writer) {
            (None, None) if self.more.is_empty() => Wakers::None,
            (Some(one), None) | (None, Some(one)) if self.more.is_empty() => {
                Wakers::One(one.waker.into_waker())
            }
            (reader, writer) => self.take_others([read, write], [reader, writer]),
        }
    }

    #[cold]
    fn take_others(&mut self, wanted: [bool; 2], first: [Option<Waiter>; 2]) -> Wakers {
        let first = first.into_iter().flatten();
        self.limit = Self::LIMIT;
        let gone = self.more.extract_if(.., |(way, _)| wanted[*way as usize]);
        Wakers::of(
            first.chain(gone.map(|(_, waiter)| waiter)).map(|waiter| waiter.waker.into_waker()),
        )
    }

    fn place(&mut self, way: Way, ticket: Ticket, waker: &Waker) -> Option<&mut Waiter> {
        let first = self.first[way as usize].as_mut();
        let more = self.more.iter_mut();
        let more = more.filter(|(theirs, _)| *theirs == way).map(|(_, waiter)| waiter);
        first.into_iter().chain(more).find(|waiter| waiter.is(ticket, waker))
    }

    /// Takes the passers-by out of the list; doubling the limit keeps this rare.
    fn disperse(&mut self) -> Wakers {
        self.limit = 2 * self.more.len() as u32;
        let gone = self.more.extract_if(.., |(_, waiter)| waiter.ticket == Ticket::PASSER_BY);
        Wakers::of(gone.map(|(_, waiter)| waiter.waker.into_waker()))
    }
}
