//! When the system gives no descriptor and no thread: an error that says so, and nothing is lost;
//! what is there goes on, and all works again when there is enough.
//!
//! Threads are refused by a limit on memory: a thread's stack does not fit. That is the whole
//! process's, so such a test runs again as a process of its own; allocations have their room
//! beforehand.
#![cfg(target_os = "linux")]

#[path = "common/leaks.rs"]
mod leaks;

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use filch::net::{TcpListener, TcpStream};
use filch::{BuildError, Result, Runtime, TaskGroup, spawn, task_group, to_thread, yield_now};
use leaks::{Before, alone};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const NAME: &str = "scarce";
/// Of a thread, in the processes that have little memory.
const STACK: u64 = 16 << 20;

/// A limit of this process, lowered until this is dropped.
struct Lowered {
    what: Resource,
    former: Option<u64>,
}

impl Lowered {
    fn to(what: Resource, limit: u64) -> Self {
        let Rlimit { current, maximum } = getrlimit(what);
        setrlimit(what, Rlimit { current: Some(limit), maximum }).unwrap();
        Lowered { what, former: current }
    }
}

impl Drop for Lowered {
    fn drop(&mut self) {
        let maximum = getrlimit(self.what).maximum;
        setrlimit(self.what, Rlimit { current: self.former, maximum }).unwrap();
    }
}

// ---- descriptors -----------------------------------------------------------------------------

/// Lowers the limit and opens files, so that just so many descriptors are left.
fn left(count: usize) -> (Lowered, Vec<File>) {
    let lowered = Lowered::to(Resource::Nofile, 256);
    let mut hogged: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    hogged.truncate(hogged.len() - count);
    (lowered, hogged)
}

#[test]
fn a_runtime_gets_all_its_descriptors_or_leaves_none() {
    let _alone = alone();
    let (mut refused, mut built) = (0, 0);
    for count in 0.. {
        let before = Before::now(NAME);
        let hogged = left(count);
        let builder = Runtime::builder().workers(3).thread_name(NAME);
        match builder.build() {
            Ok(runtime) => {
                drop(hogged);
                runtime.block_on(async { spawn(async { Ok(()) }).await }).unwrap();
                built += 1;
            }
            Err(error) => {
                drop(hogged);
                assert!(matches!(error, BuildError::Poller(_)), "{error:?}");
                assert!(error.to_string().contains("poller"), "{error}");
                refused += 1;
            }
        }
        before.check();
        if built == 3 {
            break;
        }
    }
    assert!(refused >= 6, "each worker needs two at least, {refused} were too few");
}

#[test]
fn a_program_that_listens_for_ctrl_c_runs_without_descriptors_for_that() {
    let _alone = alone();
    for count in 0..4 {
        let before = Before::now(NAME);
        let builder = Runtime::builder().workers(2).thread_name(NAME).ctrl_c(true);
        let runtime = builder.build().unwrap();
        let hogged = left(count);
        assert_eq!(runtime.block_on(async { spawn(async { Ok(3) }).await }).unwrap(), 3);
        drop((hogged, runtime));
        if count == 0 {
            before.check();
        }
    }
}

/// Serves one request per connection; pauses while it gets no descriptor.
async fn serve(listener: &TcpListener, refused: &AtomicUsize, group: TaskGroup) -> Result<()> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(group.spawn(async move {
                let mut request = [0; 8];
                stream.read_exact(&mut request).await?;
                stream.write_all(&request).await?;
                Ok(())
            })),
            Err(error) => {
                let out = rustix::io::Errno::MFILE.raw_os_error();
                assert_eq!(error.raw_os_error(), Some(out), "{error}");
                refused.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        }
    }
}

#[test]
fn every_connection_is_served_in_the_end_with_few_descriptors() {
    const CLIENTS: usize = 100;
    let _alone = alone();
    let before = Before::now(NAME);
    let runtime = Runtime::builder().workers(3).thread_name(NAME).build().unwrap();
    let listener = runtime.block_on(async { Ok(TcpListener::bind(("127.0.0.1", 0)).await?) });
    let listener = listener.unwrap();
    let address = listener.local_addr().unwrap();
    let connect = |_| std::net::TcpStream::connect(address).unwrap();
    let mut clients: Vec<_> = (0..CLIENTS).map(connect).collect();
    let hogged = left(7);
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = refused.clone();
    let server = runtime.handle().spawn(async move {
        task_group(async |group: TaskGroup| serve(&listener, &counted, group).await).await
    });
    // Nobody has said anything yet, so the first seven connections hold all descriptors.
    while refused.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    for (number, client) in (0_u64..).zip(&mut clients) {
        client.write_all(&number.to_ne_bytes()).unwrap();
    }
    for (number, client) in (0_u64..).zip(&mut clients) {
        let mut answer = [0; 8];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(u64::from_ne_bytes(answer), number);
        assert_eq!(client.read(&mut answer).unwrap(), 0);
    }
    drop((hogged, clients));
    server.cancel();
    assert!(server.wait().unwrap_err().is_cancelled());
    drop(runtime);
    before.check();
}

