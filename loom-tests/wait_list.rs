//! The wait list: who joins is woken once, or leaves; nobody is forgotten, nobody is touched late.

use std::pin::{Pin, pin};

use super::common::explore;
use crate::probe::Kept;
use crate::sys::{Arc, Mutex, thread};
use crate::wait_list::{WaitList, Waiter, Wakers};

type Shared = Arc<Mutex<(WaitList<u32>, u32)>>;

/// A list, and a number of promises that nobody waited for.
fn shared() -> Shared {
    Arc::new(Mutex::new((WaitList::new(), 0)))
}

fn join(shared: &Shared, waiter: Pin<&Waiter<u32>>) {
    shared.lock().0.join(waiter, Kept::noop());
}

/// Wakes one, or keeps the promise for later.
fn promise(shared: &Shared) {
    let mut locked = shared.lock();
    match locked.0.wake_one() {
        Some(waker) => {
            drop(locked);
            waker.wake();
        }
        None => locked.1 += 1,
    }
}

/// Leaves; one who was woken meanwhile passes the promise on.
fn leave(shared: &Shared, waiter: Pin<&Waiter<u32>>) {
    let left = shared.lock().0.leave(waiter);
    if left.is_none() {
        assert!(waiter.is_woken());
        promise(shared);
    }
}

/// Two join and leave, one wakes one: the promise is kept by nobody in the end. Breaks if `leave`
/// does not unlink, or does not look whether the waiter still waits.
#[test]
fn joiners_leave_while_one_is_woken() {
    explore(|| {
        let shared = shared();
        let other = thread::spawn({
            let shared = shared.clone();
            move || {
                let waiter = pin!(Waiter::new(1));
                join(&shared, waiter.as_ref());
                leave(&shared, waiter.as_ref());
            }
        });
        let waker = thread::spawn({
            let shared = shared.clone();
            move || promise(&shared)
        });
        let waiter = pin!(Waiter::new(2));
        join(&shared, waiter.as_ref());
        leave(&shared, waiter.as_ref());
        other.join().unwrap();
        waker.join().unwrap();
        let locked = shared.lock();
        assert!(locked.0.is_empty());
        assert_eq!(locked.1, 1);
    });
}

/// One who sees that he was woken is gone at once, without the lock. Breaks if `wake` stores
/// WOKEN before it takes the waker, or if that store is `Relaxed`, or the loads in `is_woken` and
/// `is_waiting` are.
#[test]
fn a_woken_waiter_may_go_at_once() {
    explore(|| {
        let shared = shared();
        let waker = thread::spawn({
            let shared = shared.clone();
            move || promise(&shared)
        });
        {
            let mut waiter = pin!(Waiter::new(7));
            join(&shared, waiter.as_ref());
            if waiter.is_woken() {
                assert_eq!(*waiter.as_mut().value(), 7);
            } else {
                leave(&shared, waiter.as_ref());
            }
        }
        waker.join().unwrap();
    });
}

/// One joins, one leaves, one wakes all: who is in line then is woken, each once. Breaks if
/// `wake_all` leaves `last` where it was.
#[test]
fn all_in_line_are_woken() {
    explore(|| {
        let shared = shared();
        let leaver = thread::spawn({
            let shared = shared.clone();
            move || {
                let waiter = pin!(Waiter::new(1));
                join(&shared, waiter.as_ref());
                drop(shared.lock().0.leave(waiter.as_ref()));
                assert!(!waiter.is_waiting());
            }
        });
        let waker = thread::spawn({
            let shared = shared.clone();
            move || {
                let mut wakers = Wakers::new();
                shared.lock().0.wake_all(&mut wakers);
                wakers.wake();
            }
        });
        let waiter = pin!(Waiter::new(2));
        join(&shared, waiter.as_ref());
        leaver.join().unwrap();
        waker.join().unwrap();
        let left = shared.lock().0.leave(waiter.as_ref());
        assert_ne!(left.is_some(), waiter.is_woken());
        let again = pin!(Waiter::new(3));
        join(&shared, again.as_ref());
        assert!(shared.lock().0.leave(again.as_ref()).is_some());
        assert!(shared.lock().0.is_empty());
    });
}
