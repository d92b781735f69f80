//! A process that forks, and does not begin another program: the child has the memory of the
//! runtime, but not its threads. What it drops takes nothing from its parent and waits for nobody;
//! it may begin a runtime of its own.
#![cfg(all(target_os = "linux", not(miri)))]

#[path = "common/leaks.rs"]
mod leaks;

use std::io::{Read, Write};
use std::net::TcpStream as Plain;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use filch::net::{TcpListener, TcpStream};
use filch::{Result, Runtime, Task, sleep, spawn, task_group, timeout, to_thread, yield_now};
use leaks::{Before, alone};

const NAME: &str = "forked";
const LONG: Duration = Duration::from_secs(600);

/// Who has been forked: the child does `act` and ends, well if it is true.
struct Child(libc::pid_t);

impl Child {
    fn fork(act: impl FnOnce() -> bool) -> Child {
        // SAFETY: the child does what is promised to work after a fork, and ends without a return.
        match unsafe { libc::fork() } {
            -1 => panic!("no child: {}", std::io::Error::last_os_error()),
            0 => {
                // SAFETY: plain numbers. Who hangs is ended by a signal.
                unsafe { libc::alarm(3600) };
                let is_well = catch_unwind(AssertUnwindSafe(act)).unwrap_or(false);
                // SAFETY: ends the process at once.
                unsafe { libc::_exit(if is_well { 0 } else { 1 }) }
            }
            child => Child(child),
        }
    }

    /// How it has ended: 0 is well.
    fn wait(self) -> i32 {
        let mut status = 0;
        // SAFETY: a child of this process, and a place for its status.
        let waited = unsafe { libc::waitpid(self.0, &mut status, 0) };
        assert_eq!(waited, self.0);
        status
    }
}

fn build() -> Runtime {
    Runtime::builder().workers(2).thread_name(NAME).grace(LONG).build().unwrap()
}

/// A listener, and both ends of a connection; the client's is not filch's.
async fn sockets() -> Result<(TcpListener, Plain, TcpStream)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let client = Plain::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept().await?;
    Ok((listener, client, server))
}

#[test]
fn a_child_that_drops_what_it_has_takes_nothing_from_its_parent() {
    let _alone = alone();
    let before = Before::now(NAME);
    let runtime = build();
    let (listener, mut client, server) = runtime.block_on(sockets()).unwrap();
    let address = listener.local_addr().unwrap();
    let waits = runtime.handle().spawn(async move {
        let mut byte = [0];
        server.read_exact(&mut byte).await?;
        // It has to wait, and so has to be watched still.
        server.read_exact(&mut byte).await?;
        Ok(byte[0])
    });
    client.write_all(&[1]).unwrap();
    let ends = |what: (Runtime, TcpListener, Task<u8>)| {
        // One by one: the sockets first, then all there is.
        let (runtime, listener, waits) = what;
        drop((listener, waits));
        drop(runtime);
        true
    };
    let all = (runtime, listener, waits);
    // SAFETY: only the child, whose memory is another, drops what is copied here.
    let child = Child::fork(|| ends(unsafe { std::ptr::read(&all) }));
    assert_eq!(child.wait(), 0, "the child has failed, or waited for threads that it has not");
    let (runtime, listener, waits) = all;
    let goes_on = runtime.block_on(timeout(LONG, async {
        let accepting = spawn(async move { Ok(listener.accept().await?.1) });
        yield_now().await;
        let other = Plain::connect(address)?;
        assert_eq!(accepting.await?, other.local_addr()?);
        client.write_all(&[2])?;
        assert_eq!(waits.await?, 2);
        Ok(())
    }));
    goes_on.unwrap();
    drop((client, runtime));
    before.check();
}

#[test]
fn a_child_that_drops_half_a_stream_does_not_end_its_direction() {
    let _alone = alone();
    let before = Before::now(NAME);
    let runtime = build();
    let (_, mut client, server) = runtime.block_on(sockets()).unwrap();
    let halves = server.into_split();
    // SAFETY: only the child, whose memory is another, drops what is copied here.
    let child = Child::fork(|| unsafe { std::ptr::read(&halves) }.1.local_addr().is_ok());
    assert_eq!(child.wait(), 0);
    let (reader, mut writer) = halves;
    runtime.block_on(async { Ok(writer.write_all(&[3]).await?) }).unwrap();
    let mut byte = [0];
    client.read_exact(&mut byte).unwrap();
    assert_eq!(byte, [3]);
    drop((reader, writer, client, runtime));
    before.check();
}

#[test]
fn a_child_has_no_use_for_its_parents_runtime() {
    let _alone = alone();
    let before = Before::now(NAME);
    let runtime = build();
    let child = Child::fork(|| {
        let refused = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async {})));
        let Err(payload) = refused else { return false };
        payload.downcast_ref::<&str>().is_some_and(|text| text.contains("fork"))
    });
    assert_eq!(child.wait(), 0);
    runtime.block_on(async { spawn(async {}).await }).unwrap();
    drop(runtime);
    before.check();
}

/// Some of everything.
async fn program() -> Result<usize> {
    let (_listener, mut client, server) = sockets().await?;
    let reader = spawn(async move { Ok(server.read(&mut [0; 8]).await?) });
    sleep(Duration::from_millis(1)).await;
    client.write_all(b"bytes")?;
    Ok(to_thread(|| 1).await? + reader.await?)
}

#[test]
fn a_child_may_begin_a_runtime_of_its_own() {
    let _alone = alone();
    let before = Before::now(NAME);
    let runtime = build();
    assert_eq!(runtime.block_on(program()).unwrap(), 6);
    let child = Child::fork(|| {
        let own = build();
        own.block_on(program()).is_ok_and(|sum| sum == 6)
    });
    assert_eq!(child.wait(), 0);
    assert_eq!(runtime.block_on(program()).unwrap(), 6);
    drop(runtime);
    before.check();
}

/// Spawns, waits for sockets, opens and closes them, until it is told to stop.
async fn bustle(stop: Arc<AtomicBool>, rounds: Arc<AtomicUsize>) -> Result<()> {
    while !stop.load(Ordering::Acquire) {
        let (_listener, mut client, server) = sockets().await?;
        task_group(async |group: filch::TaskGroup| {
            group.spawn(async move { Ok(server.read(&mut [0; 8]).await?) });
            group.spawn(sleep(Duration::from_micros(10)));
            client.write_all(b"x")?;
            Ok(())
        })
        .await?;
        rounds.fetch_add(1, Ordering::AcqRel);
    }
    Ok(())
}

#[test]
fn forks_in_the_midst_of_everything_neither_hang_nor_harm() {
    const CHILDREN: usize = 40;
    let _alone = alone();
    let before = Before::now(NAME);
    let runtime = build();
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let busy = [(); 4].map(|()| runtime.handle().spawn(bustle(stop.clone(), rounds.clone())));
    let all = (runtime, busy);
    for _ in 0..CHILDREN {
        let passed = rounds.load(Ordering::Acquire);
        let child = Child::fork(|| {
            // SAFETY: only the child, whose memory is another, drops what is copied here.
            drop(unsafe { std::ptr::read(&all) });
            true
        });
        assert_eq!(child.wait(), 0);
        while rounds.load(Ordering::Acquire) < passed + 4 {
            std::thread::yield_now();
        }
    }
    let (runtime, busy) = all;
    stop.store(true, Ordering::Release);
    busy.into_iter().for_each(|task| task.wait().unwrap());
    drop(runtime);
    before.check();
}
