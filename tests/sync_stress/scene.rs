//! What tasks under stress do with locks, permits, notifications and items, and what must follow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use filch::sync::{Condition, Lock, Queue, RwLock, Semaphore, oneshot};
use filch::{Result, Task, spawn, timeout_any, yield_now};

const PERMITS: usize = 3;

/// What all tasks share.
pub(crate) struct World {
    lock: Lock<u64>,
    table: RwLock<(u64, u64)>,
    semaphore: Semaphore,
    /// How many have a permit.
    inside: AtomicU64,
    items: Lock<u64>,
    filled: Condition,
    queue: Queue<Item>,
    /// Items that were put and not dropped yet.
    alive: Arc<AtomicU64>,
    got: AtomicU64,
    put: AtomicU64,
    ends: AtomicBool,
}

/// Counts itself.
struct Item(Arc<AtomicU64>);

impl Item {
    fn new(alive: &Arc<AtomicU64>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Item(alive.clone())
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(World {
            lock: Lock::new(0),
            table: RwLock::new((0, 0)),
            semaphore: Semaphore::new(PERMITS),
            inside: AtomicU64::new(0),
            items: Lock::new(0),
            filled: Condition::new(),
            queue: Queue::bounded(4),
            alive: Arc::default(),
            got: AtomicU64::new(0),
            put: AtomicU64::new(0),
            ends: AtomicBool::new(false),
        })
    }

    /// Does one thing, during which it may be cancelled.
    pub(crate) async fn step(&self, which: u32) {
        match which {
            0 => {
                let mut number = self.lock.lock().await;
                *number += 1;
                yield_now().await;
            }
            1 => {
                let table = self.table.read().await;
                yield_now().await;
                assert_eq!(table.0, table.1, "a writer was let in");
            }
            2 => {
                let mut table = self.table.write().await;
                table.0 += 1;
                // Nothing is awaited in between: a cancellation does not tear the pair.
                table.1 += 1;
            }
            3 => {
                let _permit = self.semaphore.acquire().await;
                let _inside = Inside::new(&self.inside);
                yield_now().await;
            }
            4 => {
                if self.queue.put(Item::new(&self.alive)).await.is_ok() {
                    self.put.fetch_add(1, Ordering::Relaxed);
                }
            }
            5 => {
                if let Ok(item) = self.queue.get().await {
                    self.got.fetch_add(1, Ordering::Relaxed);
                    drop(item);
                }
            }
            6 => {
                *self.items.lock().await += 1;
                self.filled.notify(1);
            }
            7 => {
                let mut items = self.items.lock().await;
                let ends = || self.ends.load(Ordering::Relaxed);
                self.filled.wait_for(&mut items, |items| *items > 0 || ends()).await;
                *items = items.saturating_sub(1);
            }
            _ => {
                let (sender, receiver) = oneshot::channel();
                let item = Item::new(&self.alive);
                spawn(async move { drop(sender.send(item)) }).detach();
                drop(receiver.await);
            }
        }
    }
}

/// Sees to it that no more have a permit than there are.
struct Inside<'a>(&'a AtomicU64);

impl<'a> Inside<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        assert!(count.fetch_add(1, Ordering::Relaxed) < PERMITS as u64, "one permit too many");
        Inside(count)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A task that does one thing after the other, until it is cancelled; some of them run out of time.
fn lives(world: &Arc<World>, seed: u64) -> Task<()> {
    let world = world.clone();
    spawn(async move {
        let mut random = fastrand::Rng::with_seed(seed);
        while !world.ends.load(Ordering::Relaxed) {
            let step = world.step(random.u32(0..9));
            match random.u32(0..4) {
                0 => drop(timeout_any(Duration::from_micros(random.u64(0..300)), step).await),
                _ => step.await,
            }
        }
    })
}

/// So many tasks at once, so many of which are replaced by others, one by one.
pub(crate) async fn scene(world: Arc<World>, tasks: u64, rounds: u64, seed: u64) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut tasks: Vec<_> = (0..tasks).map(|_| lives(&world, random.u64(..))).collect();
    for _ in 0..rounds {
        let place = random.usize(0..tasks.len());
        let fresh = lives(&world, random.u64(..));
        let old = std::mem::replace(&mut tasks[place], fresh);
        if random.bool() {
            // A request that comes while a timeout begins may end as that timeout (TMO-06).
            while old.cancel() {
                yield_now().await;
            }
            assert!(old.await.unwrap_err().is_cancelled());
        } else {
            old.cancel();
        }
        yield_now().await;
    }
    world.ends.store(true, Ordering::Relaxed);
    world.queue.shutdown();
    world.filled.notify_all();
    for task in tasks {
        while !task.is_finished() {
            // Who came to wait after that is told again.
            drop(world.items.lock().await);
            world.filled.notify_all();
            yield_now().await;
        }
        if let Err(error) = task.await {
            assert!(error.is_cancelled(), "{error}");
        }
    }
    Ok(())
}

impl World {
    /// Nothing can happen any more: does anybody wait for what is there?
    pub(crate) fn is_at_rest(&self) {
        let (getters, putters) = self.queue.waiting();
        assert!(self.queue.is_empty() || getters == 0, "a getter waits beside an item");
        assert!(self.queue.is_full() || putters == 0, "a putter waits beside a free place");
        let (permits, waiting) = (self.semaphore.available(), self.semaphore.waiting());
        assert!(permits == 0 || waiting == 0, "somebody waits beside a permit");
        assert!(self.lock.is_locked() || self.lock.waiting() == 0, "a free lock is waited for");
        let items = self.items.try_lock().map(|items| *items);
        assert!(items.is_ok_and(|items| items == 0) || self.filled.waiting() == 0, "unnoticed");
    }

    /// Nobody uses it any more: is everything where it was? Says how many items were put.
    pub(crate) fn verify(&self) -> u64 {
        assert_eq!((self.lock.is_locked(), self.lock.waiting()), (false, 0));
        assert!(self.table.try_write().is_ok());
        assert_eq!((self.semaphore.available(), self.semaphore.waiting()), (PERMITS, 0));
        assert_eq!((self.items.is_locked(), self.filled.waiting()), (false, 0));
        while self.queue.try_get().is_ok() {
            self.got.fetch_add(1, Ordering::Relaxed);
        }
        assert_eq!(self.queue.waiting(), (0, 0));
        assert_eq!(self.alive.load(Ordering::Relaxed), 0, "an item is somewhere still");
        let put = self.put.load(Ordering::Relaxed);
        assert_eq!(self.got.load(Ordering::Relaxed), put, "every item is got once");
        put
    }
}
