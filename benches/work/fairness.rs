//! How long do the short ones wait while others take all they can get?

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::channel::mpsc;

use crate::common::{Sample, Server};
use crate::work::io::{beside_a_thread, serve};
use crate::work::waking::compute;

/// Short tasks, spawned by a plain thread, while one worker's time goes to tasks of 1 ms.
pub(crate) async fn short_beside_long<E: Server>(tasks: usize) -> Sample {
    let over = Arc::new(AtomicBool::new(false));
    let long = E::spawn(while_not(over.clone(), || {
        E::join::<()>(E::spawn(async { compute(Duration::from_millis(1)) }))
    }));
    let sample = short_tasks::<E>(tasks).await;
    over.store(true, Ordering::Relaxed);
    E::join(long).await;
    sample
}

/// The same, while a task blocks its worker for 100 ms, and again.
pub(crate) async fn short_beside_blocked<E: Server>(tasks: usize) -> Sample {
    let over = Arc::new(AtomicBool::new(false));
    let blocking = E::spawn(while_not(over.clone(), || {
        thread::sleep(Duration::from_millis(100));
        E::yield_now()
    }));
    let sample = short_tasks::<E>(tasks).await;
    over.store(true, Ordering::Relaxed);
    E::join(blocking).await;
    sample
}

async fn while_not<F: Future<Output = ()>>(over: Arc<AtomicBool>, turn: impl Fn() -> F) {
    while !over.load(Ordering::Relaxed) {
        turn().await;
    }
}

/// From spawning to running, a task every 200 us.
async fn short_tasks<E: Server>(tasks: usize) -> Sample {
    let (sender, delays) = mpsc::unbounded();
    let handle = E::handle();
    let spawner = thread::spawn(move || {
        for _ in 0..tasks {
            thread::sleep(Duration::from_micros(200));
            let sender = sender.clone();
            let spawned = Instant::now();
            E::detach_on(&handle, async move { sender.unbounded_send(spawned.elapsed()).unwrap() });
        }
    });
    let delays: Vec<Duration> = delays.collect().await;
    spawner.join().unwrap();
    Sample::of_delays(delays)
}

/// Two hundred tasks that yield until the other work is over.
async fn flooded<E: Server, F: Future<Output = Sample>>(work: F) -> Sample {
    let over = Arc::new(AtomicBool::new(false));
    let flood: Vec<E::Task<()>> =
        (0..200).map(|_| E::spawn(while_not(over.clone(), E::yield_now))).collect();
    let sample = work.await;
    over.store(true, Ordering::Relaxed);
    for task in flood {
        E::join(task).await;
    }
    sample
}

/// How late a sleep of 1 ms is, under a flood of yields.
pub(crate) async fn flood_timer<E: Server>(sleeps: usize) -> Sample {
    flooded::<E, _>(async {
        let mut delays = Vec::with_capacity(sleeps);
        for _ in 0..sleeps {
            let time = Duration::from_millis(1);
            let due = Instant::now() + time;
            E::sleep(time).await;
            delays.push(due.elapsed());
        }
        Sample::of_delays(delays)
    })
    .await
}

/// A plain thread's round trip over a socket, under a flood of yields.
pub(crate) async fn flood_socket<E: Server>(trips: usize) -> Sample {
    flooded::<E, _>(async {
        let (stream, client) = beside_a_thread::<E, _>(move |mut peer| {
            let mut delays = Vec::with_capacity(trips);
            for _ in 0..trips {
                let sent = Instant::now();
                peer.write_all(&[7; 64]).unwrap();
                peer.read_exact(&mut [0; 64]).unwrap();
                delays.push(sent.elapsed());
            }
            delays
        })
        .await;
        serve::<E>(stream, 64).await;
        Sample::of_delays(client.await.unwrap())
    })
    .await
}
