//! Sockets for tests: on loopback, at a port that is free.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use filch::Result;
use filch::net::{TcpListener, TcpStream};

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
