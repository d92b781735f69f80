//! What does a timer cost, that never fires and that does?

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
    report.row::<TimeoutUnfired>();
    report.row::<SleepMany>();
}

/// A hundred tasks, each putting a limit of 30 s around a yield, again and again.
struct TimeoutUnfired;

impl Workload for TimeoutUnfired {
    const NAME: &'static str = "timeout_unfired";
    const GROUP: Group = Group::Task;

    async fn run<E: Engine>(scale: Scale) -> Sample {
        let each = scale.pick(5_000, 50);
        let (countdown, done) = Countdown::new(100);
        let watch = Watch::start();
        for _ in 0..100 {
            let countdown = countdown.clone();
            E::detach(async move {
                for _ in 0..each {
                    assert!(E::timeout(Duration::from_secs(30), E::yield_now()).await);
                }
                countdown.arrive();
            });
        }
        done.await.unwrap();
        watch.stop(100 * each)
    }
}

/// A hundred thousand tasks that each sleep once, 1 to 50 ms: 500 ns each if nothing else costs.
struct SleepMany;

impl Workload for SleepMany {
    const NAME: &'static str = "sleep_many";
    const GROUP: Group = Group::Task;

    async fn run<E: Engine>(scale: Scale) -> Sample {
        let count = scale.pick(100_000, 1_000);
        let (countdown, done) = Countdown::new(count);
        let watch = Watch::start();
        for number in 0..count {
            let countdown = countdown.clone();
            let time = Duration::from_millis(1 + (number % 50) as u64);
            E::detach(async move {
                E::sleep(time).await;
                countdown.arrive();
            });
        }
        done.await.unwrap();
        watch.stop(count)
    }
}
