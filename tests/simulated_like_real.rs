//! Simulated connections answer as the system's do: random scripts, played on both.
//!
//! Linux only: others differ in which error comes when.
#![cfg(target_os = "linux")]

#[path = "common/sockets.rs"]
mod sockets;

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::time::Duration;

use fastrand::Rng;
use filch::net::{TcpListener, TcpStream};
use filch::{Result, Runtime, sim, sleep};
use futures::FutureExt;
use sockets::pair;

/// What comes of it without waiting.
fn at_once(work: impl Future<Output = io::Result<usize>>) -> io::Result<usize> {
    work.now_or_never().unwrap_or(Err(ErrorKind::WouldBlock.into()))
}

/// Does something with one of two ends, and says what came of it.
fn step(rng: &mut Rng, ends: &mut [Option<TcpStream>; 2]) -> io::Result<Option<String>> {
    let (who, what, size) = (rng.usize(0..2), rng.u32(0..19), rng.usize(1..40));
    let mut buffer = vec![0; size];
    let Some(end) = &ends[who] else { return Ok(None) };
    let count = |result: io::Result<usize>| result.map_err(|error| error.kind());
    let done = |result: io::Result<()>| result.map_err(|error| error.kind());
    let said = match what {
        0..=3 => format!("writes {size}: {:?}", count(end.try_write(&buffer))),
        4..=6 => format!("reads {size}: {:?}", count(end.try_read(&mut buffer))),
        7 => format!("sends its end: {:?}", done(end.shutdown(Shutdown::Write))),
        8 => format!("reads no more: {:?}", done(end.shutdown(Shutdown::Read))),
        9 => format!("ends both: {:?}", done(end.shutdown(Shutdown::Both))),
        10 => format!("has an error: {:?}", end.take_error()?.map(|error| error.kind())),
        11 => format!("knows its peer: {:?}", end.peer_addr().map(drop).map_err(|e| e.kind())),
        12 => format!("reads none: {:?}", count(end.try_read(&mut []))),
        13 => format!("writes none, in parts: {:?}", count(at_once(end.write_vectored(&[])))),
        14 => {
            let (mut head, mut tail) = ([0; 3], [0; 9]);
            let mut parts = [&mut head[..], &mut [], &mut tail].map(IoSliceMut::new);
            format!("reads in parts: {:?}", count(at_once(end.read_vectored(&mut parts))))
        }
        15 => {
            let parts = [&buffer[..1], &[], &buffer].map(IoSlice::new);
            let written = at_once(end.write_vectored(&parts));
            format!("writes {size} and one, in parts: {:?}", count(written))
        }
        16 => {
            end.set_linger(Some(Duration::ZERO))?;
            ends[who] = None;
            "leaves abruptly".to_owned()
        }
        _ => {
            ends[who] = None;
            "leaves".to_owned()
        }
    };
    Ok(Some(format!("{who} {said}")))
}

/// Long enough for what was sent to arrive, mostly.
const PAUSE: Duration = Duration::from_micros(200);

async fn play(seed: u64, pause: Duration) -> Result<Vec<String>> {
    let mut rng = Rng::with_seed(seed);
    let (ours, theirs) = pair().await?;
    let mut ends = [Some(ours), Some(theirs)];
    let mut said = Vec::new();
    for _ in 0..rng.usize(3..14) {
        said.extend(step(&mut rng, &mut ends)?);
        // What was sent has arrived.
        sleep(pause).await;
    }
    Ok(said)
}

#[test]
fn random_scripts_have_the_same_outcome() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let mut differ = Vec::new();
    for seed in 0..300 {
        let simulated = sim::run(0, play(seed, PAUSE)).unwrap();
        // A busy machine delivers later: it has several attempts, each with more time, up to 50 ms
        // a step. It also resets what it is tired of keeping for a program that has left: it may
        // still differ once in a hundred.
        let real = |attempt| runtime.block_on(play(seed, PAUSE * 4_u32.pow(attempt))).unwrap();
        if (0..5).all(|attempt| real(attempt) != simulated) {
            differ.push((real(0), simulated));
            assert!(differ.len() <= 3, "{differ:#?}");
        }
    }
}

/// A client breaks its connection off before it is accepted: who is it, and what does it send?
async fn broken_off_in_the_queue() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let ours = TcpStream::connect(listener.local_addr()?).await?;
    let here = ours.local_addr()?;
    ours.set_linger(Some(Duration::ZERO))?;
    drop(ours);
    sleep(PAUSE).await;
    let (theirs, peer) = listener.accept().await?;
    let reads = [(); 2].map(|()| theirs.try_read(&mut [0; 8]).map_err(|error| error.kind()));
    let named = theirs.peer_addr().map_err(|error| error.kind());
    Ok(format!("{} {reads:?} {named:?}", peer == here))
}

#[test]
fn a_connection_that_was_broken_off_is_accepted_all_the_same() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let simulated = sim::run(0, broken_off_in_the_queue()).unwrap();
    assert_eq!(runtime.block_on(broken_off_in_the_queue()).unwrap(), simulated);
}
