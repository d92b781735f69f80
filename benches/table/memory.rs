//! How much memory does each item keep resident? Every answer comes from a fresh process.
//!
//! The growth of the resident set by item, beyond what the program itself stores: its future and
//! its handle. A second process of this very bench, started with `--weigh`, prints the number.

use std::fs;
use std::future::{Future, pending};
use std::hint::black_box;
use std::process::{Command, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{
    Countdown, Engine, Filch, Sample, Server, Smol, Tokio, WORKERS, most_connections,
};
use crate::rows::{COLUMNS, Kind, Run, Table};

const SOCKET: &str = "mem_socket";

/// What is weighed, how many of it, and how many with `--quick`.
const ITEMS: [(&str, Kind, usize, usize); 6] = [
    ("mem_idle_task", Kind::Bytes, 100_000, 5_000),
    ("mem_idle_task_200", Kind::Bytes, 100_000, 5_000),
    ("mem_sleeping_task", Kind::Bytes, 100_000, 5_000),
    (SOCKET, Kind::Bytes, 4_000, 200),
    ("mem_group_child", Kind::Bytes, 100_000, 5_000),
    ("mem_peak_1m_tasks", Kind::Megabytes, 1_000_000, 20_000),
];

pub(crate) fn rows(table: &mut Table) {
    let scale = table.group("memory");
    for (name, kind, full, quick) in ITEMS {
        let count = scale.pick(full, quick);
        let sockets = if name == SOCKET { count / 2 } else { 0 };
        let possible = resident("VmRSS").is_some() && sockets <= most_connections();
        if !table.wants(name) || !possible {
            continue;
        }
        let run = |engine: &'static str| -> Option<Run> {
            table.floor(engine, move || Sample::of(ask(name, engine, count)))
        };
        let [filch, tokio, smol, ..] = COLUMNS;
        table.row(kind, name, [run(filch), run(tokio), run(smol), None, None]);
    }
}

/// Asks a process of its own.
fn ask(item: &str, engine: &str, count: usize) -> f64 {
    let program = std::env::current_exe().expect("this program has a name");
    let output = Command::new(program)
        .args(["--weigh", item, engine, &count.to_string()])
        .output()
        .expect("this program starts");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().unwrap_or_else(|_| {
        panic!("no weight of {item}: {}", String::from_utf8_lossy(&output.stderr))
    })
}

/// Does what such a process is asked, if this is one, and never returns then.
pub(crate) fn weigh_if_asked() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [flag, item, engine, count] = words.as_slice() else { return };
    if flag != "--weigh" {
        return;
    }
    let count = count.parse().expect("a number of items");
    let weight = match engine.as_str() {
        "filch" => weigh::<Filch>(item, count),
        "tokio" => weigh::<Tokio>(item, count),
        _ => weigh::<Smol>(item, count),
    };
    println!("{weight}");
    // Nobody waits for the end of a million tasks.
    exit(0);
}

fn weigh<E: Server>(item: &str, count: usize) -> f64 {
    let engine = E::start(WORKERS);
    match item {
        "mem_idle_task" => engine.block_on(tasks::<E, _>(count, idle::<0>)),
        "mem_idle_task_200" => engine.block_on(tasks::<E, _>(count, idle::<200>)),
        "mem_sleeping_task" => engine.block_on(tasks::<E, _>(count, |countdown| async move {
            countdown.arrive();
            drop(countdown);
            E::sleep(Duration::from_secs(3_600)).await;
        })),
        SOCKET => engine.block_on(sockets::<E>(count / 2)),
        "mem_group_child" => engine.block_on(children::<E>(count)),
        "mem_peak_1m_tasks" => engine.block_on(peak::<E>(count)),
        _ => panic!("{item} is not known"),
    }
}

/// Waits for nothing, and carries so much.
async fn idle<const MORE: usize>(countdown: Arc<Countdown>) {
    let load = [1_u8; MORE];
    countdown.arrive();
    drop(countdown);
    pending::<()>().await;
    black_box(&load);
}

async fn tasks<E, F>(count: usize, make: fn(Arc<Countdown>) -> F) -> f64
where
    E: Engine,
    F: Future<Output = ()> + Send + 'static,
{
    let (countdown, idle) = Countdown::new(count);
    let mut handles = Vec::with_capacity(count);
    let before = settled::<E>().await;
    for _ in 0..count {
        handles.push(E::spawn(make(countdown.clone())));
    }
    idle.await.unwrap();
    let grown = settled::<E>().await - before;
    black_box(&handles);
    grown / count as f64 - (size_of::<F>() + size_of::<E::Task<()>>()) as f64
}

/// Both ends of `pairs` connections.
async fn sockets<E: Server>(pairs: usize) -> f64 {
    let (listener, address) = E::listen().await.unwrap();
    let mut streams = Vec::with_capacity(2 * pairs);
    let before = settled::<E>().await;
    for _ in 0..pairs {
        let (client, server) = futures::join!(E::connect(address), E::accept(&listener));
        streams.extend([client.unwrap(), server.unwrap()]);
    }
    let grown = settled::<E>().await - before;
    grown / streams.len() as f64 - size_of::<E::Stream>() as f64
}

/// A child is a function without luggage: it counts in a static.
static CHILDREN: AtomicUsize = AtomicUsize::new(0);

async fn child(_number: usize) {
    CHILDREN.fetch_add(1, Ordering::Relaxed);
    pending::<()>().await;
}

async fn children<E: Engine>(count: usize) -> f64 {
    let before = settled::<E>().await;
    let group = E::spawn(E::group(count, child));
    while CHILDREN.load(Ordering::Relaxed) < count {
        E::sleep(Duration::from_millis(1)).await;
    }
    let grown = settled::<E>().await - before;
    drop(group);
    grown / count as f64 - size_of_val(&child(0)) as f64
}

/// The most that was ever resident, in millions of bytes.
async fn peak<E: Engine>(count: usize) -> f64 {
    let (countdown, idle) = Countdown::new(count);
    for _ in 0..count {
        let countdown = countdown.clone();
        E::detach(async move {
            countdown.arrive();
            drop(countdown);
            pending::<()>().await;
        });
    }
    idle.await.unwrap();
    resident("VmHWM").expect("it was there before") / 1e6
}

/// Bytes resident once all is quiet.
async fn settled<E: Engine>() -> f64 {
    E::sleep(Duration::from_millis(20)).await;
    resident("VmRSS").expect("it was there before")
}

/// A line of Linux's own account of this process, in bytes.
fn resident(what: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1_024.0)
}
