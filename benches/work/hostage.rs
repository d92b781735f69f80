//! What happens to the others when a task holds its worker for 20 ms?
//!
//! A task on an idle runtime spawns 1 or 8 others, arms a timer of 1 ms, or a socket beside it
//! becomes readable; then it computes or blocks. The delay is from the moment the other could
//! have run to the moment it does; with several, the last one counts. Nobody needs to wait:
//! the second worker has nothing to do.

use std::future::Future;
use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc as plain;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::channel::{mpsc, oneshot};

use crate::common::{Sample, Server};
use crate::work::waking::compute;

/// How the worker is held.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hold {
    Compute,
    Block,
}

impl Hold {
    fn hold(self) {
        let time = Duration::from_millis(20);
        match self {
            Hold::Block => thread::sleep(time),
            Hold::Compute => compute(time),
        }
    }
}

/// Who is made to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Victim {
    Spawned(usize),
    Timer,
    Socket,
}

/// The delays of so many trials.
pub(crate) async fn hostage<E: Server>(victim: Victim, hold: Hold, trials: usize) -> Sample {
    let mut delays = Vec::with_capacity(trials);
    for _ in 0..trials {
        delays.push(match victim {
            Victim::Spawned(count) => spawned::<E>(count, hold).await,
            Victim::Timer => timer::<E>(hold).await,
            Victim::Socket => socket::<E>(hold).await,
        });
    }
    Sample::of_delays(delays)
}

/// Long enough for every worker to have parked.
const CALM: Duration = Duration::from_millis(3);

async fn spawned<E: Server>(count: usize, hold: Hold) -> Duration {
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
async fn timer<E: Server>(hold: Hold) -> Duration {
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
        if sleep.as_mut().poll(&mut Context::from_waker(&relay)).is_ready() {
            // This thread stood still for so long.
            relay.wake_by_ref();
        }
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
async fn socket<E: Server>(hold: Hold) -> Duration {
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
