//! Who waits for one direction of a simulated socket.
//!
//! All are woken by every change; who still has to wait says so again. A waiter with a ticket can
//! leave. A passer-by, from the `poll_..` functions, is known by its waker only.

use std::task::Waker;

use crate::probe::Kept;
use crate::task::current;

/// A waiter's number; passers-by have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

#[derive(Debug)]
struct Waiter {
    ticket: Option<Ticket>,
    waker: Kept,
    /// The task that was polled when it began to wait.
    task: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Waiters {
    list: Vec<Waiter>,
    last: u64,
}

impl Waiters {
    /// Notes that `waker` waits. Without a place for a ticket it is a passer-by's. Gives a waker
    /// that is to be dropped outside of all locks.
    #[must_use]
    pub(super) fn join(
        &mut self,
        ticket: Option<&mut Option<Ticket>>,
        waker: Kept,
    ) -> Option<Kept> {
        let number = ticket.map(|ticket| {
            *ticket.get_or_insert_with(|| {
                self.last += 1;
                Ticket(self.last)
            })
        });
        let same = |waiter: &&mut Waiter| match number {
            Some(_) => waiter.ticket == number,
            None => waiter.ticket.is_none() && waiter.waker.will_wake(&waker),
        };
        let task = current::with(|current| current.header().id());
        if let Some(waiter) = self.list.iter_mut().find(same) {
            waiter.task = task;
            return Some(std::mem::replace(&mut waiter.waker, waker));
        }
        self.list.push(Waiter { ticket: number, waker, task });
        None
    }

    /// Forgets a waiter that gives up.
    #[must_use]
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Kept> {
        let at = self.list.iter().position(|waiter| waiter.ticket == Some(ticket))?;
        Some(self.list.remove(at).waker)
    }

    /// Hands out all who wait.
    pub(super) fn take(&mut self, into: &mut Vec<Waker>) {
        into.extend(self.list.drain(..).map(|waiter| waiter.waker.into_waker()));
    }

    /// The tasks that wait.
    pub(super) fn tasks(&self) -> impl Iterator<Item = u64> {
        self.list.iter().filter_map(|waiter| waiter.task)
    }
}
