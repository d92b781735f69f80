//! Queues: every item is got once, in the queue's order; what waits is told of room, of items, of
//! the work being done, and of the end (QUE-01 to QUE-14).

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Log, in_any_order, ms, simulate};
use filch::sync::{Event, Fifo, LifoQueue, Order, PriorityQueue, Queue, TryGetError};
use filch::{Task, sleep, spawn, timeout, yield_now};

/// A task that gets one item.
fn getter(queue: &Arc<Queue<i32>>) -> Task<i32> {
    let queue = queue.clone();
    spawn(async move { Ok(queue.get().await?) })
}

/// A task that puts one item.
fn putter(queue: &Arc<Queue<i32>>, item: i32) -> Task<()> {
    let queue = queue.clone();
    spawn(async move { Ok(queue.put(item).await?) })
}

fn after(wait: Duration, then: impl FnOnce() + Send + 'static) {
    let later = async move {
        sleep(wait).await;
        then();
    };
    spawn(later).detach();
}

// upstream: test_queues.QueueBasicTests.test_empty
#[test]
fn a_queue_says_whether_it_is_empty() {
    // QUE-01
    simulate(async {
        let queue = Queue::default();
        assert!(queue.is_empty());
        queue.put(1).await?;
        assert_eq!((queue.is_empty(), queue.len()), (false, 1));
        assert_eq!(queue.get().await?, 1);
        assert!(queue.is_empty());
        Ok(())
    });
}

// upstream: test_queues.QueueBasicTests.test_full
#[test]
fn a_queue_says_whether_it_is_full() {
    // QUE-01
    simulate(async {
        let queue = Queue::unbounded();
        queue.put(1).await?;
        assert_eq!((queue.is_full(), queue.capacity()), (false, None));
        let queue = Queue::bounded(1);
        assert!(!queue.is_full());
        queue.put(1).await?;
        assert_eq!((queue.is_full(), queue.capacity()), (true, Some(1)));
        Ok(())
    });
}

/// Puts three items into a queue, and gets them out again.
async fn in_and_out<O: Order<i32>>(queue: &Queue<i32, O>) -> [i32; 3] {
    for item in [1, 3, 2] {
        queue.put(item).await.unwrap();
    }
    let mut items = [0; 3];
    for item in &mut items {
        *item = queue.get().await.unwrap();
    }
    items
}

// upstream: test_queues.QueueBasicTests.test_order
// upstream: test_queues.LifoQueueTests.test_order
// upstream: test_queues.PriorityQueueTests.test_order
#[test]
fn items_come_out_in_the_order_of_the_queue() {
    // QUE-02
    simulate(async {
        assert_eq!(in_and_out(&Queue::unbounded()).await, [1, 3, 2]);
        assert_eq!(in_and_out(&LifoQueue::unbounded()).await, [2, 3, 1]);
        assert_eq!(in_and_out(&PriorityQueue::unbounded()).await, [1, 2, 3]);
        Ok(())
    });
}

// upstream: test_queues.QueueBasicTests.test_maxsize
#[test]
fn who_puts_waits_for_room() {
    // QUE-01, QUE-03
    simulate(async {
        let (log, queue) = (Log::new(), Arc::new(Queue::bounded(2)));
        let putter = spawn({
            let (log, queue) = (log.clone(), queue.clone());
            async move {
                for item in 0..3 {
                    queue.put(item).await?;
                    log.add(item.to_string());
                }
                Ok(())
            }
        });
        yield_now().await;
        yield_now().await;
        assert_eq!(log.lines(), ["0", "1"]);
        assert_eq!(queue.get().await?, 0);
        yield_now().await;
        assert_eq!(log.lines(), ["0", "1", "2"]);
        assert_eq!((queue.get().await?, queue.get().await?), (1, 2));
        assert!(putter.is_finished());
        Ok(())
    });
}

// upstream: test_queues.QueueGetTests.test_blocking_get
// upstream: test_queues.QueuePutTests.test_blocking_put
#[test]
fn nobody_waits_for_what_can_be_had() {
    // QUE-03, QUE-06
    simulate(async {
        let queue = Queue::unbounded();
        let other = spawn(async {});
        queue.put(1).await?;
        assert_eq!(queue.get().await?, 1);
        assert!(!other.is_finished(), "neither suspended");
        Ok(())
    });
}

// upstream: test_queues.QueueGetTests.test_blocking_get_wait
#[test]
fn who_gets_waits_for_an_item() {
    // QUE-03
    in_any_order(async || {
        let (started, queue) = (Arc::new(Event::new()), Arc::new(Queue::unbounded()));
        let getter = spawn({
            let (started, queue) = (started.clone(), queue.clone());
            async move {
                started.set();
                Ok(queue.get().await?)
            }
        });
        started.wait().await;
        assert!(!getter.is_finished());
        after(ms(10), move || queue.try_put(1).unwrap());
        assert_eq!(getter.await?, 1);
        Ok(())
    });
}

