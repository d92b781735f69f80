//! What TCP streams and listeners promise, on real sockets and in the simulation.
//!
//! No test waits for time: where something must not have happened yet, a future is polled once.

#[path = "common/sockets.rs"]
mod sockets;

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use filch::net::{TcpListener, TcpStream, lookup_host};
use filch::{Result, spawn};
use futures::{AsyncReadExt, poll};
use socket2::{Domain, Socket, Type};
use sockets::{ANY_PORT, everywhere, pair, pattern};

/// An address that nobody listens on, and that nobody else is given while the socket lives.
fn nobody() -> Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&ANY_PORT.into())?;
    let address = socket.local_addr()?.as_socket().expect("an address of the internet");
    Ok((socket, address))
}

/// Where this process alone asks for ports: elsewhere, a port that is given back may be another's
/// at once.
fn own_loopback() -> SocketAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    match cfg!(target_os = "linux") {
        true => SocketAddr::from(([127, 128 | high, middle, low], 0)),
        false => ANY_PORT,
    }
}

#[test]
fn bytes_come_back() {
    everywhere(async || {
        let (ours, theirs) = pair().await?;
        let server = spawn(async move {
            let mut buffer = [0; 64];
            loop {
                let count = theirs.read(&mut buffer).await?;
                if count == 0 {
                    return Ok(());
                }
                theirs.write_all(&buffer[..count]).await?;
            }
        });
        for round in 0..1_000 {
            let message = pattern(round % 64 + 1);
            ours.write_all(&message).await?;
            let mut answer = vec![0; message.len()];
            ours.read_exact(&mut answer).await?;
            assert_eq!(answer, message);
        }
        drop(ours);
        server.await
    });
}

#[test]
fn many_bytes_pass_in_both_directions_at_once() {
    everywhere(async || {
        let (ours, theirs) = pair().await?;
        let bytes = Arc::new(pattern(4 << 20));
        let mut tasks = Vec::new();
        for stream in [ours, theirs] {
            let (mut read, mut write) = stream.into_split();
            let (sent, expected) = (bytes.clone(), bytes.clone());
            tasks.push(spawn(async move { Ok(write.write_all(&sent).await?) }));
            tasks.push(spawn(async move {
                let mut came = vec![0; expected.len()];
                read.read_exact(&mut came).await?;
                assert!(came == *expected);
                assert_eq!(read.read(&mut [0; 8]).await?, 0);
                Ok(())
            }));
        }
        for task in tasks {
            task.await?;
        }
        Ok(())
    });
}

#[test]
fn each_of_many_readers_gets_a_byte() {
    everywhere(async || {
        let (ours, theirs) = pair().await?;
        let ours = Arc::new(ours);
        let read_one = |ours: Arc<TcpStream>| async move {
            let mut byte = [0];
            assert_eq!(ours.read(&mut byte).await?, 1);
            Ok(u32::from(byte[0]))
        };
        let readers: Vec<_> = (0..50).map(|_| spawn(read_one(ours.clone()))).collect();
        filch::yield_now().await;
        for byte in 0..50 {
            theirs.write_all(&[byte]).await?;
        }
        let mut sum = 0;
        for reader in readers {
            sum += reader.await?;
        }
        assert_eq!(sum, (0..50).sum());
        Ok(())
    });
}

#[test]
fn each_of_many_accepting_tasks_gets_a_connection() {
    everywhere(async || {
        let listener = Arc::new(TcpListener::bind(ANY_PORT).await?);
        let accept = |listener: Arc<TcpListener>| async move { Ok(listener.accept().await?.1) };
        let accepting: Vec<_> = (0..20).map(|_| spawn(accept(listener.clone()))).collect();
        let mut ours = Vec::new();
        for _ in 0..20 {
            ours.push(TcpStream::connect(listener.local_addr()?).await?);
        }
        let mut peers = Vec::new();
        for task in accepting {
            peers.push(task.await?);
        }
        peers.sort();
        let mut addresses: Vec<_> = ours.iter().map(|ours| ours.local_addr().unwrap()).collect();
        addresses.sort();
        assert_eq!(peers, addresses);
        Ok(())
    });
}

#[test]
fn a_reset_by_the_peer_is_an_error() {
    everywhere(async || {
        let (ours, theirs) = pair().await?;
        let waiting = spawn(async move { Ok(ours.read(&mut [0; 8]).await.map_err(|e| e.kind())) });
        filch::yield_now().await;
        theirs.set_linger(Some(Duration::ZERO))?;
        drop(theirs);
        assert_eq!(waiting.await?, Err(ErrorKind::ConnectionReset));
        Ok(())
    });
}

