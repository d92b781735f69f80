//! The brief lock: one at a time, and each sees what the one before did.

use super::common::explore;
use crate::sys::brief::Brief;
use crate::sys::{Arc, thread};

/// Two add one each, twice. Breaks if `try_take` or the guard's `drop` is `Relaxed`, or if `wait`
/// ends when the lock looks free.
#[test]
fn one_at_a_time() {
    explore(|| {
        let lock = Arc::new(Brief::new(0));
        let other = thread::spawn({
            let lock = lock.clone();
            move || {
                *lock.lock() += 1;
                *lock.lock() += 1;
            }
        });
        *lock.lock() += 1;
        *lock.lock() += 1;
        other.join().unwrap();
        assert_eq!(*lock.lock(), 4);
    });
}
