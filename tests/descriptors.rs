//! What sockets promise when descriptors are short, and that they keep none.
//!
//! A process of its own, and one test at a time: descriptors are counted for the whole process.
#![cfg(target_os = "linux")]

#[path = "common/leaks.rs"]
mod leaks;

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use filch::net::{TcpListener, TcpStream};
use filch::spawn;
use leaks::{Before, alone};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Opens files until the system refuses.
fn hog() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

/// The limit on descriptors, lowered until this is dropped.
struct Lowered(Option<u64>);

impl Lowered {
    fn to(limit: u64) -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum }).unwrap();
        Lowered(current)
    }
}

impl Drop for Lowered {
    fn drop(&mut self) {
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: self.0, maximum }).unwrap();
    }
}

#[test]
fn accepting_fails_without_descriptors_and_works_again_with_them() {
    let _alone = alone();
    filch::run(async {
        let listener = TcpListener::bind(ANY_PORT).await?;
        let _lowered = Lowered::to(256);
        for _ in 0..3 {
            let client = std::net::TcpStream::connect(listener.local_addr()?)?;
            let hogged = hog();
            for _ in 0..3 {
                let error = listener.accept().await.unwrap_err();
                let out = rustix::io::Errno::MFILE.raw_os_error();
                assert_eq!(error.raw_os_error(), Some(out), "{error}");
            }
            drop(hogged);
            let (_, peer) = listener.accept().await?;
            assert_eq!(peer, client.local_addr()?);
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn connecting_and_binding_fail_without_descriptors() {
    let _alone = alone();
    filch::run(async {
        let listener = TcpListener::bind(ANY_PORT).await?;
        let _lowered = Lowered::to(256);
        let hogged = hog();
        assert!(TcpStream::connect(listener.local_addr()?).await.is_err());
        assert!(TcpListener::bind(ANY_PORT).await.is_err());
        drop(hogged);
        TcpStream::connect(listener.local_addr()?).await?;
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_runtime_without_descriptors_is_an_error() {
    let _alone = alone();
    let _lowered = Lowered::to(256);
    let hogged = hog();
    let runtime = filch::Runtime::new();
    drop(hogged);
    assert!(runtime.is_err());
}

#[test]
fn nothing_stays_open() {
    let _alone = alone();
    // What a first run opens for the whole process stays.
    filch::run(async {}).unwrap();
    let before = Before::now("filch-");
    for _ in 0..3 {
        filch::run(async {
            let listener = TcpListener::bind(ANY_PORT).await?;
            let address = listener.local_addr()?;
            let server = spawn(serve(listener));
            let mut clients = Vec::new();
            for _ in 0..50 {
                let stream = TcpStream::connect(address).await?;
                clients.push(spawn(async move { Ok(stream.read(&mut [0; 8]).await?) }));
            }
            filch::yield_now().await;
            for client in clients.iter().step_by(2) {
                client.cancel();
            }
            server.cancel();
            Ok(())
        })
        .unwrap();
    }
    before.check();
}

#[test]
fn a_runtime_that_is_awaited_to_its_end_has_closed_all() {
    let _alone = alone();
    filch::run(async {}).unwrap();
    let before = Before::now("filch-");
    for _ in 0..50 {
        let inner = filch::Runtime::builder().workers(1).build().unwrap();
        futures::executor::block_on(inner.shutdown());
        before.check_descriptors();
    }
}

async fn serve(listener: TcpListener) -> filch::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        spawn(async move { Ok(stream.read(&mut [0; 8]).await?) }).detach();
    }
}