#[test]
fn one_direction_ends_and_the_other_goes_on() {
    everywhere(async || {
        let (ours, theirs) = pair().await?;
        ours.write_all(b"question").await?;
        ours.shutdown(Shutdown::Write)?;
        let mut question = Vec::new();
        (&theirs).read_to_end(&mut question).await?;
        assert_eq!(question, b"question");
        theirs.write_all(b"answer").await?;
        drop(theirs);
        let mut answer = Vec::new();
        (&ours).read_to_end(&mut answer).await?;
        assert_eq!(answer, b"answer");
        Ok(())
    });
}

#[test]
fn a_reader_goes_on_when_its_stream_is_shut_down_here() {
    everywhere(async || {
        let (ours, _theirs) = pair().await?;
        let ours = Arc::new(ours);
        let reading = ours.clone();
        let reader = spawn(async move { Ok(reading.read(&mut [0; 8]).await?) });
        filch::yield_now().await;
        ours.shutdown(Shutdown::Both)?;
        assert_eq!(reader.await?, 0);
        Ok(())
    });
}

#[test]
fn an_address_in_use_is_an_error() {
    everywhere(async || {
        let listener = TcpListener::bind(ANY_PORT).await?;
        let again = TcpListener::bind(listener.local_addr()?).await;
        assert_eq!(again.unwrap_err().kind(), ErrorKind::AddrInUse);
        Ok(())
    });
}

#[test]
fn an_address_is_free_again_when_its_listener_is_gone() {
    everywhere(async || {
        let listener = TcpListener::bind(own_loopback()).await?;
        let address = listener.local_addr()?;
        let ours = TcpStream::connect(address).await?;
        let theirs = listener.accept().await?;
        drop((theirs, ours, listener));
        TcpListener::bind(address).await?;
        Ok(())
    });
}

#[test]
fn a_refused_connection_is_an_error() {
    everywhere(async || {
        let (_kept, nobody) = nobody()?;
        let refused = TcpStream::connect(nobody).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        Ok(())
    });
}

#[test]
fn addresses_are_tried_in_order() {
    everywhere(async || {
        let listener = TcpListener::bind(ANY_PORT).await?;
        let good = listener.local_addr()?;
        let (_kept, nobody) = nobody()?;
        let stream = TcpStream::connect([nobody, good]).await?;
        assert_eq!(stream.peer_addr()?, good);
        let nothing: [SocketAddr; 0] = [];
        let error = TcpStream::connect(nothing).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let second = TcpListener::bind([good, ANY_PORT]).await?;
        assert_ne!(second.local_addr()?, good);
        Ok(())
    });
}

#[test]
fn several_different_failures_become_one_error_that_names_them() {
    everywhere(async || {
        let elsewhere = SocketAddr::from(([203, 0, 113, 1], 0));
        let taken = TcpListener::bind(ANY_PORT).await?;
        let error = TcpListener::bind([elsewhere, taken.local_addr()?]).await.unwrap_err();
        let text = error.to_string().to_lowercase();
        // Systems say it in their own words.
        let no_such = text.contains("assign") || text.contains("not available");
        assert!(text.contains("in use") && no_such, "{text}");
        Ok(())
    });
}

#[test]
fn a_name_is_looked_up() {
    everywhere(async || {
        let listener = TcpListener::bind(ANY_PORT).await?;
        let port = listener.local_addr()?.port();
        TcpStream::connect(("localhost", port)).await?;
        assert!(lookup_host(format!("localhost:{port}")).await?.count() > 0);
        assert!(lookup_host("no port").await.is_err());
        Ok(())
    });
}

#[test]
fn several_buffers_are_written_and_read_at_once() {
    everywhere(async || {
        let (ours, theirs) = pair().await?;
        let parts = [IoSlice::new(b"one "), IoSlice::new(b"two "), IoSlice::new(b"three")];
        assert_eq!(ours.write_vectored(&parts).await?, 13);
        let (mut head, mut tail) = ([0; 4], [0; 9]);
        let mut buffers = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
        assert_eq!(theirs.read_vectored(&mut buffers).await?, 13);
        assert_eq!((&head, &tail), (b"one ", b"two three"));
        Ok(())
    });
}

#[test]
fn peeking_takes_nothing() {
    everywhere(async || {
        let (ours, theirs) = pair().await?;
        ours.write_all(b"here").await?;
        let mut buffer = [0; 8];
        for _ in 0..3 {
            assert_eq!(theirs.peek(&mut buffer).await?, 4);
        }
        assert_eq!(theirs.read(&mut buffer).await?, 4);
        assert_eq!(&buffer[..4], b"here");
        Ok(())
    });
}

