//! The end of the work, and of the queue: `join`, `task_done`, `shutdown` (QUE-07, QUE-08,
//! QUE-11 to QUE-14); of queues of every order.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use common::{in_any_order, simulate};
use filch::sync::{DoneTooOften, Fifo, Lifo, LifoQueue, Order, Priority, PriorityQueue, PutError};
use filch::sync::{Queue, Shutdown, TryGetError, TryPutError};
use filch::{Result, Task, spawn, yield_now};

/// A queue of any order.
trait AnyQueue: Send + Sync + Sized + 'static {
    type Order: Order<u32, Store: Send> + 'static;
    fn with_room(room: Option<usize>) -> Self;
    fn queue(&self) -> &Queue<u32, Self::Order>;
}

macro_rules! any_queue {
    ($($queue:ident $order:ident),*) => { $(
        impl AnyQueue for $queue<u32> {
            type Order = $order;

            fn with_room(room: Option<usize>) -> Self {
                room.map_or_else($queue::unbounded, $queue::bounded)
            }

            fn queue(&self) -> &Queue<u32, $order> {
                self
            }
        }
    )* };
}

any_queue!(Queue Fifo, LifoQueue Lifo, PriorityQueue Priority);

/// Runs a program with each kind of queue.
macro_rules! with_every_queue {
    ($run:ident, $program:ident) => {
        $run(async || $program::<Queue<u32>>().await);
        $run(async || $program::<LifoQueue<u32>>().await);
        $run(async || $program::<PriorityQueue<u32>>().await);
    };
}

fn in_order(program: impl AsyncFnOnce() -> Result<()>) {
    simulate(program());
}

fn joiner<Q: AnyQueue>(queue: &Arc<Q>) -> Task<()> {
    let queue = queue.clone();
    spawn(async move { queue.queue().join().await })
}

fn assert_takes_and_gives_nothing<Q: AnyQueue>(queue: &Q) {
    assert_eq!(queue.queue().try_put(1), Err(TryPutError::Shutdown(1)));
    assert_eq!(queue.queue().try_get(), Err(TryGetError::Shutdown));
    assert!(queue.queue().is_shut_down());
}

/// As [`assert_takes_and_gives_nothing`], waiting.
async fn assert_waits_for_nothing<Q: AnyQueue>(queue: &Q) {
    assert_eq!(queue.queue().put(1).await, Err(PutError(1)));
    assert_eq!(queue.queue().get().await, Err(Shutdown));
}

// upstream: test_queues._QueueJoinTestMixin.test_task_done_underflow
#[test]
fn no_more_is_done_than_was_put() {
    // QUE-07
    let queue = Queue::unbounded();
    assert_eq!(queue.task_done(), Err(DoneTooOften));
    queue.try_put(1).unwrap();
    assert_eq!((queue.task_done(), queue.unfinished()), (Ok(()), 0));
}

// upstream: test_queues._QueueJoinTestMixin.test_task_done
#[test]
fn the_work_is_done_when_every_item_is() {
    // QUE-07
    async fn program<Q: AnyQueue>() -> Result<()> {
        let queue = Arc::new(Q::with_room(None));
        let (sum, runs) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(true)));
        for item in 0..100 {
            queue.queue().try_put(item)?;
        }
        let workers = [(); 2].map(|()| {
            let (queue, sum, runs) = (queue.clone(), sum.clone(), runs.clone());
            spawn(async move {
                while runs.load(Ordering::Relaxed) {
                    sum.fetch_add(queue.queue().get().await?, Ordering::Relaxed);
                    queue.queue().task_done()?;
                }
                Ok(())
            })
        });
        queue.queue().join().await;
        assert_eq!(sum.load(Ordering::Relaxed), 99 * 100 / 2);
        runs.store(false, Ordering::Relaxed);
        for worker in workers {
            queue.queue().try_put(0)?;
            queue.queue().try_put(0)?;
            worker.await?;
        }
        Ok(())
    }
    with_every_queue!(in_any_order, program);
}

// upstream: test_queues._QueueJoinTestMixin.test_join_empty_queue
#[test]
fn an_empty_queue_is_done() {
    // QUE-07
    async fn program<Q: AnyQueue>() -> Result<()> {
        let queue = Q::with_room(None);
        queue.queue().join().await;
        queue.queue().join().await;
        Ok(())
    }
    with_every_queue!(in_any_order, program);
}

#[test]
fn who_was_told_that_all_is_done_goes_on() {
    // QUE-08, section 27: although something was put again
    simulate(async {
        let queue = Arc::new(Queue::unbounded());
        queue.put(1).await?;
        let waiter = joiner(&queue);
        yield_now().await;
        queue.get().await?;
        queue.task_done()?;
        queue.put(2).await?;
        yield_now().await;
        assert!(waiter.is_finished());
        Ok(())
    });
}

