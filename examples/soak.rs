//! Does it stay as it is? The same work for a long time, and a look at speed and memory.
//!
//! ~~~text
//! cargo run --release --example soak
//! cargo run --release --example soak -- --seconds 1440
//! ~~~
//! Each round opens connections, sends requests under timeouts, spawns, cancels, locks, queues and
//! uses threads for closures. All time is this process's own processor time, on all cores. What
//! else the machine does makes that time worth less, too, so a yardstick is laid beside it now and
//! then: bytes that one thread sends to itself, without filch. Speed is rounds for each yard.
//! Memory is what is resident, and what the program holds of it, byte by byte: the rest is the
//! allocator's, which has one arena here, or chance would say how many of them grow, and when.
//! Pages of the program's own file do not count: the system drops and fetches them as it likes.
//!
//! The first fifth is for warming up. Of the rest, the last quarter is compared with the first: 5 %
//! slower, or 5 % more memory, is a failure. What is shorter than five minutes says little, and
//! what else the machine does may take a third of the speed all the while: then 60 % are allowed of
//! speed, and of memory a few of the chunks that filch's pools grow by, when chance has more tasks
//! alive at once than before (a task that each round left would be three times as much).

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use filch::net::{TcpListener, TcpStream};
use filch::sync::{Lock, Queue};
use filch::time::Instant;
use filch::{Error, Result, TaskGroup, sleep, spawn, task_group, timeout, to_thread};
use rustix::time::{ClockId, clock_gettime};

const USAGE: &str = "usage: soak [--seconds N]: of processor time, from 20 on";
/// Clients of one round, and requests of each.
const CLIENTS: usize = 20;
const REQUESTS: usize = 10;
/// Samples of one run.
const INTERVALS: usize = 100;
/// By so many per cent the end may be worse than the start.
const TOLERANCE: f64 = 5.0;
/// A shorter run is a hasty one, in seconds.
const PATIENT: u64 = 300;
/// What a hasty one allows: of speed in percent, of memory in KiB.
const HASTY: (f64, f64) = (60.0, 200.0);
/// Nobody is so late, not even on a machine that stands still for a while.
const LIMIT: Duration = Duration::from_secs(600);

/// Bytes that the program has asked for and not given back.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, and a count of what is out.
struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

// SAFETY: the system's allocator does the work, under the same conditions.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps its promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps its promise.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.fetch_add(size, Ordering::Relaxed);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps its promise.
        unsafe { System.realloc(place, layout, size) }
    }
}

