//! Readiness: an event between "would block" and the wait is not lost, nor is the reactor's end.

use std::os::fd::BorrowedFd;
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize as StdAtomicUsize, Ordering as StdOrdering};
use std::task::{Wake, Waker};

use super::poll::Reactor;
use super::source::{Origin, Readiness, Source, Spot, Way};
use super::waiters::Ticket;
use crate::loom_tests::common::explore;
use crate::sys::{Arc, AtomicUsize, Ordering, UnsafeCell, thread};

/// Counts its wakes.
#[derive(Default)]
struct Count(StdAtomicUsize);

impl Wake for Count {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, StdOrdering::Relaxed);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(StdOrdering::Relaxed)
    }
}

/// No socket: nothing here is ever registered with the system.
fn socket() -> BorrowedFd<'static> {
    // SAFETY: standard input is not closed by these models, and nothing is done with it.
    unsafe { BorrowedFd::borrow_raw(0) }
}

/// A reactor with one source in use, and what the system keeps for that socket: the number of
/// bytes that have come. Reading them all is what empties the socket.
struct World {
    reactor: Reactor,
    spot: Spot,
    bytes: AtomicUsize,
    counts: [StdArc<Count>; 2],
}

const READ: Readiness = Readiness { read: true, write: false, wary: false };

impl World {
    fn new() -> Arc<World> {
        let reactor = Reactor::new(1).expect("a poller");
        let spot = reactor.sources().open(0, Origin::Opened);
        let counts = [(); 2].map(|()| StdArc::new(Count::default()));
        Arc::new(World { reactor, spot, bytes: AtomicUsize::new(0), counts })
    }

    fn source(&self) -> &Source {
        &self.spot
    }

    /// The system has received a byte, and says so.
    fn receive(&self) {
        // The system orders its own.
        self.bytes.fetch_add(1, Ordering::AcqRel);
        self.source().deliver(READ).wake();
    }

    /// What `Io::poll_as` does with a read. `None`: it waits.
    fn read(&self, who: usize, ticket: Option<&mut Ticket>) -> Option<usize> {
        let mut ticket = ticket;
        loop {
            let Some(seen) = self.source().ready(Way::Read) else {
                let waker = Waker::from(self.counts[who].clone());
                let ticket = ticket.as_deref_mut();
                let (reactor, way) = (&self.reactor, Way::Read);
                if self.source().wait(reactor, socket(), way, ticket, &waker).unwrap() {
                    return None;
                }
                if self.reactor.is_closed() {
                    return Some(0);
                }
                continue;
            };
            match self.bytes.swap(0, Ordering::AcqRel) {
                0 => self.source().exhausted(Way::Read, seen),
                came => return Some(came),
            }
        }
    }
}

/// A byte comes while a read finds nothing and begins to wait. Breaks if `wait` joins without a
/// look at the word under the lock, if `deliver` takes the waiters before it sets the word, or if
/// `exhausted` does not compare the tick.
#[test]
fn an_event_before_the_wait_is_not_lost() {
    explore(|| {
        let world = World::new();
        let reader = thread::spawn({
            let world = world.clone();
            move || world.read(0, Some(&mut Ticket::default())).is_some()
        });
        world.receive();
        let read = reader.join().unwrap();
        assert!(read || world.counts[0].get() == 1, "it waits, and nobody tells it");
        // Whoever was told finds what there is to find.
        assert!(read || world.read(0, None) == Some(1));
    });
}

/// Two bytes come, and readiness is taken back after the first: not that of the second. Breaks if
/// `drained` does not compare the tick.
#[test]
fn a_short_read_does_not_take_back_what_came_later() {
    explore(|| {
        let world = World::new();
        world.receive();
        let reader = thread::spawn({
            let world = world.clone();
            move || {
                let seen = world.source().ready(Way::Read).unwrap();
                let came = world.bytes.swap(0, Ordering::AcqRel);
                world.source().drained(seen);
                came
            }
        });
        world.receive();
        let came = reader.join().unwrap();
        assert!(came == 2 || world.source().ready(Way::Read).is_some());
    });
}

