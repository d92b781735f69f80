//! Conditions: no change under the lock is missed, no notification lost.

use std::future::poll_fn;
use std::task::Poll;

use super::common::explore_at_most;
use crate::sync::{Condition, Lock};
use crate::sys::{Arc, block_on, thread};

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

/// One goes away while he stands first in line, one waits for a number, one changes it and
/// notifies one. Breaks if a `Wait` that is dropped with a notification does not pass it on.
#[test]
fn one_who_goes_away_passes_the_notification_on() {
    explore_at_most(2, || {
        let shared = Arc::new((Lock::new(false), Condition::new()));
        let mut guard = block_on(shared.0.lock());
        let mut fickle = Box::pin(shared.1.wait(&mut guard));
        block_on(poll_fn(|context| {
            assert!(fickle.as_mut().poll(context).is_pending());
            Poll::Ready(())
        }));
        let patient = thread::spawn({
            let shared = shared.clone();
            move || {
                block_on(async {
                    let mut done = shared.0.lock().await;
                    shared.1.wait_for(&mut done, |done| *done).await;
                });
            }
        });
        let notifier = thread::spawn({
            let shared = shared.clone();
            move || {
                *block_on(shared.0.lock()) = true;
                shared.1.notify(1);
            }
        });
        drop(fickle);
        notifier.join().unwrap();
        patient.join().unwrap();
        assert!(!shared.0.is_locked());
    });
}
