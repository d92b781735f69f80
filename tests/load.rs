//! Many connections at once, with the load in a process of its own: every request is answered, and
//! afterwards there is no task, no descriptor and no thread left.
//!
//! This is the small form; `examples/echo` with `--listen` and `--connect` is the large one.
#![cfg(target_os = "linux")]

#[path = "common/leaks.rs"]
mod leaks;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use filch::net::{TcpListener, TcpStream};
use filch::sync::Barrier;
use filch::{Result, Runtime, TaskGroup, all_tasks, spawn, task_group};
use leaks::{Before, alone};

const NAME: &str = "loaded";
const ADDRESS: &str = "FILCH_LOAD";
const CONNECTIONS: usize = 500;
const REQUESTS: usize = 20;

// ---- the load --------------------------------------------------------------------------------

/// A client of the other process. No one sends before all are connected, and no one leaves before
/// all are answered: a connection may wait for its accept while the first ones are through.
async fn client(address: SocketAddr, number: usize, all: Arc<Barrier>) -> Result<usize> {
    let stream = TcpStream::connect(address).await?;
    all.wait().await?;
    for round in 0..REQUESTS {
        let request = ((number as u64) << 32 | round as u64).to_ne_bytes();
        stream.write_all(&request).await?;
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).await?;
        assert_eq!(answer, request);
    }
    all.wait().await?;
    Ok(REQUESTS)
}

fn load(address: SocketAddr) {
    let answered = filch::run(async move {
        let all = Arc::new(Barrier::new(CONNECTIONS));
        let clients: Vec<_> =
            (0..CONNECTIONS).map(|number| spawn(client(address, number, all.clone()))).collect();
        let mut answered = 0;
        for client in clients {
            answered += client.await?;
        }
        assert_eq!(all_tasks().len(), 1, "only the main task is left");
        Ok(answered)
    });
    assert_eq!(answered.unwrap(), CONNECTIONS * REQUESTS);
}

// ---- the server ------------------------------------------------------------------------------

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    answered: AtomicUsize,
}

/// An open connection.
struct Open(Arc<Counts>);

impl Open {
    fn new(counts: &Arc<Counts>) -> Self {
        counts.accepted.fetch_add(1, Ordering::AcqRel);
        let open = 1 + counts.open.fetch_add(1, Ordering::AcqRel);
        counts.most_open.fetch_max(open, Ordering::AcqRel);
        Open(counts.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn serve(listener: TcpListener, counts: Arc<Counts>) -> Result<()> {
    task_group(async |group: TaskGroup| {
        for _ in 0..CONNECTIONS {
            let (stream, _) = listener.accept().await?;
            group.spawn(echo(stream, Open::new(&counts)));
        }
        Ok(())
    })
    .await
}

async fn echo(stream: TcpStream, open: Open) -> Result<()> {
    let mut buffer = [0; 64];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
        open.0.answered.fetch_add(count / 8, Ordering::AcqRel);
    }
}

/// This test again, as the load.
fn other_process(address: SocketAddr) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name = "every_request_of_many_connections_is_answered";
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command.env(ADDRESS, address.to_string());
    command
}

#[test]
fn every_request_of_many_connections_is_answered() {
    if let Ok(address) = std::env::var(ADDRESS) {
        return load(address.parse().unwrap());
    }
    let _alone = alone();
    let before = Before::now(NAME);
    let runtime = Runtime::builder().workers(4).thread_name(NAME).build().unwrap();
    let counts = Arc::new(Counts::default());
    let main = async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let mut load = other_process(listener.local_addr()?);
        let server = spawn(serve(listener, counts.clone()));
        let output = filch::to_thread(move || load.output()).await??;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        server.await?;
        assert_eq!(all_tasks().len(), 1, "only the main task is left");
        Ok(())
    };
    runtime.block_on(main).unwrap();
    drop(runtime);
    let count = |count: &AtomicUsize| count.load(Ordering::Acquire);
    assert_eq!(count(&counts.accepted), CONNECTIONS);
    assert_eq!(count(&counts.most_open), CONNECTIONS, "all at once");
    assert_eq!(count(&counts.answered), CONNECTIONS * REQUESTS);
    assert_eq!(count(&counts.open), 0);
    before.check();
}
