//! A program that is stuck is told who waits for what, and where in the source.

mod common;

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use filch::sync::{Barrier, Condition, Event, Lock, Queue, RwLock, Semaphore};
use filch::sync::{broadcast, oneshot, watch};
use filch::{TaskBuilder, sim, sleep, yield_now};

/// What the report of a stuck program says that its main task awaits.
fn told(program: impl Future<Output = ()>) -> String {
    let error = sim::run(0, program).unwrap_err();
    assert!(error.is_deadlock(), "{error}");
    let text = error.to_string();
    let line = text.lines().find(|line| line.trim().starts_with("main "));
    let line = line.unwrap_or_else(|| panic!("main is not stuck: {text}"));
    line.split_once(" awaits ").expect("it awaits something").1.to_owned()
}

/// As [`told`], where this file is said to be the place.
fn told_here(program: impl Future<Output = ()>) -> String {
    let told = told(program);
    let (what, place) = told.split_once(" at ").unwrap_or_else(|| panic!("no place: {told}"));
    assert!(place.starts_with("tests/deadlocks.rs:"), "{told}");
    what.to_owned()
}

#[test]
fn locks_and_permits_are_told() {
    let lock = Lock::new(());
    let held = lock.try_lock().unwrap();
    assert_eq!(told_here(async { drop(lock.lock().await) }), "a lock");
    let table = RwLock::new(());
    let reads = table.try_read().unwrap();
    assert_eq!(told_here(async { drop(table.write().await) }), "a lock to write");
    drop(reads);
    let writes = table.try_write().unwrap();
    assert_eq!(told_here(async { drop(table.read().await) }), "a lock to read");
    let semaphore = Semaphore::new(1);
    assert_eq!(told_here(async { drop(semaphore.acquire_many(2).await) }), "a permit");
    drop((held, writes));
    let condition = Condition::new();
    let waits = async {
        let mut guard = lock.lock().await;
        condition.wait_for(&mut guard, |()| false).await;
    };
    assert_eq!(told_here(waits), "a notification");
}

#[test]
fn events_barriers_and_queues_are_told() {
    assert_eq!(told_here(async { Event::new().wait().await }), "an event");
    let alone = async { assert!(Barrier::new(2).wait().await.is_ok()) };
    assert_eq!(told_here(alone), "the other parties of a barrier");
    let queue = Queue::bounded(1);
    assert_eq!(told_here(async { assert!(queue.get().await.is_ok()) }), "an item of a queue");
    queue.try_put(1).unwrap();
    assert_eq!(told_here(async { queue.put(2).await.unwrap() }), "room in a queue");
    assert_eq!(told_here(queue.join()), "the work of a queue to be done");
}

#[test]
fn channels_and_sleeps_are_told() {
    let (mut sender, mut receiver) = oneshot::channel::<()>();
    assert_eq!(told(async { (&mut receiver).await.unwrap() }), "the value of a oneshot channel");
    assert_eq!(told(sender.closed()), "the receiver of a oneshot channel to be gone");
    let (news, mut reader) = broadcast::channel::<()>(1);
    let reads = async { reader.recv().await.unwrap() };
    assert_eq!(told_here(reads), "a value of a broadcast channel");
    assert_eq!(told_here(news.closed()), "all receivers of a channel to be gone");
    let (latest, mut watcher) = watch::channel(0);
    let watches = async { drop(watcher.wait_for(|value| *value == 1).await) };
    assert_eq!(told_here(watches), "a change in a watch channel");
    assert_eq!(told_here(latest.closed()), "all receivers of a channel to be gone");
    assert_eq!(told(sleep(Duration::MAX)), "the end of a sleep");
}

#[test]
fn the_place_is_where_it_was_asked_for() {
    let lock = Arc::new(Lock::new(()));
    let line = line!() + 5;
    let stuck = sim::run(0, async move {
        let held = lock.lock().await;
        let reader = TaskBuilder::new().name("reader").spawn({
            let lock = lock.clone();
            async move { drop(lock.lock().await) }
        });
        reader.await?;
        drop(held);
        Ok(())
    });
    let text = stuck.unwrap_err().to_string();
    let wanted = format!("awaits a lock at tests/deadlocks.rs:{line}:");
    let told = text.lines().find(|line| line.trim().starts_with("reader (")).unwrap();
    assert!(told.contains(&wanted), "{told}: {wanted}");
    assert!(text.contains("awaits reader"), "{text}");
}

#[test]
fn only_what_the_last_poll_came_to_is_told() {
    // What it waited for before is over.
    let (lock, event) = (Lock::new(()), Event::new());
    let held = lock.try_lock().unwrap();
    let moves_on = async {
        let mut waits = pin!(lock.lock());
        assert!(poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx).is_pending())).await);
        yield_now().await;
        pending().await
    };
    assert_eq!(told(moves_on), "something that nobody will wake");
    // Two at once are both told.
    let both = async {
        let (mut one, mut other) = (pin!(lock.lock()), pin!(event.wait()));
        poll_fn(|cx| {
            assert!(one.as_mut().poll(cx).is_pending());
            other.as_mut().poll(cx)
        })
        .await;
    };
    let told = told(both);
    assert!(told.starts_with("a lock at ") && told.contains(", and an event at "), "{told}");
    drop(held);
}