/// Two read, one byte comes: the one that finds nothing waits on, and the other has the byte.
/// Breaks if the second takes the place of the first.
#[test]
fn two_waiters_are_both_told() {
    explore(|| {
        let world = World::new();
        world.source().exhausted(Way::Read, world.source().seen());
        let readers: Vec<_> = (0..2)
            .map(|who| {
                let world = world.clone();
                thread::spawn(move || world.read(who, Some(&mut Ticket::default())).is_some())
            })
            .collect();
        world.receive();
        let read: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        let told = |who: usize| read[who] || world.counts[who].get() == 1;
        let taken = world.bytes.load(Ordering::Acquire) == 0;
        assert!(told(0) || told(1));
        assert!(taken || told(0) && told(1), "the byte is there, and somebody sleeps over it");
    });
}

/// The reactor ends while somebody begins to wait. Breaks if `wait` does not look whether it has.
#[test]
fn nobody_waits_for_a_reactor_that_has_ended() {
    explore(|| {
        let world = World::new();
        let reader = thread::spawn({
            let world = world.clone();
            move || world.read(0, None).is_some()
        });
        world.reactor.close();
        let read = reader.join().unwrap();
        assert!(read || world.counts[0].get() == 1, "it waits for ever");
        assert_eq!(world.read(1, None), Some(0));
    });
}

/// A waiter gives up while its event comes: its waker is used or dropped, and kept by nobody.
/// Breaks if `leave` overlooks the first place.
#[test]
fn a_waiter_that_gives_up_leaves_nothing_behind() {
    explore(|| {
        let world = World::new();
        let reader = thread::spawn({
            let world = world.clone();
            move || {
                let mut ticket = Ticket::default();
                let read = world.read(0, Some(&mut ticket)).is_some();
                if !read {
                    world.source().leave(Way::Read, ticket);
                }
                read
            }
        });
        world.receive();
        reader.join().unwrap();
        assert_eq!(StdArc::strong_count(&world.counts[0]), 1);
        // And so it is without an event, for the first who waits and for another one.
        let mut ticket = Ticket::default();
        if world.read(0, Some(&mut ticket)).is_none() {
            world.source().leave(Way::Read, ticket);
        }
        assert_eq!(StdArc::strong_count(&world.counts[0]), 1);
        let mut ticket = Ticket::default();
        let _ = world.read(0, None);
        if world.read(0, Some(&mut ticket)).is_none() {
            world.source().leave(Way::Read, ticket);
        }
        assert!(StdArc::strong_count(&world.counts[0]) <= 2, "the passer-by alone");
    });
}

/// A socket is closed, and its place used by another, while an event of the first is delivered: the
/// second begins with readiness, and what it writes down is its own. Breaks if `open` leaves the
/// readiness of the former owner.
#[test]
fn a_late_event_is_an_attempt_too_many() {
    struct Place(UnsafeCell<u32>);
    // SAFETY: one thread at a time owns a spot; that it does is what the model checks.
    unsafe impl Sync for Place {}
    // SAFETY: as above.
    unsafe impl Send for Place {}
    explore(|| {
        let reactor = Arc::new(Reactor::new(1).expect("a poller"));
        let spot = reactor.sources().open(0, Origin::Opened);
        let key = spot.key();
        let place = Arc::new(Place(UnsafeCell::new(0)));
        let late = thread::spawn({
            let reactor = reactor.clone();
            move || reactor.sources().find(key).deliver(READ).wake()
        });
        let other = thread::spawn({
            let (reactor, place) = (reactor.clone(), place.clone());
            move || {
                let spot = reactor.sources().open(0, Origin::Accepted);
                if spot.key() == key {
                    // SAFETY: whoever owns the spot owns the place.
                    place.0.with_mut(|place| unsafe { *place += 1 });
                }
                assert!(spot.ready(Way::Read).is_some() && spot.ready(Way::Write).is_some());
                reactor.sources().close(spot);
            }
        });
        // SAFETY: as above.
        place.0.with_mut(|place| unsafe { *place += 1 });
        reactor.sources().close(spot);
        late.join().unwrap();
        other.join().unwrap();
    });
}
