//! How simulated connections, listeners and hosts end, and what their peers see of it.

mod common;

use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Log, ms, seconds, simulate};
use filch::net::{TcpListener, TcpStream};
use filch::time::Instant;
use filch::{Result, TaskBuilder, sim, sleep, spawn, timeout_any};
use futures::poll;

/// A connection from `main` to `server`, and its other end.
async fn connection() -> Result<(TcpStream, TcpStream)> {
    let accepting = sim::host("server").spawn(async {
        let listener = TcpListener::bind("0.0.0.0:80").await?;
        Ok(listener.accept().await?.0)
    });
    let ours = TcpStream::connect("server:80").await?;
    Ok((ours, accepting.await?))
}

#[test]
fn what_was_written_before_the_end_is_read() {
    sim::check(0..8, async || {
        let (ours, theirs) = connection().await?;
        ours.write_all(&[7; 10_000]).await?;
        drop(ours);
        let mut came = [0; 10_000];
        theirs.read_exact(&mut came).await?;
        assert_eq!(came, [7; 10_000]);
        assert_eq!(theirs.read(&mut came).await?, 0);
        assert_eq!(theirs.read(&mut came).await?, 0);
        // Nobody is there to read the answer.
        theirs.write_all(b"answer").await?;
        sleep(seconds(1)).await;
        let error = theirs.write(b"more").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        Ok(())
    });
}

#[test]
fn who_leaves_with_bytes_unread_resets_the_connection() {
    simulate(async {
        let (ours, theirs) = connection().await?;
        ours.write_all(b"unread").await?;
        theirs.readable().await?;
        drop(theirs);
        let error = ours.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(ours.read(&mut [0; 8]).await?, 0);
        assert_eq!(ours.shutdown(Shutdown::Write).unwrap_err().kind(), ErrorKind::NotConnected);
        Ok(())
    });
}

#[test]
fn what_came_before_a_reset_can_still_be_read() {
    simulate(async {
        let (ours, theirs) = connection().await?;
        theirs.write_all(b"last words").await?;
        sleep(seconds(1)).await;
        theirs.set_linger(Some(ms(0)))?;
        drop(theirs);
        sleep(seconds(1)).await;
        let mut buffer = [0; 16];
        assert_eq!(ours.read(&mut buffer).await?, 10);
        let error = ours.take_error()?.unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(ours.take_error()?.is_none());
        Ok(())
    });
}

#[test]
fn a_listener_that_goes_away_resets_those_who_wait_in_it() {
    simulate(async {
        let log = Log::new();
        let seen = log.clone();
        let server = sim::host("server").spawn(async move {
            let listener = TcpListener::bind("0.0.0.0:80").await?;
            sleep(seconds(1)).await;
            drop(listener);
            seen.add("gone");
            TcpListener::bind("0.0.0.0:80").await?;
            Ok(())
        });
        let ours = TcpStream::connect("server:80").await?;
        let error = ours.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(log.lines(), ["gone"]);
        server.await
    });
}

#[test]
fn a_full_backlog_keeps_others_waiting() {
    simulate(async {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let listener = TcpListener::bind(address).await?;
        let mut waiting = Vec::new();
        for _ in 0..1025 {
            waiting.push(TcpStream::connect(address).await?);
        }
        let one_more = spawn(async move { Ok(TcpStream::connect(address).await?) });
        sleep(ms(1500)).await;
        assert!(!one_more.is_finished());
        let start = Instant::now();
        listener.accept().await?;
        one_more.await?;
        assert_eq!(start.elapsed(), ms(1500), "the next attempt gets in");
        Ok(())
    });
}

#[test]
fn a_full_backlog_keeps_those_waiting_who_come_together() {
    simulate(async {
        let server = sim::host("server");
        let binding = server.spawn(async { Ok(TcpListener::bind("0.0.0.0:80").await?) });
        let _listener = binding.await?;
        let connect = |_| spawn(async { Ok(TcpStream::connect("server:80").await?) });
        let tasks: Vec<_> = (0..2000).map(connect).collect();
        sleep(ms(500)).await;
        assert_eq!(tasks.iter().filter(|task| task.is_finished()).count(), 1025);
        Ok(())
    });
}

#[test]
fn a_crashed_host_says_nothing_and_answers_by_a_reset() {
    simulate(async {
        let log = Log::new();
        let server = sim::host("server");
        let guard = log.on_drop("dropped");
        let seen = log.clone();
        let task = server.spawn(async move {
            let _guard = guard;
            let listener = TcpListener::bind("0.0.0.0:80").await?;
            let _stream = listener.accept().await?;
            let _ = filch::catch_cancelled(sleep(seconds(1_000_000))).await;
            seen.add("never cleans up");
            Ok(())
        });
        let ours = TcpStream::connect("server:80").await?;
        sleep(seconds(1)).await;
        server.crash();
        assert_eq!(log.lines(), ["dropped"]);
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(timeout_any(seconds(3600), ours.read(&mut [0; 8])).await.is_err());
        ours.write_all(b"there?").await?;
        let error = ours.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        // It comes back, and can use its port.
        let (again, theirs) = connection().await?;
        again.write_all(b"hello").await?;
        theirs.read_exact(&mut [0; 5]).await?;
        Ok(())
    });
}

