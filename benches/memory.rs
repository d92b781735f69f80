//! How many bytes does a runtime keep for each idle task, armed timer and registered socket?
//!
//! A counting allocator, live bytes as requested, divided by their number. What the program
//! itself brings is not counted: the task's future, and the socket's handle. Futures come in
//! several sizes, since runtimes round.

use std::alloc::{GlobalAlloc, Layout, System};
use std::future::{Future, pending};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Countdown, Engine, Filch, Options, Smol, Tokio, WORKERS};

mod common;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn main() {
    let options = Options::read();
    let count = if options.quick { 1_000 } else { 100_000 };
    let pairs = if options.quick { 50 } else { 1_000 };
    println!("live heap bytes per item beyond what the program itself stores in it");
    println!("{:<28} {:>10} {:>10} {:>10}", "item", Filch::NAME, Tokio::NAME, Smol::NAME);
    row("idle task", [tasks::<Filch, 0>, tasks::<Tokio, 0>, tasks::<Smol, 0>], count);
    row("idle task, +64", [tasks::<Filch, 64>, tasks::<Tokio, 64>, tasks::<Smol, 64>], count);
    row("idle task, +200", [tasks::<Filch, 200>, tasks::<Tokio, 200>, tasks::<Smol, 200>], count);
    row("idle task, +512", [tasks::<Filch, 512>, tasks::<Tokio, 512>, tasks::<Smol, 512>], count);
    row("task asleep for an hour", [asleep::<Filch>, asleep::<Tokio>, asleep::<Smol>], count);
    row("registered socket", [sockets::<Filch>, sockets::<Tokio>, sockets::<Smol>], pairs);
}

fn row(name: &str, runs: [fn(usize) -> f64; 3], count: usize) {
    let [filch, tokio, smol] = runs.map(|run| run(count));
    println!("{name:<28} {filch:>10.1} {tokio:>10.1} {smol:>10.1}");
}

/// Tasks that carry `MORE` bytes and wait for nothing.
fn tasks<E: Engine, const MORE: usize>(count: usize) -> f64 {
    many::<E, _>(count, |countdown| async move {
        let load = [1_u8; MORE];
        countdown.arrive();
        drop(countdown);
        pending::<()>().await;
        black_box(&load);
    })
}

fn asleep<E: Engine>(count: usize) -> f64 {
    many::<E, _>(count, |countdown| async move {
        countdown.arrive();
        drop(countdown);
        E::sleep(Duration::from_secs(3_600)).await;
    })
}

/// Spawns `count` of them, lets each run once, and weighs the heap.
fn many<E, F>(count: usize, make: fn(std::sync::Arc<Countdown>) -> F) -> f64
where
    E: Engine,
    F: Future<Output = ()> + Send + 'static,
{
    E::start(WORKERS).block_on(async move {
        let (countdown, idle) = Countdown::new(count);
        let mut handles = Vec::with_capacity(count);
        let before = LIVE.load(Ordering::Relaxed);
        for _ in 0..count {
            handles.push(E::spawn(make(countdown.clone())));
        }
        idle.await.unwrap();
        E::sleep(Duration::from_millis(20)).await;
        let after = LIVE.load(Ordering::Relaxed);
        let endings: Vec<E::Ending> = handles.into_iter().map(E::cancel).collect();
        for ending in endings {
            ending.await;
        }
        (after as f64 - before as f64) / count as f64 - size_of::<F>() as f64
    })
}

/// Both ends of `pairs` connections.
fn sockets<E: Engine>(pairs: usize) -> f64 {
    E::start(WORKERS).block_on(async move {
        let (listener, address) = E::listen().await.unwrap();
        let mut streams = Vec::with_capacity(2 * pairs);
        let before = LIVE.load(Ordering::Relaxed);
        for _ in 0..pairs {
            let (client, server) = futures::join!(E::connect(address), E::accept(&listener));
            streams.extend([client.unwrap(), server.unwrap()]);
        }
        E::sleep(Duration::from_millis(20)).await;
        let after = LIVE.load(Ordering::Relaxed);
        (after as f64 - before as f64) / streams.len() as f64
    })
}
