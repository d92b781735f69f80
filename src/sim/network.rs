//! The simulated network: hosts, links, sockets, and an agenda of what will arrive when.
//!
//! All of it is one state behind one lock. An operation changes the state and lets happen whatever
//! is due at the present moment; wakers are called after the lock is released. What is due later
//! stands in the agenda, in the order of time and then of planning, so that a run repeats.
//!
//! The network knows what a careful program must survive: bytes come in pieces and late, a lost
//! packet is sent again and holds up those behind it, and a connection whose other end cannot be
//! reached ends after many attempts, or never notices, if it has nothing to send.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::Waker;

use super::connection::{Connection, End, Side};
use super::dice::Dice;
use super::links::Links;
use super::listener::Queue;
use crate::driver::clock::Instant;
use crate::probe;
use crate::sys::Mutex;

pub(crate) use super::links::Weather;

/// Ports that are given to those who do not ask for a certain one.
const FIRST_PORT: u16 = 49_152;

/// Names a connection; never used twice in a run.
pub(super) type Id = u64;

pub(crate) struct Network(Mutex<State>);

/// Something that will happen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    /// A flight from that side reaches the other.
    Arrives(Id, Side, u64),
    /// A flight from that side was lost and is sent again.
    Again(Id, Side, u64),
    /// That side learns that so many of its bytes were read.
    Room(Id, Side, usize),
    /// That side learns that the connection is broken off.
    Reset(Id, Side),
    /// That side, which waits for room, asks whether the other is still there.
    Asks(Id, Side),
}

#[derive(Debug)]
struct Host {
    name: String,
    address: IpAddr,
    next_port: u16,
}

pub(super) struct State {
    pub(super) now: Instant,
    pub(super) closed: bool,
    pub(super) dice: Dice,
    pub(super) links: Links,
    hosts: Vec<Host>,
    pub(super) refused: BTreeSet<SocketAddr>,
    /// By host and address.
    pub(super) listeners: BTreeMap<(usize, SocketAddr), Queue>,
    /// So many have listened.
    pub(super) listened: u64,
    pub(super) connections: BTreeMap<Id, Connection>,
    last: Id,
    agenda: BTreeMap<(Instant, u64), Event>,
    planned: u64,
    /// Those who are to be woken.
    pub(super) woken: Vec<Waker>,
}

impl Network {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        let mut state = State {
            now: Instant::now(),
            closed: false,
            dice: Dice::always_random(seed),
            links: Links::new(weather),
            hosts: Vec::new(),
            refused: BTreeSet::new(),
            listeners: BTreeMap::new(),
            listened: 0,
            connections: BTreeMap::new(),
            last: 0,
            agenda: BTreeMap::new(),
            planned: 0,
            woken: Vec::new(),
        };
        state.host("main");
        Network(Mutex::new(state))
    }

    /// Does something, and all that happens at once because of it.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.0.lock();
        let result = act(&mut state);
        state.settle();
        state.forget();
        let woken = std::mem::take(&mut state.woken);
        drop(state);
        probe::wake_all(woken);
        result
    }

    /// The moment at which the next thing happens.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.lock().agenda.first_key_value().map(|((at, _), _)| *at)
    }

    /// Time has passed.
    pub(crate) fn pass(&self, now: Instant) {
        self.with(|state| state.now = now);
    }

    /// The run is over: whoever waits, or comes to wait, gets an error.
    pub(crate) fn close(&self) {
        self.with(|state| {
            state.closed = true;
            state.agenda.clear();
            let State { connections, listeners, woken, .. } = state;
            let ends =
                connections.values_mut().flat_map(|both| [&mut both.client, &mut both.server]);
            for end in ends {
                end.readers.take(woken);
                end.writers.take(woken);
            }
            listeners.values_mut().for_each(|queue| queue.waiters.take(woken));
        });
    }
}