fn main() -> ExitCode {
    let Some(seconds) = seconds(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    share_arena();
    let ended = filch::Runtime::new()
        .map_err(Error::from)
        .and_then(|runtime| runtime.block_on(soak(seconds)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Has all threads take their memory from one place.
fn share_arena() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: plain numbers, before there is a second thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

fn seconds(mut arguments: impl Iterator<Item = String>) -> Option<u64> {
    let Some(name) = arguments.next() else { return Some(60) };
    let seconds = arguments.next()?.parse().ok()?;
    (name == "--seconds" && seconds >= 20 && arguments.next().is_none()).then_some(seconds)
}

/// What was measured in one interval.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Rounds per second.
    rounds: f64,
    /// Yards per second, at the same time.
    yards: f64,
    /// Resident, in KiB.
    resident: f64,
    /// Held by the program, in KiB.
    held: f64,
}

/// Works for so long, in a hundred intervals, and judges.
async fn soak(seconds: u64) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let (server, mut yard) = (spawn(serve(listener)), Yard::new()?);
    let (start, begun) = (time(PROCESS), Instant::now());
    let mut samples = Vec::with_capacity(INTERVALS);
    for interval in 1..=INTERVALS {
        let part = interval as f64 / INTERVALS as f64;
        samples.push(work(address, &mut yard, start + seconds as f64 * part).await?);
        if interval % (INTERVALS / 20) == 0 {
            let sample = samples[interval - 1];
            let Sample { rounds, resident, held, .. } = sample;
            let (used, passed) = (time(PROCESS) - start, begun.elapsed().as_secs_f64());
            print!("{used:>6.1} s of processors in {passed:>6.1}: {rounds:.1} rounds/s, ");
            println!("{:.2} a yard; {resident} KiB, of them held {held:.1}", sample.speed());
        }
    }
    server.cancel();
    if !server.await.is_err_and(|error| error.is_cancelled()) {
        return Err(Error::msg("the server ended by itself"));
    }
    match filch::all_tasks().len() {
        1 => judge(&samples, if seconds < PATIENT { HASTY } else { (TOLERANCE, 0.0) }),
        left => Err(Error::msg(format!("{} tasks left", left - 1))),
    }
}

/// Rounds until then, and a yard beside every few.
async fn work(address: SocketAddr, yard: &mut Yard, until: f64) -> Result<Sample> {
    let (began, mut rounds, mut yards, mut measuring) = (time(PROCESS), 0, 0, 0.0);
    while rounds == 0 || time(PROCESS) < until {
        for _ in 0..10 {
            round(address).await?;
            rounds += 1;
        }
        let began = time(THREAD);
        yard.lay()?;
        yards += 1;
        measuring += time(THREAD) - began;
    }
    let working = time(PROCESS) - began - measuring;
    let (rounds, yards) = (f64::from(rounds) / working, f64::from(yards) / measuring);
    let held = HELD.load(Ordering::Relaxed) as f64 / 1024.0;
    Ok(Sample { rounds, yards, resident: resident()?, held })
}

impl Sample {
    /// Rounds for a yard.
    fn speed(&self) -> f64 {
        self.rounds / self.yards
    }
}

/// A connection of a thread with itself.
struct Yard([std::net::TcpStream; 2]);

impl Yard {
    fn new() -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        let ours = std::net::TcpStream::connect(listener.local_addr()?)?;
        Ok(Yard([ours, listener.accept()?.0]))
    }

    fn lay(&mut self) -> std::io::Result<()> {
        let [ours, theirs] = &mut self.0;
        let mut message = [1; 256];
        for _ in 0..100 {
            ours.write_all(&message)?;
            theirs.read_exact(&mut message)?;
            theirs.write_all(&message)?;
            ours.read_exact(&mut message)?;
        }
        Ok(())
    }
}

fn judge(samples: &[Sample], (slower, chunks): (f64, f64)) -> Result<()> {
    let warm = &samples[samples.len() / 5..];
    let quarter = warm.len() / 4;
    let ends = [&warm[..quarter], &warm[warm.len() - quarter..]];
    let medians = |of: fn(&Sample) -> f64| ends.map(|samples| median(samples, of));
    let percent = |[first, last]: [f64; 2]| (last / first - 1.0) * 100.0;
    let speed = percent(medians(Sample::speed));
    let alone = percent(medians(|sample| sample.rounds));
    let memory = [medians(|sample| sample.resident), medians(|sample| sample.held)];
    let [resident, held] = memory.map(percent);
    let text = format!("speed {speed:+.1} %, memory {resident:+.1} %, of it held {held:+.1} %");
    println!("the end against the start: {text}; rounds/s without a yardstick {alone:+.1} %");
    let grows = |[first, last]: [f64; 2]| last > first * (1.0 + TOLERANCE / 100.0) + chunks;
    let is_worse = speed < -slower || memory.into_iter().any(grows);
    if is_worse { Err(Error::msg(text)) } else { Ok(()) }
}

fn median(samples: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const PROCESS: ClockId = ClockId::ProcessCPUTime;
const THREAD: ClockId = ClockId::ThreadCPUTime;

/// Processor time, in seconds.
fn time(of: ClockId) -> f64 {
    let time = clock_gettime(of);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(number.ok_or_else(|| Error::msg("the system does not say"))?.trim().parse()?)
}

// ---- the work --------------------------------------------------------------------------------

/// Connections that the server has not ended yet.
static SERVED: AtomicUsize = AtomicUsize::new(0);

async fn serve(listener: TcpListener) -> Result<()> {
    task_group(async |group: TaskGroup| {
        loop {
            let (stream, _) = listener.accept().await?;
            SERVED.fetch_add(1, Ordering::Relaxed);
            group.spawn(async move {
                // A client breaks off when it has all its answers: that is no failure.
                let _ = echo(stream).await;
                SERVED.fetch_sub(1, Ordering::Release);
            });
        }
        #[allow(unreachable_code)]
        Ok(())
    })
    .await
}

async fn echo(stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}

/// One unit of work: some of everything.
async fn round(address: SocketAddr) -> Result<()> {
    let queue = Arc::new(Queue::bounded(8));
    let sum = Arc::new(Lock::new(0));
    let impatient = spawn(sleep(LIMIT));
    let (queued, summed) = (queue.clone(), sum.clone());
    let consumer = spawn(async move {
        for _ in 0..CLIENTS * REQUESTS {
            *summed.lock().await += queued.get().await?;
        }
        Ok(())
    });
    task_group(async |group: TaskGroup| {
        for number in 0..CLIENTS {
            group.spawn(client(address, number, queue.clone()));
        }
        Ok(())
    })
    .await?;
    consumer.await?;
    // The next round begins where this one did, however busy the machine is: or chance would say
    // how many connections there are at most.
    while SERVED.load(Ordering::Acquire) > 0 {
        sleep(Duration::from_micros(100)).await;
    }
    to_thread(|| std::hint::black_box(vec![0_u8; 4096]).len()).await?;
    impatient.cancel();
    let cancelled = impatient.await.is_err_and(|error| error.is_cancelled());
    let expected = (0..CLIENTS).sum::<usize>() * REQUESTS;
    if !cancelled || *sum.lock().await != expected {
        return Err(Error::msg("a round went wrong"));
    }
    Ok(())
}

async fn client(address: SocketAddr, number: usize, queue: Arc<Queue<usize>>) -> Result<()> {
    let stream = timeout(LIMIT, async { Ok(TcpStream::connect(address).await?) }).await?;
    // No port is kept busy by a connection that is over.
    stream.set_linger(Some(Duration::ZERO))?;
    let message = [number as u8; 256];
    let mut answer = [0; 256];
    for _ in 0..REQUESTS {
        timeout(LIMIT, async {
            stream.write_all(&message).await?;
            Ok(stream.read_exact(&mut answer).await?)
        })
        .await?;
        if answer != message {
            return Err(Error::msg("an answer is not the message"));
        }
        queue.put(number).await?;
    }
    Ok(())
}
