//! Events and conditions: nobody who waits misses what happens then.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::common::{explore, explore_at_most};
use crate::sync::{Condition, Event, Lock};
use crate::sys::{Arc, UnsafeCell, block_on, thread};

/// What was written before `set` is seen after `wait`. Breaks if `set` is `Relaxed`, if `is_set`
/// is, or if `set_or_join` joins when the flag is SET.
#[test]
fn waiters_see_what_was_done_before_the_event() {
    struct Shared(Event, UnsafeCell<u32>);
    // SAFETY: the event orders the two accesses, which is what loom checks here.
    unsafe impl Sync for Shared {}
    explore(|| {
        let shared = Arc::new(Shared(Event::new(), UnsafeCell::new(0)));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || {
                    block_on(shared.0.wait());
                    // SAFETY: the writer is done.
                    assert_eq!(shared.1.with(|value| unsafe { *value }), 1);
                })
            })
            .collect();
        // SAFETY: the readers wait.
        shared.1.with_mut(|value| unsafe { *value = 1 });
        shared.0.set();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

/// One waits, one goes away, one sets. Breaks if `forget` clears a flag that was set meanwhile
/// (its look at `left` missing), or if `set_and_wake` wakes before it sets.
#[test]
fn one_who_goes_away_does_not_take_the_event_along() {
    explore(|| {
        let event = Arc::new(Event::new());
        let fickle = thread::spawn({
            let event = event.clone();
            move || {
                block_on(async {
                    let mut wait = pin!(event.wait());
                    poll_fn(|context| Poll::Ready(wait.as_mut().poll(context).is_ready())).await
                });
            }
        });
        let patient = thread::spawn({
            let event = event.clone();
            move || block_on(event.wait())
        });
        event.set();
        fickle.join().unwrap();
        patient.join().unwrap();
        assert!(event.is_set());
    });
}

/// One waits for a number, one changes it. Breaks if `wait` releases the lock before it stands in
/// line.
#[test]
fn a_change_under_the_lock_is_not_missed() {
    explore_at_most(3, || {
        let shared = Arc::new((Lock::new(false), Condition::new()));
        let waiter = thread::spawn({
            let shared = shared.clone();
            move || {
                block_on(async {
                    let mut guard = shared.0.lock().await;
                    shared.1.wait_for(&mut guard, |done| *done).await;
                    assert!(*guard);
                });
            }
        });
        *block_on(shared.0.lock()) = true;
        shared.1.notify_all();
        waiter.join().unwrap();
    });
}