// upstream: test_queues._QueueShutdownTestMixin.test_shutdown_empty
#[test]
fn an_empty_queue_shuts_down() {
    // QUE-11
    async fn program<Q: AnyQueue>() -> Result<()> {
        let queue = Arc::new(Q::with_room(None));
        let getter = spawn({
            let queue = queue.clone();
            async move {
                queue.queue().get().await?;
                Ok(())
            }
        });
        yield_now().await;
        queue.queue().shutdown();
        assert!(queue.queue().is_empty());
        queue.queue().join().await;
        assert!(getter.await.unwrap_err().is::<Shutdown>());
        assert_waits_for_nothing(&*queue).await;
        assert_takes_and_gives_nothing(&*queue);
        Ok(())
    }
    with_every_queue!(in_any_order, program);
}

// upstream: test_queues._QueueShutdownTestMixin.test_shutdown_nonempty
#[test]
fn what_is_in_a_queue_that_shuts_down_can_be_got() {
    // QUE-11
    async fn program<Q: AnyQueue>() -> Result<()> {
        let queue = Arc::new(Q::with_room(Some(1)));
        queue.queue().try_put(7)?;
        let waiter = joiner(&queue);
        let putter = spawn({
            let queue = queue.clone();
            async move { Ok(queue.queue().put(8).await?) }
        });
        yield_now().await;
        assert!(!putter.is_finished());
        queue.queue().shutdown();
        assert_eq!(queue.queue().len(), 1);
        let refused = putter.await.unwrap_err();
        assert_eq!(refused.downcast_ref::<PutError<u32>>(), Some(&PutError(8)));
        assert_eq!(queue.queue().get().await?, 7);
        yield_now().await;
        assert!(!waiter.is_finished());
        assert_waits_for_nothing(&*queue).await;
        assert_takes_and_gives_nothing(&*queue);
        queue.queue().task_done()?;
        waiter.await?;
        assert_eq!(queue.queue().task_done(), Err(DoneTooOften));
        Ok(())
    }
    with_every_queue!(in_order, program);
}

// upstream: test_queues._QueueShutdownTestMixin.test_shutdown_immediate
#[test]
fn what_is_in_a_queue_that_shuts_down_now_is_dropped() {
    // QUE-12
    async fn program<Q: AnyQueue>() -> Result<()> {
        let queue = Arc::new(Q::with_room(None));
        queue.queue().try_put(7)?;
        let waiter = joiner(&queue);
        queue.queue().shutdown_now();
        assert!(queue.queue().is_empty());
        waiter.await?;
        assert_waits_for_nothing(&*queue).await;
        assert_takes_and_gives_nothing(&*queue);
        assert_eq!(queue.queue().task_done(), Err(DoneTooOften));
        Ok(())
    }
    with_every_queue!(in_any_order, program);
}

// upstream: test_queues._QueueShutdownTestMixin.test_shutdown_immediate_with_unfinished
#[test]
fn what_was_got_before_is_still_to_be_done() {
    // QUE-12
    async fn program<Q: AnyQueue>() -> Result<()> {
        let queue = Arc::new(Q::with_room(None));
        queue.queue().try_put(7)?;
        queue.queue().try_put(7)?;
        let waiter = joiner(&queue);
        assert_eq!(queue.queue().get().await?, 7);
        queue.queue().shutdown_now();
        assert!(queue.queue().is_empty());
        yield_now().await;
        assert!(!waiter.is_finished());
        assert_waits_for_nothing(&*queue).await;
        assert_takes_and_gives_nothing(&*queue);
        queue.queue().task_done()?;
        assert_eq!(queue.queue().task_done(), Err(DoneTooOften));
        waiter.await
    }
    with_every_queue!(in_any_order, program);
}

#[test]
fn a_shutdown_may_become_an_immediate_one() {
    // QUE-13, section 27
    async fn program<Q: AnyQueue>() -> Result<()> {
        let queue = Arc::new(Q::with_room(None));
        for item in 0..3 {
            queue.queue().try_put(item)?;
        }
        let waiter = joiner(&queue);
        queue.queue().get().await?;
        queue.queue().shutdown();
        queue.queue().shutdown();
        assert_eq!(queue.queue().len(), 2);
        queue.queue().shutdown_now();
        assert_eq!((queue.queue().len(), queue.queue().unfinished()), (0, 1));
        assert!(!waiter.is_finished());
        queue.queue().task_done()?;
        waiter.await
    }
    with_every_queue!(in_any_order, program);
}
