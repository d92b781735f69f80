//! What does a message cost over a socket, there and back, both ends in one runtime?
//!
//! 64 bytes, without Nagle's delay. All connections have said hello before the clock starts.

#![allow(dead_code)]

use std::future::Future;

use crate::common::{Countdown, Engine, Gate, Group, Report, Sample, Scale, Watch, Workload};

mod common;

fn main() {
    let mut report = Report::new();
    rows(&mut report);
    report.finish();
}

pub(crate) fn rows(report: &mut Report) {
    report.row::<Echo1>();
    report.row::<Echo64>();
    report.row::<Echo1000>();
}

struct Echo1;

impl Workload for Echo1 {
    const NAME: &'static str = "echo_1";
    const GROUP: Group = Group::Echo;

    fn run<E: Engine>(scale: Scale) -> impl Future<Output = Sample> + Send + 'static {
        echo::<E>(1, scale.pick(20_000, 200))
    }
}

struct Echo64;

impl Workload for Echo64 {
    const NAME: &'static str = "echo_64";
    const GROUP: Group = Group::Echo;

    fn run<E: Engine>(scale: Scale) -> impl Future<Output = Sample> + Send + 'static {
        echo::<E>(64, scale.pick(1_000, 10))
    }
}

struct Echo1000;

impl Workload for Echo1000 {
    const NAME: &'static str = "echo_1000";
    const GROUP: Group = Group::Echo;

    fn run<E: Engine>(scale: Scale) -> impl Future<Output = Sample> + Send + 'static {
        echo::<E>(1_000, scale.pick(100, 2))
    }
}

/// Connections made at once: no listener's backlog is shorter.
const WAVE: usize = 64;

async fn echo<E: Engine>(connections: usize, messages: usize) -> Sample {
    let (listener, address) = E::listen().await.unwrap();
    let servers = E::spawn(accept_all::<E>(listener, connections));
    let (finished, done) = Countdown::new(connections);
    let mut gate = Gate::default();
    let mut clients = Vec::with_capacity(connections);
    while clients.len() < connections {
        let wave = WAVE.min(connections - clients.len());
        let (greeted, ready) = Countdown::new(wave);
        for _ in 0..wave {
            let (greeted, finished, start) = (greeted.clone(), finished.clone(), gate.ticket());
            clients.push(E::spawn(async move {
                let mut stream = E::connect(address).await.unwrap();
                talk::<E>(&mut stream, 1).await;
                greeted.arrive();
                start.await.unwrap();
                talk::<E>(&mut stream, messages).await;
                finished.arrive();
            }));
        }
        ready.await.unwrap();
    }
    let servers = E::join(servers).await;
    let watch = Watch::start();
    gate.open();
    done.await.unwrap();
    let sample = watch.stop(connections * messages);
    for task in clients.into_iter().chain(servers) {
        E::join(task).await;
    }
    sample
}

async fn accept_all<E: Engine>(listener: E::Listener, count: usize) -> Vec<E::Task<()>> {
    let mut servers = Vec::with_capacity(count);
    for _ in 0..count {
        let stream = E::accept(&listener).await.unwrap();
        servers.push(E::spawn(serve::<E>(stream)));
    }
    servers
}

/// Room for more than a message, as servers have: who gets less knows that there is no more.
const ROOM: usize = 1_024;
const MESSAGE: usize = 64;

/// Sends back what comes, until the client leaves.
async fn serve<E: Engine>(mut stream: E::Stream) {
    let mut buffer = [0; ROOM];
    loop {
        let count = E::read(&mut stream, &mut buffer).await.unwrap();
        if count == 0 {
            return;
        }
        E::write_all(&mut stream, &buffer[..count]).await.unwrap();
    }
}

async fn talk<E: Engine>(stream: &mut E::Stream, messages: usize) {
    let mut buffer = [0; ROOM];
    for number in 0..messages {
        let message = [number as u8; MESSAGE];
        E::write_all(stream, &message).await.unwrap();
        let mut count = 0;
        while count < MESSAGE {
            count += match E::read(stream, &mut buffer[count..]).await.unwrap() {
                0 => panic!("the server left"),
                more => more,
            };
        }
        assert_eq!(buffer[..count], message);
    }
}
