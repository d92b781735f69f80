//! What a test does to the simulated network: hosts, links, and what goes wrong with them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Range, RangeInclusive};
use std::panic::Location;
use std::time::Duration;

use crate::error::Outcome;
use crate::runtime::Handle;
use crate::runtime::handle::Which;
use crate::runtime::simulation::Simulation;
use crate::simulated::Network;
use crate::sys::Arc;
use crate::task::handle::Task;

/// The world of the present simulation.
#[track_caller]
fn world() -> Arc<Simulation> {
    Handle::with_current(|handle| match &*handle.0 {
        Which::Sim(world) => world.clone(),
        _ => panic!("this is no simulation: hosts and links are the world's own"),
    })
}

/// Moves the clock on, all at once, as if the whole world had been suspended.
///
/// Timers whose moment has passed meanwhile go off behind what is ready now, in the order of their
/// moments, and what was on its way on the network has arrived.
///
/// # Panics
/// Outside a simulation.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use filch::{sim, sleep, timeout};
///
/// sim::run(0, async {
///     let hour = Duration::from_secs(3600);
///     let task = filch::spawn(timeout(hour, sleep(2 * hour)));
///     filch::yield_now().await;
///     sim::jump(3 * hour);
///     assert!(task.await.unwrap_err().is_timeout()); // though the sleep is over by now, too
///     Ok(())
/// }).unwrap();
/// ```
#[track_caller]
pub fn jump(time: Duration) {
    world().jump(time);
}

/// Returns the simulated host of that name, which is made if there is none.
///
/// A host has an address of its own, the next one from 10.0.0.1 on; a name that is an address is
/// itself the address. The main task runs on the host `main`.
///
/// # Panics
/// Outside a simulation.
///
/// # Examples
///
/// ```
/// use filch::net::{TcpListener, TcpStream};
/// use filch::sim;
///
/// sim::run(0, async {
///     let server = sim::host("server");
///     let listener = server.spawn(async { Ok(TcpListener::bind("0.0.0.0:80").await?) }).await?;
///     let stream = TcpStream::connect("server:80").await?;
///     assert_eq!(stream.peer_addr()?.ip(), server.address());
///     assert_eq!(stream.local_addr()?.ip(), sim::host("main").address());
///     drop(listener);
///     Ok(())
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn host(name: impl AsRef<str>) -> Host {
    let (world, name) = (world(), name.as_ref());
    assert!(name != "localhost", "every host is `localhost` to itself");
    let index = world.network().host(name);
    Host::new(world, index)
}

/// Returns the simulated host of that name and address, which is made if there is none.
///
/// # Panics
/// Outside a simulation; and if one host has the name and another the address.
#[track_caller]
pub fn host_at(name: impl AsRef<str>, address: impl Into<IpAddr>) -> Host {
    let (world, name, address) = (world(), name.as_ref(), address.into());
    assert!(name != "localhost", "every host is `localhost` to itself");
    let index = world.network().host_at(name, address);
    let index = index.unwrap_or_else(|| panic!("{name} and {address} are two hosts"));
    Host::new(world, index)
}

/// Returns the network of this simulation.
///
/// # Panics
/// Outside a simulation.
#[track_caller]
pub fn net() -> Net {
    Net { world: world() }
}

/// Draws a number from a range, by the seed of this simulation: for faults at random moments, and
/// for choices that a program would leave to chance.
///
/// # Panics
/// Outside a simulation, and if the range is empty.
///
/// # Examples
///
/// ```
/// use filch::sim;
///
/// let throw = || sim::run(7, async { Ok(sim::random(1..7)) }).unwrap();
/// assert_eq!(throw(), throw());
/// ```
#[track_caller]
pub fn random(range: Range<u64>) -> u64 {
    assert!(!range.is_empty(), "nothing can be drawn from an empty range");
    world().draw(range.start, range.end - 1)
}

/// A machine on the simulated network, from [`host`].
///
/// What is spawned on it, and what that spawns in turn, runs there: its sockets have this host's
/// address, and `localhost` is this host. Callbacks are called on the host whose code registered
/// them.
#[derive(Clone)]
pub struct Host {
    world: Arc<Simulation>,
    index: usize,
    name: String,
    address: IpAddr,
}

impl Host {
    fn new(world: Arc<Simulation>, index: usize) -> Self {
        let (name, address) = world.network().name_and_address(index);
        Host { world, index, name, address }
    }

