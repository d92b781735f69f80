//! A timer fires once or is disarmed, and is left alone by everybody afterwards.
//!
//! That nobody touches a timer after it was let go shows when it is armed again: the model sees
//! two threads in its node.

use std::pin::Pin;
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize as StdAtomicUsize, Ordering as StdOrdering};
use std::task::{RawWaker, RawWakerVTable, Wake, Waker};
use std::time::Duration;

use super::common::explore_all;
use crate::driver::clock::Instant;
use crate::driver::timers::{Bell, Timer, Timers};
use crate::sys::{Arc, UnsafeCell, thread};

/// Counts its wakes; nothing in a model depends on when.
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

/// A timer and those who keep it.
struct World {
    timers: Timers,
    timer: Pin<Box<Timer>>,
}

impl World {
    fn armed(timers: Timers, at: Instant, waker: &StdArc<Count>) -> Arc<Self> {
        let world = World { timers, timer: Box::pin(Timer::new()) };
        world.arm(at, waker);
        Arc::new(world)
    }

    fn arm(&self, at: Instant, waker: &StdArc<Count>) -> bool {
        self.timers.arm(0, self.timer.as_ref(), at, Waker::from(waker.clone()))
    }

    fn fire(&self, now: Instant) {
        self.timers.fire(now, &mut Waker::wake);
    }

    fn disarm(&self) {
        self.timers.disarm(self.timer.as_ref());
    }
}

fn milliseconds(count: u64) -> Instant {
    Instant::from_nanoseconds(count * 1_000_000)
}

/// A timer is disarmed while it fires, and armed again in another structure. Breaks if
/// `Link::fired` takes the waker after the store.
#[test]
fn disarmed_timer_fires_or_not_and_is_free() {
    explore_all(|| {
        let count = StdArc::new(Count::default());
        let world = World::armed(Timers::new(0), milliseconds(1), &count);
        let owner = thread::spawn({
            let (world, count) = (world.clone(), count.clone());
            move || {
                world.disarm();
                let fired = world.timer.fired();
                world.arm(milliseconds(90), &count);
                fired
            }
        });
        world.fire(milliseconds(1));
        let fired = owner.join().unwrap();
        assert_eq!(count.get(), usize::from(fired));
        world.disarm();
        assert_eq!(StdArc::strong_count(&count), 1);
    });
}

/// A future is polled with another waker while its timer fires. Breaks if `Timers::exchange`
/// lets go of the lock before it looks.
#[test]
fn fired_or_the_new_waker_is_woken() {
    explore_all(|| {
        let [old, new] = [(); 2].map(|()| StdArc::new(Count::default()));
        let world = World::armed(Timers::exact(), milliseconds(1), &old);
        let theirs = thread::spawn({
            let world = world.clone();
            move || world.fire(milliseconds(1))
        });
        world.timers.update_waker(world.timer.as_ref(), &Waker::from(new.clone()));
        let seen = world.timer.fired();
        theirs.join().unwrap();
        assert!(seen || new.get() == 1);
        assert_eq!(old.get() + new.get(), 1);
    });
}

/// A timer is disarmed while it moves from its bucket to the heap. Breaks if
/// `Timers::leave_bucket` does not look at the place again under the lock.
#[test]
fn moving_timer_is_disarmed() {
    explore_all(|| {
        let count = StdArc::new(Count::default());
        let world = World::armed(Timers::new(0), milliseconds(20), &count);
        let theirs = thread::spawn({
            let world = world.clone();
            move || world.fire(milliseconds(20) - Duration::from_micros(1))
        });
        world.disarm();
        assert!(!world.timer.is_armed());
        theirs.join().unwrap();
        world.fire(milliseconds(100));
        assert_eq!(count.get(), 0);
        assert_eq!(world.timers.next(), None);
    });
}

/// Two threads fire. Breaks if `Timers::take_due` asks whether the first timer is due in one hold
/// of the lock and takes it in the next.
#[test]
fn two_firers_fire_what_is_due_once() {
    explore_all(|| {
        let [due, later] = [(); 2].map(|()| StdArc::new(Count::default()));
        let world = World::armed(Timers::exact(), milliseconds(1), &due);
        let other = Box::pin(Timer::new());
        let waker = Waker::from(later.clone());
        world.timers.arm(0, other.as_ref(), milliseconds(2), waker);
        let theirs = thread::spawn({
            let world = world.clone();
            move || world.fire(milliseconds(1))
        });
        world.fire(milliseconds(1));
        theirs.join().unwrap();
        assert_eq!((due.get(), later.get()), (1, 0));
        world.timers.disarm(other.as_ref());
    });
}

