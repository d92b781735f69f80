//! What holds a lock, a permit, a part of a value: it may be narrowed, kept, given away, and gives
//! back what it holds exactly once. Primitives may be statics, and show what they are.

mod common;

use std::sync::Arc;

use common::{in_any_order, seconds};
use filch::sync::{Barrier, BoundedSemaphore, Condition, Event, LifoQueue, Lock, LockGuard};
use filch::sync::{OwnedLockGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard};
use filch::sync::{PriorityQueue, Queue, RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore};
use filch::{spawn, timeout, yield_now};
use futures::{FutureExt, StreamExt};

#[test]
fn a_part_of_what_is_read_keeps_writers_out() {
    in_any_order(async || {
        let lock = Arc::new(RwLock::new((1, "one")));
        let number = RwLockReadGuard::map(lock.read().await, |pair| &pair.0);
        let word = RwLockReadGuard::try_map(lock.read().await, |pair| Some(&pair.1)).unwrap();
        let none = RwLockReadGuard::try_map(lock.read().await, |_| None::<&u8>).unwrap_err();
        assert_eq!((*number, *word, none.0), (1, "one", 1));
        drop((number, word));
        assert!(lock.try_write().is_err());
        drop(none);
        let owned = OwnedRwLockReadGuard::map(lock.read_owned().await, |pair| &pair.1);
        let owned = spawn(async move { Ok(owned) }).await?;
        assert!(lock.try_write().is_err() && lock.try_read().is_ok());
        assert_eq!(format!("{owned} {owned:?}"), "one \"one\"");
        drop(owned);
        assert!(lock.try_write().is_ok());
        let owned = lock.read_owned().await;
        let owned = OwnedRwLockReadGuard::try_map(owned, |_| None::<&u8>).unwrap_err();
        drop(OwnedRwLockReadGuard::try_map(owned, |pair| Some(&pair.0)).unwrap());
        assert!(lock.try_write().is_ok());
        Ok(())
    });
}

#[test]
fn a_part_of_what_is_written_keeps_everybody_out() {
    in_any_order(async || {
        let lock = Arc::new(RwLock::new((1, "one")));
        let mut number = RwLockWriteGuard::map(lock.write().await, |pair| &mut pair.0);
        *number = 2;
        assert!(lock.try_read().is_err());
        drop(number);
        let none = RwLockWriteGuard::try_map(lock.write().await, |_| None::<&mut u8>);
        let mut word =
            RwLockWriteGuard::try_map(none.unwrap_err(), |pair| Some(&mut pair.1)).unwrap();
        *word = "two";
        drop(word);
        let owned = lock.write_owned().await;
        let owned = OwnedRwLockWriteGuard::try_map(owned, |_| None::<&mut u8>).unwrap_err();
        let mut owned = OwnedRwLockWriteGuard::map(owned, |pair| &mut pair.0);
        *owned += 1;
        assert!(lock.try_read().is_err());
        spawn(async move { drop(owned) }).await?;
        assert_eq!(*lock.read().await, (3, "two"));
        let owned = lock.write_owned().await;
        *OwnedRwLockWriteGuard::try_map(owned, |pair| Some(&mut pair.0)).unwrap() += 1;
        let reads = OwnedRwLockWriteGuard::downgrade(lock.write_owned().await);
        assert_eq!((reads.0, lock.try_read().is_ok(), lock.try_write().is_ok()), (4, true, false));
        drop(reads);
        assert_eq!(Arc::into_inner(lock).unwrap().into_inner(), (4, "two"));
        Ok(())
    });
}

#[test]
fn a_panic_while_narrowing_releases_the_lock() {
    let (lock, table) = (Arc::new(Lock::new(0_u8)), RwLock::new(0_u8));
    let panics = |narrow: &mut dyn FnMut()| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(narrow)).unwrap_err();
    };
    fn never(_: &mut u8) -> &mut u8 {
        panic!("narrowing fails")
    }
    panics(&mut || drop(LockGuard::map(lock.try_lock().unwrap(), never)));
    panics(&mut || {
        let guard = lock.try_lock_owned().unwrap();
        drop(OwnedLockGuard::try_map(guard, |value| Some(never(value))));
    });
    panics(&mut || drop(RwLockWriteGuard::map(table.try_write().unwrap(), never)));
    panics(&mut || {
        drop(RwLockReadGuard::map(table.try_read().unwrap(), |_| -> &u8 { panic!("as above") }))
    });
    assert!(lock.try_lock().is_ok() && table.try_write().is_ok());
}

#[test]
fn a_guard_that_has_lost_its_lock_takes_it_again() {
    in_any_order(async || {
        let (lock, changed) = (Arc::new(Lock::new(0)), Condition::new());
        let mut guard = lock.lock_owned().await;
        OwnedLockGuard::relock(&mut guard).await;
        assert!(changed.wait(&mut guard).now_or_never().is_none());
        assert!(!OwnedLockGuard::is_held(&guard));
        // Others had it in between; whoever waits for it longer has it first.
        let adds = [1, 2].map(|number| {
            let lock = lock.clone();
            spawn(async move {
                let mut guard = lock.lock().await;
                yield_now().await;
                *guard += number;
            })
        });
        yield_now().await;
        // One who gives up has not got it, and can try again.
        let given_up = timeout(seconds(0), OwnedLockGuard::relock(&mut guard)).await;
        assert_eq!(given_up.is_ok(), OwnedLockGuard::is_held(&guard));
        OwnedLockGuard::relock(&mut guard).await;
        *guard += 4;
        drop(guard);
        for add in adds {
            add.await?;
        }
        assert_eq!((*lock.lock().await, changed.waiting()), (7, 0));
        Ok(())
    });
}

