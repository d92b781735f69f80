//! Answers that never come, on the simulated network: who waits for one is told in the end.

mod common;

use std::io::{self, ErrorKind};
use std::pin::pin;

use common::{ms, seconds};
use filch::net::{TcpListener, TcpStream};
use filch::time::Instant;
use filch::{Result, sim, sleep, timeout_any};
use futures::poll;

/// Runs it on a network whose packets take 10 ms, and where 1,000 bytes fill a connection.
fn simulate(main: impl Future<Output = Result<()>> + Send + 'static) {
    let slow = sim::Builder::new().latency(ms(10)..=ms(10)).buffer(1000);
    slow.run(main).unwrap();
}

/// Has the server listen.
async fn listen() -> Result<TcpListener> {
    let server = sim::host("server");
    server.spawn(async { Ok(TcpListener::bind("0.0.0.0:80").await?) }).await
}

/// Begins to connect, and does something when the server knows of it, and its answer is under way.
async fn connect_meanwhile(act: impl AsyncFnOnce() -> Result<()>) -> Result<io::Result<TcpStream>> {
    let mut connecting = pin!(TcpStream::connect("server:80"));
    assert!(poll!(&mut connecting).is_pending());
    sleep(ms(15)).await;
    act().await?;
    Ok(connecting.await)
}

/// A connection from `main` to `server`, and its other end.
async fn connection() -> Result<(TcpStream, TcpStream)> {
    let listener = listen().await?;
    let ours = TcpStream::connect("server:80").await?;
    Ok((ours, listener.accept().await?.0))
}

/// A connection whose client has no room, and whose server does not read.
async fn full() -> Result<(TcpStream, TcpStream)> {
    let (ours, theirs) = connection().await?;
    ours.write_all(&[7; 1000]).await?;
    sleep(seconds(1)).await;
    assert!(ours.try_write(b"more").is_err());
    Ok((ours, theirs))
}

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    result.map(drop).unwrap_err().kind()
}

#[test]
fn connecting_ends_though_the_answer_is_cut_off_for_ever() {
    simulate(async {
        let _listener = listen().await?;
        let start = Instant::now();
        let ended = connect_meanwhile(async || {
            sim::net().partition("main", "server");
            Ok(())
        });
        assert_eq!(kind(ended.await?), ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 127);
        Ok(())
    });
}

#[test]
fn connecting_to_a_host_that_has_crashed_meanwhile_is_refused() {
    simulate(async {
        let _listener = listen().await?;
        let ended = connect_meanwhile(async || {
            sim::host("server").crash();
            Ok(())
        });
        assert_eq!(kind(ended.await?), ErrorKind::ConnectionRefused);
        Ok(())
    });
}

#[test]
fn connecting_goes_to_who_listens_after_the_crash() {
    simulate(async {
        let mut listener = listen().await?;
        let ended = connect_meanwhile(async || {
            sim::host("server").crash();
            listener = listen().await?;
            Ok(())
        });
        let ours = ended.await??;
        let (theirs, _) = listener.accept().await?;
        ours.write_all(b"hello").await?;
        theirs.read_exact(&mut [0; 5]).await?;
        Ok(())
    });
}

