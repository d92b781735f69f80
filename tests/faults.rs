//! A server among clients that behave badly: it survives, and nothing is lost or left behind.
//!
//! Real sockets, real threads: the clients are plain threads with blocking sockets. A request is
//! eight bytes, its answer the same eight. Every connection that was accepted is accounted for: its
//! requests are answered, or its handler ends with an error, a timeout or a cancellation. Nothing
//! here waits for time to pass: each step waits for the count that says it has been reached.
#![cfg(target_os = "linux")]

#[path = "common/leaks.rs"]
mod leaks;

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream as Plain};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use filch::net::{TcpListener, TcpStream};
use filch::{Result, Runtime, Task, TaskGroup, all_tasks, catch_cancelled, spawn, task_group};
use leaks::{Before, alone};
use socket2::SockRef;

const NAME: &str = "served";
const REQUEST: usize = 8;
/// Clients of each manner.
const CLIENTS: usize = 8;
/// Requests of a client that takes its answers.
const REQUESTS: usize = 50;
/// What a flood's connection has room for on its way back, about.
const ROOM: usize = 4096;
/// No two ends of a connection have room for so much.
const FLOOD: usize = 1 << 30;

/// How a client behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Takes each answer, then leaves.
    Polite,
    /// Sends and takes one byte at a time.
    Dribbles,
    /// Says in the midst of a request that it sends no more, and takes its answers then.
    HalfCloses,
    /// Sends, and breaks the connection off without a look at the answers.
    Resets,
    /// Leaves before it has said anything.
    Vanishes,
    /// Sends half a request, and stays.
    Stalls,
    /// Sends and sends, and never reads.
    Floods,
}

use Manner::{Dribbles, Floods, HalfCloses, Polite, Resets, Stalls, Vanishes};

const LEAVING: [Manner; 5] = [Polite, Dribbles, HalfCloses, Resets, Vanishes];

/// What became of the connections.
#[derive(Debug, Default)]
struct Tally {
    accepted: AtomicUsize,
    answered: AtomicUsize,
    /// Handlers that had to wait for their client in the midst of a request or of an answer.
    halted: AtomicUsize,
    left: AtomicUsize,
    failed: AtomicUsize,
    timed_out: AtomicUsize,
    cancelled: AtomicUsize,
    /// Handlers that were cancelled before their first poll: they, too, close the connection.
    never_begun: AtomicUsize,
    /// Handlers that are gone, however they ended.
    gone: AtomicUsize,
}

fn add(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::AcqRel);
}

fn get(count: &AtomicUsize) -> usize {
    count.load(Ordering::Acquire)
}

/// Waits for what other threads are about to do.
fn reach(count: &AtomicUsize, wanted: usize) {
    while get(count) < wanted {
        thread::yield_now();
    }
}

impl Tally {
    fn verify(&self, accepted: usize) {
        let ends = [&self.left, &self.failed, &self.timed_out, &self.cancelled, &self.never_begun];
        assert_eq!(get(&self.accepted), accepted, "{self:?}");
        assert_eq!(ends.map(get).iter().sum::<usize>(), accepted, "{self:?}");
        assert_eq!(get(&self.gone), accepted, "{self:?}");
    }
}

/// An accepted connection, from its beginning to its end.
struct Accepted {
    tally: Arc<Tally>,
    begun: bool,
    halted: bool,
}

impl Accepted {
    fn new(tally: &Arc<Tally>) -> Self {
        add(&tally.accepted);
        Accepted { tally: tally.clone(), begun: false, halted: false }
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        if !self.begun {
            add(&self.tally.never_begun);
        }
        add(&self.tally.gone);
    }
}

// ---- the server ----------------------------------------------------------------------------

/// Accepts until it is cancelled. A client may take so long to take an answer.
async fn serve(listener: TcpListener, tally: Arc<Tally>, patience: Duration) -> Result<()> {
    task_group(async |group: TaskGroup| accept_all(&listener, &tally, patience, &group).await).await
}

async fn accept_all(
    listener: &TcpListener,
    tally: &Arc<Tally>,
    patience: Duration,
    group: &TaskGroup,
) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        // Little room, for a flood to fill it soon.
        SockRef::from(&stream).set_send_buffer_size(ROOM)?;
        group.spawn(handle(stream, Accepted::new(tally), patience));
    }
}