#[test]
fn owned_permits_come_back_from_elsewhere() {
    in_any_order(async || {
        let (any, bounded) = (Arc::new(Semaphore::new(3)), Arc::new(BoundedSemaphore::new(3)));
        let mut permits = vec![
            any.acquire_owned().await,
            any.acquire_many_owned(2).await,
            bounded.acquire_owned().await,
            bounded.try_acquire_many_owned(2)?,
        ];
        assert!(any.try_acquire_owned().is_err());
        assert!(bounded.try_acquire_owned().is_err());
        assert!(any.try_acquire_many_owned(0).is_ok());
        // One who asks for all waits until the last is back.
        let all = spawn({
            let bounded = bounded.clone();
            async move { Ok(bounded.acquire_many(3).await.count()) }
        });
        assert!(timeout(seconds(1), async { Ok(any.acquire_many(2).await) }).await.is_err());
        permits.pop();
        yield_now().await;
        assert!(!all.is_finished());
        spawn(async move { drop(permits) }).await?;
        assert_eq!(all.await?, 3);
        assert_eq!((any.available(), bounded.available()), (3, 3));
        // A bound holds for owned ones, too: what was returned by hand does not come back again.
        let permit = bounded.acquire_owned().await;
        bounded.release()?;
        drop(permit);
        assert_eq!(bounded.available(), 3);
        Ok(())
    });
}

#[test]
fn permits_are_split_and_merged() {
    let semaphore = Arc::new(Semaphore::new(5));
    let mut mine = semaphore.try_acquire_many(5).unwrap();
    let yours = mine.split(2).unwrap();
    assert_eq!((mine.count(), yours.count(), mine.split(4).is_none()), (3, 2, true));
    drop(yours);
    mine.merge(semaphore.try_acquire().unwrap());
    assert_eq!((mine.count(), semaphore.available()), (4, 1));
    drop(mine);
    let mut mine = semaphore.try_acquire_many_owned(4).unwrap();
    let yours = mine.split(1).unwrap();
    drop(mine);
    assert_eq!((yours.count(), semaphore.available()), (1, 4));
    drop(yours);
    assert_eq!(semaphore.available(), 5);
}

#[test]
#[should_panic(expected = "permits of two semaphores")]
fn permits_of_two_semaphores_are_not_merged() {
    let (one, other) = (Semaphore::new(1), Semaphore::new(1));
    one.try_acquire().unwrap().merge(other.try_acquire().unwrap());
}

static LOCK: Lock<u32> = Lock::new(1);
static TABLE: RwLock<u32> = RwLock::new(1);
static EVENT: Event = Event::new();
static CONDITION: Condition = Condition::new();
static ANY: Semaphore = Semaphore::new(2);
static BOUNDED: BoundedSemaphore = BoundedSemaphore::new(2);
static BARRIER: Barrier = Barrier::new(2);
static QUEUE: Queue<u32> = Queue::bounded(2);
static STACK: LifoQueue<u32> = LifoQueue::unbounded();
static HEAP: PriorityQueue<u32> = PriorityQueue::unbounded();

#[test]
fn statics_show_what_they_are() {
    assert_eq!(format!("{LOCK:?}"), "Lock { value: 1, waiting: 0 }");
    assert_eq!(format!("{TABLE:?}"), "RwLock { value: 1, waiting: 0 }");
    assert_eq!(format!("{EVENT:?}"), "Event { is_set: false, waiting: 0 }");
    assert_eq!(format!("{CONDITION:?}"), "Condition { waiting: 0 }");
    assert_eq!(format!("{ANY:?}"), "Semaphore { available: 2, waiting: 0 }");
    assert_eq!(format!("{BOUNDED:?}"), "BoundedSemaphore { available: 2, waiting: 0 }");
    assert_eq!(format!("{BARRIER:?}"), "Barrier { parties: 2, waiting: 0, phase: Filling }");
    let shown = [format!("{QUEUE:?}"), format!("{STACK:?}"), format!("{HEAP:?}")];
    assert!(shown.iter().all(|shown| shown.starts_with("Queue { len: 0, capacity: ")), "{shown:?}");
    let permit = ANY.try_acquire().unwrap();
    assert_eq!(format!("{permit:?}"), "Permit { count: 1 }");
    let made = (Lock::from(1).into_inner(), RwLock::from(2).into_inner());
    assert_eq!((made, RwLock::<u8>::default().into_inner()), ((1, 2), 0));
}

#[test]
fn a_stream_of_items_ends_with_the_queue() {
    in_any_order(async || {
        let queue = Arc::new(Queue::bounded(1));
        let sums = [(); 2].map(|()| {
            let queue = queue.clone();
            spawn(async move { Ok(queue.stream().fold(0, async |sum, item| sum + item).await) })
        });
        for item in 1..=10 {
            queue.put(item).await?;
        }
        // One who gives up takes nothing along.
        let other = Queue::<u32>::unbounded();
        let mut stream = std::pin::pin!(other.stream());
        assert!(timeout(seconds(1), async { Ok(stream.next().await) }).await.is_err());
        other.try_put(1)?;
        assert_eq!(stream.next().await, Some(1));
        queue.shutdown();
        let mut sum = 0;
        for part in sums {
            sum += part.await?;
        }
        assert_eq!(sum, 55);
        Ok(())
    });
}
