//! Sweeps: whoever is cancelled or timed out, at whatever moment, takes nothing along.
//!
//! Every program here asserts at its end that nothing is lost, doubled or forgotten, and is run
//! once for every moment of every task of it.

mod common;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use common::sweeps::{all, party, sweep};
use common::{Log, seconds, simulate};
use filch::sim::{cancel_everywhere, timeout_everywhere, timeout_when_swept};
use filch::sync::{Barrier, BoundedSemaphore, Condition, Event, Lock, Queue, RwLock, Semaphore};
use filch::sync::{LifoQueue, PriorityQueue, oneshot};
use filch::{catch_cancelled, sleep, spawn, yield_now};
use futures::StreamExt;

#[test]
fn a_lock() {
    sweep(async || {
        let lock = Arc::new(Lock::new(()));
        let parties: Vec<_> = (0..3)
            .map(|_| {
                let lock = lock.clone();
                party(async move {
                    let _guard = lock.lock().await;
                    yield_now().await;
                })
            })
            .collect();
        all(parties).await;
        assert!(!lock.is_locked());
        assert_eq!(lock.waiting(), 0);
        drop(lock.lock().await);
    });
}

#[test]
fn a_read_write_lock() {
    sweep(async || {
        let lock = Arc::new(RwLock::new(()));
        let parties: Vec<_> = [false, true, false, true]
            .map(|writes| {
                let lock = lock.clone();
                party(async move {
                    if writes {
                        let _guard = lock.write().await;
                        yield_now().await;
                    } else {
                        let _guard = lock.read().await;
                        yield_now().await;
                    }
                })
            })
            .into();
        all(parties).await;
        assert!(lock.try_write().is_ok());
        assert_eq!(lock.waiting(), 0);
    });
}

#[test]
fn a_semaphore() {
    sweep(async || {
        let semaphore = Arc::new(Semaphore::new(2));
        let parties: Vec<_> = [1, 2, 1, 2]
            .map(|count| {
                let semaphore = semaphore.clone();
                party(async move {
                    let _permit = semaphore.acquire_many(count).await;
                    yield_now().await;
                })
            })
            .into();
        all(parties).await;
        assert_eq!((semaphore.available(), semaphore.waiting()), (2, 0));
    });
}

#[test]
fn a_bounded_semaphore() {
    sweep(async || {
        let semaphore = Arc::new(BoundedSemaphore::new(1));
        let parties: Vec<_> = (0..3)
            .map(|_| {
                let semaphore = semaphore.clone();
                party(async move {
                    let permit = semaphore.acquire().await;
                    yield_now().await;
                    permit.forget();
                    semaphore.release().unwrap();
                })
            })
            .collect();
        all(parties).await;
        // One who is cancelled with a permit returns it by dropping it, the others by hand.
        assert_eq!((semaphore.available(), semaphore.waiting()), (1, 0));
        assert!(semaphore.release().is_err());
    });
}

#[test]
fn an_event() {
    sweep(async || {
        let event = Arc::new(Event::new());
        let parties: Vec<_> = (0..3)
            .map(|_| {
                let event = event.clone();
                party(async move { event.wait().await })
            })
            .collect();
        yield_now().await;
        yield_now().await;
        event.set();
        all(parties).await;
        assert_eq!((event.waiting(), event.is_set()), (0, true));
    });
}