impl State {
    /// Lets happen what is due.
    fn settle(&mut self) {
        while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= self.now)
        {
            match entry.remove() {
                Event::Arrives(id, from, number) => self.arrive(id, from, number),
                Event::Again(id, from, number) => self.transmit(id, from, number),
                Event::Room(id, side, count) => self.make_room(id, side, count),
                Event::Reset(id, side) => self.reset_arrives(id, side),
                Event::Asks(id, side) => self.ask(id, side),
            }
        }
    }

    /// Forgets what will come next, if it matters to nobody any more: no time is to pass for it.
    fn forget(&mut self) {
        while let Some((_, event)) = self.agenda.first_key_value() {
            let event = *event;
            if self.matters(event) {
                return;
            }
            if let Event::Asks(id, side) = event
                && let Some(end) = self.end(id, side)
            {
                end.asked = None;
            }
            self.agenda.pop_first();
        }
    }

    fn matters(&mut self, event: Event) -> bool {
        match event {
            Event::Arrives(id, from, number) | Event::Again(id, from, number) => {
                self.end(id, from).is_some_and(|end| end.flight(number).is_some())
            }
            Event::Room(id, side, _) | Event::Reset(id, side) => {
                self.end(id, side).is_some_and(|end| !end.over)
            }
            Event::Asks(id, side) => self.is_in_doubt(id, side),
        }
    }

    pub(super) fn plan(&mut self, delay: u64, event: Event) {
        let at = self.now + std::time::Duration::from_nanos(delay);
        if at == Instant::NEVER {
            return;
        }
        self.planned += 1;
        self.agenda.insert((at, self.planned), event);
    }

    /// Adds a connection.
    pub(super) fn add(&mut self, connection: Connection) -> Id {
        self.last += 1;
        self.connections.insert(self.last, connection);
        self.last
    }

    pub(super) fn end(&mut self, id: Id, side: Side) -> Option<&mut End> {
        self.connections.get_mut(&id).map(|connection| &mut connection[side])
    }

    pub(super) fn wake(&mut self, id: Id, side: Side) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection[side].readers.take(&mut self.woken);
            connection[side].writers.take(&mut self.woken);
        }
    }

    // ---- hosts -----------------------------------------------------------------------------

    /// The host of that name, or of that address if the name is one; made if need be.
    pub(super) fn host(&mut self, name: &str) -> usize {
        if let Some(host) = self.find_host(name) {
            return host;
        }
        let address = name.parse().unwrap_or_else(|_| self.free_address());
        self.add_host(name, address)
    }

    pub(super) fn add_host(&mut self, name: &str, address: IpAddr) -> usize {
        self.hosts.push(Host { name: name.to_owned(), address, next_port: FIRST_PORT });
        self.hosts.len() - 1
    }

    pub(super) fn find_host(&self, name: &str) -> Option<usize> {
        let address: Option<IpAddr> = name.parse().ok();
        self.hosts.iter().position(|host| host.name == name || Some(host.address) == address)
    }

    pub(super) fn find_address(&self, address: IpAddr) -> Option<usize> {
        self.hosts.iter().position(|host| host.address == address)
    }

    fn free_address(&self) -> IpAddr {
        let first = u32::from(Ipv4Addr::new(10, 0, 0, 1));
        (first..)
            .map(|number| Ipv4Addr::from(number).into())
            .find(|address| self.find_address(*address).is_none())
            .expect("a network has more addresses than hosts")
    }

    pub(super) fn address(&self, host: usize) -> IpAddr {
        self.hosts[host].address
    }

    pub(super) fn name(&self, host: usize) -> &str {
        &self.hosts[host].name
    }

    pub(super) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// The host that `address` means on `host`.
    pub(super) fn route(&self, host: usize, address: IpAddr) -> Option<usize> {
        if address.is_loopback() { Some(host) } else { self.find_address(address) }
    }

    /// A port that nobody on `host` uses.
    pub(super) fn free_port(&mut self, host: usize) -> Option<u16> {
        for _ in FIRST_PORT..=u16::MAX {
            let port = self.hosts[host].next_port;
            self.hosts[host].next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
            let listens = self.listeners.keys().any(|(on, at)| (*on, at.port()) == (host, port));
            let connects = self.connections.values().any(|connection| {
                let ends = [&connection.client, &connection.server];
                ends.iter().any(|end| (end.host, end.address.port()) == (host, port))
            });
            if !listens && !connects {
                return Some(port);
            }
        }
        None
    }
}
