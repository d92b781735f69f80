//! Sockets for tests: on loopback, at a port that is free, real and simulated.

#![allow(dead_code)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use std::time::Duration;

use filch::net::{TcpListener, TcpStream};
use filch::{Result, sim};

pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) async fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(ANY_PORT).await?;
    let ours = TcpStream::connect(listener.local_addr()?).await?;
    let (theirs, peer) = listener.accept().await?;
    assert_eq!(ours.local_addr()?, peer);
    Ok((ours, theirs))
}

/// Bytes to be recognised.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * 31 % 251) as u8).collect()
}

/// Runs what `main` makes on real threads and in simulations, on a loopback that is immediate and
/// on one that is slow and loses packets.
pub(crate) fn everywhere<M>(mut main: impl FnMut() -> M)
where
    M: Future<Output = Result<()>>,
{
    filch::run(main()).unwrap();
    sim::check(0..4, &mut main);
    let on_bad_loopback = || {
        let main = main();
        async {
            let loopback = sim::net().link("main", "main");
            loopback.set_latency(Duration::from_millis(1)..=Duration::from_millis(20));
            loopback.set_loss(0.1);
            main.await
        }
    };
    sim::Builder::new().time_limit(Duration::from_secs(3600)).check(0..8, on_bad_loopback);
}
