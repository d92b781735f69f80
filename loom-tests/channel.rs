//! Queues: every item is got once, whoever goes away.

use super::common::{explore, poll_once_and_drop};
use crate::sync::Queue;
use crate::sys::{Arc, block_on, thread};

/// One gets, one gives up getting, one puts. Breaks if a `Get` that is dropped with a notice does
/// not pass it on.
#[test]
fn one_who_gives_up_leaves_the_item_to_others() {
    explore(|| {
        let queue = Arc::new(Queue::unbounded());
        let fickle = thread::spawn({
            let queue = queue.clone();
            move || poll_once_and_drop(queue.get()).is_some()
        });
        let patient = thread::spawn({
            let queue = queue.clone();
            move || block_on(queue.get()).ok()
        });
        queue.try_put(1).unwrap();
        let got = fickle.join().unwrap();
        if got {
            queue.shutdown();
        }
        assert_eq!(got, patient.join().unwrap().is_none());
    });
}

/// Two put into a queue with room for one, one gets both. Breaks if taking an item wakes no
/// putter.
#[test]
fn putters_get_their_turn() {
    explore(|| {
        let queue = Arc::new(Queue::bounded(1));
        let putters: Vec<_> = (1..=2)
            .map(|item| {
                let queue = queue.clone();
                thread::spawn(move || block_on(queue.put(item)).unwrap())
            })
            .collect();
        let sum = block_on(queue.get()).unwrap() + block_on(queue.get()).unwrap();
        assert_eq!(sum, 3);
        for putter in putters {
            putter.join().unwrap();
        }
    });
}

/// One puts, one shuts down, one gets until he is told to stop. Breaks if `shutdown` does not
/// wake those who get.
#[test]
fn a_shutdown_reaches_everybody() {
    explore(|| {
        let queue = Arc::new(Queue::unbounded());
        let putter = thread::spawn({
            let queue = queue.clone();
            move || usize::from(queue.try_put(()).is_ok())
        });
        let closer = thread::spawn({
            let queue = queue.clone();
            move || queue.shutdown()
        });
        let mut got = 0;
        while block_on(queue.get()).is_ok() {
            got += 1;
        }
        closer.join().unwrap();
        assert_eq!(got, putter.join().unwrap());
    });
}
