//! One simulated connection: its two ends, and what flies between them.
//!
//! ~~~text
//! write -> [ flights: in order, each on its way or waiting to be sent again ] -> incoming -> read
//!            room - n ...............................................................  credit + n
//! ~~~
//! What is written takes room until the reader has taken it and word of that has come back, so a
//! writer cannot be further ahead than the buffer. Flights may arrive out of order; they are
//! delivered in order.
//!
//! Invariant: an end that is `over` has no flights: it sends nothing any more.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::{Index, IndexMut, Not};
use std::time::Duration;

use rustix::io::Errno;

use super::transfer::{PATIENCE, RETRIES};
use super::waiting::Waiters;

/// One of the two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// That which connects.
    Client,
    /// That which is accepted.
    Server,
}

impl Not for Side {
    type Output = Side;

    fn not(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// What one end sends to the other.
#[derive(Debug)]
pub(super) enum Payload {
    /// "I want to connect." Said again and again until there is an answer.
    Knock,
    /// "Nobody listens here."
    Refusal,
    /// "Come in."
    Welcome,
    /// "Here I am": completes the connection for the listener.
    Entry,
    Bytes(Vec<u8>),
    /// No more bytes.
    End,
}

impl Payload {
    /// The time after which it is sent again, at first; it doubles each time.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Payload::Knock | Payload::Welcome | Payload::Refusal => Duration::from_secs(1),
            _ => PATIENCE,
        }
    }

    /// How often it is sent again: about two minutes for a knock, a quarter of an hour for bytes.
    pub(super) fn retries(&self) -> u32 {
        match self {
            Payload::Knock | Payload::Welcome | Payload::Refusal => 6,
            _ => RETRIES,
        }
    }
}

#[derive(Debug)]
pub(super) struct Flight {
    pub(super) payload: Payload,
    /// How often it was lost, or not answered.
    pub(super) losses: u32,
    /// It has arrived, and is delivered when those before it are.
    pub(super) arrived: bool,
}

/// Who has an end in hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    Nobody,
    /// It waits to be accepted, or for its connection to be complete.
    Listener,
    Program,
}

/// What can be set on a socket, and is only kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub(super) nodelay: bool,
    pub(super) ttl: u32,
    pub(super) linger: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Options { nodelay: true, ttl: 64, linger: None }
    }
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) host: usize,
    pub(super) address: SocketAddr,
    pub(super) holder: Holder,
    /// The handshake is over, as far as this end knows.
    pub(super) open: bool,
    /// Broken off: nothing is sent any more, and all that comes is answered by a reset.
    pub(super) over: bool,
    /// Why, until somebody has been told.
    pub(super) fault: Option<Errno>,
    /// The end of this end's bytes was sent.
    pub(super) sent_end: bool,
    /// The other end's bytes have ended.
    pub(super) came_end: bool,
    /// This end does not want to read any more.
    pub(super) deaf: bool,
    /// How many bytes may be written.
    pub(super) room: usize,
    /// Word of what was read here, kept back while the link is cut.
    pub(super) unsaid: usize,
    /// It waits for room and asks whether the other is there: so often it has got no answer.
    pub(super) asked: Option<u32>,
    pub(super) incoming: VecDeque<u8>,
    pub(super) flights: VecDeque<Flight>,
    /// The number of the first of them.
    pub(super) first: u64,
    pub(super) readers: Waiters,
    pub(super) writers: Waiters,
    pub(super) options: Options,
}

impl End {
    pub(super) fn new(host: usize, address: SocketAddr, holder: Holder, room: usize) -> Self {
        End {
            host,
            address,
            holder,
            open: false,
            over: false,
            fault: None,
            sent_end: false,
            came_end: false,
            deaf: false,
            room,
            unsaid: 0,
            asked: None,
            incoming: VecDeque::new(),
            flights: VecDeque::new(),
            first: 0,
            readers: Waiters::default(),
            writers: Waiters::default(),
            options: Options::default(),
        }
    }

    /// Has everything been said, in both directions?
    pub(super) fn has_ended(&self) -> bool {
        self.sent_end && self.came_end && self.flights.is_empty()
    }

    /// Is there a connection that could be shut down?
    pub(super) fn is_connected(&self) -> bool {
        self.open && !self.over && !self.has_ended()
    }

    /// Would a read return at once?
    pub(super) fn is_readable(&self) -> bool {
        !self.incoming.is_empty() || self.came_end || self.deaf || self.over || self.fault.is_some()
    }

    /// Would a write, or an attempt to connect, return at once?
    pub(super) fn is_writable(&self) -> bool {
        self.over || self.fault.is_some() || self.sent_end || (self.open && self.room > 0)
    }

    /// Moves what has come into `buffer`, as far as there is room; or says why there is nothing.
    pub(super) fn read(&mut self, buffer: &mut [u8], keep: bool) -> io::Result<usize> {
        if !self.incoming.is_empty() {
            let count = buffer.len().min(self.incoming.len());
            let (head, tail) = self.incoming.as_slices();
            let from_head = count.min(head.len());
            buffer[..from_head].copy_from_slice(&head[..from_head]);
            buffer[from_head..count].copy_from_slice(&tail[..count - from_head]);
            if !keep {
                self.incoming.drain(..count);
            }
            return Ok(count);
        }
        if self.came_end {
            return Ok(0);
        }
        self.take_fault()?;
        if self.over || self.deaf {
            return Ok(0);
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// How many of `wanted` bytes may be written now.
    pub(super) fn may_write(&mut self, wanted: usize) -> io::Result<usize> {
        self.take_fault()?;
        if self.over || self.sent_end {
            return Err(Errno::PIPE.into());
        }
        if wanted > 0 && (self.room == 0 || !self.open) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(self.room.min(wanted))
    }

    pub(super) fn take_fault(&mut self) -> io::Result<()> {
        self.fault.take().map_or(Ok(()), |fault| Err(fault.into()))
    }

    /// The flight of that number, if it is not delivered or given up.
    pub(super) fn flight(&mut self, number: u64) -> Option<&mut Flight> {
        let place = number.checked_sub(self.first)?;
        self.flights.get_mut(usize::try_from(place).ok()?)
    }

    /// Takes the first flight, if it has arrived.
    pub(super) fn land(&mut self) -> Option<Payload> {
        self.flights.front().filter(|flight| flight.arrived)?;
        self.first += 1;
        self.flights.pop_front().map(|flight| flight.payload)
    }

    /// Gives up whatever is still to be sent.
    pub(super) fn ground(&mut self) {
        self.first += self.flights.len() as u64;
        self.flights.clear();
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client: End,
    pub(super) server: End,
}

impl Connection {
    /// The hosts at its ends.
    pub(super) fn hosts(&self) -> (usize, usize) {
        (self.client.host, self.server.host)
    }

    /// Does anybody hold an end that is not broken off?
    pub(super) fn is_alive(&self) -> bool {
        [&self.client, &self.server].iter().any(|end| end.holder != Holder::Nobody && !end.over)
    }
}

impl Index<Side> for Connection {
    type Output = End;

    fn index(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }
}

impl IndexMut<Side> for Connection {
    fn index_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}