/// A timer is armed while another thread fires: its moment must not be forgotten. Breaks if
/// `Timers::take_due` publishes the earliest deadline after it has let go of the lock.
#[test]
fn armed_timer_is_announced() {
    explore_all(|| {
        let count = StdArc::new(Count::default());
        let world = World::armed(Timers::exact(), milliseconds(1), &count);
        let theirs = thread::spawn({
            let world = world.clone();
            move || world.fire(milliseconds(1))
        });
        let other = Box::pin(Timer::new());
        let waker = Waker::from(count.clone());
        world.timers.arm(0, other.as_ref(), milliseconds(2), waker);
        theirs.join().unwrap();
        assert_eq!(world.timers.next(), Some(milliseconds(2)));
        world.timers.disarm(other.as_ref());
    });
}

/// The same for the buckets. Breaks if `Timers::inspect` publishes the next inspection after it
/// has let go of the lock.
#[test]
fn timer_armed_during_an_inspection_is_announced() {
    explore_all(|| {
        let count = StdArc::new(Count::default());
        let world = World::armed(Timers::new(0), milliseconds(20), &count);
        world.disarm();
        let theirs = thread::spawn({
            let world = world.clone();
            move || world.fire(milliseconds(20))
        });
        world.arm(milliseconds(70), &count);
        theirs.join().unwrap();
        assert!(world.timers.next().is_some_and(|next| next <= milliseconds(70)));
        world.disarm();
    });
}

/// A timer is armed again while it fires, by an owner who does not ask whether it has. Breaks if
/// the exchange in `Timer::claim` is relaxed.
#[test]
fn fired_timer_is_armed_again() {
    explore_all(|| {
        let count = StdArc::new(Count::default());
        let world = World::armed(Timers::new(0), milliseconds(1), &count);
        let owner = thread::spawn({
            let (world, count) = (world.clone(), count.clone());
            // In another structure, under another lock.
            move || world.arm(milliseconds(90), &count)
        });
        world.fire(milliseconds(1));
        owner.join().unwrap();
        assert!(world.timer.is_armed());
        world.disarm();
        assert_eq!(StdArc::strong_count(&count), 1);
    });
}

/// A timer is armed for `at` while its runtime ends: it fires all the same.
fn armed_while_all_are_abandoned(timers: fn() -> Timers, at: Instant) {
    explore_all(move || {
        let count = StdArc::new(Count::default());
        let world = Arc::new(World { timers: timers(), timer: Box::pin(Timer::new()) });
        let owner = thread::spawn({
            let (world, count) = (world.clone(), count.clone());
            move || world.arm(at, &count)
        });
        world.timers.abandon();
        owner.join().unwrap();
        assert!(world.timer.fired());
        assert_eq!((count.get(), StdArc::strong_count(&count)), (1, 1));
    });
}

/// Breaks if `Timers::abandon` does not lock the heap after it has fired.
#[test]
fn near_timer_learns_of_the_end() {
    armed_while_all_are_abandoned(Timers::exact, milliseconds(1));
}

/// Breaks if `Timers::abandon` does not close the slots.
#[test]
fn far_timer_learns_of_the_end() {
    armed_while_all_are_abandoned(|| Timers::new(0), milliseconds(90));
}

/// What a waker stands for, and whose owner may free it.
struct Target(UnsafeCell<u32>);

// SAFETY: the model sees who is in the cell.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

/// The functions of a lent waker of a `Target`; a counted one wakes nobody.
static LENT: RawWakerVTable = RawWakerVTable::new(
    |data| {
        // SAFETY: a target, which the model keeps until its end.
        unsafe { &*data.cast::<Target>() }.0.with(|_| ());
        let counted = Waker::noop();
        RawWaker::new(counted.data(), counted.vtable())
    },
    |_| panic!("what is not counted is woken"),
    |_| panic!("what is not counted is woken"),
    |_| panic!("what is not counted is dropped"),
);

/// A timer whose waker is lent fires while its owner disarms it, and frees what the waker stands
/// for. Breaks if `Link::fired` makes a counted waker after the store.
#[test]
fn lent_waker_is_not_needed_afterwards() {
    loom::model(|| {
        let target = Arc::new(Target(UnsafeCell::new(0)));
        let world = Arc::new(World { timers: Timers::exact(), timer: Box::pin(Timer::new()) });
        let data = std::ptr::from_ref(&*target).cast();
        // SAFETY: as the house's wakers are: clones may outlive the first one.
        let waker = std::mem::ManuallyDrop::new(unsafe { Waker::new(data, &LENT) });
        // SAFETY: `target` is there until the timer has been disarmed.
        let bell = unsafe { Bell::lent(&waker) };
        world.timers.arm(0, world.timer.as_ref(), milliseconds(1), bell);
        let owner = thread::spawn({
            let (world, target) = (world.clone(), target.clone());
            move || {
                world.disarm();
                target.0.with_mut(|_| ());
            }
        });
        world.fire(milliseconds(1));
        owner.join().unwrap();
    });
}
