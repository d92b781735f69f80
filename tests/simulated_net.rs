//! The simulated network carries what hosts send each other, late, in pieces, or not at all, as the
//! test has set it; and the same seed always gives the same run.

mod common;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use common::{ms, seconds, simulate};
use filch::net::{TcpListener, TcpStream, lookup_host};
use filch::time::Instant;
use filch::{Result, sim, sleep, spawn, timeout_any, to_thread};

/// Has a host give back what it gets, at port 7.
fn echo(host: &str) {
    sim::host(host).spawn(give_back()).detach();
}

async fn give_back() -> Result<()> {
    let listener = TcpListener::bind("0.0.0.0:7").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        spawn(async move { Ok(futures::io::copy(&stream, &mut &stream).await?) }).detach();
    }
}

/// A connection from `main` to `server`, and its other end.
async fn connection() -> Result<(TcpStream, TcpStream)> {
    let server = sim::host("server");
    let accepting = server.spawn(async {
        let listener = TcpListener::bind("0.0.0.0:80").await?;
        Ok(listener.accept().await?.0)
    });
    let ours = TcpStream::connect("server:80").await?;
    Ok((ours, accepting.await?))
}

async fn round_trip(stream: &TcpStream) -> Result<()> {
    stream.write_all(b"ping").await?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"ping");
    Ok(())
}

#[test]
fn hosts_have_names_and_addresses() {
    simulate(async {
        let (a, b) = (sim::host("a"), sim::host("10.9.8.7"));
        assert_eq!(sim::Host::current().name(), "main");
        assert_eq!(a.address(), IpAddr::from([10, 0, 0, 2]));
        assert_eq!(b.address(), IpAddr::from([10, 9, 8, 7]));
        assert_eq!(sim::host("a").address(), a.address());
        assert_eq!(sim::host_at("c", [10, 0, 0, 3]).name(), "c");
        assert_eq!(sim::host("d").address(), IpAddr::from([10, 0, 0, 4]));
        let found: Vec<_> = lookup_host("a:80").await?.collect();
        assert_eq!(found, [SocketAddr::from(([10, 0, 0, 2], 80))]);
        assert_eq!(lookup_host("nobody:80").await.err().unwrap().kind(), ErrorKind::NotFound);
        Ok(())
    });
}

#[test]
fn what_a_host_spawns_runs_there() {
    simulate(async {
        let names = sim::host("a").spawn(async {
            let inner = spawn(async { Ok(sim::Host::current().name().to_owned()) });
            let thread = to_thread(|| sim::Host::current().name().to_owned());
            Ok([inner.await?, thread.await?, sim::Host::current().name().to_owned()])
        });
        assert_eq!(names.await?, ["a", "a", "a"]);
        assert_eq!(sim::Host::current().name(), "main");
        Ok(())
    });
}

#[test]
fn localhost_is_each_host_to_itself() {
    simulate(async {
        let listen = || async { Ok(TcpListener::bind("127.0.0.1:80").await?) };
        let (a, b) = (sim::host("a"), sim::host("b"));
        let _kept = (a.spawn(listen()).await?, b.spawn(listen()).await?);
        let error = TcpStream::connect("127.0.0.1:80").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = TcpStream::connect("a:80").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        a.spawn(async { Ok(TcpStream::connect(("localhost", 80)).await?) }).await?;
        let elsewhere = TcpListener::bind((a.address(), 80)).await.unwrap_err();
        assert_eq!(elsewhere.kind(), ErrorKind::AddrNotAvailable);
        let nowhere = TcpStream::connect("10.200.0.1:80").await.unwrap_err();
        assert_eq!(nowhere.kind(), ErrorKind::HostUnreachable);
        Ok(())
    });
}

#[test]
fn packets_take_the_time_that_was_set() {
    simulate(async {
        echo("server");
        sim::net().link("main", "server").set_latency(ms(30)..=ms(30));
        sleep(ms(1)).await;
        let start = Instant::now();
        let stream = TcpStream::connect("server:7").await?;
        assert_eq!(start.elapsed(), ms(60));
        let start = Instant::now();
        round_trip(&stream).await?;
        assert_eq!(start.elapsed(), ms(60));
        sim::net().link("main", "server").set_latency(ms(5)..=ms(20));
        let start = Instant::now();
        round_trip(&stream).await?;
        assert!((ms(10)..=ms(40)).contains(&start.elapsed()));
        Ok(())
    });
}

#[test]
fn bytes_come_in_pieces_and_in_order() {
    sim::check(0..4, async || {
        let (ours, theirs) = connection().await?;
        let bytes: Vec<u8> = (0..200_000_u32).map(|place| (place % 251) as u8).collect();
        let sent = bytes.clone();
        spawn(async move { Ok(ours.write_all(&sent).await?) }).detach();
        let (mut came, mut buffer, mut pieces) = (Vec::new(), vec![0; 1 << 16], 0);
        loop {
            match theirs.read(&mut buffer).await? {
                0 => break,
                count => came.extend_from_slice(&buffer[..count]),
            }
            pieces += 1;
        }
        assert!(came == bytes);
        assert!(pieces > 20, "{pieces}");
        Ok(())
    });
}

