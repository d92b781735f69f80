//! Who waits for what, when nothing can happen any more.

use std::fmt::Write;

use super::connection::{Connection, Side};
use super::network::State;
use super::world::World;
use crate::task::reasons;

impl World {
    /// Tells, line by line, which tasks are left and what each of them awaits.
    pub(crate) fn report(&self, why: &str) -> String {
        let waits = self.network().with(|state| state.waits());
        let (asleep, ready) = (self.asleep(), self.ready());
        let mut text = String::from(why);
        for task in self.live() {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "\n  {} ({})", task.name(), task.location());
            let number = task.header().id();
            let wait = waits.iter().find(|(waiting, _)| *waiting == number);
            let _ = match (asleep.get(&number), task.awaits(), wait) {
                (Some(host), ..) => write!(text, " could run, but {host} stands still"),
                _ if ready.contains(&number) => write!(text, " could run"),
                (_, Some(other), _) => write!(text, " awaits {}", other.name()),
                (_, None, Some((_, what))) => write!(text, " awaits {what}"),
                (_, None, None) => write!(text, " awaits {}", noted(number)),
            };
        }
        text
    }
}

/// What a task has noted that it waits for.
fn noted(task: u64) -> String {
    let reasons: Vec<String> = reasons::of(task).iter().map(ToString::to_string).collect();
    if reasons.is_empty() {
        return "something that nobody will wake".to_owned();
    }
    reasons.join(", and ")
}

impl State {
    /// The tasks that wait for a socket, by number, and what for.
    fn waits(&self) -> Vec<(u64, String)> {
        let mut waits = Vec::new();
        for ((host, address), queue) in &self.listeners {
            for task in queue.waiters.tasks() {
                waits.push((task, format!("a connection at {address} on {}", self.name(*host))));
            }
        }
        for connection in self.connections.values() {
            for side in [Side::Client, Side::Server] {
                let end = &connection[side];
                let peer = self.peer(connection, side);
                for task in end.readers.tasks() {
                    waits.push((task, format!("bytes from {peer}")));
                }
                let goal = if end.open { "room to write to" } else { "an answer from" };
                for task in end.writers.tasks() {
                    waits.push((task, format!("{goal} {peer}")));
                }
            }
        }
        waits
    }

    /// The other end, in words.
    fn peer(&self, connection: &Connection, side: Side) -> String {
        let peer = &connection[!side];
        let cut = self.links.is_cut(connection.hosts());
        let gone = if peer.over { ", which is gone" } else { "" };
        let cut = if cut { ", behind a cut link" } else { gone };
        format!("{} on {}{cut}", peer.address, self.name(peer.host))
    }
}
