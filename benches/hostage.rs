//! What happens to the others when a task holds its worker for 20 ms?
//!
//! A task on an idle runtime spawns 1 or 8 others, arms a timer of 1 ms, or a socket beside it
//! becomes readable; then it computes or blocks. The delay is from the moment the other could
//! have run to the moment it does; with several, the last one counts. Nobody needs to wait:
//! the second worker has nothing to do.

#![allow(dead_code)]

use std::future::Future;
use std::hint::spin_loop;
use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc as plain;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::channel::{mpsc, oneshot};

use crate::common::{Engine, Filch, Options, Smol, Tokio, WORKERS};

mod common;

fn main() {
    rows(&Options::read());
}

/// How the worker is held.
#[derive(Debug, Clone, Copy)]
enum Hold {
    Compute,
    Block,
}

impl Hold {
    fn hold(self) {
        let time = Duration::from_millis(20);
        match self {
            Hold::Block => thread::sleep(time),
            Hold::Compute => {
                let until = Instant::now() + time;
                while Instant::now() < until {
                    spin_loop();
                }
            }
        }
    }
}

/// Who is made to wait.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Spawned(usize),
    Timer,
    Socket,
}

const CASES: [(&str, Victim); 4] = [
    ("hostage_spawn_1", Victim::Spawned(1)),
    ("hostage_spawn_8", Victim::Spawned(8)),
    ("hostage_timer", Victim::Timer),
    ("hostage_socket", Victim::Socket),
];

/// Prints a table of its own: delays, not costs.
pub(crate) fn rows(options: &Options) {
    if !CASES.iter().any(|(name, _)| options.wants(name)) {
        return;
    }
    println!("delay of others behind a held worker, us: worst (median) of the trials");
    println!("{:<24} {:>18} {:>18} {:>18}", "case", Filch::NAME, Tokio::NAME, Smol::NAME);
    let trials = if options.quick { 2 } else { 6 * options.rounds };
    for (name, victim) in CASES {
        for hold in [Hold::Compute, Hold::Block] {
            if options.wants(name) {
                case(options, name, victim, hold, trials);
            }
        }
    }
}

fn case(options: &Options, name: &str, victim: Victim, hold: Hold, trials: usize) {
    let mut runs = [
        run::<Filch>(options, victim, hold),
        run::<Tokio>(options, victim, hold),
        run::<Smol>(options, victim, hold),
    ];
    let mut delays: [Vec<Duration>; 3] = Default::default();
    for _ in 0..trials {
        for (run, delays) in runs.iter_mut().zip(&mut delays) {
            delays.extend(run.as_mut().map(|run| run()));
        }
    }
    let [filch, tokio, smol] = delays.map(|mut delays| {
        delays.sort();
        let median = delays.get(delays.len() / 2)?;
        Some(format!("{} ({})", delays.last()?.as_micros(), median.as_micros()))
    });
    let text = |cell: Option<String>| cell.unwrap_or_else(|| "-".to_owned());
    let name = format!("{name}_{hold:?}").to_lowercase();
    println!("{name:<24} {:>18} {:>18} {:>18}", text(filch), text(tokio), text(smol));
}

fn run<E: Engine>(
    options: &Options,
    victim: Victim,
    hold: Hold,
) -> Option<Box<dyn FnMut() -> Duration>> {
    if !options.runs(E::NAME) {
        return None;
    }
    let engine = E::start(WORKERS);
    Some(Box::new(move || match victim {
        Victim::Spawned(count) => engine.block_on(spawned::<E>(count, hold)),
        Victim::Timer => engine.block_on(timer::<E>(hold)),
        Victim::Socket => engine.block_on(socket::<E>(hold)),
    }))
}

/// Long enough for every worker to have parked.
const CALM: Duration = Duration::from_millis(3);

async fn spawned<E: Engine>(count: usize, hold: Hold) -> Duration {
    E::sleep(CALM).await;
    let (sender, receiver) = mpsc::unbounded();
    let holder = E::spawn(async move {
        let started = Instant::now();
        for _ in 0..count {
            let sender = sender.clone();
            E::detach(async move { sender.unbounded_send(started.elapsed()).unwrap() });
        }
        drop(sender);
        hold.hold();
    });
    let delay = receiver.fold(Duration::ZERO, async |worst, delay| worst.max(delay)).await;
    E::join(holder).await;
    delay
}

/// The timer belongs to the holder's worker, the task that waits for it to nobody.
async fn timer<E: Engine>(hold: Hold) -> Duration {
    let (fire, fired) = oneshot::channel();
    let (tell, told) = oneshot::channel();
    let waiter = E::spawn(async move {
        fired.await.unwrap();
        tell.send(Instant::now()).unwrap();
    });
    E::sleep(CALM).await;
    let holder = E::spawn(async move {
        let time = Duration::from_millis(1);
        let due = Instant::now() + time;
        let mut sleep = Box::pin(E::sleep(time));
        let relay = Waker::from(Arc::new(Relay(Mutex::new(Some(fire)))));
        assert!(sleep.as_mut().poll(&mut Context::from_waker(&relay)).is_pending());
        hold.hold();
        told.await.unwrap().saturating_duration_since(due)
    });
    E::join(waiter).await;
    E::join(holder).await
}

/// Passes a wake on to whoever holds the other end.
struct Relay(Mutex<Option<oneshot::Sender<()>>>);

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        if let Some(sender) = self.0.lock().unwrap().take() {
            let _ = sender.send(());
        }
    }
}

/// The reader registers its socket on the worker that is held next.
async fn socket<E: Engine>(hold: Hold) -> Duration {
    let (listener, address) = E::listen().await.unwrap();
    let mut peer = TcpStream::connect(address).unwrap();
    let mut stream = E::accept(&listener).await.unwrap();
    let (holding, held) = plain::channel();
    let writer = thread::spawn(move || {
        held.recv().unwrap();
        thread::sleep(Duration::from_millis(1));
        let written = Instant::now();
        peer.write_all(&[1]).unwrap();
        (written, peer)
    });
    let (end, ended) = oneshot::channel();
    E::sleep(CALM).await;
    let reader = E::spawn(async move {
        E::detach(async move {
            holding.send(()).unwrap();
            hold.hold();
            end.send(()).unwrap();
        });
        assert_eq!(E::read(&mut stream, &mut [0]).await.unwrap(), 1);
        Instant::now()
    });
    let read = E::join(reader).await;
    ended.await.unwrap();
    let (written, _peer) = writer.join().unwrap();
    read.saturating_duration_since(written)
}
