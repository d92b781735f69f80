//! Permits, and so locks and semaphores: never two owners, no promise lost by one who goes away.

use super::common::{explore, explore_at_most, poll_once_and_drop};
use crate::sync::{BoundedSemaphore, Lock, Semaphore};
use crate::sys::{Arc, PublicArc, UnsafeCell, block_on, thread};

/// Three add to one number. Breaks if `try_acquire` takes with `Relaxed`, if `give_back`
/// returns with `Relaxed`, or if `take_or_join` joins without setting QUEUE.
#[test]
fn three_take_the_lock_in_turn() {
    explore_at_most(2, || {
        let lock = Arc::new(Lock::new(0));
        let add = |lock: Arc<Lock<u32>>| block_on(async { *lock.lock().await += 1 });
        let others: Vec<_> = (0..2)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || add(lock))
            })
            .collect();
        add(lock.clone());
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(*lock.try_lock().unwrap(), 3);
    });
}

/// One holds the lock, one waits, one goes away while he waits, perhaps with the promise. Breaks
/// if `forget` does not release what a woken waiter was given, or leaves QUEUE set when the line
/// is empty.
#[test]
fn one_who_goes_away_hands_the_lock_on() {
    explore(|| {
        let lock = PublicArc::new(Lock::new(()));
        let held = block_on(lock.lock_owned());
        let fickle = thread::spawn({
            let lock = lock.clone();
            move || drop(poll_once_and_drop(lock.lock()))
        });
        let patient = thread::spawn({
            let lock = lock.clone();
            move || drop(block_on(lock.lock()))
        });
        drop(held);
        fickle.join().unwrap();
        patient.join().unwrap();
        assert!(!lock.is_locked());
    });
}

/// One asks for two, one for one and goes away: the one behind is served. Breaks if `forget`
/// does not serve those behind one who leaves.
#[test]
fn those_behind_one_who_leaves_are_served() {
    explore(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let greedy = thread::spawn({
            let semaphore = semaphore.clone();
            move || poll_once_and_drop(semaphore.acquire_many(2)).is_some()
        });
        let modest = thread::spawn({
            let semaphore = semaphore.clone();
            move || drop(block_on(semaphore.acquire()))
        });
        assert!(!greedy.join().unwrap());
        modest.join().unwrap();
        assert_eq!(semaphore.available(), 1);
        assert!(!semaphore.is_locked());
    });
}

/// A permit comes back while one who wants more stands in line and goes away: who takes it sees
/// what was done before it came back. Breaks if the word that handing over leaves behind is stored
/// relaxed.
#[test]
fn what_was_done_before_a_permit_came_back_is_seen() {
    struct Shared(Semaphore, UnsafeCell<u32>);
    // SAFETY: the permit orders the two accesses, which is what loom checks here.
    unsafe impl Sync for Shared {}
    explore(|| {
        let shared = Arc::new(Shared(Semaphore::new(0), UnsafeCell::new(0)));
        let greedy = thread::spawn({
            let shared = shared.clone();
            move || poll_once_and_drop(shared.0.acquire_many(2)).is_some()
        });
        let modest = thread::spawn({
            let shared = shared.clone();
            move || {
                block_on(shared.0.acquire()).forget();
                // SAFETY: the writer is done.
                assert_eq!(shared.1.with(|value| unsafe { *value }), 1);
            }
        });
        // SAFETY: the reader waits.
        shared.1.with_mut(|value| unsafe { *value = 1 });
        shared.0.release(1);
        assert!(!greedy.join().unwrap());
        modest.join().unwrap();
    });
}

/// Two return one permit too many together. Breaks if the bound is not looked at again with every
/// exchange.
#[test]
fn a_bound_holds_between_two() {
    explore(|| {
        let semaphore = Arc::new(BoundedSemaphore::new(1));
        semaphore.try_acquire().unwrap().forget();
        let other = thread::spawn({
            let semaphore = semaphore.clone();
            move || semaphore.release().is_ok()
        });
        let mine = semaphore.release().is_ok();
        assert_ne!(mine, other.join().unwrap());
        assert_eq!(semaphore.available(), 1);
    });
}

/// One goes away with a permit while there is one too many already. Breaks as the one before.
#[test]
fn what_finds_no_room_is_left_out() {
    explore(|| {
        let semaphore = Arc::new(BoundedSemaphore::new(1));
        semaphore.try_acquire().unwrap().forget();
        let other = thread::spawn({
            let semaphore = semaphore.clone();
            move || drop(poll_once_and_drop(semaphore.acquire()))
        });
        let released = [semaphore.release().is_ok(), semaphore.release().is_ok()];
        other.join().unwrap();
        assert!(released[0]);
        assert_eq!(semaphore.available(), 1);
    });
}
