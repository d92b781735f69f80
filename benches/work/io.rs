//! What does a message cost over a socket, there and back, both ends in one runtime?
//!
//! Without Nagle's delay. All connections have said hello before the clock starts.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use futures::channel::oneshot;

use crate::common::{Countdown, Gate, Sample, Server, Watch};

/// What is sent, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Echo {
    pub(crate) connections: usize,
    /// Round trips of each.
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// Connections made at once: no listener's backlog is shorter.
const WAVE: usize = 64;

/// All clients talk at once; the cost of a round trip.
pub(crate) async fn echo<E: Server>(echo: Echo) -> Sample {
    let (listener, address) = E::listen().await.unwrap();
    let servers = E::spawn(accept_all::<E>(listener, echo));
    let (finished, done) = Countdown::new(echo.connections);
    let mut gate = Gate::default();
    let mut clients = Vec::with_capacity(echo.connections);
    while clients.len() < echo.connections {
        let wave = WAVE.min(echo.connections - clients.len());
        let (greeted, ready) = Countdown::new(wave);
        for _ in 0..wave {
            let (greeted, finished, start) = (greeted.clone(), finished.clone(), gate.ticket());
            clients.push(E::spawn(async move {
                let mut stream = E::connect(address).await.unwrap();
                talk::<E>(&mut stream, Echo { messages: 1, ..echo }).await;
                greeted.arrive();
                start.await.unwrap();
                talk::<E>(&mut stream, echo).await;
                finished.arrive();
            }));
        }
        ready.await.unwrap();
    }
    let servers = E::join(servers).await;
    let watch = Watch::start();
    gate.open();
    done.await.unwrap();
    let sample = watch.stop(echo.connections * echo.messages);
    for task in clients.into_iter().chain(servers) {
        E::join(task).await;
    }
    sample
}

async fn accept_all<E: Server>(listener: E::Listener, echo: Echo) -> Vec<E::Task<()>> {
    let mut servers = Vec::with_capacity(echo.connections);
    for _ in 0..echo.connections {
        let stream = E::accept(&listener).await.unwrap();
        servers.push(E::spawn(serve::<E>(stream, echo.bytes)));
    }
    servers
}

/// Room for more than a short message, as servers have: who gets less knows there is no more.
pub(crate) fn room(bytes: usize) -> Vec<u8> {
    vec![0; bytes.max(1_024)]
}

/// Sends back what comes, until the client leaves.
pub(crate) async fn serve<E: Server>(mut stream: E::Stream, bytes: usize) {
    let mut buffer = room(bytes);
    loop {
        let count = E::read(&mut stream, &mut buffer).await.unwrap();
        if count == 0 {
            return;
        }
        E::write_all(&mut stream, &buffer[..count]).await.unwrap();
    }
}

async fn talk<E: Server>(stream: &mut E::Stream, echo: Echo) {
    let mut buffer = room(echo.bytes);
    let mut message = vec![0; echo.bytes];
    for number in 0..echo.messages {
        message[0] = number as u8;
        E::write_all(stream, &message).await.unwrap();
        let mut count = 0;
        while count < echo.bytes {
            count += match E::read(stream, &mut buffer[count..]).await.unwrap() {
                0 => panic!("the server left"),
                more => more,
            };
        }
        assert_eq!(buffer[..count], message);
    }
}

/// As `echo`, beside so many connections on which nobody speaks, each with a limit of 30 s.
pub(crate) async fn echo_beside_idle<E: Server>(idle: usize, busy: Echo) -> Sample {
    let (listener, address) = E::listen().await.unwrap();
    let mut clients = Vec::with_capacity(idle);
    let mut readers = Vec::with_capacity(idle);
    for _ in 0..idle {
        let (client, server) = futures::join!(E::connect(address), E::accept(&listener));
        clients.push(client.unwrap());
        let mut stream = server.unwrap();
        readers.push(E::spawn(async move {
            let read = async {
                let count = E::read(&mut stream, &mut [0; 64]).await.unwrap();
                assert_eq!(count, 0, "nobody speaks");
            };
            assert!(E::timeout(Duration::from_secs(30), read).await, "the limit is far away");
        }));
    }
    let sample = echo::<E>(busy).await;
    drop(clients);
    for reader in readers {
        E::join(reader).await;
    }
    sample
}

/// Connect, say hello, hear it, hang up: eight clients at once, so many times each.
pub(crate) async fn churn<E: Server>(each: usize) -> Sample {
    const CLIENTS: usize = 8;
    let once = Echo { connections: CLIENTS * each, messages: 1, bytes: 64 };
    let (listener, address) = E::listen().await.unwrap();
    let servers = E::spawn(accept_all::<E>(listener, once));
    let (finished, done) = Countdown::new(CLIENTS);
    let watch = Watch::start();
    for _ in 0..CLIENTS {
        let finished = finished.clone();
        E::detach(async move {
            for _ in 0..each {
                let mut stream = E::connect(address).await.unwrap();
                talk::<E>(&mut stream, once).await;
            }
            finished.arrive();
        });
    }
    done.await.unwrap();
    let sample = watch.stop(once.connections);
    for server in E::join(servers).await {
        E::join(server).await;
    }
    sample
}

/// From the moment a thread begins to write to the moment the handler has the bytes.
pub(crate) async fn wire_to_handler<E: Server>(messages: usize) -> Sample {
    let (mut stream, client) = beside_a_thread::<E, _>(move |mut peer| {
        let begun = Instant::now();
        for _ in 0..messages {
            thread::sleep(Duration::from_micros(100));
            let stamp = begun.elapsed().as_nanos() as u64;
            peer.write_all(&stamp.to_le_bytes()).unwrap();
            // Whoever has the bytes says so: there is never more than one message.
            peer.read_exact(&mut [0]).unwrap();
        }
        begun
    })
    .await;
    let mut seen = Vec::with_capacity(messages);
    for _ in 0..messages {
        let mut stamp = [0; 8];
        assert_eq!(E::read(&mut stream, &mut stamp).await.unwrap(), 8);
        seen.push((Instant::now(), Duration::from_nanos(u64::from_le_bytes(stamp))));
        E::write_all(&mut stream, &[1]).await.unwrap();
    }
    let begun = client.await.unwrap();
    let delays = seen.into_iter().map(|(at, stamp)| at.saturating_duration_since(begun + stamp));
    Sample::of_delays(delays.collect())
}

/// A request every 100 us: the CPU time of one, that of the client's thread included.
pub(crate) async fn light_load<E: Server>(requests: usize) -> Sample {
    let watch = Watch::start();
    let (stream, client) = beside_a_thread::<E, _>(move |mut peer| {
        for _ in 0..requests {
            thread::sleep(Duration::from_micros(100));
            peer.write_all(&[7; 64]).unwrap();
            peer.read_exact(&mut [0; 64]).unwrap();
        }
    })
    .await;
    serve::<E>(stream, 64).await;
    client.await.unwrap();
    Sample::of(watch.stop(requests).cpu)
}

/// A connection to a plain thread, and what that thread returns in the end.
pub(crate) async fn beside_a_thread<E: Server, R: Send + 'static>(
    client: impl FnOnce(TcpStream) -> R + Send + 'static,
) -> (E::Stream, oneshot::Receiver<R>) {
    let (listener, address) = E::listen().await.unwrap();
    let (done, end) = oneshot::channel();
    thread::spawn(move || drop(done.send(client(connect(address)))));
    (E::accept(&listener).await.unwrap(), end)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}