#[test]
fn trying_never_waits() {
    everywhere(async || {
        let (ours, theirs) = pair().await?;
        let mut buffer = [0; 8];
        assert_eq!(theirs.try_read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(ours.try_write(b"now")?, 3);
        let count = loop {
            theirs.readable().await?;
            match theirs.try_read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => break result?,
            }
        };
        assert_eq!(&buffer[..count], b"now");
        Ok(())
    });
}

#[test]
fn a_full_stream_is_writable_again_when_the_peer_reads() {
    everywhere(async || {
        let (ours, theirs) = pair().await?;
        let block = vec![0; 1 << 20];
        let mut sent = 0;
        while let Ok(count) = ours.try_write(&block) {
            sent += count;
        }
        let reader = spawn(async move {
            let mut buffer = vec![0; 1 << 16];
            let mut came = 0;
            while came <= sent {
                came += theirs.read(&mut buffer).await?;
            }
            Ok(())
        });
        ours.write_all(b"one more").await?;
        reader.await
    });
}

#[test]
fn a_dropped_read_takes_nothing() {
    everywhere(async || {
        let (ours, theirs) = pair().await?;
        let mut buffer = [0; 8];
        {
            let mut read = pin!(theirs.read(&mut buffer));
            assert!(poll!(&mut read).is_pending());
            ours.write_all(b"kept").await?;
        }
        assert_eq!(theirs.read(&mut buffer).await?, 4);
        assert_eq!(&buffer[..4], b"kept");
        Ok(())
    });
}

#[test]
fn a_cancelled_reader_leaves_the_stream_to_others() {
    everywhere(async || {
        let (ours, theirs) = pair().await?;
        let theirs = Arc::new(theirs);
        let reading = theirs.clone();
        let reader = spawn(async move { Ok(reading.read(&mut [0; 8]).await?) });
        filch::yield_now().await;
        reader.cancel();
        assert!(reader.await.unwrap_err().is_cancelled());
        ours.write_all(b"kept").await?;
        let mut buffer = [0; 8];
        assert_eq!(theirs.read(&mut buffer).await?, 4);
        Ok(())
    });
}

#[test]
fn a_cancelled_accept_leaves_the_listener_usable() {
    everywhere(async || {
        let listener = TcpListener::bind(ANY_PORT).await?;
        assert!(poll!(pin!(listener.accept())).is_pending());
        let _ours = TcpStream::connect(listener.local_addr()?).await?;
        listener.accept().await?;
        Ok(())
    });
}

#[test]
fn a_socket_serves_tasks_of_every_worker() {
    let runtime = filch::Runtime::builder().workers(4).build().unwrap();
    let talk = async {
        let (ours, theirs) = pair().await?;
        let ours = Arc::new(ours);
        let echo = spawn(async move { Ok(futures::io::copy(&theirs, &mut &theirs).await?) });
        for round in 0..500_u32 {
            let ours = ours.clone();
            let task = spawn(async move {
                ours.write_all(&round.to_ne_bytes()).await?;
                let mut answer = [0; 4];
                ours.read_exact(&mut answer).await?;
                assert_eq!(u32::from_ne_bytes(answer), round);
                Ok(())
            });
            task.await?;
        }
        ours.shutdown(Shutdown::Write)?;
        assert_eq!(echo.await?, 2_000);
        Ok(())
    };
    runtime.block_on(talk).unwrap();
}

#[test]
fn a_socket_outlives_its_runtime_as_an_error() {
    let (ours, _theirs) = filch::run(pair()).unwrap();
    filch::run(async move {
        assert!(ours.read(&mut [0; 8]).await.is_err());
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_simulation_has_no_sockets_of_the_system() {
    filch::sim::run(0, async {
        let listener = TcpListener::bind(ANY_PORT).await?;
        let ours = TcpStream::connect(listener.local_addr()?).await?;
        assert_eq!(ours.into_std().unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(listener.into_std().unwrap_err().kind(), ErrorKind::Unsupported);
        let theirs = TcpListener::from_std(std::net::TcpListener::bind(ANY_PORT)?);
        assert_eq!(theirs.unwrap_err().kind(), ErrorKind::Unsupported);
        Ok(())
    })
    .unwrap();
}

#[test]
#[should_panic(expected = "runtime")]
fn binding_outside_a_runtime_panics() {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let _ = pin!(TcpListener::bind(ANY_PORT)).as_mut().poll(&mut cx);
}