    /// Returns the host that this runs on.
    ///
    /// # Panics
    /// Outside a simulation.
    #[track_caller]
    pub fn current() -> Host {
        let world = world();
        let index = world.here();
        Host::new(world, index)
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Starts a task on this host; see [`spawn`](crate::spawn).
    #[track_caller]
    #[must_use = "a task that is not kept runs on detached: say so with `detach`"]
    pub fn spawn<F, T>(&self, future: F) -> Task<T>
    where
        F: Future<Output: Outcome<Value = T>> + Send + 'static,
        T: Send + 'static,
    {
        let location = Location::caller();
        let handle = Handle(Arc::new(Which::Sim(self.world.clone())));
        self.world.on(self.index, || handle.start(future, location))
    }

    /// Has this host stand still, as a process does that is stopped, swapped out, or on a machine
    /// that is moved: none of its tasks runs, and none of its callbacks, before `time` has passed.
    ///
    /// The others go on, and so does the clock: what was to happen here meanwhile happens
    /// afterwards, all at once. A host that stands still already does so until the later moment;
    /// with [`Duration::MAX`] it never goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use filch::time::Instant;
    /// use filch::{sim, sleep};
    ///
    /// sim::run(0, async {
    ///     let server = sim::host("server");
    ///     let nap = server.spawn(sleep(Duration::from_secs(1)));
    ///     server.pause(Duration::from_secs(60));
    ///     let begun = Instant::now();
    ///     nap.await?;
    ///     assert_eq!(begun.elapsed(), Duration::from_secs(60));
    ///     Ok(())
    /// }).unwrap();
    /// ```
    pub fn pause(&self, time: Duration) {
        self.world.pause(self.index, time);
    }

    /// Pulls the plug and puts it in again: all tasks of this host are dropped where they stand,
    /// without clean-up, and its sockets are gone without a word to their peers.
    ///
    /// So are the callbacks that its code has registered, on whatever task or promise, or for
    /// whatever moment: they are dropped, and never called. Callbacks that others have registered
    /// on its tasks are called, as these have ended. What a destructor starts or registers while
    /// the host crashes is gone, too.
    ///
    /// A peer that sends something later, or waits for room to send, is answered by a reset; one
    /// that only waits to read learns nothing. Whoever is just connecting is refused, or gets to
    /// who listens here by then. What is spawned here afterwards runs on the restarted host.
    ///
    /// # Panics
    /// If this is the host that the call comes from, or the main task's.
    pub fn crash(&self) {
        assert!(self.index != 0, "the main task's host cannot crash: the run would be over");
        assert!(self.index != self.world.here(), "a host cannot crash itself");
        self.world.crash(self.index);
    }
}

impl AsRef<str> for Host {
    fn as_ref(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("name", &self.name).field("address", &self.address).finish()
    }
}

/// The simulated network, from [`net`].
///
/// Hosts are named by their names, their addresses as texts, or as [`Host`]s; they must be there
/// already.
#[derive(Clone)]
pub struct Net {
    world: Arc<Simulation>,
}

impl Net {
    fn network(&self) -> &Network {
        self.world.network()
    }

    #[track_caller]
    fn find(&self, host: &str) -> usize {
        let found = self.network().find_host(host);
        found.unwrap_or_else(|| panic!("no simulated host is named {host}"))
    }