#[test]
fn a_writer_waits_for_its_reader() {
    let main = async {
        let (ours, theirs) = connection().await?;
        assert_eq!(ours.write(&[0; 5000]).await?, 1000);
        assert_eq!(ours.try_write(&[0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(timeout_any(seconds(1), ours.writable()).await.is_err());
        let start = Instant::now();
        theirs.read_exact(&mut [0; 600]).await?;
        ours.writable().await?;
        assert_eq!(start.elapsed(), ms(10), "word of it has to come back");
        assert_eq!(ours.try_write(&[0; 5000])?, 600);
        Ok(())
    };
    sim::Builder::new().buffer(1000).latency(ms(10)..=ms(10)).run(main).unwrap();
}

#[test]
fn lost_packets_come_later() {
    let trip = |loss: f64| {
        let main = async move {
            echo("server");
            let stream = TcpStream::connect("server:7").await?;
            sim::net().set_loss(loss);
            let start = Instant::now();
            for _ in 0..20 {
                round_trip(&stream).await?;
            }
            Ok(start.elapsed())
        };
        sim::run(7, main).unwrap()
    };
    assert!(trip(0.0) < ms(201), "{:?}", trip(0.0));
    assert!(trip(0.3) > seconds(1), "{:?}", trip(0.3));
}

#[test]
fn all_is_lost_only_for_a_quarter_of_an_hour() {
    simulate(async {
        let (ours, theirs) = connection().await?;
        sim::net().set_loss(1.0);
        let start = Instant::now();
        ours.write_all(b"hello").await?;
        let error = ours.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs() / 60, 15);
        assert_eq!(ours.read(&mut [0; 8]).await?, 0);
        assert_eq!(ours.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        // The other end never learns of it, but by asking.
        sim::net().set_loss(0.0);
        theirs.write_all(b"there?").await?;
        let error = theirs.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn nothing_passes_a_cut_link_and_all_does_once_it_is_healed() {
    sim::check(0..8, async || {
        echo("server");
        let stream = TcpStream::connect("server:7").await?;
        stream.write_all(b"ping").await?;
        // What is on its way does not arrive either.
        sim::net().partition("main", "server");
        assert!(sim::net().link("server", "main").is_cut());
        let mut answer = [0; 4];
        assert!(timeout_any(seconds(60), stream.read_exact(&mut answer)).await.is_err());
        sim::net().heal("main", "server");
        timeout_any(seconds(120), stream.read_exact(&mut answer)).await??;
        assert_eq!(&answer, b"ping");
        round_trip(&stream).await
    });
}

#[test]
fn word_of_what_was_read_waits_for_the_link_too() {
    let main = async {
        let (ours, theirs) = connection().await?;
        ours.write_all(&[0; 1000]).await?;
        sleep(seconds(1)).await;
        sim::net().isolate("server");
        theirs.read_exact(&mut [0; 1000]).await?;
        assert!(timeout_any(seconds(1), ours.writable()).await.is_err());
        sim::net().rejoin("server");
        let start = Instant::now();
        ours.writable().await?;
        assert!(start.elapsed() <= ms(5));
        Ok(())
    };
    sim::Builder::new().buffer(1000).run(main).unwrap();
}

#[test]
fn connecting_over_a_cut_link_gives_up_after_two_minutes() {
    simulate(async {
        echo("server");
        sim::net().isolate("server");
        sleep(ms(1)).await;
        let start = Instant::now();
        let error = TcpStream::connect("server:7").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), seconds(127));
        // Healed in time, an attempt succeeds.
        let healing = spawn(async {
            sleep(seconds(20)).await;
            sim::net().heal_all();
        });
        TcpStream::connect("server:7").await?;
        healing.await
    });
}

#[test]
fn an_address_can_be_made_to_refuse() {
    simulate(async {
        echo("server");
        let address = SocketAddr::from((sim::host("server").address(), 7));
        sim::net().refuse(address);
        let error = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        sim::net().admit(address);
        round_trip(&TcpStream::connect(address).await?).await
    });
}

#[test]
fn a_connection_can_be_reset() {
    simulate(async {
        let (ours, theirs) = connection().await?;
        let (here, there) = (ours.local_addr()?, ours.peer_addr()?);
        assert_eq!(sim::net().connections(), [(here, there)]);
        let reading = spawn(async move { Ok(theirs.read(&mut [0; 8]).await?) });
        sleep(ms(1)).await;
        assert!(sim::net().reset(there, here));
        assert!(!sim::net().reset(there, here), "it is broken off already");
        assert_eq!(sim::net().connections(), []);
        let error = reading.await.unwrap_err();
        let kind = error.downcast_ref::<std::io::Error>().unwrap().kind();
        assert_eq!(kind, ErrorKind::ConnectionReset);
        assert_eq!(ours.write(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(ours.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(ours.read(&mut [0; 8]).await?, 0);
        Ok(())
    });
}
