//! What lies between two hosts: how long bytes take, how often they are lost, whether it is cut.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest time between two attempts.
const LONGEST_PAUSE: u64 = 120_000_000_000;

/// How a link behaves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weather {
    /// The time that a packet takes, in one direction.
    pub(crate) latency: RangeInclusive<Duration>,
    /// How many packets in one are lost.
    pub(crate) loss: f64,
    /// How far a writer may be ahead of its reader, in bytes.
    pub(crate) buffer: usize,
}

impl Default for Weather {
    fn default() -> Self {
        let latency = Duration::from_millis(1)..=Duration::from_millis(5);
        Weather { latency, loss: 0.0, buffer: 64 * 1024 }
    }
}

/// What differs, between two hosts, from the weather everywhere.
#[derive(Debug, Clone, Default)]
pub(super) struct Link {
    pub(super) latency: Option<RangeInclusive<Duration>>,
    pub(super) loss: Option<f64>,
    pub(super) cut: bool,
}

/// All links. A link has no direction: what is set for one holds for the other.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) weather: Weather,
    links: BTreeMap<(usize, usize), Link>,
}

impl Links {
    pub(super) fn new(weather: Weather) -> Self {
        Links { weather, links: BTreeMap::new() }
    }

    pub(super) fn link(&mut self, a: usize, b: usize) -> &mut Link {
        self.links.entry((a.min(b), a.max(b))).or_default()
    }

    pub(super) fn heal_all(&mut self) {
        self.links.values_mut().for_each(|link| link.cut = false);
    }

    fn find(&self, (a, b): (usize, usize)) -> Option<&Link> {
        self.links.get(&(a.min(b), a.max(b)))
    }

    pub(super) fn is_cut(&self, hosts: (usize, usize)) -> bool {
        self.find(hosts).is_some_and(|link| link.cut)
    }

    /// Does nothing get through?
    pub(super) fn is_dead(&self, hosts: (usize, usize)) -> bool {
        self.is_cut(hosts) || self.loss(hosts) >= 1.0
    }

    /// How long to wait for an answer before asking again, in nanoseconds, after so many attempts.
    pub(super) fn pause(&self, hosts: (usize, usize), patience: Duration, attempts: u32) -> u64 {
        let (_, slowest) = self.latency(hosts);
        let first = (patience.as_nanos() as u64).max(slowest.saturating_mul(2));
        first.saturating_mul(1 << attempts).min(LONGEST_PAUSE)
    }

    /// The shortest and the longest time that a packet takes, in nanoseconds. Inside a host it
    /// takes none, unless that was set.
    pub(super) fn latency(&self, hosts: (usize, usize)) -> (u64, u64) {
        let set = self.find(hosts).and_then(|link| link.latency.as_ref());
        let range = match set {
            None if hosts.0 == hosts.1 => return (0, 0),
            None => &self.weather.latency,
            Some(range) => range,
        };
        let nanoseconds = |time: &Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        (nanoseconds(range.start()), nanoseconds(range.end()))
    }

    pub(super) fn loss(&self, hosts: (usize, usize)) -> f64 {
        match self.find(hosts).and_then(|link| link.loss) {
            None if hosts.0 == hosts.1 => 0.0,
            None => self.weather.loss,
            Some(loss) => loss,
        }
    }
}
