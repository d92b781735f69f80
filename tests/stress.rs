//! Everything at once, at random, on eight workers: no hang, no leak, every count consistent.
//!
//! Tasks spawn, cancel, uncancel, join, catch, sleep, panic, leave work to threads and talk TCP, in
//! several runtimes, one after the other and two at once; plain threads join in. Some runtimes end
//! when all is done, some in the midst of it. What follows from every order of events is checked:
//! each task ends once, whatever was made is dropped, counts are what was asked for, echoes are
//! what was sent, and afterwards there are as many descriptors and threads as before.
//!
//! The seed is printed; `FILCH_STRESS_SEED=n` repeats its choices (not their timing), and
//! `FILCH_STRESS_SCALE=n` makes the test `n` times as long, `FILCH_STRESS_STEPS=n` each runtime's
//! part. `FILCH_SPARE_DESCRIPTORS=n` is for tools that open descriptors in this process: so many
//! more do not count.

#[path = "stress/life.rs"]
mod life;
#[path = "stress/wire.rs"]
mod wire;
#[path = "stress/world.rs"]
mod world;

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier, Mutex, Weak};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use filch::{Runtime, TaskRef, sleep, spawn};

use life::beget;
use world::{Kind, PROGRESS, World, lock};

const WORKERS: usize = 8;
/// Plain threads per runtime.
const OUTSIDERS: usize = 2;
/// So many seconds may nothing happen at all before it counts as a hang. Looks are counted, not
/// time, which a machine that stands still takes.
const PATIENCE: u32 = 120;

/// What is going on, for the watchdog.
static STAGE: Mutex<(String, Vec<Weak<World>>)> = Mutex::new((String::new(), Vec::new()));

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Deeds per runtime.
fn steps() -> i64 {
    setting("FILCH_STRESS_STEPS").map_or(20_000, |steps| steps as i64)
}

fn stage(what: impl Into<String>) {
    PROGRESS.fetch_add(1, Ordering::Relaxed);
    lock(&STAGE).0 = what.into();
}

/// Names who is stuck, and ends the process, if nothing goes on any more.
fn watch(seed: u64) {
    thread::spawn(move || {
        let (mut last, mut patience) = (0, PATIENCE);
        while patience > 0 {
            thread::sleep(Duration::from_secs(1));
            let now = PROGRESS.load(Ordering::Relaxed);
            patience = if now == last { patience - 1 } else { PATIENCE };
            last = now;
        }
        let (what, worlds) = &*lock(&STAGE);
        // The test runner keeps what is printed until a test has ended, which this one will not.
        let mut told = std::io::stderr();
        _ = writeln!(told, "seed {seed} hangs: {what}");
        for (number, world) in worlds.iter().filter_map(Weak::upgrade).enumerate() {
            let (stuck, tally) = (world.stuck(), &world.tally);
            _ = writeln!(told, "runtime {number}: {stuck:#?}\n{tally:#?}");
        }
        std::process::exit(101);
    });
}

/// How a runtime ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// When its tasks have.
    Calm,
    /// In the midst of it.
    Sudden,
}

fn build() -> Runtime {
    let builder = Runtime::builder().workers(WORKERS).blocking_threads(16).thread_name("stress");
    builder.grace(Duration::from_secs(3600)).build().unwrap()
}

/// Runs programs in a runtime until the steps are used up, and ends it.
fn run(runtime: Runtime, world: &Arc<World>, mut rng: Rng, end: End, others: &Barrier) {
    let outsiders: Vec<_> = (0..OUTSIDERS)
        .map(|_| {
            let (world, rng) = (world.clone(), rng.fork());
            thread::spawn(move || intrude(&world, rng))
        })
        .collect();
    let served = runtime.block_on(async {
        let server = wire::serve(world.clone()).await?;
        keep_busy(world, &mut rng, end).await;
        Ok(server)
    });
    let server = served.unwrap();
    if end == End::Sudden {
        world.ends();
        drop(runtime);
        outsiders.into_iter().for_each(|outsider| outsider.join().unwrap());
        others.wait();
        others.wait();
        return;
    }
    // The runtime beside this one has to use up its steps, too, before this can be quiet.
    runtime.block_on(quiet(world, &server)).unwrap();
    outsiders.into_iter().for_each(|outsider| outsider.join().unwrap());
    others.wait();
    runtime.block_on(quiet(world, &server)).unwrap();
    others.wait();
    let left = runtime.block_on(async {
        server.cancel();
        assert!(server.await.unwrap_err().is_cancelled());
        Ok(filch::all_tasks())
    });
    assert_eq!(left.unwrap().len(), 1, "the main task alone");
    world.ends();
    drop(runtime);
}

