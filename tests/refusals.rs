//! When the system refuses a call: no memory, no room for another watch, no thread. It is an error
//! that says so, nothing is lost and nothing is left, and the others go on.
//!
//! The refusals are the kernel's own (`common/refuse.rs`), for one thread: the others see what is
//! not refused, and what works again afterwards.
#![cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]

#[path = "common/leaks.rs"]
mod leaks;
#[path = "common/refuse.rs"]
mod refuse;

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream as Plain;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use filch::net::{TcpListener, TcpStream};
use filch::{BuildError, Result, Runtime, Task, spawn};
use futures::channel::oneshot;
use leaks::{Before, alone};
use refuse::{Refusal, refuse, without};
use rustix::io::Errno;

const NAME: &str = "refused";
const ANY: (&str, u16) = ("127.0.0.1", 0);

fn build(workers: usize) -> Result<Runtime, BuildError> {
    Runtime::builder().workers(workers).thread_name(NAME).build()
}

/// No descriptor can be watched any more.
fn no_watches(error: Errno) -> Refusal {
    Refusal::of(libc::SYS_epoll_ctl, error).if_set(1, libc::EPOLL_CTL_ADD as u32)
}

fn is(error: &io::Error, expected: Errno) -> bool {
    error.raw_os_error() == Some(expected.raw_os_error())
}

/// What `result` was refused with.
fn refused<T>(result: io::Result<T>) -> io::Error {
    result.err().expect("a call that is refused is an error")
}

// ---- runtimes --------------------------------------------------------------------------------

#[test]
fn a_runtime_without_pollers_is_an_error_and_leaves_nothing() {
    let _alone = alone();
    let pollers = [
        Refusal::of(libc::SYS_epoll_create1, Errno::NOMEM),
        Refusal::of(libc::SYS_epoll_create1, Errno::NFILE),
        Refusal::of(libc::SYS_eventfd2, Errno::NOMEM),
        Refusal::of(libc::SYS_eventfd2, Errno::NFILE),
        no_watches(Errno::NOSPC),
        no_watches(Errno::NOMEM),
    ];
    for refusal in pollers {
        let before = Before::now(NAME);
        match without(&[refusal], || build(3)) {
            Err(BuildError::Poller(error)) => assert!(error.raw_os_error().is_some(), "{error}"),
            other => panic!("{refusal:?}: {other:?}"),
        }
        before.check();
    }
    build(3).unwrap().block_on(async { spawn(async { Ok(()) }).await }).unwrap();
}

#[test]
fn a_runtime_without_threads_is_an_error_and_leaves_nothing() {
    let _alone = alone();
    let before = Before::now(NAME);
    let again = |call| Refusal::of(call, Errno::AGAIN);
    match without(&[again(libc::SYS_clone3), again(libc::SYS_clone)], || build(3)) {
        Err(BuildError::Thread(error)) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        other => panic!("{other:?}"),
    }
    before.check();
    build(3).unwrap().block_on(async { spawn(async { Ok(()) }).await }).unwrap();
}

// ---- sockets ---------------------------------------------------------------------------------

#[test]
fn a_socket_that_cannot_be_watched_is_an_error_and_is_closed() {
    let _alone = alone();
    for error in [Errno::NOSPC, Errno::NOMEM] {
        let before = Before::now(NAME);
        let runtime = build(2).unwrap();
        let listener = runtime.block_on(async { Ok(TcpListener::bind(ANY).await?) }).unwrap();
        let address = listener.local_addr().unwrap();
        let sockets = leaks::descriptors();
        let tries = || {
            runtime.block_on(async {
                assert!(is(&refused(TcpListener::bind(ANY).await), error));
                assert!(is(&refused(TcpStream::connect(address).await), error));
                // The one that was given up there waits to be accepted, and one more.
                let mut client = Plain::connect(address)?;
                for _ in 0..2 {
                    assert!(is(&refused(listener.accept().await), error));
                }
                // What was accepted and cannot be watched is closed, which its client sees.
                assert_eq!(client.read(&mut [0])?, 0);
                Ok(())
            })
        };
        without(&[no_watches(error)], tries).unwrap();
        assert_eq!(leaks::descriptors(), sockets, "what cannot be watched is closed");
        let main = async {
            let client = TcpStream::connect(address).await?;
            let (server, _) = listener.accept().await?;
            client.write_all(b"on").await?;
            server.read_exact(&mut [0; 2]).await?;
            Ok(())
        };
        runtime.block_on(main).unwrap();
        drop((listener, runtime));
        before.check();
    }
}

