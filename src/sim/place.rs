//! Where on the network a program stands, and what it can do there.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use rustix::io::Errno;

use super::connection::{Connection, Side};
use super::links::Links;
use super::listener::Listener;
use super::network::{Network, State};
use super::stream::Stream;
use crate::sys::Arc;

/// A host's view of the network.
pub(crate) struct Place {
    network: Arc<Network>,
    host: usize,
}

impl Place {
    pub(super) fn new(network: Arc<Network>, host: usize) -> Self {
        Place { network, host }
    }

    /// Listens; `limit` connections may wait to be accepted.
    pub(crate) fn listen(&self, address: SocketAddr, limit: usize) -> io::Result<Listener> {
        let (address, number) =
            self.network.with(|state| state.listen(self.host, address, limit))?;
        Ok(Listener::new(self.network.clone(), (self.host, address), number))
    }

    /// Begins to connect.
    pub(crate) fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        let id = self.network.with(|state| state.connect(self.host, address))?;
        Ok(Stream::new(self.network.clone(), id, Side::Client))
    }

    /// The address of a host, by its name.
    pub(crate) fn look_up(&self, name: &str) -> io::Result<IpAddr> {
        if name == "localhost" {
            return Ok(super::loopback(true));
        }
        let found =
            self.network.with(|state| state.find_host(name).map(|host| state.address(host)));
        found.ok_or_else(|| {
            let text = format!("no simulated host is named {name}");
            io::Error::new(io::ErrorKind::NotFound, text)
        })
    }
}

/// What a test does to the network.
impl Network {
    /// The host of that name, which is made if need be.
    pub(crate) fn host(&self, name: &str) -> usize {
        self.with(|state| state.host(name))
    }

    /// A host with that address; `None` if another host has the name or the address.
    pub(crate) fn host_at(&self, name: &str, address: IpAddr) -> Option<usize> {
        self.with(|state| match (state.find_host(name), state.find_address(address)) {
            (None, None) => Some(state.add_host(name, address)),
            (by_name, by_address) => by_name.filter(|_| by_name == by_address),
        })
    }

    pub(crate) fn find_host(&self, name: &str) -> Option<usize> {
        self.with(|state| state.find_host(name))
    }

    pub(crate) fn name_and_address(&self, host: usize) -> (String, IpAddr) {
        self.with(|state| (state.name(host).to_owned(), state.address(host)))
    }

    /// Sets how long packets take: between two hosts, or wherever nothing else was set.
    pub(crate) fn set_latency(
        &self,
        between: Option<(usize, usize)>,
        latency: RangeInclusive<Duration>,
    ) {
        self.with(|state| match between {
            Some((a, b)) => state.links.link(a, b).latency = Some(latency),
            None => state.links.weather.latency = latency,
        });
    }

    /// Sets how many packets are lost: between two hosts, or wherever nothing else was set.
    pub(crate) fn set_loss(&self, between: Option<(usize, usize)>, loss: f64) {
        self.with(|state| {
            state.change_links(|links, _| match between {
                Some((a, b)) => links.link(a, b).loss = Some(loss),
                None => links.weather.loss = loss,
            });
        });
    }

    pub(crate) fn is_cut(&self, a: usize, b: usize) -> bool {
        self.with(|state| state.links.is_cut((a, b)))
    }

    /// Cuts, or heals, the link between two hosts.
    pub(crate) fn set_cut(&self, a: usize, b: usize, cut: bool) {
        self.with(|state| state.change_links(|links, _| links.link(a, b).cut = cut));
    }

    /// Cuts, or heals, the links from a host to all others.
    pub(crate) fn isolate(&self, host: usize, cut: bool) {
        self.with(|state| {
            state.change_links(|links, hosts| {
                let others = (0..hosts).filter(|other| *other != host);
                others.for_each(|other| links.link(host, other).cut = cut);
            });
        });
    }

    pub(crate) fn heal_all(&self) {
        self.with(|state| state.change_links(|links, _| links.heal_all()));
    }

    /// Has attempts to connect to that address refused, or not any more.
    pub(crate) fn refuse(&self, address: SocketAddr, refuse: bool) {
        self.with(|state| match refuse {
            true => state.refused.insert(address),
            false => state.refused.remove(&address),
        });
    }

    /// The open connections, by the addresses of who connected and of who accepted.
    pub(crate) fn connections(&self) -> Vec<(SocketAddr, SocketAddr)> {
        self.with(|state| {
            let all = state.connections.values();
            let open = all.filter(|connection| connection.client.open && connection.is_alive());
            open.map(|connection| (connection.client.address, connection.server.address)).collect()
        })
    }

    /// Breaks off, at both ends at once, the connections that `chosen` picks out by the addresses
    /// and the hosts of their ends. The answer: how many.
    pub(crate) fn reset(&self, chosen: impl Fn([SocketAddr; 2], (usize, usize)) -> bool) -> usize {
        self.with(|state| {
            let found: Vec<_> = state
                .connections
                .iter()
                .filter(|(_, connection)| {
                    let addresses = [connection.client.address, connection.server.address];
                    connection.is_alive() && chosen(addresses, connection.hosts())
                })
                .map(|(id, _)| *id)
                .collect();
            for id in &found {
                state.break_off(*id, Side::Client, Errno::CONNRESET);
                state.break_off(*id, Side::Server, Errno::CONNRESET);
            }
            found.len()
        })
    }

    /// Whatever a host has on the network is gone, without a word to anybody.
    pub(crate) fn crash(&self, host: usize) {
        let queues: Vec<_> = self.with(|state| {
            let found = state.connections.iter().flat_map(|(id, connection)| {
                [Side::Client, Side::Server].map(|side| (*id, side, connection[side].host))
            });
            let gone: Vec<_> = found.filter(|(_, _, on)| *on == host).collect();
            for (id, side, _) in gone {
                state.vanish(id, side);
            }
            let keys: Vec<_> =
                state.listeners.keys().filter(|key| key.0 == host).copied().collect();
            keys.into_iter().map(|key| state.stop_listening(key)).collect()
        });
        drop(queues);
    }
}

impl State {
    /// Changes links, of so many hosts: what waits for one that is whole again goes on, and who
    /// cannot be reached any more is in doubt.
    fn change_links(&mut self, change: impl FnOnce(&mut Links, usize)) {
        let hosts = self.connections.values().map(Connection::hosts);
        let mut dead: BTreeSet<_> = hosts.filter(|hosts| self.links.is_dead(*hosts)).collect();
        let count = self.hosts();
        change(&mut self.links, count);
        dead.retain(|hosts| !self.links.is_dead(*hosts));
        self.catch_up(&dead);
        self.doubt_all();
    }
}