/// Spawns as long as there are steps; until half of them are gone, if it is to end suddenly.
async fn keep_busy(world: &Arc<World>, rng: &mut Rng, end: End) {
    let sudden = if end == End::Sudden { rng.i64(0..steps()) } else { 0 };
    while world.steps_left() > sudden {
        for _ in 0..8 {
            let kind = [Kind::Wild, Kind::Wild, Kind::Solo, Kind::Meek][rng.usize(..4)];
            drop(beget(world, rng, kind, None, spawn));
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until there are no tasks but this one and the server's.
async fn quiet(world: &Arc<World>, server: &TaskRef) {
    let me = filch::current_task().unwrap();
    while world.has_unfinished() {
        world.tidy_up();
        let tasks = filch::all_tasks().into_iter();
        for task in tasks.filter(|task| *task != me && task != server).take(1) {
            drop(
                futures::future::select(task.join(), Box::pin(sleep(Duration::from_millis(5))))
                    .await,
            );
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// What a plain thread does to the runtime.
fn intrude(world: &Arc<World>, mut rng: Rng) {
    while world.steps_left() > 0 {
        match rng.u8(..8) {
            0 | 1 => {
                let kind = if rng.bool() { Kind::Solo } else { Kind::Meek };
                let start = |life| world.handle.spawn(life);
                if let Some(child) = beget(world, &mut rng, kind, None, start) {
                    let outcome = child.task.wait();
                    world.check(&child.known, &outcome);
                }
            }
            2 => {
                if let Some(letter) = world.letters.take(&mut rng) {
                    _ = letter.send(0);
                }
            }
            3 => drop(beget(world, &mut rng, Kind::Wild, None, |life| world.handle.spawn(life))),
            _ => {
                if let Some(somebody) = world.anybody(&mut rng)
                    && somebody.cancel(&mut rng)
                    && rng.bool()
                {
                    somebody.uncancel();
                }
            }
        }
        thread::sleep(Duration::from_micros(rng.u64(..500)));
    }
}

/// Open descriptors and threads of this process.
fn resources() -> [usize; 2] {
    ["/proc/self/fd", "/proc/self/task"]
        .map(|folder| std::fs::read_dir(folder).map_or(0, |entries| entries.count()))
}

/// Waits until there are as many descriptors and threads as there were: a thread that was joined
/// may still be listed for a moment.
fn settle(before: [usize; 2]) {
    let spare = setting("FILCH_SPARE_DESCRIPTORS").unwrap_or(0) as usize;
    let is_as_before = |[descriptors, threads]: [usize; 2]| {
        (before[0]..=before[0] + spare).contains(&descriptors) && threads == before[1]
    };
    while !is_as_before(resources()) {
        lock(&STAGE).0 = format!("descriptors and threads: {:?}, were {before:?}", resources());
        thread::sleep(Duration::from_millis(1));
    }
}

/// Runs as many runtimes as there are ends, at once.
fn round(rng: &mut Rng, ends: &[End]) {
    let before = resources();
    let stages: Vec<_> = ends
        .iter()
        .map(|_| {
            let runtime = build();
            let world = World::new(runtime.handle(), steps(), rng.bool());
            (runtime, world)
        })
        .collect();
    let worlds: Vec<_> = stages.iter().map(|(_, world)| world.clone()).collect();
    if let [one, other] = &worlds[..] {
        one.beside.set(Arc::downgrade(other)).unwrap();
        other.beside.set(Arc::downgrade(one)).unwrap();
    }
    lock(&STAGE).1 = worlds.iter().map(Arc::downgrade).collect();
    let meet = Barrier::new(ends.len());
    thread::scope(|scope| {
        for ((runtime, world), end) in stages.into_iter().zip(ends) {
            let (rng, meet) = (rng.fork(), &meet);
            scope.spawn(move || run(runtime, &world, rng, *end, meet));
        }
    });
    worlds.iter().for_each(|world| world.forget_everybody());
    for world in worlds {
        // A thread that came late, so that the end did not wait for it, lets go of it, too.
        while Arc::strong_count(&world) > 1 {
            lock(&STAGE).0 = "somebody still refers to what has ended".to_owned();
            thread::sleep(Duration::from_millis(1));
        }
        world.verify();
        println!("{}", world.summary());
    }
    settle(before);
}

#[test]
fn everything_at_once_leaves_nothing_behind() {
    let seed = setting("FILCH_STRESS_SEED").unwrap_or_else(|| fastrand::u64(..));
    eprintln!("FILCH_STRESS_SEED={seed}");
    watch(seed);
    let mut rng = Rng::with_seed(seed);
    let plans: [&[End]; 5] = [
        &[End::Calm],
        &[End::Sudden],
        &[End::Calm, End::Calm],
        &[End::Sudden, End::Calm],
        &[End::Sudden, End::Sudden],
    ];
    for number in 0..setting("FILCH_STRESS_SCALE").unwrap_or(1) {
        for ends in plans {
            stage(format!("round {number}, {ends:?}"));
            round(&mut rng, ends);
        }
    }
}