// upstream: test_queues.QueueGetTests.test_nonblocking_get
// upstream: test_queues.QueuePutTests.test_nonblocking_put
#[test]
fn what_can_be_had_is_had_at_once() {
    // QUE-04
    let queue = Queue::unbounded();
    queue.try_put(1).unwrap();
    assert_eq!(queue.try_get(), Ok(1));
}

// upstream: test_queues.QueueGetTests.test_nonblocking_get_exception
// upstream: test_queues.QueuePutTests.test_nonblocking_put_exception
#[test]
fn what_cannot_be_had_is_refused_at_once() {
    // QUE-04
    let queue = Queue::bounded(1);
    assert_eq!(queue.try_get(), Err(TryGetError::Empty));
    queue.try_put(1).unwrap();
    let refused = queue.try_put(2).unwrap_err();
    assert!(refused.is_full());
    assert_eq!((refused.to_string(), refused.into_item()), ("queue is full".to_owned(), 2));
}

// upstream: test_queues.QueueGetTests.test_get_cancelled_race
#[test]
fn an_item_passes_by_one_who_was_cancelled() {
    // QUE-10
    simulate(async {
        let queue = Arc::new(Queue::unbounded());
        let [first, second] = [getter(&queue), getter(&queue)];
        yield_now().await;
        first.cancel();
        yield_now().await;
        assert!(first.is_finished());
        queue.put(1).await?;
        assert_eq!(second.await?, 1);
        Ok(())
    });
}

// upstream: test_queues.QueueGetTests.test_get_with_waiting_putters
#[test]
fn those_who_put_go_on_in_order() {
    // QUE-03, QUE-05
    simulate(async {
        let queue = Arc::new(Queue::bounded(1));
        let _putters = [putter(&queue, 1), putter(&queue, 2)];
        assert_eq!((queue.get().await?, queue.get().await?), (1, 2));
        Ok(())
    });
}

// upstream: test_queues.QueueGetTests.test_why_are_getters_waiting
#[test]
fn one_puts_and_one_gets_with_little_room() {
    // QUE-03
    in_any_order(async || {
        let queue = Arc::new(Queue::bounded(1));
        let producer = spawn({
            let queue = queue.clone();
            async move {
                for item in 0..5 {
                    queue.put(item).await?;
                }
                Ok(())
            }
        });
        let consumer = spawn(async move {
            for item in 0..5 {
                assert_eq!(queue.get().await?, item);
            }
            Ok(())
        });
        producer.await?;
        consumer.await
    });
}

// upstream: test_queues.QueueGetTests.test_cancelled_getters_not_being_held_in_self_getters
#[test]
fn one_who_gives_up_getting_leaves_the_line() {
    // QUE-09
    in_any_order(async || {
        let queue = Queue::<i32>::bounded(5);
        let late = timeout(ms(100), async { Ok(queue.get().await?) }).await;
        assert!(late.unwrap_err().is_timeout());
        assert_eq!(queue.waiting(), (0, 0));
        Ok(())
    });
}

// upstream: test_queues.QueuePutTests.test_blocking_put_wait
#[test]
fn who_puts_goes_on_when_there_is_room() {
    // QUE-03
    in_any_order(async || {
        let (started, queue) = (Arc::new(Event::new()), Arc::new(Queue::bounded(1)));
        let putter = spawn({
            let (started, queue) = (started.clone(), queue.clone());
            async move {
                started.set();
                queue.put(1).await?;
                queue.put(2).await?;
                Ok(())
            }
        });
        started.wait().await;
        assert!(!putter.is_finished());
        after(ms(10), move || assert_eq!(queue.try_get(), Ok(1)));
        putter.await
    });
}

// upstream: test_queues.QueuePutTests.test_get_cancel_drop_one_pending_reader
#[test]
fn one_who_is_woken_and_cancelled_takes_nothing() {
    // QUE-10, CAN-06
    simulate(async {
        let queue = Arc::new(Queue::unbounded());
        let reader = getter(&queue);
        yield_now().await;
        queue.try_put(1)?;
        queue.try_put(2)?;
        reader.cancel();
        assert!(reader.await.unwrap_err().is_cancelled());
        assert_eq!(getter(&queue).await?, 1);
        Ok(())
    });
}

// upstream: test_queues.QueuePutTests.test_get_cancel_drop_many_pending_readers
#[test]
fn items_reach_the_readers_that_are_left() {
    // QUE-10
    simulate(async {
        let queue = Arc::new(Queue::unbounded());
        let [first, second, third] = [(); 3].map(|()| getter(&queue));
        yield_now().await;
        queue.try_put(1)?;
        queue.try_put(2)?;
        first.cancel();
        assert!(first.await.unwrap_err().is_cancelled());
        let mut got = [third.await?, second.await?];
        got.sort();
        assert_eq!(got, [1, 2]);
        Ok(())
    });
}

