//! Whatever happens on the simulated network, bytes come in order, none twice, and none is missing
//! where an end was read; and no task is left waiting for what has already happened.

mod common;

use std::net::Shutdown;
use std::sync::Arc;

use common::{ms, seconds};
use filch::net::{TcpListener, TcpStream};
use filch::{Result, sim, sleep, spawn, timeout, timeout_any};

/// How many bytes a sender sends.
const LENGTH: usize = 30_000;

fn bytes() -> Arc<Vec<u8>> {
    Arc::new((0..LENGTH as u32).map(|place| (place * 7 % 253) as u8).collect())
}

/// Reads all that comes; how much was it, if it has ended?
async fn read_all(stream: &TcpStream, expected: &[u8]) -> Option<usize> {
    let mut place = 0;
    let mut buffer = vec![0; 5000];
    loop {
        let room = sim::random(1..5000) as usize;
        match timeout_any(seconds(7200), stream.read(&mut buffer[..room])).await {
            Ok(Ok(0)) => return Some(place),
            Ok(Ok(count)) => {
                assert_eq!(buffer[..count], expected[place..place + count]);
                place += count;
            }
            Ok(Err(_)) | Err(_) => return None,
        }
        if sim::random(0..20) == 0 {
            sleep(ms(sim::random(0..500))).await;
        }
    }
}

/// Writes all there is, in pieces, and ends its direction.
async fn write_all(stream: &TcpStream, mut rest: &[u8]) -> Result<()> {
    while !rest.is_empty() {
        let size = rest.len().min(sim::random(1..9000) as usize);
        let (piece, more) = rest.split_at(size);
        stream.write_all(piece).await?;
        rest = more;
    }
    Ok(stream.shutdown(Shutdown::Write)?)
}

/// Sends and receives at once; did all come? Unless both succeed, the connection is broken off.
async fn talk(stream: TcpStream) -> Result<bool> {
    stream.set_linger(Some(ms(0)))?;
    let (stream, bytes) = (Arc::new(stream), bytes());
    let (writing, sent) = (stream.clone(), bytes.clone());
    let writer = spawn(async move { write_all(&writing, &sent).await });
    let Some(came) = read_all(&stream, &bytes).await else { return Ok(false) };
    let written = timeout(seconds(7200), writer).await;
    if written.is_ok() {
        stream.set_linger(None)?;
    }
    // An error is told to one only, the reader or the writer; the other then meets an end.
    assert!(came == LENGTH || written.is_err(), "an end after {came} bytes");
    Ok(came == LENGTH)
}

async fn server() -> Result<()> {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        spawn(talk(listener.accept().await?.0)).detach();
    }
}

async fn client() -> Result<u32> {
    let mut complete = 0;
    for _ in 0..5 {
        if let Ok(stream) = TcpStream::connect("server:80").await {
            complete += u32::from(talk(stream).await?);
        }
    }
    Ok(complete)
}

async fn trouble(worst: u64) {
    loop {
        sleep(ms(sim::random(0..worst))).await;
        let client = format!("client {}", sim::random(0..3));
        let link = sim::net().link("server", client);
        match sim::random(0..6) {
            0 => link.cut(),
            1 => link.set_loss(0.5),
            2 => drop(link.reset()),
            _ => (link.set_loss(0.02), link.heal()).1,
        }
    }
}

/// The answer: how many streams were read to their end.
fn run(seed: u64, worst: u64) -> u32 {
    let main = async move {
        sim::host("server").spawn(server()).detach();
        let clients = [0, 1, 2].map(|client| sim::host(format!("client {client}")));
        let clients = clients.map(|host| host.spawn(client()));
        spawn(trouble(worst)).detach();
        let mut complete = 0;
        for client in clients {
            complete += client.await?;
        }
        Ok(complete)
    };
    let limited = sim::Builder::new().seed(seed).buffer(8_000).time_limit(seconds(1_000_000));
    limited.run(main).unwrap_or_else(|error| panic!("with seed {seed}: {error}"))
}

#[test]
fn bytes_are_whole_or_the_reader_knows() {
    let calm: u32 = (0..12).map(|seed| run(seed, 100_000)).sum();
    let rough: u32 = (12..24).map(|seed| run(seed, 2_000)).sum();
    assert!(calm > 0 && rough > 0 && rough < 15 * 12, "{calm} and {rough}");
}