#[test]
fn calls_of_sockets_that_are_refused_are_errors_that_pass() {
    let _alone = alone();
    let before = Before::now(NAME);
    let runtime = build(2).unwrap();
    let pair = runtime.block_on(async {
        let listener = TcpListener::bind(ANY).await?;
        let client = Plain::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept().await?;
        Ok((listener, client, server))
    });
    let (listener, mut client, server) = pair.unwrap();
    let address = listener.local_addr().unwrap();
    for error in [Errno::NOMEM, Errno::NOBUFS] {
        client.write_all(b"request").unwrap();
        let next = Plain::connect(address).unwrap();
        let calls = [libc::SYS_accept4, libc::SYS_socket, libc::SYS_recvfrom, libc::SYS_sendto];
        let tries = || {
            runtime.block_on(async {
                assert!(is(&refused(listener.accept().await), error));
                assert!(is(&refused(TcpStream::connect(address).await), error));
                assert!(is(&refused(TcpListener::bind(ANY).await), error));
                assert!(is(&refused(server.read(&mut [0; 7]).await), error));
                assert!(is(&refused(server.write_all(b"answer").await), error));
                Ok(())
            })
        };
        without(&calls.map(|call| Refusal::of(call, error)), tries).unwrap();
        // Nothing has been taken that was not given, and all that was there still is.
        let main = async {
            assert_eq!(listener.accept().await?.1, next.local_addr()?);
            let mut request = [0; 7];
            server.read_exact(&mut request).await?;
            assert_eq!(&request, b"request");
            Ok(server.write_all(b"answer").await?)
        };
        runtime.block_on(main).unwrap();
        let mut answer = [0; 6];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
    }
    drop((client, server, listener, runtime));
    before.check();
}

/// Answers each byte with itself; gives the stream back if it cannot be watched any more.
async fn echo(stream: TcpStream) -> Result<Option<TcpStream>> {
    let mut byte = [0];
    loop {
        match stream.read(&mut byte).await {
            Ok(0) => return Ok(None),
            Ok(_) => stream.write_all(&byte).await?,
            Err(error) if is(&error, Errno::NOSPC) => return Ok(Some(stream)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Both workers of the runtime cannot watch anything new from now on.
async fn refuse_workers() -> Result<()> {
    let both = Arc::new(Barrier::new(2));
    let refuse_one = |both: Arc<Barrier>| async move {
        // One worker cannot be in two places.
        both.wait();
        refuse(&[no_watches(Errno::NOSPC)]);
        both.wait();
    };
    let tasks = [(); 2].map(|()| spawn(refuse_one(both.clone())));
    for task in tasks {
        task.await?;
    }
    Ok(())
}

/// Keeps one worker, so that all else runs on the other one, until the sender is gone.
async fn keep_one_worker() -> Result<(Task<()>, mpsc::Sender<()>)> {
    let (keep, kept) = mpsc::channel::<()>();
    let (begun, begins) = oneshot::channel::<()>();
    let keeper = spawn(async move {
        drop(begun);
        _ = kept.recv();
    });
    _ = begins.await;
    Ok((keeper, keep))
}

#[test]
fn a_stream_that_could_not_follow_its_task_is_watched_again_later() {
    const STREAMS: usize = 16;
    const BYTES: u8 = 50;
    let _alone = alone();
    let before = Before::now(NAME);
    let runtime = build(2).unwrap();
    let main = async {
        refuse_workers().await?;
        // Half of the streams are watched for this worker, and are all served by the other one.
        let (keeper, keep) = keep_one_worker().await?;
        let listener = TcpListener::bind(ANY).await?;
        let (mut clients, mut servers) = (Vec::new(), Vec::<Task<_>>::new());
        for _ in 0..STREAMS {
            let mut client = Plain::connect(listener.local_addr()?)?;
            // Accepted here, where it can be watched; served by the workers, where it cannot move.
            servers.push(spawn(echo(listener.accept().await?.0)));
            clients.push(thread::spawn(move || {
                for byte in 0..BYTES {
                    client.write_all(&[byte]).unwrap();
                    let mut answer = [0];
                    client.read_exact(&mut answer).unwrap();
                    assert_eq!(answer, [byte]);
                }
            }));
        }
        let mut given_back = 0;
        for server in servers {
            // It is watched again as soon as somebody waits for it who may.
            if let Some(stream) = server.await? {
                given_back += 1;
                assert!(echo(stream).await?.is_none());
            }
        }
        clients.into_iter().for_each(|client| client.join().unwrap());
        drop(keep);
        keeper.await?;
        Ok(given_back)
    };
    let given_back = runtime.block_on(main).unwrap();
    assert!(given_back > 0, "no stream has tried to follow its task");
    drop(runtime);
    before.check();
}
