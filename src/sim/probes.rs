//! Probes: who waits for room asks now and then whether the other end is still there, and so does a
//! listener, of one whose entry does not come.
//!
//! An end that is there answers, and nothing changes. So a question stands in the agenda only
//! while it would bring something else to light: a writer whose reader never reads is stuck, and
//! must not keep the run from seeing it.

use rustix::io::Errno;

use super::connection::{Holder, Side};
use super::network::{Event, Id, State};
use super::transfer::{PATIENCE, RETRIES};

impl State {
    /// Does that end wait for room, or for an entry, that nothing under way can bring?
    pub(super) fn is_in_doubt(&self, id: Id, side: Side) -> bool {
        let Some(connection) = self.connections.get(&id) else { return false };
        let end = &connection[side];
        let waits = !end.over
            && end.flights.is_empty()
            && match end.holder {
                Holder::Program => end.open && end.room == 0,
                Holder::Listener => !end.open,
                Holder::Nobody => false,
            };
        waits && (connection[!side].over || self.links.is_dead(connection.hosts()))
    }

    /// Something has happened to the other end, or to the link: that end asks, if it is in doubt.
    pub(super) fn doubt(&mut self, id: Id, side: Side) {
        let asks = self.end(id, side).is_some_and(|end| end.asked.is_some());
        if !asks && self.is_in_doubt(id, side) {
            self.plan_question(id, side, 0);
        }
    }

    /// As [`doubt`](State::doubt), for all.
    pub(super) fn doubt_all(&mut self) {
        let ids: Vec<Id> = self.connections.keys().copied().collect();
        for id in ids {
            self.doubt(id, Side::Client);
            self.doubt(id, Side::Server);
        }
    }

    fn plan_question(&mut self, id: Id, side: Side, asked: u32) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection[side].asked = Some(asked);
        let delay = self.links.pause(connection.hosts(), PATIENCE, asked);
        self.plan(delay, Event::Asks(id, side));
    }

    /// That end asks.
    pub(super) fn ask(&mut self, id: Id, side: Side) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let hosts = connection.hosts();
        let asked = connection[side].asked.take().unwrap_or(0);
        if !self.is_in_doubt(id, side) {
            return;
        }
        if !self.is_lost(hosts) {
            self.send_reset(id, side);
        } else if asked == RETRIES {
            self.break_off(id, side, Errno::TIMEDOUT);
        } else {
            self.plan_question(id, side, asked + 1);
        }
    }
}