    /// Returns the link between two hosts; between a host and itself, it is its loopback.
    ///
    /// # Panics
    /// If there is no such host.
    #[track_caller]
    pub fn link(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> Link {
        let (a, b) = (self.find(a.as_ref()), self.find(b.as_ref()));
        Link { net: self.clone(), a, b }
    }

    /// Sets how long packets take between hosts, wherever nothing else is set for their link.
    /// Each packet's time is drawn from the range.
    ///
    /// # Panics
    /// If the range is empty.
    #[track_caller]
    pub fn set_latency(&self, latency: RangeInclusive<Duration>) {
        check_latency(&latency);
        self.network().set_latency(None, latency);
    }

    /// Sets which part of the packets is lost between hosts, wherever nothing else is set for
    /// their link: 0.1 is one in ten.
    ///
    /// A lost packet is sent again, later and later each time, and those behind it wait for it.
    /// Loss is delay, therefore, until too many attempts in a row have failed: then the connection
    /// ends with [`TimedOut`](std::io::ErrorKind::TimedOut). Resets, and word of what was read, are
    /// lost only where everything is.
    ///
    /// # Panics
    /// If it is not between 0 and 1.
    #[track_caller]
    pub fn set_loss(&self, loss: f64) {
        check_loss(loss);
        self.network().set_loss(None, loss);
    }

    /// Cuts the link between two hosts: nothing gets through until it is [healed](Net::heal), not
    /// even what was on its way.
    ///
    /// Nobody is told. Who sends, or waits for room to send, tries again and again, and after a
    /// quarter of an hour gets [`TimedOut`](std::io::ErrorKind::TimedOut); who connects gets it
    /// after two minutes; who only waits to read waits for ever.
    ///
    /// # Panics
    /// If there is no such host.
    #[track_caller]
    pub fn partition(&self, a: impl AsRef<str>, b: impl AsRef<str>) {
        self.link(a, b).cut();
    }

    /// Heals the link between two hosts. What is still wanted gets through at the next attempt.
    ///
    /// # Panics
    /// If there is no such host.
    #[track_caller]
    pub fn heal(&self, a: impl AsRef<str>, b: impl AsRef<str>) {
        self.link(a, b).heal();
    }

    /// Cuts all links from a host to the others that there are.
    ///
    /// # Panics
    /// If there is no such host.
    #[track_caller]
    pub fn isolate(&self, host: impl AsRef<str>) {
        self.network().isolate(self.find(host.as_ref()), true);
    }

    /// Heals all links from a host to others.
    ///
    /// # Panics
    /// If there is no such host.
    #[track_caller]
    pub fn rejoin(&self, host: impl AsRef<str>) {
        self.network().isolate(self.find(host.as_ref()), false);
    }

    /// Heals all links.
    pub fn heal_all(&self) {
        self.network().heal_all();
    }

    /// Has attempts to connect to that address refused from now on, whoever listens there.
    pub fn refuse(&self, address: SocketAddr) {
        self.network().refuse(address, true);
    }

    /// Takes [`refuse`](Net::refuse) back.
    pub fn admit(&self, address: SocketAddr) {
        self.network().refuse(address, false);
    }

    /// Returns the open connections: the address of who connected, and that of who accepted. One
    /// that is broken off at both ends is none, and neither is one that nobody holds any more.
    pub fn connections(&self) -> Vec<(SocketAddr, SocketAddr)> {
        self.network().connections()
    }

    /// Breaks off the connection between these two addresses, in either order: both ends get
    /// [`ConnectionReset`](std::io::ErrorKind::ConnectionReset) at once. Returns whether there
    /// was one. A loopback address means that of every host.
    pub fn reset(&self, a: SocketAddr, b: SocketAddr) -> bool {
        self.network().reset(|ends, _| ends == [a, b] || ends == [b, a]) > 0
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("connections", &self.connections()).finish()
    }
}

/// What lies between two hosts, from [`Net::link`]; the same in both directions.
#[derive(Debug, Clone)]
pub struct Link {
    net: Net,
    a: usize,
    b: usize,
}

impl Link {
    /// Sets how long packets take here; see [`Net::set_latency`].
    ///
    /// # Panics
    /// If the range is empty.
    #[track_caller]
    pub fn set_latency(&self, latency: RangeInclusive<Duration>) {
        check_latency(&latency);
        self.net.network().set_latency(Some((self.a, self.b)), latency);
    }

    /// Sets which part of the packets is lost here; see [`Net::set_loss`].
    ///
    /// # Panics
    /// If it is not between 0 and 1.
    #[track_caller]
    pub fn set_loss(&self, loss: f64) {
        check_loss(loss);
        self.net.network().set_loss(Some((self.a, self.b)), loss);
    }

    /// Cuts it; see [`Net::partition`].
    pub fn cut(&self) {
        self.net.network().set_cut(self.a, self.b, true);
    }

    /// Heals it; see [`Net::heal`].
    pub fn heal(&self) {
        self.net.network().set_cut(self.a, self.b, false);
    }

    /// Returns whether it is cut.
    pub fn is_cut(&self) -> bool {
        self.net.network().is_cut(self.a, self.b)
    }

    /// Breaks off all connections between the two hosts; see [`Net::reset`]. Returns how many
    /// there were.
    pub fn reset(&self) -> usize {
        let (a, b) = (self.a, self.b);
        self.net.network().reset(|_, hosts| hosts == (a, b) || hosts == (b, a))
    }
}

#[track_caller]
pub(super) fn check_latency(latency: &RangeInclusive<Duration>) {
    assert!(!latency.is_empty(), "no latency lies in an empty range");
}

#[track_caller]
pub(super) fn check_loss(loss: f64) {
    assert!((0.0..=1.0).contains(&loss), "a part lies between 0 and 1");
}
