//! Does it stay as it is? The same work for a long time, and a look at speed and memory.
//!
//! ~~~text
//! cargo run --release --example soak
//! cargo run --release --example soak -- --seconds 1440
//! ~~~
//! Each round opens connections, sends requests under timeouts, spawns, cancels, locks, queues and
//! uses threads for closures. Speed is rounds per second of this process's own processor time, so
//! what else the machine does matters little. The first fifth is for warming up. Of the rest, the
//! last quarter is compared with the first: 5 % slower, or 5 % more memory, is a failure.

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use filch::net::{TcpListener, TcpStream};
use filch::sync::{Lock, Queue};
use filch::time::Instant;
use filch::{Error, Result, TaskGroup, sleep, spawn, task_group, timeout, to_thread};
use rustix::time::{ClockId, clock_gettime};

const USAGE: &str = "usage: soak [--seconds N], from 20 on";
/// Clients of one round, and requests of each.
const CLIENTS: usize = 20;
const REQUESTS: usize = 10;
/// By so much the end may be worse than the start.
const TOLERANCE: f64 = 0.05;
const LIMIT: Duration = Duration::from_secs(10);

/// Bytes, and pieces of memory, that the program has asked for and not given back.
static HELD: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

/// The system's allocator, and a count of what is out.
struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

// SAFETY: the system's allocator does the work, under the same conditions.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD[0].fetch_add(layout.size(), Ordering::Relaxed);
        HELD[1].fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps its promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD[0].fetch_sub(layout.size(), Ordering::Relaxed);
        HELD[1].fetch_sub(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

fn main() -> ExitCode {
    let Some(seconds) = seconds(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let ended = filch::Runtime::new()
        .map_err(Error::from)
        .and_then(|runtime| runtime.block_on(soak(Duration::from_secs(seconds))));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
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
    /// Rounds per second of processor time.
    speed: f64,
    /// Resident, in KiB.
    memory: f64,
}

/// Works for so long, in a hundred intervals, and judges.
async fn soak(length: Duration) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let server = spawn(serve(listener));
    let start = Instant::now();
    let mut samples = Vec::with_capacity(100);
    for interval in 1..=100 {
        let sample = work(address, start + length * interval / 100).await?;
        samples.push(sample);
        if interval % 5 == 0 {
            let Sample { speed, memory } = sample;
            println!("{:>6.1?}: {speed:.1} rounds/s, {memory} KiB, {HELD:?}", start.elapsed());
        }
    }
    server.cancel();
    if !server.await.is_err_and(|error| error.is_cancelled()) {
        return Err(Error::msg("the server ended by itself"));
    }
    match filch::all_tasks().len() {
        1 => judge(&samples),
        left => Err(Error::msg(format!("{} tasks left", left - 1))),
    }
}

/// Rounds until then.
async fn work(address: std::net::SocketAddr, until: Instant) -> Result<Sample> {
    let (began, mut rounds) = (processor_time(), 0);
    while rounds == 0 || Instant::now() < until {
        round(address).await?;
        rounds += 1;
    }
    let speed = f64::from(rounds) / (processor_time() - began);
    Ok(Sample { speed, memory: resident()? })
}

fn judge(samples: &[Sample]) -> Result<()> {
    let warm = &samples[samples.len() / 5..];
    let quarter = warm.len() / 4;
    let (first, last) = (&warm[..quarter], &warm[warm.len() - quarter..]);
    let change = |of: fn(&Sample) -> f64| median(last, of) / median(first, of) - 1.0;
    let (speed, memory) = (change(|sample| sample.speed), change(|sample| sample.memory));
    let text = format!("speed {:+.1} %, memory {:+.1} %", speed * 100.0, memory * 100.0);
    println!("the end against the start: {text}");
    if speed < -TOLERANCE || memory > TOLERANCE { Err(Error::msg(text)) } else { Ok(()) }
}

fn median(samples: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Of this process, in seconds.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(number.ok_or_else(|| Error::msg("the system does not say"))?.trim().parse()?)
}

// ---- the work --------------------------------------------------------------------------------

async fn serve(listener: TcpListener) -> Result<()> {
    task_group(async |group: TaskGroup| {
        loop {
            let (stream, _) = listener.accept().await?;
            group.spawn(async move {
                // A client that is cancelled breaks off: that is no failure of the server's.
                let _ = echo(stream).await;
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
async fn round(address: std::net::SocketAddr) -> Result<()> {
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
    to_thread(|| std::hint::black_box(vec![0_u8; 4096]).len()).await?;
    impatient.cancel();
    let cancelled = impatient.await.is_err_and(|error| error.is_cancelled());
    let expected = (0..CLIENTS).sum::<usize>() * REQUESTS;
    if !cancelled || *sum.lock().await != expected {
        return Err(Error::msg("a round went wrong"));
    }
    Ok(())
}

async fn client(
    address: std::net::SocketAddr,
    number: usize,
    queue: Arc<Queue<usize>>,
) -> Result<()> {
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
