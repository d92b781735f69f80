//! How what one end sends gets to the other: flights, losses, room, resets.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::io::Errno;

use super::connection::{Flight, Holder, Payload, Side};
use super::network::{Event, Id, State};

/// The time after which what was lost is sent again, at first; it doubles each time.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

/// How often it is sent again: for about a quarter of an hour.
pub(super) const RETRIES: u32 = 15;

/// A packet carries no more bytes than this.
const PACKET: usize = 1460;

impl State {
    /// Sends `payload` from that side, behind what it has sent before.
    pub(super) fn send(&mut self, id: Id, from: Side, payload: Payload) {
        let Some(end) = self.end(id, from).filter(|end| !end.over) else { return };
        let number = end.first + end.flights.len() as u64;
        end.flights.push_back(Flight { payload, losses: 0, arrived: false });
        self.transmit(id, from, number);
    }

    /// Sends bytes, in packets.
    pub(super) fn send_bytes(&mut self, id: Id, from: Side, mut bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection[from].room -= bytes.len();
        let (client, server) = connection.hosts();
        while !bytes.is_empty() {
            let mut size = bytes.len();
            if client != server {
                size = size.min(PACKET);
                // Where packets are cut is nobody's business: programs must not count on it.
                if size > 1 && self.dice.happens(0.25) {
                    size = self.dice.between(1, size as u64) as usize;
                }
            }
            let (packet, rest) = bytes.split_at(size);
            self.send(id, from, Payload::Bytes(packet.to_vec()));
            bytes = rest;
        }
    }

    /// One attempt to get a flight across.
    pub(super) fn transmit(&mut self, id: Id, from: Side, number: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let hosts = connection.hosts();
        let Some(flight) = connection[from].flight(number) else { return };
        if flight.losses > flight.payload.retries() {
            return self.break_off(id, from, Errno::TIMEDOUT);
        }
        if self.is_lost(hosts) {
            return self.lose(id, from, number);
        }
        let delay = self.travel(hosts);
        self.plan(delay, Event::Arrives(id, from, number));
    }

    /// Does what is sent now get lost?
    pub(super) fn is_lost(&mut self, hosts: (usize, usize)) -> bool {
        self.links.is_cut(hosts) || self.dice.happens(self.links.loss(hosts))
    }

    fn travel(&mut self, hosts: (usize, usize)) -> u64 {
        let (low, high) = self.links.latency(hosts);
        self.dice.between(low, high)
    }

    /// A flight is lost: it will be sent again, later and later, or given up.
    fn lose(&mut self, id: Id, from: Side, number: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let hosts = connection.hosts();
        let Some(flight) = connection[from].flight(number) else { return };
        let pause = self.links.pause(hosts, flight.payload.patience(), flight.losses);
        flight.losses += 1;
        self.plan(pause, Event::Again(id, from, number));
    }

    /// A flight reaches the other side.
    pub(super) fn arrive(&mut self, id: Id, from: Side, number: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let hosts = connection.hosts();
        let Some(flight) = connection[from].flight(number) else { return };
        if self.links.is_cut(hosts) {
            return self.lose(id, from, number);
        }
        if matches!(flight.payload, Payload::Knock) {
            // Whoever hears it may crash before the answer is there: it is repeated until then.
            self.lose(id, from, number);
            return self.knock(id);
        }
        flight.arrived = true;
        while let Some(payload) = self.end(id, from).and_then(|end| end.land()) {
            self.deliver(id, !from, payload);
        }
        self.doubt(id, from);
    }

    /// That side gets what the other has sent.
    fn deliver(&mut self, id: Id, to: Side, payload: Payload) {
        let Some(end) = self.end(id, to) else { return };
        if end.over || end.holder == Holder::Nobody {
            // To the end of the bytes, one who has left in peace says nothing.
            if end.over || !matches!(payload, Payload::End) {
                // It is gone for good: who waits for room has to find out, if the reset is lost.
                end.over = true;
                end.ground();
                self.send_reset(id, !to);
            }
            return;
        }
        match payload {
            // It never lands, see above.
            Payload::Knock => {}
            Payload::Refusal => self.break_off(id, to, Errno::CONNREFUSED),
            Payload::Welcome => {
                end.open = true;
                // The knock is answered.
                end.ground();
                self.wake(id, to);
                self.send(id, to, Payload::Entry);
            }
            Payload::Entry => self.enter(id),
            Payload::Bytes(_) if end.deaf && end.sent_end => {
                // Who neither sends nor reads any more does not listen politely, either.
                self.send_reset(id, !to);
                self.break_off(id, to, Errno::CONNRESET);
            }
            Payload::Bytes(bytes) => {
                end.incoming.extend(bytes);
                self.wake_readers(id, to);
            }
            Payload::End => {
                end.came_end = true;
                self.wake_readers(id, to);
            }
        }
    }

