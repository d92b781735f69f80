//! Broadcast and watch channels, and barriers: what concerns everybody reaches everybody.

use super::common::{explore, explore_at_most, poll_once_and_drop};
use crate::sync::{Barrier, broadcast, watch};
use crate::sys::{block_on, thread};

/// One sends and goes away, one gets, one looks once and goes away. Breaks if the last sender
/// wakes nobody.
#[test]
fn everybody_gets_the_value_and_the_end() {
    explore(|| {
        let (sender, mut receiver) = broadcast::channel(1);
        let mut fickle = sender.subscribe();
        let looks = thread::spawn(move || {
            if let Some(got) = poll_once_and_drop(fickle.recv()) {
                assert_eq!(got, Ok(1));
            }
        });
        let sends = thread::spawn(move || sender.send(1).unwrap());
        assert_eq!(block_on(receiver.recv()), Ok(1));
        assert_eq!(block_on(receiver.recv()), Err(broadcast::RecvError::Closed));
        looks.join().unwrap();
        sends.join().unwrap();
    });
}

/// One changes the value twice and goes away, one waits for the second. Breaks if `send` does not
/// count the version, or if `changed` joins without looking at it under the lock.
#[test]
fn the_latest_value_is_not_missed() {
    explore(|| {
        let (sender, mut receiver) = watch::channel(0);
        let sends = thread::spawn(move || {
            sender.send(1);
            sender.send(2);
        });
        assert_eq!(block_on(receiver.wait_for(|value| *value == 2)).map(|value| *value), Ok(2));
        sends.join().unwrap();
        assert_eq!(block_on(receiver.changed()), Err(watch::Closed));
    });
}

/// Two meet twice. Breaks if the last to leave does not let newcomers in.
#[test]
fn parties_meet_again() {
    explore_at_most(3, || {
        let barrier = crate::sys::Arc::new(Barrier::new(2));
        let other = thread::spawn({
            let barrier = barrier.clone();
            move || [(); 2].map(|()| block_on(barrier.wait()).unwrap())
        });
        let mine = [(); 2].map(|()| block_on(barrier.wait()).unwrap());
        let theirs = other.join().unwrap();
        for round in 0..2 {
            assert_eq!(mine[round] + theirs[round], 1);
        }
    });
}

/// One waits, one looks once and goes away, one comes: two of them meet, whoever they are. Breaks
/// if one who quits does not count himself out.
#[test]
fn one_who_leaves_a_barrier_is_not_counted() {
    explore_at_most(2, || {
        let barrier = crate::sys::Arc::new(Barrier::new(2));
        let fickle = thread::spawn({
            let barrier = barrier.clone();
            move || poll_once_and_drop(barrier.wait()).is_some()
        });
        let met = poll_once_and_drop(barrier.wait()).is_some();
        let met_first = fickle.join().unwrap();
        assert!(!(met && met_first), "one of them came first, and waited");
        assert_eq!(barrier.waiting(), 0);
        assert!(!barrier.is_draining());
    });
}
