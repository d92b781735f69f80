//! Every timer fires once, at its moment, unless it was disarmed.
//!
//! LOOP-04, LOOP-05, LOOP-07.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::task::Wake;

use super::*;

const MILLISECOND: u64 = 1_000_000;

/// Counts its wakes and knows by its strong count who still holds it.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn at(nanoseconds: u64) -> Instant {
    Instant::from_nanoseconds(nanoseconds)
}

fn timers(count: usize) -> Vec<Pin<Box<Timer>>> {
    (0..count).map(|_| Box::pin(Timer::new())).collect()
}

fn fire(timers: &Timers, now: u64) -> usize {
    let mut fired = 0;
    timers.fire(at(now), &mut |waker| {
        fired += 1;
        waker.wake();
    });
    fired
}

/// Fires at each moment `next` names, as an idle worker does, until `end`.
fn run_until(timers: &Timers, end: u64, mut look: impl FnMut(u64)) {
    while let Some(next) = timers.next().filter(|next| next.nanoseconds() <= end) {
        fire(timers, next.nanoseconds());
        look(next.nanoseconds());
    }
}

#[test]
fn every_timer_fires_at_its_moment_and_none_before() {
    let lengths = [0, 1, 3, 5, 40, 70, 300, 5_000, 70_000, 3_600_000, 1 << 40];
    let all = Timers::new(1);
    let nodes = timers(lengths.len());
    for (node, length) in nodes.iter().zip(lengths) {
        all.arm(0, node.as_ref(), at(length * MILLISECOND), Waker::noop().clone());
    }
    run_until(&all, u64::MAX - 1, |now| {
        for (node, length) in nodes.iter().zip(lengths) {
            assert_eq!(node.fired(), length * MILLISECOND <= now, "{length} ms at {now} ns");
        }
    });
    assert!(nodes.iter().all(|node| node.fired() && !node.is_armed()));
    assert_eq!(all.next(), None);
}

#[test]
fn far_timer_is_looked_at_once_per_level() {
    let all = Timers::new(1);
    let node = Box::pin(Timer::new());
    all.arm(0, node.as_ref(), at(3_600_000 * MILLISECOND), Waker::noop().clone());
    let mut looks = 0;
    run_until(&all, u64::MAX - 1, |_| looks += 1);
    assert!(node.fired());
    assert!(looks <= 5, "{looks} looks");
}

#[test]
fn who_settles_before_a_sleep_is_woken_once_for_what_comes_soon() {
    let all = Timers::new(1);
    let nodes = timers(3);
    let arm = |node: usize, length: u64| {
        all.arm(node % 2, nodes[node].as_ref(), at(length * MILLISECOND), Waker::noop().clone())
    };
    assert!(arm(0, 50) && all.next() < Some(at(50 * MILLISECOND)));
    all.settle(at(0));
    assert_eq!(all.next(), Some(at(50 * MILLISECOND)));
    // Whoever sleeps until then is told of another one, wherever that is kept.
    assert!(arm(1, 20));
    all.settle(at(0));
    assert_eq!(all.next(), Some(at(20 * MILLISECOND)));
    arm(2, 3_600_000);
    assert_eq!(fire(&all, 20 * MILLISECOND), 1);
    assert_eq!(all.next(), Some(at(50 * MILLISECOND)));
    assert_eq!(fire(&all, 50 * MILLISECOND), 1);
    // What is far away stays in its bucket, and is not in the way of what comes before.
    let inspection = all.next();
    all.settle(at(50 * MILLISECOND));
    assert!(all.next() == inspection && inspection < Some(at(3_600_000 * MILLISECOND)));
    nodes.iter().for_each(|node| all.disarm(node.as_ref()));
}

