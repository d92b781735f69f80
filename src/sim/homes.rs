//! The homes of the tasks of each simulated host: where a task was spawned says where it runs.

use std::sync::OnceLock;

use super::world::Wire;
use crate::task::memory::{Home, HomeHandle, Kind};

/// A host's home, and the rest of the list. Homes are lent out, so none ever moves.
pub(super) struct Homes {
    home: HomeHandle,
    next: OnceLock<Box<Homes>>,
}

impl Homes {
    pub(super) fn new(wire: Wire) -> Self {
        Homes { home: Home::new(Box::new(wire), Kind::Shared), next: OnceLock::new() }
    }

    /// The home of that host, which is made if need be, and those of the hosts before it.
    pub(super) fn at(&self, host: usize, wire: &dyn Fn(usize) -> Wire) -> &Home {
        let mut homes = self;
        for host in 1..=host {
            homes = homes.next.get_or_init(|| Box::new(Homes::new(wire(host))));
        }
        &homes.home
    }

    /// All homes there are.
    pub(super) fn all(&self) -> impl Iterator<Item = &Home> {
        std::iter::successors(Some(self), |homes| homes.next.get().map(|next| &**next))
            .map(|homes| &*homes.home)
    }
}
