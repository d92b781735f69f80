//! Tasks that wait for a lock, an item or a notification are asked to end in the very moment in
//! which they get it: it is theirs, or the next in line has it, and it is never lost.

use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;

use super::common::{explore_at_most, home, spawn};
use crate::sync::{Condition, Event, Lock, Queue, Semaphore};
use crate::sys::{Arc, PublicArc, block_on};
use crate::task::unwind::catch_cancelled_any;

/// One waits for the lock and is asked to end while it is released; another stands behind
/// (LOCK-04). Breaks if `forget` does not release what a woken waiter was given.
#[test]
fn one_who_waits_for_the_lock_is_asked() {
    explore_at_most(3, || {
        let (home, queue) = home();
        let lock = PublicArc::new(Lock::new(0));
        let held = block_on(lock.lock_owned());
        let [asked, behind] = [(); 2].map(|()| {
            let lock = lock.clone();
            let task = spawn(&home, async move { *lock.lock().await += 1 });
            queue.run();
            task
        });
        let releasing = thread::spawn(move || drop(held));
        let accepted = asked.cancel();
        queue.run();
        releasing.join().unwrap();
        queue.run();
        assert!(asked.is_finished() && behind.is_finished(), "the lock is lost");
        assert_eq!(asked.is_cancelled(), accepted);
        assert!(!lock.is_locked());
        assert_eq!(*block_on(lock.lock()), 2 - i32::from(accepted));
        drop((asked, behind));
        drop(home);
    });
}

/// One wants more permits than there are and is asked to end while some come back: who wants few
/// behind it gets them (SEM-04). Breaks if `forget` does not serve those behind one who leaves.
#[test]
fn one_who_wants_many_permits_is_asked() {
    explore_at_most(3, || {
        let (home, queue) = home();
        let semaphore = Arc::new(Semaphore::new(0));
        let [asked, behind] = [3, 1].map(|count| {
            let semaphore = semaphore.clone();
            let task = spawn(&home, async move { semaphore.acquire_many(count).await.forget() });
            queue.run();
            task
        });
        let releasing = thread::spawn({
            let semaphore = semaphore.clone();
            move || semaphore.release(1)
        });
        assert!(asked.cancel());
        queue.run();
        releasing.join().unwrap();
        queue.run();
        assert!(asked.is_cancelled() && behind.is_finished(), "the permit is lost");
        assert_eq!((semaphore.available(), semaphore.is_locked()), (0, true));
        drop((asked, behind));
        drop(home);
    });
}

/// One waits for an item and is asked to end while it comes; another stands behind (QUE-10). Breaks
/// if a `Get` that is dropped with a notice does not pass it on.
#[test]
fn one_who_waits_for_an_item_is_asked() {
    explore_at_most(3, || {
        let (home, queue) = home();
        let items = Arc::new(Queue::unbounded());
        let [asked, behind] = [(); 2].map(|()| {
            let items = items.clone();
            let task = spawn(&home, async move { Ok(items.get().await?) });
            queue.run();
            task
        });
        let putting = thread::spawn({
            let items = items.clone();
            move || items.try_put(7).unwrap()
        });
        assert!(asked.cancel());
        queue.run();
        putting.join().unwrap();
        queue.run();
        assert!(asked.is_cancelled() && behind.is_finished(), "the item is lost");
        assert!(items.is_empty());
        drop((asked, behind));
        drop(home);
    });
}

/// One waits for room and is asked to end while there is some; another stands behind (QUE-10).
/// Breaks if a `Put` that is dropped with a notice does not pass it on.
#[test]
fn one_who_waits_for_room_is_asked() {
    explore_at_most(3, || {
        let (home, queue) = home();
        let items = Arc::new(Queue::bounded(1));
        items.try_put(0).unwrap();
        let [asked, behind] = [1, 2].map(|item| {
            let items = items.clone();
            let task = spawn(&home, async move { Ok(items.put(item).await?) });
            queue.run();
            task
        });
        let getting = thread::spawn({
            let items = items.clone();
            move || items.try_get().unwrap()
        });
        assert!(asked.cancel());
        queue.run();
        assert_eq!(getting.join().unwrap(), 0);
        queue.run();
        assert!(asked.is_cancelled() && behind.is_finished(), "the room is lost");
        assert_eq!(items.try_get(), Ok(2));
        drop((asked, behind));
        drop(home);
    });
}

/// One waits for a notification and is asked to end while it comes; another stands behind. Who is
/// asked has the lock again before his clean-up runs, and the notification is used once (COND-03,
/// COND-04). Breaks if a `Wait` that is dropped with a notification does not pass it on, or if
/// `wait` lets the request go on before it has the lock.
#[test]
fn one_who_waits_for_a_notification_is_asked() {
    explore_at_most(2, || {
        let (home, queue) = home();
        let shared = Arc::new((Lock::new(0), Condition::new()));
        let notified = [(); 2].map(|()| std::sync::Arc::new(AtomicUsize::new(0)));
        let [asked, behind] = notified.clone().map(|notified| {
            let shared = shared.clone();
            let task = spawn(&home, async move {
                let mut guard = shared.0.lock().await;
                let caught = catch_cancelled_any(shared.1.wait(&mut guard)).await;
                // Clean-up, under the lock.
                *guard += 1;
                notified.fetch_add(usize::from(caught.is_ok()), Ordering::Relaxed);
            });
            queue.run();
            task
        });
        let notifying = thread::spawn({
            let (shared, queue) = (shared.clone(), queue.clone());
            move || {
                *block_on(shared.0.lock()) += 10;
                shared.1.notify(1);
                queue.run();
            }
        });
        let accepted = asked.cancel();
        queue.run();
        notifying.join().unwrap();
        queue.run();
        assert!(asked.is_finished());
        assert_eq!(asked.cancelling(), u32::from(accepted));
        let [first, second] = notified.map(|notified| notified.load(Ordering::Relaxed));
        assert_eq!(first + second, 1, "the notification is lost, or given twice");
        assert_eq!(behind.is_finished(), second == 1);
        shared.1.notify_all();
        queue.run();
        assert!(behind.is_finished() && !shared.0.is_locked());
        assert_eq!(*block_on(shared.0.lock()), 12);
        drop((asked, behind));
        drop(home);
    });
}

/// One waits for an event and is asked to end while it is set; another waits, too. Breaks if
/// `forget` clears a flag that was set meanwhile, or forgets the others in line.
#[test]
fn one_who_waits_for_an_event_is_asked() {
    explore_at_most(3, || {
        let (home, queue) = home();
        let event = Arc::new(Event::new());
        let [asked, behind] = [(); 2].map(|()| {
            let event = event.clone();
            let task = spawn(&home, async move { event.wait().await });
            queue.run();
            task
        });
        let setting = thread::spawn({
            let event = event.clone();
            move || event.set()
        });
        assert!(asked.cancel());
        queue.run();
        setting.join().unwrap();
        queue.run();
        assert!(asked.is_cancelled() && behind.is_finished() && event.is_set());
        drop((asked, behind));
        drop(home);
    });
}
