//! Names to addresses, on the blocking threads.
//!
//! A literal address is recognised here and resolved by nobody; only what is left, a name, goes to
//! the system's resolver, which blocks. In a simulation, names are those of its hosts.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::runtime::{Network, to_thread};

/// What can be turned into addresses to connect to or to listen on.
///
/// Addresses, `(host, port)` pairs and `"host:port"` texts. A host may be a literal address or
/// a name; a literal is taken as it is, a name is looked up on a thread that may block. The trait
/// cannot be implemented elsewhere.
pub trait ToSocketAddrs: sealed::Sealed {
    #[doc(hidden)]
    fn candidates(&self) -> io::Result<Candidates>;
}

/// What a value names, before any lookup.
#[doc(hidden)]
#[derive(Debug)]
pub enum Candidates {
    One(SocketAddr),
    Many(Vec<SocketAddr>),
    Name(String, u16),
}

/// Looks up the addresses of a host.
///
/// # Errors
/// The resolver's; [`InvalidInput`](io::ErrorKind::InvalidInput) for a text without a port.
///
/// # Cancellation
/// The answer is thrown away when it comes.
///
/// # Panics
/// Outside a runtime, if there is a name to look up.
///
/// # Examples
///
/// ```
/// filch::run(async {
///     let mut addresses = filch::net::lookup_host("127.0.0.1:80").await?;
///     assert_eq!(addresses.next(), Some(([127, 0, 0, 1], 80).into()));
///     Ok(())
/// }).unwrap();
/// ```
#[doc(alias = "loop.getaddrinfo")]
pub async fn lookup_host(
    host: impl ToSocketAddrs,
) -> io::Result<impl Iterator<Item = SocketAddr> + Send> {
    resolve_here(host.candidates()?).await.map(Vec::into_iter)
}

/// As [`resolve`], but only a name asks for a runtime.
async fn resolve_here(candidates: Candidates) -> io::Result<Vec<SocketAddr>> {
    match candidates {
        Candidates::One(address) => Ok(vec![address]),
        Candidates::Many(addresses) => Ok(addresses),
        name => resolve(name, &Network::current()).await,
    }
}

pub(super) async fn resolve(
    candidates: Candidates,
    network: &Network,
) -> io::Result<Vec<SocketAddr>> {
    match (candidates, network) {
        (Candidates::One(address), _) => Ok(vec![address]),
        (Candidates::Many(addresses), _) => Ok(addresses),
        (Candidates::Name(host, port), Network::Real(_)) => look_up(host, port).await,
        (Candidates::Name(host, port), Network::Simulated(place)) => {
            Ok(vec![(place.look_up(&host)?, port).into()])
        }
    }
}

async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = to_thread(move || {
        let found = std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), port))?;
        let found: Vec<SocketAddr> = found.collect();
        if found.is_empty() {
            let text = format!("no address found for {host}");
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        Ok(found)
    });
    found.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn host_and_port(host: &str, port: u16) -> Candidates {
    match host.parse::<IpAddr>() {
        Ok(address) => Candidates::One((address, port).into()),
        Err(_) => Candidates::Name(host.to_owned(), port),
    }
}

impl ToSocketAddrs for str {
    fn candidates(&self) -> io::Result<Candidates> {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return Ok(Candidates::One(address));
        }
        let parts = self.rsplit_once(':');
        let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parts {
            Some((host, port)) if !host.is_empty() => Ok(host_and_port(host, port)),
            _ => {
                let text = format!("not a host and a port: {self:?}");
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
        }
    }
}

impl ToSocketAddrs for String {
    fn candidates(&self) -> io::Result<Candidates> {
        self.as_str().candidates()
    }
}

impl ToSocketAddrs for (&str, u16) {
    fn candidates(&self) -> io::Result<Candidates> {
        Ok(host_and_port(self.0, self.1))
    }
}

impl ToSocketAddrs for (String, u16) {
    fn candidates(&self) -> io::Result<Candidates> {
        Ok(host_and_port(&self.0, self.1))
    }
}

impl ToSocketAddrs for [SocketAddr] {
    fn candidates(&self) -> io::Result<Candidates> {
        Ok(Candidates::Many(self.to_vec()))
    }
}

impl<const N: usize> ToSocketAddrs for [SocketAddr; N] {
    fn candidates(&self) -> io::Result<Candidates> {
        self.as_slice().candidates()
    }
}

impl ToSocketAddrs for Vec<SocketAddr> {
    fn candidates(&self) -> io::Result<Candidates> {
        self.as_slice().candidates()
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn candidates(&self) -> io::Result<Candidates> {
        (**self).candidates()
    }
}

macro_rules! literal {
    ($($kind:ty),*) => {$(
        impl ToSocketAddrs for $kind {
            fn candidates(&self) -> io::Result<Candidates> {
                Ok(Candidates::One((*self).into()))
            }
        }

        impl sealed::Sealed for $kind {}
    )*};
}

literal!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

mod sealed {
    use std::net::SocketAddr;

    pub trait Sealed {}

    impl Sealed for str {}
    impl Sealed for String {}
    impl Sealed for (&str, u16) {}
    impl Sealed for (String, u16) {}
    impl Sealed for [SocketAddr] {}
    impl<const N: usize> Sealed for [SocketAddr; N] {}
    impl Sealed for Vec<SocketAddr> {}
    impl<T: Sealed + ?Sized> Sealed for &T {}
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_literal_address_is_not_resolved() {
        for text in ["127.0.0.1:80", "[::1]:80"] {
            let found = text.candidates().unwrap();
            assert!(matches!(found, Candidates::One(address) if address.port() == 80));
        }
        for host in ["10.0.0.1", "::1"] {
            assert!(matches!((host, 80).candidates().unwrap(), Candidates::One(_)));
        }
        let name = "localhost:80".candidates().unwrap();
        assert!(matches!(name, Candidates::Name(host, 80) if host == "localhost"));
    }

    #[test]
    fn a_text_without_a_port_is_an_error() {
        for text in ["", "localhost", ":80", "localhost:", "localhost:http", "a:65536"] {
            let error = text.candidates().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{text:?}");
        }
    }
}