#[test]
fn tasks_that_wait_for_sockets_are_named_in_a_deadlock() {
    let stuck = sim::run(0, async {
        let server = sim::host("server");
        let accepting = server.spawn(async {
            let listener = TcpListener::bind("0.0.0.0:80").await?;
            let first = listener.accept().await?.0;
            first.write_all(&[0; 10]).await?;
            let _second = listener.accept().await?;
            listener.accept().await?;
            Ok(())
        });
        accepting.set_name("acceptor");
        let stream = TcpStream::connect("server:80").await?;
        stream.read_exact(&mut [0; 10]).await?;
        let (mut read, mut write) = stream.into_split();
        let writer = TaskBuilder::new()
            .name("writer")
            .spawn(async move { Ok(write.write_all(&[0; 100_000]).await?) });
        let away = sim::host("away").spawn(async {
            let stream = TcpStream::connect("server:80").await?;
            Ok(stream.read(&mut [0; 1]).await?)
        });
        sleep(seconds(1)).await;
        sim::net().isolate("away");
        read.read(&mut [0; 1]).await?;
        writer.await?;
        away.await?;
        accepting.await
    });
    let error = stuck.unwrap_err();
    assert!(error.is_deadlock(), "{error}");
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().collect();
    let ends = |line: &str, what: &str| assert!(line.ends_with(what), "{line:?}: {what:?}");
    assert_eq!(lines.len(), 5, "{text}");
    ends(lines[1], "awaits bytes from 10.0.0.2:80 on server");
    ends(lines[2], "awaits a connection at 0.0.0.0:80 on server");
    ends(lines[3], "awaits room to write to 10.0.0.2:80 on server");
    ends(lines[4], "awaits bytes from 10.0.0.2:80 on server, behind a cut link");
}

#[test]
fn a_socket_outlives_its_simulation_as_an_error() {
    let (stream, _kept) = simulate(connection());
    simulate(async move {
        assert!(stream.read(&mut [0; 8]).await.is_err());
        assert!(stream.local_addr().is_ok());
        Ok(())
    });
}

#[test]
fn a_host_that_stands_still_goes_on_where_it_was() {
    sim::check(0..50, || async {
        let server = sim::host("server");
        let heard = server.spawn(async {
            let listener = TcpListener::bind("0.0.0.0:80").await?;
            let (stream, _) = listener.accept().await?;
            let mut word = [0; 5];
            stream.read_exact(&mut word).await?;
            stream.write_all(&word).await?;
            Ok(Instant::now())
        });
        sleep(ms(1)).await;
        let stream = TcpStream::connect("server:80").await?;
        server.pause(seconds(30));
        server.pause(seconds(20));
        let begun = Instant::now();
        stream.write_all(b"hello").await?;
        let mut word = [0; 5];
        assert!(timeout_any(seconds(29), stream.read(&mut word)).await.is_err());
        stream.read_exact(&mut word).await?;
        assert_eq!(&word, b"hello");
        assert!(heard.await? - begun >= seconds(30));
        Ok(())
    });
}

#[test]
fn a_host_that_stands_still_can_crash_and_the_run_can_end() {
    sim::check(0..20, || async {
        for name in ["one", "two"] {
            let host = sim::host(name);
            let task = host.spawn(async { std::future::pending::<()>().await });
            host.pause(seconds(3600));
            if name == "one" {
                host.crash();
                assert!(task.await.unwrap_err().is_cancelled());
            } else {
                task.detach();
            }
        }
        Ok(())
    });
}

#[test]
fn a_clock_that_jumps_lets_all_that_is_due_happen_in_order() {
    sim::check(0..20, || async {
        let (begun, order) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
        let sleepers: Vec<_> = [3, 1, 2, 9]
            .map(|time| {
                let order = order.clone();
                spawn(async move {
                    sleep(seconds(time)).await;
                    order.lock().unwrap().push(begun.elapsed().as_secs());
                })
            })
            .into();
        sleep(ms(500)).await;
        sim::jump(seconds(5));
        for sleeper in sleepers {
            sleeper.await?;
        }
        assert_eq!(*order.lock().unwrap(), [5, 5, 5, 9]);
        Ok(())
    });
}

#[test]
fn an_attempt_to_connect_ends_with_the_host_that_began_it() {
    let sim = sim::Builder::new().latency(ms(10)..=ms(10));
    let ended = sim.run(async {
        let server = sim::host("server");
        let binding = server.spawn(async { Ok(TcpListener::bind("0.0.0.0:80").await?) });
        let _listener = binding.await?;
        let client = sim::host("client");
        let beginning = client.spawn(async {
            let mut connecting = Box::pin(TcpStream::connect("server:80"));
            assert!(poll!(&mut connecting).is_pending());
            Ok(connecting)
        });
        let connecting = beginning.await?;
        // The server knows of it already; its answer is on the way.
        sleep(ms(15)).await;
        client.crash();
        let error = connecting.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        Ok(())
    });
    ended.unwrap();
}

#[test]
fn a_host_that_never_goes_on_is_named_in_a_deadlock() {
    let stuck = sim::run(0, async {
        let server = sim::host("server");
        let task = server.spawn(async { Ok(()) });
        server.pause(Duration::MAX);
        task.await
    });
    let text = stuck.unwrap_err().to_string();
    assert!(text.ends_with(" could run, but server stands still"), "{text}");
}