#[test]
#[cfg_attr(miri, ignore = "takes long, and there is nothing unsafe that others do not do")]
fn timeouts_that_never_pass_take_no_more_room_with_time() {
    const PATIENCE: u64 = 10_000 * MILLISECOND;
    let all = Timers::new(1);
    let nodes = timers(12);
    let live_through = |span: std::ops::Range<u64>| {
        for now in span.step_by(100).map(|since| since * MILLISECOND) {
            fire(&all, now);
            for node in &nodes {
                all.arm(0, node.as_ref(), at(now + PATIENCE), Waker::noop().clone());
            }
            nodes.iter().for_each(|node| all.disarm(node.as_ref()));
        }
        all.slots[0].inside.lock().room()
    };
    // Of each level that these reach, a bucket has been used.
    let early = live_through(0..300_000);
    assert!(early >= nodes.len());
    assert_eq!(live_through(300_000..3_000_000), early, "room for timers, after a while");
}

#[test]
fn exact_fires_equal_deadlines_in_the_order_of_arming() {
    let all = Timers::exact();
    let nodes = timers(100);
    let order = Arc::new(Mutex::new(Vec::new()));
    struct Note(usize, Arc<Mutex<Vec<usize>>>);
    impl Wake for Note {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }
    for (index, node) in nodes.iter().enumerate() {
        let moment = at((index as u64 % 3) * 1_000 * MILLISECOND);
        let waker = Waker::from(Arc::new(Note(index, order.clone())));
        all.arm(0, node.as_ref(), moment, waker);
    }
    assert_eq!(all.next(), Some(at(0)));
    fire(&all, 2_000 * MILLISECOND);
    let mut expected: Vec<usize> = (0..100).collect();
    expected.sort_by_key(|index| index % 3);
    assert_eq!(*order.lock().unwrap(), expected);
    assert_eq!(all.next(), None);
}

#[test]
fn exact_forgets_the_moment_of_a_disarmed_timer() {
    let all = Timers::exact();
    let nodes = timers(2);
    all.arm(0, nodes[0].as_ref(), at(5), Waker::noop().clone());
    all.arm(0, nodes[1].as_ref(), at(7), Waker::noop().clone());
    all.disarm(nodes[0].as_ref());
    assert_eq!(all.next(), Some(at(7)));
    all.disarm(nodes[1].as_ref());
    assert_eq!(all.next(), None);
}

#[test]
fn never_is_armed_and_never_fires() {
    let all = Timers::new(1);
    let node = Box::pin(Timer::new());
    let count = Arc::new(Count::default());
    assert!(!all.arm(0, node.as_ref(), Instant::NEVER, Waker::from(count.clone())));
    assert!(node.is_armed() && !node.fired());
    assert_eq!(all.next(), None);
    all.update_waker(node.as_ref(), Waker::noop());
    assert_eq!(fire(&all, u64::MAX - 2), 0);
    all.disarm(node.as_ref());
    all.disarm(node.as_ref());
    assert!(!node.is_armed() && !node.fired());
    all.arm(0, node.as_ref(), at(1), Waker::noop().clone());
    assert_eq!(fire(&all, 1), 1);
}

#[test]
fn what_is_armed_when_all_are_abandoned_fires_at_once() {
    for moment in [1, MILLISECOND, 3_600_000 * MILLISECOND] {
        let all = Timers::new(1);
        let count = Arc::new(Count::default());
        let nodes = timers(2);
        let arm = |node: &Pin<Box<Timer>>| {
            all.arm(0, node.as_ref(), at(moment), Waker::from(count.clone()))
        };
        arm(&nodes[0]);
        assert!(!all.are_abandoned() && !nodes[0].fired());
        all.abandon();
        assert!(all.are_abandoned() && nodes[0].fired());
        assert!(!arm(&nodes[1]));
        assert!(nodes[1].fired());
        assert_eq!((all.next(), count.0.load(Ordering::Relaxed)), (None, 2));
    }
}

#[test]
fn disarming_drops_the_waker_and_the_timer_stays_silent() {
    for moment in [MILLISECOND, 50 * MILLISECOND, 3_600_000 * MILLISECOND] {
        let all = Timers::new(1);
        let node = Box::pin(Timer::new());
        let count = Arc::new(Count::default());
        all.arm(0, node.as_ref(), at(moment), Waker::from(count.clone()));
        all.disarm(node.as_ref());
        assert_eq!(Arc::strong_count(&count), 1);
        assert_eq!(fire(&all, u64::MAX - 1), 0);
        assert!(!node.fired());
        assert_eq!(all.next(), None, "looked at once, nothing is left");
    }
}

