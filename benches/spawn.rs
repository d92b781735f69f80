//! What does a task cost, from spawn to end?

#![allow(dead_code)]

use std::future::Future;
use std::pin::Pin;

use futures::StreamExt;
use futures::channel::{mpsc, oneshot};

use crate::common::{Countdown, Engine, Group, Report, Sample, Scale, Watch, Workload};

mod common;

fn main() {
    let mut report = Report::new();
    rows(&mut report);
    report.finish();
}

pub(crate) fn rows(report: &mut Report) {
    report.row::<SpawnMany>();
    report.row::<SpawnJoin>();
    report.row::<ChainedSpawn>();
    report.row::<ForkJoin>();
    report.row::<SpawnRemote>();
}

/// A storm of detached tasks; the last to end reports by a shared count.
struct SpawnMany;

impl Workload for SpawnMany {
    const NAME: &'static str = "spawn_many";
    const GROUP: Group = Group::Task;

    async fn run<E: Engine>(scale: Scale) -> Sample {
        let count = scale.pick(200_000, 2_000);
        let (countdown, done) = Countdown::new(count);
        let watch = Watch::start();
        for _ in 0..count {
            let countdown = countdown.clone();
            E::detach(async move { countdown.arrive() });
        }
        done.await.unwrap();
        watch.stop(count)
    }
}

/// A thousand tasks spawned, then joined in order, again and again.
struct SpawnJoin;

impl Workload for SpawnJoin {
    const NAME: &'static str = "spawn_join";
    const GROUP: Group = Group::Task;

    async fn run<E: Engine>(scale: Scale) -> Sample {
        let batches = scale.pick(200, 2);
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
}

/// Each task spawns the next.
struct ChainedSpawn;

impl Workload for ChainedSpawn {
    const NAME: &'static str = "chained_spawn";
    const GROUP: Group = Group::Task;

    async fn run<E: Engine>(scale: Scale) -> Sample {
        let links = scale.pick(200_000, 2_000);
        let (done, ended) = oneshot::channel();
        let watch = Watch::start();
        link::<E>(links, done);
        ended.await.unwrap();
        watch.stop(links)
    }
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
struct ForkJoin;

impl Workload for ForkJoin {
    const NAME: &'static str = "fork_join";
    const GROUP: Group = Group::Task;

    async fn run<E: Engine>(scale: Scale) -> Sample {
        let leaves = scale.pick(150_000, 1_500);
        let watch = Watch::start();
        assert_eq!(tree::<E>(leaves).await, leaves);
        watch.stop(leaves)
    }
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

/// Four tasks spawn senders to one channel: a second core in it makes it slower.
struct SpawnRemote;

impl Workload for SpawnRemote {
    const NAME: &'static str = "spawn_remote";
    const GROUP: Group = Group::Watch;

    async fn run<E: Engine>(scale: Scale) -> Sample {
        let each = scale.pick(50_000, 500);
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