#[test]
fn connecting_ends_however_much_is_lost() {
    sim::check(0..300, async || {
        let listener = sim::host("server").spawn(async {
            let listener = TcpListener::bind("0.0.0.0:80").await?;
            Ok(listener.accept().await?.0)
        });
        sim::net().set_loss([0.5, 0.9, 1.0][sim::random(0..3) as usize]);
        sleep(ms(1)).await;
        if let Err(error) = TcpStream::connect("server:80").await {
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
        drop(listener);
        Ok(())
    });
}

#[test]
fn who_waits_for_room_gives_up_when_nobody_can_answer() {
    for cut in [true, false] {
        simulate(async move {
            let (ours, _theirs) = full().await?;
            match cut {
                true => sim::net().partition("main", "server"),
                false => sim::net().set_loss(1.0),
            }
            let start = Instant::now();
            assert_eq!(kind(ours.write(b"more").await), ErrorKind::TimedOut);
            assert_eq!(start.elapsed().as_secs() / 60, 15);
            Ok(())
        });
    }
}

#[test]
fn who_waits_for_room_finds_out_that_the_other_is_gone() {
    for cut in [true, false] {
        simulate(async move {
            let (ours, _theirs) = full().await?;
            if cut {
                sim::net().partition("main", "server");
            }
            sim::host("server").crash();
            if cut {
                assert!(timeout_any(seconds(60), ours.writable()).await.is_err());
                sim::net().heal_all();
            }
            let writing = timeout_any(seconds(120), ours.write(b"more"));
            assert_eq!(kind(writing.await?), ErrorKind::ConnectionReset);
            Ok(())
        });
    }
}

#[test]
fn who_waits_for_room_finds_out_though_the_reset_is_cut_off() {
    simulate(async {
        let (ours, theirs) = full().await?;
        drop(theirs);
        sim::net().partition("main", "server");
        sleep(seconds(60)).await;
        sim::net().heal_all();
        let writing = timeout_any(seconds(120), ours.write(b"more"));
        assert_eq!(kind(writing.await?), ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn who_waits_for_room_gives_up_though_his_bytes_were_still_on_their_way() {
    simulate(async {
        let (ours, _theirs) = connection().await?;
        ours.write_all(&[7; 1000]).await?;
        sim::net().set_loss(1.0);
        assert_eq!(kind(ours.write(b"more").await), ErrorKind::TimedOut);
        Ok(())
    });
}

#[test]
fn who_waits_for_room_finds_out_that_nobody_took_his_bytes() {
    simulate(async {
        let (ours, theirs) = connection().await?;
        ours.write_all(&[7; 1000]).await?;
        drop(theirs); // in peace, for nothing has come
        sleep(ms(15)).await;
        sim::net().partition("main", "server");
        sleep(seconds(5)).await;
        sim::net().heal_all();
        let writing = timeout_any(seconds(120), ours.write(b"more"));
        assert_eq!(kind(writing.await?), ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn who_waited_for_room_has_all_his_patience_again_in_the_next_cut() {
    simulate(async {
        let (ours, theirs) = full().await?;
        sim::net().partition("main", "server");
        sleep(seconds(60 * 15)).await;
        sim::net().heal_all();
        theirs.read_exact(&mut [0; 1000]).await?;
        ours.write_all(&[7; 1000]).await?;
        sleep(ms(15)).await;
        sim::net().partition("main", "server");
        let start = Instant::now();
        assert_eq!(kind(ours.write(b"more").await), ErrorKind::TimedOut);
        assert!(start.elapsed() > seconds(60 * 15));
        Ok(())
    });
}

#[test]
fn where_all_is_lost_resets_and_word_of_what_was_read_are_lost_too() {
    simulate(async {
        let (ours, theirs) = full().await?;
        sim::net().set_loss(1.0);
        theirs.read_exact(&mut [0; 1000]).await?;
        assert!(timeout_any(seconds(60), ours.writable()).await.is_err());
        sim::net().set_loss(0.0);
        ours.write_all(b"more").await?;
        sleep(seconds(1)).await;
        sim::net().set_loss(1.0);
        theirs.set_linger(Some(ms(0)))?;
        drop(theirs);
        assert!(timeout_any(seconds(60), ours.readable()).await.is_err());
        Ok(())
    });
}

#[test]
fn a_connection_whose_client_vanishes_half_way_is_forgotten() {
    for crashes in [true, false] {
        simulate(async move {
            let _listener = listen().await?;
            let client = sim::host("client");
            let connecting = client.spawn(async { Ok(TcpStream::connect("server:80").await?) });
            let stream = connecting.await?;
            match crashes {
                true => client.crash(),
                false => {
                    stream.set_linger(Some(ms(0)))?;
                    drop(stream);
                    sim::net().partition("client", "server");
                    sleep(seconds(1)).await;
                    sim::net().heal_all();
                }
            }
            sleep(seconds(60)).await;
            assert_eq!(sim::net().connections(), []);
            Ok(())
        });
    }
}

#[test]
fn who_waits_for_room_goes_on_when_the_link_is_whole_in_time() {
    simulate(async {
        let (ours, theirs) = full().await?;
        sim::net().partition("main", "server");
        sleep(seconds(600)).await;
        sim::net().heal_all();
        theirs.read_exact(&mut [0; 1000]).await?;
        ours.write_all(b"more").await?;
        // What stood in the agenda meanwhile comes to nothing.
        sleep(seconds(3600)).await;
        theirs.read_exact(&mut [0; 4]).await?;
        Ok(())
    });
}

#[test]
fn waiting_for_a_reader_that_never_reads_is_a_deadlock_at_once() {
    let slow = sim::Builder::new().buffer(1000).time_limit(seconds(100));
    let stuck = slow.run(async {
        let (ours, theirs) = full().await?;
        // A question that was to be asked is none any more.
        sim::net().partition("main", "server");
        sleep(seconds(90)).await;
        sim::net().heal_all();
        ours.write_all(b"more").await?;
        drop(theirs);
        Ok(())
    });
    let error = stuck.unwrap_err();
    assert!(error.is_deadlock(), "{error}");
}
