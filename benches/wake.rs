//! What does it cost to suspend a task and wake it: by itself, by another, by a plain thread?

#![allow(dead_code)]

use std::sync::mpsc as plain;
use std::thread;

use futures::channel::{mpsc, oneshot};
use futures::{SinkExt, StreamExt};

use crate::common::{Countdown, Engine, Group, Report, Sample, Scale, Watch, Workload};

mod common;

fn main() {
    let mut report = Report::new();
    rows(&mut report);
    report.finish();
}

pub(crate) fn rows(report: &mut Report) {
    report.row::<YieldMany>();
    report.row::<PingPong>();
    report.row::<WakeRemote>();
    report.row::<FanIn>();
}

/// Two hundred tasks that only yield.
struct YieldMany;

impl Workload for YieldMany {
    const NAME: &'static str = "yield_many";
    const GROUP: Group = Group::Task;

    async fn run<E: Engine>(scale: Scale) -> Sample {
        let yields = scale.pick(5_000, 50);
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
}

/// A thousand pairs at once: one asks, the other, spawned by it, answers.
struct PingPong;

impl Workload for PingPong {
    const NAME: &'static str = "ping_pong";
    const GROUP: Group = Group::Task;

    async fn run<E: Engine>(scale: Scale) -> Sample {
        let times = scale.pick(50, 1);
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

/// Round trips between a task and a thread that belongs to no runtime.
struct WakeRemote;

impl Workload for WakeRemote {
    const NAME: &'static str = "wake_remote";
    const GROUP: Group = Group::Task;

    async fn run<E: Engine>(scale: Scale) -> Sample {
        let trips = scale.pick(10_000, 100);
        let (sender, receiver) = plain::channel::<oneshot::Sender<()>>();
        let thread = thread::spawn(move || {
            for answer in receiver {
                answer.send(()).unwrap();
            }
        });
        let watch = Watch::start();
        for _ in 0..trips {
            let (answer, answered) = oneshot::channel();
            sender.send(answer).unwrap();
            answered.await.unwrap();
        }
        let sample = watch.stop(trips);
        drop(sender);
        thread.join().unwrap();
        sample
    }
}

/// Eight senders, one short channel: a second core in it makes it several times slower.
struct FanIn;

impl Workload for FanIn {
    const NAME: &'static str = "fan_in";
    const GROUP: Group = Group::Watch;

    async fn run<E: Engine>(scale: Scale) -> Sample {
        let each = scale.pick(62_500, 600);
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
}