#[test]
fn operations_that_need_a_descriptor_fail_and_the_others_go_on() {
    let _alone = alone();
    let before = Before::now(NAME);
    let runtime = Runtime::builder().workers(2).thread_name(NAME).build().unwrap();
    let main = async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let ours = TcpStream::connect(address).await?;
        let (theirs, _) = listener.accept().await?;
        // It has to wait already: without a descriptor, the system refuses before it looks.
        let mut accepting = Box::pin(listener.accept());
        assert!(futures::poll!(&mut accepting).is_pending());
        let hogged = left(0);
        let out = Some(rustix::io::Errno::MFILE.raw_os_error());
        assert_eq!(TcpStream::connect(address).await.unwrap_err().raw_os_error(), out);
        let any = ("127.0.0.1", 0);
        assert_eq!(TcpListener::bind(any).await.unwrap_err().raw_os_error(), out);
        ours.write_all(b"on").await?;
        theirs.read_exact(&mut [0; 2]).await?;
        filch::sleep(Duration::from_millis(1)).await;
        assert_eq!(to_thread(|| 4).await?, 4);
        assert!(Runtime::new().is_err());
        drop(hogged);
        let connected = TcpStream::connect(address).await?;
        assert_eq!(accepting.await?.1, connected.local_addr()?);
        Ok(())
    };
    runtime.block_on(main).unwrap();
    drop(runtime);
    before.check();
}

// ---- threads ---------------------------------------------------------------------------------

const CHILD: &str = "FILCH_SCARCE";

/// Runs `body` in a process of its own, which is this test again, with much room in its heap.
fn in_own_process(name: &str, body: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        // So that allocations ask the system for nothing later on.
        drop(vec![1_u8; 32 << 20]);
        return body();
    }
    // To start a process takes descriptors, which other tests use up.
    let _alone = alone();
    let room = (256_u64 << 20).to_string();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .env("RUST_MIN_STACK", STACK.to_string())
        .env("MALLOC_ARENA_MAX", "1")
        .env("MALLOC_TOP_PAD_", &room)
        .env("MALLOC_TRIM_THRESHOLD_", &room)
        .env("MALLOC_MMAP_THRESHOLD_", &room)
        .output()
        .unwrap();
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success() && said[0].contains("1 passed"), "{}\n{}", said[0], said[1]);
}

/// Leaves memory for so many threads, and half of another.
fn room_for(threads: u64) -> Lowered {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    let now = kilobytes << 10;
    Lowered::to(Resource::As, now + threads * STACK + STACK / 2)
}

#[test]
fn a_runtime_gets_all_its_threads_or_leaves_none() {
    in_own_process("a_runtime_gets_all_its_threads_or_leaves_none", || {
        const WORKERS: usize = 6;
        let build = || Runtime::builder().workers(WORKERS).thread_name(NAME).build();
        let (mut refused, mut some) = (0, 0);
        for room in 0..WORKERS as u64 {
            let before = Before::now(NAME);
            let limit = room_for(room);
            let result = build();
            drop(limit);
            match result {
                Ok(runtime) => drop(runtime.block_on(async { spawn(async { Ok(1) }).await })),
                Err(error) => {
                    assert!(matches!(error, BuildError::Thread(_)), "{error:?}");
                    assert!(error.to_string().contains("worker"), "{error}");
                    refused += 1;
                    some += usize::from(room > 0);
                }
            }
            before.check();
        }
        assert!(refused > 1 && some > 0, "{refused} refused, {some} of them with some threads");
        build().unwrap().block_on(async { spawn(async { Ok(()) }).await }).unwrap();
    });
}

#[test]
fn closures_without_a_thread_are_an_error_or_wait_for_one() {
    in_own_process("closures_without_a_thread_are_an_error_or_wait_for_one", || {
        let before = Before::now(NAME);
        // No thread leaves for having nothing to do, and makes room for another.
        let builder = Runtime::builder().workers(2).thread_name(NAME);
        let runtime = builder.blocking_idle(Duration::from_secs(3600)).build().unwrap();
        let main = async {
            let limit = room_for(0);
            let counted = Arc::new(());
            for _ in 0..3 {
                let held = counted.clone();
                let error = to_thread(move || drop(held)).await.unwrap_err();
                let error = error.downcast_ref::<std::io::Error>().expect("the system's error");
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
            }
            assert_eq!(Arc::strong_count(&counted), 1, "what the closures held is dropped");
            drop(limit);
            let (release, released) = mpsc::channel();
            let (begun, begins) = futures::channel::oneshot::channel::<()>();
            let busy = spawn(to_thread(move || {
                drop(begun);
                released.recv()
            }));
            assert!(begins.await.is_err(), "its thread is there");
            to_thread(|| ()).await?;
            let _limit = room_for(0);
            let waiting: Vec<_> = (0..10).map(|number| spawn(to_thread(move || number))).collect();
            let mut sum = 0;
            for closure in waiting {
                sum += closure.await?;
            }
            assert_eq!(sum, 45);
            release.send(())?;
            busy.await??;
            Ok(())
        };
        runtime.block_on(main).unwrap();
        drop(runtime);
        before.check();
    });
}

#[test]
fn a_task_that_drops_a_runtime_ends_it_without_a_thread_for_that() {
    in_own_process("a_task_that_drops_a_runtime_ends_it_without_a_thread_for_that", || {
        let before = Before::now(NAME);
        let build = || Runtime::builder().workers(2).thread_name(NAME).build().unwrap();
        let (outer, inner) = (build(), build());
        let asleep = inner.handle().spawn(std::future::pending::<()>());
        let main = async move {
            let limit = room_for(0);
            drop(inner);
            drop(limit);
            Ok(())
        };
        outer.handle().spawn(main).wait().unwrap();
        assert!(asleep.wait().unwrap_err().is_cancelled());
        drop(outer);
        before.check();
    });
}
