//! Oneshot channels: the value arrives once, and the allocation is freed once, whoever goes first.

use super::common::{explore, poll_once_and_drop};
use crate::sync::oneshot;
use crate::sys::{Arc, block_on, thread};

/// One sends, one waits. Breaks if `end` stores the state before the value, if it does not wake,
/// or if the exchange in `wait` is `Relaxed`.
#[test]
fn a_value_arrives() {
    explore(|| {
        let (sender, receiver) = oneshot::channel();
        let sends = thread::spawn(move || sender.send(7).unwrap());
        assert_eq!(block_on(receiver), Ok(7));
        sends.join().unwrap();
    });
}

/// One sends, one looks once and goes away: the value is dropped, by exactly one of them. Breaks
/// if the receiver, dropped in SENT, does not take the value.
#[test]
fn a_value_that_nobody_wants_is_dropped_once() {
    explore(|| {
        let value = Arc::new(());
        let (sender, receiver) = oneshot::channel();
        let sends = thread::spawn({
            let value = value.clone();
            move || drop(sender.send(value))
        });
        drop(poll_once_and_drop(receiver));
        sends.join().unwrap();
        assert!(Arc::try_unwrap(value).is_ok());
    });
}

/// One goes away without a value, one waits with two wakers in turn. Breaks if the receiver
/// changes its waker without taking the state back to EMPTY.
#[test]
fn the_end_arrives_at_the_latest_waker() {
    explore(|| {
        let (sender, mut receiver) = oneshot::channel::<()>();
        let ends = thread::spawn(move || drop(sender));
        if poll_once_and_drop(&mut receiver).is_none() {
            assert_eq!(block_on(receiver), Err(oneshot::Closed));
        }
        ends.join().unwrap();
    });
}

/// One waits for the other to go away, who looks for a value first. Breaks if the receiver does
/// not say that it goes, or if `exchange` drops the bit.
#[test]
fn a_sender_learns_that_the_receiver_is_gone() {
    explore(|| {
        let (mut sender, receiver) = oneshot::channel::<u32>();
        let goes = thread::spawn(move || assert!(poll_once_and_drop(receiver).is_none()));
        block_on(sender.closed());
        assert!(sender.is_closed());
        assert_eq!(sender.send(1), Err(1));
        goes.join().unwrap();
    });
}

/// One looks whether the other is gone, and sends; the other waits. Breaks if `exchange` does not
/// try again when the bit is set.
#[test]
fn a_watched_receiver_gets_its_value() {
    explore(|| {
        let (mut sender, receiver) = oneshot::channel();
        let sends = thread::spawn(move || {
            assert!(poll_once_and_drop(sender.closed()).is_none());
            sender.send(7).unwrap();
        });
        assert_eq!(block_on(receiver), Ok(7));
        sends.join().unwrap();
    });
}
