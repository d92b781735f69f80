//! An echo server on the runtime under stress, and those who talk to it, politely or not.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use filch::net::{TcpListener, TcpStream};
use filch::{Result, Task, catch_cancelled, sleep, spawn};
use futures::future::join;

use super::life::Me;
use super::world::{Counted, World};

/// The first byte of a connection: the server sends back all that follows, ..
const ECHO: u8 = 0;
/// .. or leaves after the first bytes, ..
const LEAVE: u8 = 1;
/// .. or resets the connection then.
const RESET: u8 = 2;

/// No more connections, and no more clients, at once in a runtime, however late everybody is: the
/// system may give no more than a thousand descriptors.
const LINES: u64 = 100;

// ---- the server ------------------------------------------------------------------------------

/// Starts the server; it serves until it is cancelled.
pub(crate) async fn serve(world: Arc<World>) -> Result<Task<()>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    world.echo.set(listener.local_addr()?).expect("one server for each");
    Ok(spawn(async move {
        let mut connections: Vec<Task<()>> = Vec::new();
        let ended = catch_cancelled(accept_all(&world, &listener, &mut connections)).await;
        connections.iter().for_each(|connection| _ = connection.cancel());
        for connection in connections {
            drop(connection.await);
        }
        match ended {
            Ok(failed) => failed,
            Err(cancelled) => cancelled.raise().await,
        }
    }))
}

async fn accept_all(
    world: &Arc<World>,
    listener: &TcpListener,
    connections: &mut Vec<Task<()>>,
) -> Result<()> {
    loop {
        while world.tally.connections.present() >= LINES {
            sleep(Duration::from_millis(1)).await;
        }
        let (stream, _) = listener.accept().await?;
        let counted = Counted::new(world, |tally| &tally.connections);
        let world = world.clone();
        connections.push(spawn(async move {
            let _counted = counted;
            // Clients leave as they like, and that is an error here.
            drop(attend(&world, stream).await);
        }));
        if connections.len().is_multiple_of(64) {
            connections.retain(|connection| !connection.is_finished());
        }
    }
}

async fn attend(world: &World, stream: TcpStream) -> io::Result<()> {
    let bytes = &world.tally.bytes;
    let mut manner = [0];
    stream.read_exact(&mut manner).await?;
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await?;
        bytes.heard.fetch_add(count as u64, Ordering::Relaxed);
        if count == 0 {
            return stream.shutdown(Shutdown::Write);
        }
        let mut left = &buffer[..count];
        while !left.is_empty() {
            let written = stream.write(left).await?;
            bytes.echoed.fetch_add(written as u64, Ordering::Relaxed);
            left = &left[written..];
        }
        match manner {
            [ECHO] => {}
            [RESET] => return stream.set_linger(Some(Duration::ZERO)),
            _ => return Ok(()),
        }
    }
}

// ---- the clients -----------------------------------------------------------------------------

/// Connects and talks in some manner. Only the polite may count on an answer.
pub(crate) async fn talk(me: &mut Me) {
    // A plain thread may have begun this life before there is a server.
    let Some(address) = me.world.echo.get().copied() else { return };
    if me.world.tally.talks.present() >= LINES {
        return;
    }
    let _counted = Counted::new(&me.world, |tally| &tally.talks);
    me.known.does("talks");
    let manner = me.rng.u8(..8);
    let length = match me.rng.u8(..8) {
        0 => me.rng.usize(..300_000),
        1..4 => me.rng.usize(..10_000),
        _ => me.rng.usize(..200),
    };
    let message: Vec<u8> = std::iter::repeat_with(|| me.rng.u8(..)).take(length).collect();
    let talked = match manner {
        0..4 => politely(&me.world, address, &message).await,
        4 => impatiently(&me.world, address, &message, false).await,
        5 => impatiently(&me.world, address, &message, true).await,
        6 => until_it_ends(&me.world, address, &message, LEAVE).await,
        _ => until_it_ends(&me.world, address, &message, RESET).await,
    };
    if let Err(error) = talked
        && manner < 4
        && !me.world.is_ending()
    {
        me.world.complain(format!("a polite exchange of {length} bytes ended with {error}"));
    }
}

async fn call(address: SocketAddr, manner: u8) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&[manner]).await?;
    Ok(stream)
}

/// Counts what leaves, byte by byte, also if it is cancelled half-way.
async fn send(world: &World, stream: &TcpStream, mut message: &[u8]) -> io::Result<()> {
    while !message.is_empty() {
        let count = stream.write(message).await?;
        world.tally.bytes.sent.fetch_add(count as u64, Ordering::Relaxed);
        message = &message[count..];
    }
    Ok(())
}

/// Reads to the end; what comes is the beginning of what was sent.
async fn receive(world: &World, stream: &TcpStream, message: &[u8]) -> io::Result<usize> {
    let mut received = 0;
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(received);
        }
        world.tally.bytes.received.fetch_add(count as u64, Ordering::Relaxed);
        if message.get(received..received + count) != Some(&buffer[..count]) {
            world.complain(format!("the echo is wrong between bytes {received} and {count} more"));
        }
        received += count;
    }
}

/// Sends all, says that it was all, and reads all of it back.
async fn politely(world: &World, address: SocketAddr, message: &[u8]) -> io::Result<()> {
    let stream = call(address, ECHO).await?;
    let sending = async {
        send(world, &stream, message).await?;
        stream.shutdown(Shutdown::Write)
    };
    let (sent, received) = join(sending, receive(world, &stream, message)).await;
    sent?;
    match received? {
        all if all == message.len() => Ok(()),
        some => Err(io::Error::other(format!("only {some} bytes came back"))),
    }
}

/// Sends, reads a little perhaps, and leaves or resets the connection.
async fn impatiently(
    world: &World,
    address: SocketAddr,
    message: &[u8],
    resets: bool,
) -> io::Result<()> {
    let stream = call(address, ECHO).await?;
    if resets {
        stream.set_linger(Some(Duration::ZERO))?;
    }
    let some = &message[..message.len().min(2000)];
    send(world, &stream, some).await?;
    // The odd ones get at least one byte back.
    if some.len() % 2 == 1 {
        let mut buffer = [0; 16];
        let count = stream.read(&mut buffer).await?;
        world.tally.bytes.received.fetch_add(count as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Talks to a server that leaves early.
async fn until_it_ends(
    world: &World,
    address: SocketAddr,
    message: &[u8],
    manner: u8,
) -> io::Result<()> {
    let stream = call(address, manner).await?;
    if message.is_empty() {
        // It waits for the first byte, or the end.
        return stream.shutdown(Shutdown::Write);
    }
    let (sent, received) =
        join(send(world, &stream, message), receive(world, &stream, message)).await;
    sent.and(received.map(drop))
}
