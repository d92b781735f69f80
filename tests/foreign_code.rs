//! Users' code in the middle of a primitive: comparisons, clones and changes that panic leave it
//! as it was, and nobody waits in vain; what is dropped or written there may use the primitive.

mod common;

use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use common::{in_any_order, ms};
use filch::sync::{Event, Lock, PriorityQueue, Queue, TryGetError, broadcast, watch};
use filch::{Task, TaskGroup, sleep, spawn, task_group, yield_now};

/// Counts down, and panics at zero.
#[derive(Clone, Default)]
struct Fuse(Arc<AtomicUsize>);

impl Fuse {
    /// The next but `after` one panics.
    fn light(&self, after: usize) {
        self.0.store(after + 1, Relaxed);
    }

    fn put_out(&self) {
        self.0.store(0, Relaxed);
    }

    fn burn(&self) {
        let left = self.0.load(Relaxed);
        if left > 0 {
            self.0.store(left - 1, Relaxed);
            assert!(left > 1, "foreign code that panics");
        }
    }
}

/// An item whose comparisons burn a fuse.
#[derive(Clone)]
struct Item {
    number: u32,
    fuse: Fuse,
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        self.fuse.burn();
        self.number.cmp(&other.number)
    }
}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Item {}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}

/// Whether `work` panics.
fn panics<R>(work: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(work)).is_err()
}

/// The numbers of the items that are in the queue, in its order.
fn rest(queue: &PriorityQueue<Item>) -> Vec<u32> {
    std::iter::from_fn(|| queue.try_get().ok().map(|item| item.number)).collect()
}

// ---- comparisons -----------------------------------------------------------------------------

#[test]
fn a_comparison_that_panics_changes_nothing_whenever_it_does() {
    let fuse = Fuse::default();
    let item = |number| Item { number, fuse: fuse.clone() };
    let mut random = fastrand::Rng::with_seed(7);
    for size in 0..40 {
        for after in 0..8 {
            let queue = PriorityQueue::unbounded();
            let mut expected: Vec<_> = (0..size).map(|_| random.u32(0..30)).collect();
            for number in &expected {
                queue.try_put(item(*number)).unwrap();
            }
            expected.sort();
            let new = random.u32(0..30);
            fuse.light(after);
            if !panics(|| queue.try_put(item(new))) {
                expected.push(new);
                expected.sort();
            }
            assert_eq!((queue.len(), queue.unfinished()), (expected.len(), expected.len()));
            fuse.light(after);
            let mut got = None;
            if !panics(|| got = queue.try_get().ok()) && !expected.is_empty() {
                assert_eq!(got.map(|item| item.number), Some(expected.remove(0)));
            }
            fuse.put_out();
            assert_eq!(rest(&queue), expected);
        }
    }
}

#[test]
fn many_items_come_out_in_order() {
    let queue = PriorityQueue::unbounded();
    let mut random = fastrand::Rng::with_seed(1);
    let mut expected = Vec::new();
    for _ in 0..3_000 {
        if random.u32(0..5) < 3 {
            let number = random.u32(0..500);
            queue.try_put(number).unwrap();
            expected.insert(expected.partition_point(|other| *other > number), number);
        } else {
            assert_eq!(queue.try_get().ok(), expected.pop());
        }
    }
    while let Some(number) = expected.pop() {
        assert_eq!(queue.try_get(), Ok(number));
    }
    assert_eq!(queue.try_get(), Err(TryGetError::Empty));
}

#[test]
fn room_that_a_panic_leaves_is_told_to_the_next() {
    in_any_order(async || {
        let fuse = Fuse::default();
        let item = |number| Item { number, fuse: fuse.clone() };
        let queue = Arc::new(PriorityQueue::bounded(2));
        queue.try_put(item(2))?;
        queue.try_put(item(3))?;
        let puts: Vec<Task<()>> = [0, 1]
            .map(|number| {
                let (queue, item) = (queue.clone(), item(number));
                spawn(async move { Ok(queue.put(item).await?) })
            })
            .into();
        while queue.waiting() != (0, 2) {
            yield_now().await;
        }
        assert_eq!(queue.try_get()?.number, 2);
        fuse.light(0);
        let mut panicked = 0;
        for put in puts {
            panicked += usize::from(put.await.is_err_and(|error| error.is_panic()));
        }
        assert_eq!((panicked, queue.len(), queue.unfinished()), (1, 2, 3));
        Ok(())
    });
}

#[test]
fn an_item_that_a_panic_leaves_is_told_to_the_next() {
    in_any_order(async || {
        let fuse = Fuse::default();
        let queue = Arc::new(PriorityQueue::<Item>::unbounded());
        let gets: Vec<Task<u32>> = (0..4)
            .map(|_| {
                let queue = queue.clone();
                spawn(async move { Ok(queue.get().await?.number) })
            })
            .collect();
        while queue.waiting() != (4, 0) {
            yield_now().await;
        }
        for number in 1..=3 {
            queue.try_put(Item { number, fuse: fuse.clone() })?;
        }
        fuse.light(0);
        let (mut got, mut panicked) = (Vec::new(), 0);
        for get in gets {
            match get.await {
                Ok(number) => got.push(number),
                Err(error) => panicked += usize::from(error.is_panic()),
            }
        }
        got.sort();
        assert_eq!((got, panicked), (vec![1, 2, 3], 1));
        Ok(())
    });
}

/// Compares with nothing, and uses its queue when it goes.
struct Uses(Arc<PriorityQueue<Uses>>, u32);

impl Drop for Uses {
    fn drop(&mut self) {
        self.1 = self.0.len() as u32;
    }
}

impl Ord for Uses {
    fn cmp(&self, _: &Self) -> Ordering {
        panic!("a comparison that panics")
    }
}