#[test]
fn arming_again_moves_the_timer() {
    let all = Timers::new(1);
    let node = Box::pin(Timer::new());
    for moment in [90_000, 2, 70, Instant::NEVER.nanoseconds() / MILLISECOND, 40] {
        all.arm(0, node.as_ref(), at(moment * MILLISECOND), Waker::noop().clone());
    }
    assert_eq!(fire(&all, 40 * MILLISECOND - 1), 0);
    assert_eq!(fire(&all, 40 * MILLISECOND), 1);
    all.arm(0, node.as_ref(), at(90 * MILLISECOND), Waker::noop().clone());
    assert!(!node.fired());
    assert_eq!(fire(&all, 90_000 * MILLISECOND), 1);
}

#[test]
fn updated_waker_is_the_one_that_is_woken() {
    for moment in [MILLISECOND, 50 * MILLISECOND] {
        let all = Timers::new(1);
        let node = Box::pin(Timer::new());
        let (old, new) = (Arc::new(Count::default()), Arc::new(Count::default()));
        all.arm(0, node.as_ref(), at(moment), Waker::from(old.clone()));
        all.update_waker(node.as_ref(), &Waker::from(new.clone()));
        assert_eq!(Arc::strong_count(&old), 1);
        fire(&all, moment);
        assert_eq!(new.0.load(Ordering::Relaxed), 1);
        all.update_waker(node.as_ref(), &Waker::from(old.clone()));
        assert_eq!(Arc::strong_count(&old), 1, "a fired timer keeps nothing");
    }
}

#[test]
fn arming_says_when_the_next_moment_gets_earlier() {
    let all = Timers::new(1);
    let nodes = timers(4);
    let arm = |index: usize, moment| {
        all.arm(0, nodes[index].as_ref(), at(moment * MILLISECOND), Waker::noop().clone())
    };
    assert!(arm(0, 50_000));
    assert!(!arm(1, 90_000));
    assert!(arm(2, 20));
    assert!(arm(3, 1));
    nodes.iter().for_each(|node| all.disarm(node.as_ref()));
}

#[test]
fn panicking_sink_does_not_silence_the_others() {
    let all = Timers::exact();
    let nodes = timers(3);
    nodes.iter().for_each(|node| {
        all.arm(0, node.as_ref(), at(1), Waker::noop().clone());
    });
    /// Counts its drop, and panics there.
    struct Payload(Arc<Count>);
    impl Drop for Payload {
        fn drop(&mut self) {
            self.0.0.fetch_add(1, Ordering::Relaxed);
            std::panic::resume_unwind(Box::new("again"));
        }
    }
    let (mut calls, dropped) = (0, Arc::new(Count::default()));
    all.fire(at(1), &mut |_| {
        calls += 1;
        if calls < 3 {
            std::panic::resume_unwind(Box::new(Payload(dropped.clone())));
        }
    });
    assert_eq!(calls, 3);
    assert_eq!(dropped.0.load(Ordering::Relaxed), 2, "what the panics carried is dropped");
}

/// A random number of random magnitude.
fn up_to(random: &mut fastrand::Rng, bits: u32) -> u64 {
    let magnitude = random.u32(1..bits);
    random.u64(..1 << magnitude)
}