// upstream: test_queues.QueuePutTests.test_put_cancel_drop
#[test]
fn one_who_is_woken_and_cancelled_puts_nothing() {
    // QUE-10
    simulate(async {
        let queue = Arc::new(Queue::bounded(1));
        queue.try_put(1)?;
        let writer = putter(&queue, 2);
        yield_now().await;
        assert_eq!(queue.try_get(), Ok(1));
        writer.cancel();
        assert!(writer.await.unwrap_err().is_cancelled());
        putter(&queue, 2).await?;
        assert_eq!(queue.try_get(), Ok(2));
        assert!(queue.is_empty());
        Ok(())
    });
}

// upstream: test_queues.QueuePutTests.test_put_cancelled
#[test]
fn a_put_with_room_does_not_suspend() {
    // QUE-06
    simulate(async {
        let queue = Arc::new(Queue::unbounded());
        let putter = putter(&queue, 1);
        assert_eq!(queue.get().await?, 1);
        assert!(putter.is_finished());
        putter.await
    });
}

// upstream: test_queues.QueuePutTests.test_put_cancelled_race
#[test]
fn room_passes_by_one_who_was_cancelled() {
    // QUE-09
    simulate(async {
        let queue = Arc::new(Queue::bounded(1));
        let [first, second, third] = [1, 2, 3].map(|item| putter(&queue, item));
        yield_now().await;
        assert_eq!((first.is_finished(), second.is_finished()), (true, false));
        third.cancel();
        yield_now().await;
        assert!(third.is_finished());
        assert_eq!(queue.try_get(), Ok(1));
        yield_now().await;
        assert_eq!(queue.try_get(), Ok(2));
        second.await
    });
}

// upstream: test_queues.QueuePutTests.test_put_with_waiting_getters
#[test]
fn one_who_waits_gets_what_is_put() {
    // QUE-03
    simulate(async {
        let queue = Arc::new(Queue::unbounded());
        let getter = getter(&queue);
        yield_now().await;
        queue.put(1).await?;
        assert_eq!(getter.await?, 1);
        Ok(())
    });
}

// upstream: test_queues.QueuePutTests.test_why_are_putters_waiting
#[test]
fn all_who_put_get_their_turn() {
    // QUE-03, QUE-05
    simulate(async {
        let queue = Arc::new(Queue::bounded(2));
        let getter = spawn({
            let queue = queue.clone();
            async move {
                yield_now().await;
                for _ in 0..queue.len() {
                    queue.try_get()?;
                }
                Ok(())
            }
        });
        let putters = [0, 1, 2, 3].map(|item| putter(&queue, item));
        getter.await?;
        for putter in putters {
            putter.await?;
        }
        assert_eq!((queue.try_get(), queue.try_get()), (Ok(2), Ok(3)));
        Ok(())
    });
}

// upstream: test_queues.QueuePutTests.test_cancelled_puts_not_being_held_in_self_putters
#[test]
fn one_who_gives_up_putting_leaves_the_line() {
    // QUE-09
    simulate(async {
        let queue = Arc::new(Queue::bounded(1));
        queue.try_put(1)?;
        let putter = putter(&queue, 1);
        yield_now().await;
        assert_eq!(queue.waiting(), (0, 1));
        putter.cancel();
        assert!(putter.await.unwrap_err().is_cancelled());
        assert_eq!(queue.waiting(), (0, 0));
        Ok(())
    });
}

// upstream: test_queues.QueuePutTests.test_cancelled_put_silence_value_error_exception
#[test]
fn one_who_has_room_and_is_cancelled_is_cancelled() {
    // QUE-09
    simulate(async {
        let queue = Arc::new(Queue::bounded(1));
        queue.try_put(1)?;
        let putter = putter(&queue, 1);
        yield_now().await;
        queue.try_get()?;
        putter.cancel();
        assert!(putter.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn an_item_is_not_reserved_for_one_who_was_woken() {
    // QUE-05, section 27: he waits again, behind later ones
    simulate(async {
        let queue = Arc::new(Queue::unbounded());
        let [first, second] = [getter(&queue), getter(&queue)];
        yield_now().await;
        queue.try_put(1)?;
        assert_eq!(queue.try_get(), Ok(1));
        yield_now().await;
        queue.try_put(2)?;
        queue.try_put(3)?;
        assert_eq!((second.await?, first.await?), (2, 3));
        Ok(())
    });
}

#[test]
fn plain_threads_put_and_get() {
    let queue = Arc::new(Queue::bounded(2));
    let threads = [(); 2].map(|()| {
        let queue = queue.clone();
        std::thread::spawn(move || (0..500).for_each(|item| queue.put_blocking(item).unwrap()))
    });
    let sum = std::thread::spawn({
        let queue: Arc<Queue<u64, Fifo>> = queue.clone();
        move || {
            let mut sum = 0;
            while let Ok(item) = queue.get_blocking() {
                sum += item;
                queue.task_done().unwrap();
            }
            sum
        }
    });
    filch::run({
        let queue = queue.clone();
        async move {
            for item in 0..500 {
                queue.put(item).await?;
            }
            Ok(())
        }
    })
    .unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
    queue.join_blocking();
    queue.shutdown();
    assert_eq!(sum.join().unwrap(), 3 * 499 * 500 / 2);
}
