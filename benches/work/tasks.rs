//! What does a task cost, from spawn to end, and from one turn to the next?

use std::pin::Pin;
use std::sync::Arc;
use std::thread;

use futures::channel::{mpsc, oneshot};
use futures::{SinkExt, StreamExt};

use crate::common::{Countdown, Engine, Sample, Server, Watch};

/// A thousand tasks spawned, then joined in order, again and again.
pub(crate) async fn spawn_join<E: Engine>(batches: usize) -> Sample {
    let mut tasks = Vec::with_capacity(1_000);
    let watch = Watch::start();
    for _ in 0..batches {
        for number in 0..1_000_u64 {
            tasks.push(E::spawn(async move { number }));
        }
        let mut sum = 0;
        for task in tasks.drain(..) {
            sum += E::join(task).await;
        }
        assert_eq!(sum, 499_500);
    }
    watch.stop(batches * 1_000)
}

/// A storm of detached tasks; the last to end reports by a shared count.
pub(crate) async fn spawn_many<E: Engine>(count: usize) -> Sample {
    let (countdown, done) = Countdown::new(count);
    let watch = Watch::start();
    for _ in 0..count {
        let countdown = countdown.clone();
        E::detach(async move { countdown.arrive() });
    }
    done.await.unwrap();
    watch.stop(count)
}

/// Four tasks spawn senders to one channel: a second core in it makes it slower.
pub(crate) async fn spawn_remote<E: Engine>(each: usize) -> Sample {
    let (sender, mut receiver) = mpsc::unbounded();
    let watch = Watch::start();
    for _ in 0..4 {
        E::detach(spawn_senders::<E>(each, sender.clone()));
    }
    drop(sender);
    let mut received = 0;
    while receiver.next().await.is_some() {
        received += 1;
    }
    assert_eq!(received, 4 * each);
    watch.stop(received)
}

async fn spawn_senders<E: Engine>(count: usize, sender: mpsc::UnboundedSender<usize>) {
    for number in 0..count {
        let sender = sender.clone();
        E::detach(async move { sender.unbounded_send(number).unwrap() });
        if number % 64 == 63 {
            E::yield_now().await;
        }
    }
}

/// Threads that belong to no runtime spawn tasks, as fast as they can.
pub(crate) async fn spawn_from_threads<E: Server>(threads: usize, count: usize) -> Sample {
    let (countdown, done) = Countdown::new(count);
    let watch = Watch::start();
    let spawners: Vec<_> = (0..threads)
        .map(|_| {
            let (handle, countdown) = (E::handle(), countdown.clone());
            thread::spawn(move || {
                for _ in 0..count / threads {
                    let countdown = countdown.clone();
                    E::detach_on(&handle, async move { countdown.arrive() });
                }
            })
        })
        .collect();
    done.await.unwrap();
    let sample = watch.stop(count);
    for spawner in spawners {
        spawner.join().unwrap();
    }
    sample
}

/// Eight senders, one short channel: a second core in it makes it several times slower.
pub(crate) async fn mpsc_fan_in<E: Engine>(each: usize) -> Sample {
    let (sender, mut receiver) = mpsc::channel(64);
    let watch = Watch::start();
    for _ in 0..8 {
        let mut sender = sender.clone();
        E::detach(async move {
            for number in 0..each {
                sender.send(number).await.unwrap();
            }
        });
    }
    drop(sender);
    let mut received = 0;
    while receiver.next().await.is_some() {
        received += 1;
    }
    assert_eq!(received, 8 * each);
    watch.stop(received)
}

/// Each task spawns the next.
pub(crate) async fn chained_spawn<E: Engine>(links: usize) -> Sample {
    let (done, ended) = oneshot::channel();
    let watch = Watch::start();
    link::<E>(links, done);
    ended.await.unwrap();
    watch.stop(links)
}

fn link<E: Engine>(left: usize, done: oneshot::Sender<()>) {
    E::detach(async move {
        if left == 1 {
            done.send(()).unwrap();
        } else {
            link::<E>(left - 1, done);
        }
    });
}

/// A binary tree: one half of the leaves is spawned, the other awaited in place.
pub(crate) async fn fork_join<E: Engine>(leaves: usize) -> Sample {
    let watch = Watch::start();
    assert_eq!(tree::<E>(leaves).await, leaves);
    watch.stop(leaves)
}

fn tree<E: Engine>(leaves: usize) -> Pin<Box<dyn Future<Output = usize> + Send>> {
    Box::pin(async move {
        if leaves == 1 {
            return 1;
        }
        let half = leaves / 2;
        let spawned = E::spawn(tree::<E>(half));
        let here = tree::<E>(leaves - half).await;
        here + E::join(spawned).await
    })
}

/// Two hundred tasks that only yield.
pub(crate) async fn yield_many<E: Engine>(yields: usize) -> Sample {
    let (countdown, done) = Countdown::new(200);
    let watch = Watch::start();
    for _ in 0..200 {
        let countdown = countdown.clone();
        E::detach(async move {
            for _ in 0..yields {
                E::yield_now().await;
            }
            countdown.arrive();
        });
    }
    done.await.unwrap();
    watch.stop(200 * yields)
}

/// A thousand pairs at once: one asks, the other, spawned by it, answers.
pub(crate) async fn ping_pong<E: Engine>(times: usize) -> Sample {
    let watch = Watch::start();
    for _ in 0..times {
        let (countdown, done) = Countdown::new(1_000);
        for _ in 0..1_000 {
            let countdown = countdown.clone();
            E::detach(async move {
                pair::<E>().await;
                countdown.arrive();
            });
        }
        done.await.unwrap();
    }
    watch.stop(times * 1_000)
}

async fn pair<E: Engine>() {
    let (ask, asked) = oneshot::channel();
    let (answer, answered) = oneshot::channel();
    E::detach(async move {
        asked.await.unwrap();
        answer.send(()).unwrap();
    });
    ask.send(()).unwrap();
    answered.await.unwrap();
}

/// One token goes round a ring of tasks; the cost of a hop.
pub(crate) async fn ring<E: Engine>(tasks: usize, laps: usize) -> Sample {
    let (start, mut last) = mpsc::unbounded();
    let (countdown, done) = Countdown::new(tasks - 1);
    // This task is one of the ring.
    for _ in 0..tasks - 1 {
        let (to, next) = mpsc::unbounded();
        E::detach(pass_on(last, to, countdown.clone()));
        last = next;
    }
    let watch = Watch::start();
    for lap in 0..laps {
        start.unbounded_send(lap).unwrap();
        assert_eq!(last.next().await, Some(lap));
    }
    let sample = watch.stop(laps * tasks);
    drop(start);
    done.await.unwrap();
    sample
}

async fn pass_on(
    mut from: mpsc::UnboundedReceiver<usize>,
    to: mpsc::UnboundedSender<usize>,
    countdown: Arc<Countdown>,
) {
    while let Some(token) = from.next().await {
        to.unbounded_send(token).unwrap();
    }
    countdown.arrive();
}

/// Tasks that are over before spawning them returns, where the runtime can do that.
pub(crate) async fn spawn_eager<E: Engine>(count: usize) -> Sample {
    let watch = Watch::start();
    for number in 0..count {
        assert_eq!(E::join(E::spawn_eager(async move { number })).await, number);
    }
    watch.stop(count)
}

/// Groups of a hundred children that yield once; the cost of a child.
pub(crate) async fn group_100<E: Engine>(groups: usize) -> Sample {
    let watch = Watch::start();
    for _ in 0..groups {
        E::group(100, |_| async { E::yield_now().await }).await;
    }
    watch.stop(groups * 100)
}