/// Serves one client, and notes how that ended.
async fn handle(stream: TcpStream, mut accepted: Accepted, patience: Duration) {
    accepted.begun = true;
    let ended = catch_cancelled(exchange(&stream, &mut accepted, patience)).await;
    let tally = &*accepted.tally;
    match ended {
        Ok(Ok(())) => add(&tally.left),
        Ok(Err(error)) if error.is_timeout() => add(&tally.timed_out),
        Ok(Err(_)) => add(&tally.failed),
        Err(cancelled) => {
            add(&tally.cancelled);
            cancelled.raise().await;
        }
    }
}

async fn exchange(stream: &TcpStream, accepted: &mut Accepted, patience: Duration) -> Result<()> {
    let mut request = [0; REQUEST];
    loop {
        let count = stream.read(&mut request).await?;
        if count == 0 {
            return Ok(());
        }
        halting(accepted, stream.read_exact(&mut request[count..])).await?;
        let answer = async { Ok(halting(accepted, stream.write_all(&request)).await?) };
        filch::timeout(patience, answer).await?;
        add(&accepted.tally.answered);
    }
}

/// Counts the connection if the operation has to wait, and it is the first that has to.
async fn halting<F: Future>(accepted: &mut Accepted, operation: F) -> F::Output {
    let mut operation = pin!(operation);
    poll_fn(|cx| {
        let result = operation.as_mut().poll(cx);
        if result.is_pending() && !std::mem::replace(&mut accepted.halted, true) {
            add(&accepted.tally.halted);
        }
        result
    })
    .await
}

// ---- the clients ---------------------------------------------------------------------------

fn client(address: SocketAddr, manner: Manner, number: usize) -> JoinHandle<()> {
    let named = thread::Builder::new().name("client".into());
    let server = Plain::connect(address).unwrap();
    named.spawn(move || behave(server, manner, number)).unwrap()
}

fn behave(mut server: Plain, manner: Manner, number: usize) {
    server.set_nodelay(true).unwrap();
    let request = |round: usize| ((number as u64) << 32 | round as u64).to_ne_bytes();
    match manner {
        Polite => (0..REQUESTS).for_each(|round| {
            server.write_all(&request(round)).unwrap();
            assert_eq!(answer(&mut server), request(round));
        }),
        Dribbles => (0..REQUESTS).for_each(|round| {
            request(round).iter().for_each(|byte| server.write_all(&[*byte]).unwrap());
            let mut answer = [0; REQUEST];
            answer.chunks_mut(1).for_each(|byte| server.read_exact(byte).unwrap());
            assert_eq!(answer, request(round));
        }),
        HalfCloses => {
            (0..REQUESTS).for_each(|round| server.write_all(&request(round)).unwrap());
            server.write_all(&[0; REQUEST / 2]).unwrap();
            server.shutdown(Shutdown::Write).unwrap();
            (0..REQUESTS).for_each(|round| assert_eq!(answer(&mut server), request(round)));
            assert_eq!(server.read(&mut [0]).unwrap(), 0, "half a request has no answer");
        }
        Resets => {
            server.write_all(&request(0).repeat(1 + number)).unwrap();
            SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
        }
        Vanishes => {}
        Stalls => {
            let sent = server.write_all(&[0; REQUEST / 2]);
            assert!(is_over(sent.and_then(|()| server.read(&mut [0]))));
        }
        Floods => {
            SockRef::from(&server).set_recv_buffer_size(ROOM).unwrap();
            let block = vec![0; 1 << 20];
            let sent = (0..FLOOD / block.len()).try_for_each(|_| server.write_all(&block));
            assert!(is_over(sent.map(|()| 1)), "the flood was taken in");
        }
    }
}

fn answer(server: &mut Plain) -> [u8; REQUEST] {
    let mut answer = [0; REQUEST];
    server.read_exact(&mut answer).unwrap();
    answer
}

/// The server has ended the connection.
fn is_over(result: std::io::Result<usize>) -> bool {
    match result {
        Ok(count) => count == 0,
        Err(error) => matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
    }
}

// ---- the tests -----------------------------------------------------------------------------

const FOREVER: Duration = Duration::from_secs(3600);

struct Server {
    runtime: Runtime,
    task: Task<()>,
    address: SocketAddr,
    tally: Arc<Tally>,
}

