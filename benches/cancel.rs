//! What does it cost to end tasks that sleep?

#![allow(dead_code)]

use std::time::Duration;

use crate::common::{Countdown, Engine, Group, Report, Sample, Scale, Watch, Workload};

mod common;

fn main() {
    let mut report = Report::new();
    rows(&mut report);
    report.finish();
}

pub(crate) fn rows(report: &mut Report) {
    report.row::<CancelMany>();
    report.row::<CancelAsleep>();
}

/// A hundred thousand tasks spawned, asleep for an hour, cancelled, awaited.
struct CancelMany;

impl Workload for CancelMany {
    const NAME: &'static str = "cancel_many";
    const GROUP: Group = Group::Task;

    async fn run<E: Engine>(scale: Scale) -> Sample {
        let count = scale.pick(100_000, 1_000);
        let watch = Watch::start();
        let sleepers = sleepers::<E>(count).await;
        end::<E>(sleepers).await;
        watch.stop(count)
    }
}

/// The second half of that alone.
struct CancelAsleep;

impl Workload for CancelAsleep {
    const NAME: &'static str = "cancel_asleep";
    const GROUP: Group = Group::Watch;

    async fn run<E: Engine>(scale: Scale) -> Sample {
        let count = scale.pick(100_000, 1_000);
        let sleepers = sleepers::<E>(count).await;
        let watch = Watch::start();
        end::<E>(sleepers).await;
        watch.stop(count)
    }
}

async fn sleepers<E: Engine>(count: usize) -> Vec<E::Task<()>> {
    let (countdown, asleep) = Countdown::new(count);
    let mut tasks = Vec::with_capacity(count);
    for _ in 0..count {
        let countdown = countdown.clone();
        tasks.push(E::spawn(async move {
            countdown.arrive();
            E::sleep(Duration::from_secs(3_600)).await;
        }));
    }
    asleep.await.unwrap();
    tasks
}

async fn end<E: Engine>(tasks: Vec<E::Task<()>>) {
    let endings: Vec<E::Ending> = tasks.into_iter().map(E::cancel).collect();
    for ending in endings {
        ending.await;
    }
}
