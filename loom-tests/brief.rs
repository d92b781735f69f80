//! The brief lock: one at a time, and each sees what the one before did.

use super::common::explore;
use crate::sys::brief::Brief;
use crate::sys::{Arc, thread};

/// Three add one each. Breaks if `try_take` or the guard's `drop` is `Relaxed`, or if `wait` does
/// not exchange.
#[test]
fn one_at_a_time() {
    explore(|| {
        let lock = Arc::new(Brief::new(0));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || *lock.lock() += 1)
            })
            .collect();
        *lock.lock() += 1;
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(*lock.lock(), 3);
    });
}