/// Random arming, disarming and passing of time, compared with a sorted set.
#[test]
fn any_program_fires_what_a_sorted_set_would() {
    let (rounds, steps) = if cfg!(miri) { (3, 200) } else { (200, 2_000) };
    for seed in 0..rounds {
        let mut random = fastrand::Rng::with_seed(seed);
        let all = if seed % 4 == 0 { Timers::exact() } else { Timers::new(2) };
        let nodes = timers(50);
        let mut armed = BTreeSet::new();
        let mut deadlines = vec![None::<u64>; nodes.len()];
        let mut now = up_to(&mut random, 50);
        for _ in 0..steps {
            let index = random.usize(..nodes.len());
            let node = nodes[index].as_ref();
            if let Some(before) = deadlines[index].take() {
                armed.remove(&(before, index));
            }
            if random.u8(..4) == 0 {
                all.disarm(node);
            } else {
                let moment = now + up_to(&mut random, 45);
                all.arm(random.usize(..4), node, at(moment), Waker::noop().clone());
                armed.insert((moment, index));
                deadlines[index] = Some(moment);
            }
            if random.u8(..4) == 0 {
                now += up_to(&mut random, 42);
                let due = armed.iter().take_while(|entry| entry.0 <= now).count();
                assert_eq!(fire(&all, now), due, "seed {seed}");
                for _ in 0..due {
                    let (_, index) = armed.pop_first().unwrap();
                    assert!(nodes[index].fired());
                    deadlines[index] = None;
                }
            }
            if random.u8(..8) == 0 {
                all.settle(at(now));
            }
            let first = armed.first().map(|entry| at(entry.0));
            assert!(first.is_none() || all.next() <= first, "seed {seed}");
        }
        nodes.iter().for_each(|node| all.disarm(node.as_ref()));
    }
}

/// Two threads arm and disarm, a third one lets time pass and fires: nothing is lost or doubled.
#[test]
fn threads_agree_on_every_timer() {
    let steps = if cfg!(miri) { 100 } else { 50_000 };
    let all = Timers::new(1);
    let (now, over) = (AtomicU64::new(0), AtomicUsize::new(0));
    let work = |slot: usize| {
        let mut random = fastrand::Rng::with_seed(slot as u64);
        let nodes = timers(64);
        let count = Arc::new(Count::default());
        let mut fired = 0;
        for _ in 0..steps {
            let node = nodes[random.usize(..nodes.len())].as_ref();
            all.disarm(node);
            fired += usize::from(node.fired());
            let moment = now.load(Ordering::Relaxed) + up_to(&mut random, 36);
            all.arm(slot, node, at(moment), Waker::from(count.clone()));
        }
        nodes.iter().for_each(|node| {
            all.disarm(node.as_ref());
            fired += usize::from(node.fired());
        });
        over.fetch_add(1, Ordering::Release);
        (fired, count)
    };
    std::thread::scope(|scope| {
        let work = &work;
        let workers = [0, 1].map(|slot| scope.spawn(move || work(slot)));
        while over.load(Ordering::Acquire) < workers.len() {
            fire(&all, now.fetch_add(MILLISECOND / 2, Ordering::Relaxed));
        }
        for (fired, count) in workers.map(|worker| worker.join().unwrap()) {
            assert_eq!(count.0.load(Ordering::Relaxed), fired);
            assert_eq!(Arc::strong_count(&count), 1);
        }
    });
}

/// Whatever leaves, near or far, leaves nothing behind that would come before the others.
#[test]
fn the_rest_fires_in_order_when_most_have_left() {
    let count = if cfg!(miri) { 200 } else { 5_000 };
    for (all, spread) in [(Timers::exact(), 1_000), (Timers::new(1), 3), (Timers::new(1), 500)] {
        let mut random = fastrand::Rng::with_seed(count);
        let nodes = timers(count as usize);
        let mut rest = BTreeSet::new();
        for (index, node) in nodes.iter().enumerate() {
            let moment = 1 + random.u64(..spread * MILLISECOND);
            all.arm(0, node.as_ref(), at(moment), Waker::noop().clone());
            rest.insert((moment, index));
        }
        let mut leaving: Vec<_> = rest.iter().copied().collect();
        random.shuffle(&mut leaving);
        for (moment, index) in leaving.split_off(leaving.len() / 50) {
            all.disarm(nodes[index].as_ref());
            rest.remove(&(moment, index));
        }
        run_until(&all, u64::MAX - 1, |now| {
            for (moment, index) in rest.iter() {
                assert_eq!(nodes[*index].fired(), *moment <= now);
            }
        });
        assert_eq!(all.next(), None);
    }
}