impl Server {
    fn start(patience: Duration) -> Self {
        let runtime = Runtime::builder().workers(3).thread_name(NAME).grace(FOREVER);
        let runtime = runtime.build().unwrap();
        let tally = Arc::new(Tally::default());
        let started = runtime.block_on(async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            let address = listener.local_addr()?;
            Ok((address, spawn(serve(listener, tally.clone(), patience))))
        });
        let (address, task) = started.unwrap();
        Server { runtime, task, address, tally }
    }

    fn clients(&self, manners: &[Manner]) -> Vec<JoinHandle<()>> {
        let numbered = (0..CLIENTS).flat_map(|number| manners.iter().map(move |m| (*m, number)));
        numbered.map(|(manner, number)| client(self.address, manner, number)).collect()
    }

    /// One more client is served as if there were no others.
    fn check_alive(&self) {
        let left = get(&self.tally.left);
        client(self.address, Polite, CLIENTS).join().unwrap();
        reach(&self.tally.left, left + 1);
    }

    /// Cancels the server, awaits it, and sees that it was the last task.
    fn end(self) -> Arc<Tally> {
        let Server { runtime, task, tally, .. } = self;
        let left = runtime.block_on(async {
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            Ok(all_tasks().len())
        });
        assert_eq!(left.unwrap(), 1, "only the main task is left");
        tally
    }

    /// Drops the runtime in the midst of it.
    fn drop(self) -> Arc<Tally> {
        drop(self.runtime);
        assert!(self.task.wait().unwrap_err().is_cancelled());
        self.tally
    }
}

fn join(clients: Vec<JoinHandle<()>>) {
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn clients_that_leave_in_any_manner_are_answered_or_accounted_for() {
    let _alone = alone();
    let before = Before::now(NAME);
    let server = Server::start(FOREVER);
    let clients = server.clients(&LEAVING);
    join(clients);
    server.check_alive();
    let accepted = LEAVING.len() * CLIENTS + 1;
    reach(&server.tally.gone, accepted);
    let tally = server.end();
    tally.verify(accepted);
    assert_eq!(get(&tally.cancelled), 0, "{tally:?}");
    assert!(get(&tally.answered) > 3 * CLIENTS * REQUESTS, "{tally:?}");
    assert!(get(&tally.failed) >= CLIENTS, "half a request is an error: {tally:?}");
    drop(tally);
    before.check();
}

#[test]
fn clients_that_stay_are_cancelled_with_the_server() {
    for end in [Server::end, Server::drop] {
        let _alone = alone();
        let before = Before::now(NAME);
        let server = Server::start(FOREVER);
        let clients = server.clients(&[Stalls]);
        reach(&server.tally.halted, CLIENTS);
        server.check_alive();
        let tally = end(server);
        join(clients);
        tally.verify(CLIENTS + 1);
        assert_eq!(get(&tally.cancelled), CLIENTS, "{tally:?}");
        before.check();
    }
}

#[test]
fn a_flood_is_held_back_and_ends_with_a_timeout() {
    let _alone = alone();
    let before = Before::now(NAME);
    let server = Server::start(Duration::from_millis(5));
    join(server.clients(&[Floods]));
    server.check_alive();
    reach(&server.tally.gone, CLIENTS + 1);
    let tally = server.end();
    tally.verify(CLIENTS + 1);
    assert_eq!(get(&tally.timed_out), CLIENTS, "{tally:?}");
    before.check();
}

#[test]
fn a_flood_is_held_back_and_ends_with_the_server() {
    for end in [Server::end, Server::drop] {
        let _alone = alone();
        let before = Before::now(NAME);
        let server = Server::start(FOREVER);
        let clients = server.clients(&[Floods]);
        // They may still halt and go on for a while, but each halts in the end.
        reach(&server.tally.halted, CLIENTS);
        server.check_alive();
        let tally = end(server);
        join(clients);
        tally.verify(CLIENTS + 1);
        assert_eq!(get(&tally.cancelled), CLIENTS, "{tally:?}");
        before.check();
    }
}

#[test]
fn a_runtime_that_is_dropped_in_the_midst_of_everything_leaves_nothing() {
    for round in 0..20 {
        let _alone = alone();
        let before = Before::now(NAME);
        let server = Server::start(FOREVER);
        let clients = server.clients(&[Stalls, Floods]);
        reach(&server.tally.accepted, 1 + round % (2 * CLIENTS));
        let tally = server.drop();
        join(clients);
        tally.verify(get(&tally.accepted));
        before.check();
    }
}