    fn wake_readers(&mut self, id: Id, side: Side) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection[side].readers.take(&mut self.woken);
        }
    }

    // ---- room ------------------------------------------------------------------------------

    /// So many bytes were read on that side: word of it goes back to their writer.
    pub(super) fn say_read(&mut self, id: Id, reader: Side, count: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let hosts = connection.hosts();
        if self.links.is_dead(hosts) {
            connection[reader].unsaid += count;
        } else if count > 0 {
            let delay = self.travel(hosts);
            self.plan(delay, Event::Room(id, !reader, count));
        }
    }

    /// That side learns that so many of its bytes were read.
    pub(super) fn make_room(&mut self, id: Id, side: Side, count: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if self.links.is_dead(connection.hosts()) {
            connection[!side].unsaid += count;
            return;
        }
        connection[side].room += count;
        connection[side].writers.take(&mut self.woken);
    }

    /// These links are whole again: word of what was read meanwhile goes back, and who has asked
    /// in vain has an answer.
    pub(super) fn catch_up(&mut self, links: &BTreeSet<(usize, usize)>) {
        let over = |hosts: (usize, usize)| links.contains(&hosts);
        let owing: Vec<(Id, Side, usize)> = self
            .connections
            .iter_mut()
            .filter(|(_, connection)| over(connection.hosts()))
            .flat_map(|(id, connection)| {
                [Side::Client, Side::Server].map(|side| {
                    let end = &mut connection[side];
                    end.asked = end.asked.map(|_| 0);
                    (*id, side, std::mem::take(&mut end.unsaid))
                })
            })
            .collect();
        for (id, side, count) in owing {
            self.say_read(id, side, count);
        }
    }

    // ---- the end ---------------------------------------------------------------------------

    /// Tells that side that the connection is broken off, if the word gets through.
    pub(super) fn send_reset(&mut self, id: Id, to: Side) {
        let Some(connection) = self.connections.get(&id) else { return };
        let delay = self.travel(connection.hosts());
        self.plan(delay, Event::Reset(id, to));
    }

    pub(super) fn reset_arrives(&mut self, id: Id, side: Side) {
        let Some(connection) = self.connections.get(&id) else { return };
        if self.links.is_dead(connection.hosts()) {
            return self.doubt(id, side);
        }
        let end = &connection[side];
        let fault = match (end.open, end.came_end) {
            (false, _) => Errno::CONNREFUSED,
            (true, false) => Errno::CONNRESET,
            (true, true) => Errno::PIPE,
        };
        self.break_off(id, side, fault);
    }

    /// That side is told at once that the connection has failed.
    pub(super) fn break_off(&mut self, id: Id, side: Side, fault: Errno) {
        let Some(end) = self.end(id, side).filter(|end| !end.over) else { return };
        end.over = true;
        end.ground();
        match end.holder {
            Holder::Program => end.fault = Some(fault),
            // Complete, it is accepted as it is.
            Holder::Listener if end.open => end.fault = Some(fault),
            Holder::Listener => {
                end.holder = Holder::Nobody;
                self.forget_guest(id);
            }
            Holder::Nobody => {}
        }
        self.wake(id, side);
        self.end_of(id, side);
    }

    /// The program, or the listener, lets go of that end.
    pub(super) fn release(&mut self, id: Id, side: Side) {
        let Some(end) = self.end(id, side) else { return };
        end.holder = Holder::Nobody;
        let unread = !end.incoming.is_empty();
        let abrupt = unread || end.options.linger.is_some_and(|time| time.is_zero());
        if !end.over && !end.has_ended() && (abrupt || !end.open) {
            end.over = true;
            end.ground();
            self.send_reset(id, !side);
        } else if !end.sent_end {
            end.sent_end = true;
            self.send(id, side, Payload::End);
        }
        self.end_of(id, side);
    }

    /// That end vanishes without a word.
    pub(super) fn vanish(&mut self, id: Id, side: Side) {
        if let Some(end) = self.end(id, side) {
            (end.holder, end.over) = (Holder::Nobody, true);
            end.ground();
            self.wake(id, side);
        }
        self.end_of(id, side);
    }

    /// That side may have come to its end: the other may have to find out, and a connection that
    /// nobody holds is forgotten.
    fn end_of(&mut self, id: Id, side: Side) {
        self.doubt(id, !side);
        let forgotten = self.connections.get(&id).is_some_and(|connection| {
            let ends = [&connection.client, &connection.server];
            ends.iter().all(|end| end.holder == Holder::Nobody)
        });
        if forgotten {
            self.connections.remove(&id);
        }
    }
}