#[test]
fn a_condition() {
    sweep(async || {
        // Three want one each, and two are there: every notification is of use to somebody.
        let shared = Arc::new((Lock::new(0), Condition::new()));
        let parties: Vec<_> = (0..3)
            .map(|_| {
                let shared = shared.clone();
                party(async move {
                    let mut items = shared.0.lock().await;
                    let wait = shared.1.wait_for(&mut items, |items| *items != 0);
                    let ended = catch_cancelled(wait).await;
                    // However it ended, the lock is held again.
                    assert!(shared.0.is_locked() && *items < 3);
                    if let Err(cancelled) = ended {
                        cancelled.raise().await;
                    }
                    if *items > 0 {
                        *items -= 1;
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            yield_now().await;
            let mut items = shared.0.lock().await;
            *items += 1;
            shared.1.notify(1);
            // Who was notified has to wait for the lock.
            yield_now().await;
        }
        // No notification is lost: whoever is left is served by those two.
        while *shared.0.lock().await > 0 && shared.1.waiting() > 0 {
            yield_now().await;
        }
        *shared.0.lock().await = -1;
        shared.1.notify_all();
        all(parties).await;
        assert_eq!(shared.1.waiting(), 0);
        assert!(!shared.0.is_locked());
    });
}

#[test]
fn a_barrier() {
    sweep(async || {
        let barrier = Arc::new(Barrier::new(2));
        let parties: Vec<_> = (0..4)
            .map(|_| {
                let barrier = barrier.clone();
                party(async move {
                    let _ = barrier.wait().await;
                    yield_now().await;
                })
            })
            .collect();
        // For one who was cancelled, somebody stands in.
        while !parties.iter().all(|party| party.is_finished()) {
            if barrier.waiting() > 0 {
                barrier.wait().await.unwrap();
            }
            yield_now().await;
        }
        all(parties).await;
        assert_eq!(barrier.waiting(), 0);
        assert!(!barrier.is_draining() && !barrier.is_broken());
    });
}

#[test]
fn a_queue() {
    sweep(async || {
        let queue = Arc::new(Queue::bounded(1));
        let (put, got) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let putters: Vec<_> = (0..3)
            .map(|item| {
                let (queue, put) = (queue.clone(), put.clone());
                party(async move {
                    queue.put(item).await.unwrap();
                    put.lock().unwrap().push(item);
                })
            })
            .collect();
        let getters: Vec<_> = (0..2)
            .map(|_| {
                let (queue, got) = (queue.clone(), got.clone());
                party(async move {
                    while let Ok(item) = queue.get().await {
                        got.lock().unwrap().push(item);
                        queue.task_done().unwrap();
                    }
                })
            })
            .collect();
        all(putters).await;
        queue.join().await;
        queue.shutdown();
        all(getters).await;
        assert_eq!((queue.len(), queue.waiting()), (0, (0, 0)));
        got.lock().unwrap().sort();
        put.lock().unwrap().sort();
        assert_eq!(*got.lock().unwrap(), *put.lock().unwrap());
    });
}

#[test]
fn a_queue_whose_getters_and_putters_all_wait() {
    sweep(async || {
        let queue = Arc::new(PriorityQueue::bounded(1));
        let getters: Vec<_> = (0..3)
            .map(|_| {
                let queue = queue.clone();
                party(async move {
                    queue.get().await.unwrap();
                })
            })
            .collect();
        let mut put = 0;
        // An item that a cancelled getter was told of goes to the next, as long as there is one.
        while !getters.iter().all(|getter| getter.is_finished()) {
            if queue.waiting().0 > 0 && queue.is_empty() {
                queue.put(put).await.unwrap();
                put += 1;
            }
            yield_now().await;
        }
        all(getters).await;
        assert!(put <= 3);
        assert_eq!(queue.waiting(), (0, 0));
    });
}

#[test]
fn a_queue_that_gives_the_youngest_first() {
    sweep(async || {
        let queue = Arc::new(LifoQueue::bounded(2));
        let put = Arc::new(Mutex::new(0));
        let putters: Vec<_> = (0..2)
            .map(|putter| {
                let (queue, put) = (queue.clone(), put.clone());
                party(async move {
                    for item in 0..2 {
                        queue.put(2 * putter + item).await.unwrap();
                        *put.lock().unwrap() += 1;
                    }
                })
            })
            .collect();
        let got = Arc::new(Mutex::new(0));
        let getters: Vec<_> = (0..2)
            .map(|_| {
                let (queue, got) = (queue.clone(), got.clone());
                party(async move {
                    queue.stream().for_each(async |_| *got.lock().unwrap() += 1).await;
                })
            })
            .collect();
        // Getters who were cancelled leave items, and putters who wait.
        while !putters.iter().all(|putter| putter.is_finished()) {
            *got.lock().unwrap() += u32::from(queue.try_get().is_ok());
            yield_now().await;
        }
        all(putters).await;
        queue.shutdown();
        all(getters).await;
        *got.lock().unwrap() += queue.len() as u32;
        assert_eq!(queue.waiting(), (0, 0));
        assert_eq!(*got.lock().unwrap(), *put.lock().unwrap());
    });
}

#[test]
fn one_who_leaves_the_head_of_the_line() {
    sweep(async || {
        let semaphore = Arc::new(Semaphore::new(2));
        let mine = semaphore.acquire().await;
        let [wants_two, wants_one] = [2, 1].map(|count| {
            let semaphore = semaphore.clone();
            party(async move {
                let _permit = semaphore.acquire_many(count).await;
                yield_now().await;
            })
        });
        for _ in 0..6 {
            yield_now().await;
        }
        // Without the first in line, one is enough for the next.
        while wants_two.is_finished() && !wants_one.is_finished() {
            yield_now().await;
        }
        drop(mine);
        all([wants_two, wants_one]).await;
        assert_eq!((semaphore.available(), semaphore.waiting()), (2, 0));
    });
}

#[test]
fn permits_that_keep_their_semaphore() {
    sweep(async || {
        let semaphore = Arc::new(BoundedSemaphore::new(2));
        let parties: Vec<_> = [2, 1, 2]
            .map(|count| {
                let semaphore = semaphore.clone();
                party(async move {
                    let permit = semaphore.acquire_many_owned(count).await;
                    yield_now().await;
                    assert_eq!(permit.count(), count);
                })
            })
            .into();
        all(parties).await;
        assert_eq!((semaphore.available(), semaphore.waiting()), (2, 0));
        assert_eq!(Arc::strong_count(&semaphore), 1, "a permit keeps it");
    });
}

/// A semaphore of the kind that is written in an afternoon: a permit is sent to whoever waits.
///
/// Broken on purpose: a receiver that is dropped with the permit in it takes the permit along.
#[derive(Default)]
struct Leaky(Mutex<(u32, VecDeque<oneshot::Sender<()>>)>);

impl Leaky {
    async fn acquire(&self) {
        let waits = {
            let mut state = self.0.lock().unwrap();
            if state.0 > 0 {
                state.0 -= 1;
                return;
            }
            let (sender, receiver) = oneshot::channel();
            state.1.push_back(sender);
            receiver
        };
        waits.await.unwrap();
    }

    fn release(&self) {
        let mut state = self.0.lock().unwrap();
        while let Some(first) = state.1.pop_front() {
            if first.send(()).is_ok() {
                return;
            }
        }
        state.0 += 1;
    }
}

/// Returns a permit on every way out.
struct Returns(Arc<Leaky>);

impl Drop for Returns {
    fn drop(&mut self) {
        self.0.release();
    }
}

async fn uses_leaky() {
    let semaphore = Arc::new(Leaky::default());
    semaphore.release();
    let parties: Vec<_> = (0..3)
        .map(|_| {
            let semaphore = semaphore.clone();
            party(async move {
                semaphore.acquire().await;
                let _permit = Returns(semaphore.clone());
                yield_now().await;
            })
        })
        .collect();
    all(parties).await;
    assert_eq!(semaphore.0.lock().unwrap().0, 1, "a permit is lost");
}

#[test]
fn a_broken_semaphore_is_caught_by_a_cancellation() {
    let broken = cancel_everywhere(uses_leaky).expect_err("it is broken on purpose");
    assert!(broken.to_string().contains("cancelled in turn"), "{broken}");
    // The next in line waits for a permit that is lost.
    assert!(broken.error().is_deadlock(), "{broken}");
}

#[test]
fn a_broken_semaphore_is_caught_by_a_timeout() {
    let broken = timeout_everywhere(uses_leaky).expect_err("it is broken on purpose");
    assert!(broken.to_string().contains("ran out in turn"), "{broken}");
    assert!(broken.error().is_deadlock(), "{broken}");
}

#[test]
fn a_cancellation_from_elsewhere_goes_its_way() {
    // Also twice, and that of a task inside.
    simulate(async {
        let (log, inner) = (Log::new(), spawn(sleep(seconds(10))));
        let inside = inner.task_ref();
        let tasks = [spawn(sleep(seconds(10))), inner].map(|awaited| {
            let log = log.clone();
            spawn(async move {
                let ended = timeout_when_swept(timeout_when_swept(awaited)).await;
                log.add(format!("went on: {ended:?}"));
            })
        });
        yield_now().await;
        tasks[0].cancel();
        inside.cancel();
        for task in tasks {
            assert!(catch_cancelled(task).await.is_err());
        }
        assert_eq!(log.lines(), [] as [&str; 0]);
        Ok(())
    });
}