impl PartialOrd for Uses {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Uses {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Uses {}

#[test]
fn an_item_that_is_not_put_is_dropped_outside_the_lock() {
    let queue = Arc::new(PriorityQueue::unbounded());
    assert!(queue.try_put(Uses(queue.clone(), 0)).is_ok());
    assert!(panics(|| queue.try_put(Uses(queue.clone(), 0))));
    assert_eq!((queue.len(), queue.unfinished()), (1, 1));
    assert!(queue.try_get().is_ok());
}

// ---- clones and changes ----------------------------------------------------------------------

/// A value whose clones burn a fuse, and whose drop looks at its channel.
#[derive(Default)]
struct Value {
    number: u32,
    fuse: Fuse,
    channel: Option<Arc<watch::Sender<Value>>>,
}

impl Clone for Value {
    fn clone(&self) -> Self {
        self.fuse.burn();
        Value { number: self.number, fuse: self.fuse.clone(), channel: self.channel.clone() }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        if let Some(channel) = self.channel.take() {
            assert!(channel.receivers() > 0);
        }
    }
}

#[test]
fn a_change_that_panics_is_told_to_nobody_and_what_it_did_stays() {
    let (sender, mut receiver) = watch::channel(1);
    assert!(panics(|| sender.modify(|value| {
        *value = 2;
        panic!("a change that panics");
    })));
    assert_eq!((*sender.latest(), receiver.has_changed()), (2, Ok(false)));
    sender.modify(|value| *value += 1);
    assert_eq!((receiver.has_changed(), *receiver.see()), (Ok(true), 3));
}

#[test]
fn a_clone_that_panics_changes_no_watched_value() {
    let fuse = Fuse::default();
    let value = Value { number: 1, fuse: fuse.clone(), channel: None };
    let (sender, receiver) = watch::channel(value);
    let share = receiver.latest();
    fuse.light(0);
    assert!(panics(|| sender.modify(|value| value.number = 2)));
    assert!(Arc::ptr_eq(&share, &sender.latest()));
    assert_eq!((share.number, receiver.has_changed()), (1, Ok(false)));
}

#[test]
fn a_value_that_a_panicking_change_replaced_is_dropped_outside_the_lock() {
    let (sender, receiver) = watch::channel(Value::default());
    let sender = Arc::new(sender);
    sender.modify(|value| value.channel = Some(sender.clone()));
    let mut share = Some(receiver.latest());
    let change = |value: &mut Value| {
        // The channel has a clone now: the last share of the former value is its own.
        drop(share.take());
        value.channel = None;
        panic!("a change that panics");
    };
    assert!(panics(|| sender.modify(change)));
    assert_eq!(sender.receivers(), 1);
}

#[test]
fn a_clone_that_panics_takes_no_value_of_a_broadcast() {
    let fuse = Fuse::default();
    let (sender, mut one) = broadcast::channel(2);
    let mut other = sender.subscribe();
    sender.send(Value { number: 1, fuse: fuse.clone(), channel: None }).ok().unwrap();
    fuse.light(0);
    assert!(panics(|| one.try_recv().is_ok()));
    assert_eq!((one.len(), other.len()), (1, 1));
    assert_eq!(one.try_recv().map(|value| value.number), Ok(1));
    assert_eq!(other.try_recv().map(|value| value.number), Ok(1));
}

// ---- what is written -------------------------------------------------------------------------

/// Uses what is written to it.
struct Busy<F: FnMut()>(F);

impl<F: FnMut()> Write for Busy<F> {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        (self.0)();
        Ok(())
    }
}

#[test]
fn whoever_is_shown_a_primitive_may_use_it() {
    let queue = Queue::unbounded();
    write!(Busy(|| queue.try_put(1).unwrap()), "{queue:?}").unwrap();
    assert!(!queue.is_empty());
    let lock = Lock::new(1);
    write!(Busy(|| assert!(lock.waiting() == 0)), "{lock:?}").unwrap();
    let (sender, receiver) = watch::channel(1);
    write!(Busy(|| sender.modify(|value| *value += 1)), "{sender:?} {receiver:?}").unwrap();
    let (sender, mut receiver) = broadcast::channel(1);
    write!(Busy(|| _ = sender.send(1)), "{sender:?}").unwrap();
    write!(Busy(|| _ = sender.send(2)), "{receiver:?}").unwrap();
    assert_eq!(receiver.try_recv().map_err(|error| error.to_string().is_empty()), Err(false));
}

/// Looks at its group when it is dropped. Where that is locked, it never ends.
struct LooksAtItsGroup(TaskGroup, Arc<AtomicUsize>);

impl Drop for LooksAtItsGroup {
    fn drop(&mut self) {
        let told = format!("{:?}", self.0);
        self.1.fetch_add(usize::from(told.contains("TaskGroup")), Relaxed);
    }
}

filch::context_var! {
    static OF_A_CHILD: Arc<LooksAtItsGroup>;
}

#[test]
fn what_a_child_leaves_is_dropped_while_its_group_is_unlocked() {
    // Children that end together are forgotten together.
    in_any_order(async || {
        let dropped = Arc::new(AtomicUsize::new(0));
        task_group(async |group| {
            let event = Arc::new(Event::new());
            for _ in 0..200 {
                let (there, event, dropped) = (group.clone(), event.clone(), dropped.clone());
                group.spawn(async move {
                    event.wait().await;
                    OF_A_CHILD.set(Arc::new(LooksAtItsGroup(there, dropped)));
                });
            }
            sleep(ms(1)).await;
            event.set();
            Ok(())
        })
        .await?;
        assert_eq!(dropped.load(Relaxed), 200);
        Ok(())
    });
}
