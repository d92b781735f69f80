//! Events: nobody who waits misses what happens then.

use super::common::{explore, poll_once_and_drop};
use crate::sync::Event;
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
                poll_once_and_drop(event.wait());
            }
        });
        let patient = thread::spawn({
            let event = event.clone();
            move || {
                block_on(event.wait());
                assert!(event.is_set(), "nobody clears it");
            }
        });
        event.set();
        fickle.join().unwrap();
        patient.join().unwrap();
        assert!(event.is_set());
    });
}
