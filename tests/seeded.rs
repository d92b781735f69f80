//! What the stress tests do on real threads, in simulations: many small worlds, each in an order of
//! its own, and each failure with a schedule that repeats it.
//!
//! `FILCH_SEEDS` says how many, or which: a million take minutes in release mode,
//! ~~~sh
//! FILCH_SEEDS=1000000 cargo test --release --test seeded
//! ~~~

#[path = "stress/life.rs"]
mod life;
#[path = "sync_stress/scene.rs"]
mod scene;
#[path = "stress/wire.rs"]
mod wire;
#[allow(dead_code, reason = "some of it is for runtimes beside each other")]
#[path = "stress/world.rs"]
mod world;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use filch::{Handle, Result, all_tasks, current_task, sim, sleep, spawn, yield_now};

use life::beget;
use world::{Kind, World};

/// Deeds in each small world.
const STEPS: i64 = 40;

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn small_world() -> (Arc<World>, Rng) {
    let mut rng = Rng::with_seed(sim::random(0..u64::MAX));
    let world = World::new(Handle::current(), STEPS, rng.bool());
    (world, rng)
}

/// Tasks do what they like until the steps are used up, and all of them end.
async fn lives() -> Result<()> {
    let (world, mut rng) = small_world();
    let server = wire::serve(world.clone()).await?;
    while world.steps_left() > 0 {
        let kind = [Kind::Wild, Kind::Wild, Kind::Solo, Kind::Meek][rng.usize(..4)];
        drop(beget(&world, &mut rng, kind, None, spawn));
        yield_now().await;
    }
    while world.has_unfinished() {
        world.tidy_up();
        sleep(ms(1)).await;
    }
    server.cancel();
    assert!(server.await.unwrap_err().is_cancelled());
    assert_eq!(all_tasks(), [current_task().unwrap()]);
    // Whatever is left in the queue, a callback or a packet, is gone after that.
    sleep(ms(1000)).await;
    world.forget_everybody();
    world.verify();
    assert_eq!(Arc::strong_count(&world), 1, "somebody refers to what has ended");
    Ok(())
}

/// Runs a program with many seeds.
fn search<F>(program: impl FnMut() -> F)
where
    F: Future<Output = Result<()>>,
{
    let builder = sim::Builder::new().turn_limit(1_000_000);
    match builder.search(sim::seeds(200), program) {
        Ok(runs) => println!("{runs} seeds"),
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn tasks_that_do_what_they_like_leave_nothing_behind() {
    search(lives);
}

#[test]
fn nothing_is_lost_whatever_is_cancelled() {
    search(|| async {
        let world = scene::World::new();
        scene::scene(world.clone(), 6, 12, sim::random(0..u64::MAX)).await?;
        // Those who were asked, and not awaited, end in their turn.
        while all_tasks().len() > 1 {
            yield_now().await;
        }
        world.verify();
        Ok(())
    });
}

/// Tasks do a few things each, and some are cancelled in the midst of it, until nothing happens.
async fn comes_to_rest() -> Result<()> {
    let world = scene::World::new();
    let mut rng = Rng::with_seed(sim::random(0..u64::MAX));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (world, mut rng) = (world.clone(), rng.fork());
            spawn(async move {
                for _ in 0..6 {
                    world.step(rng.u32(0..9)).await;
                }
            })
        })
        .collect();
    for _ in 0..5 {
        for _ in 0..rng.u32(0..6) {
            yield_now().await;
        }
        tasks[rng.usize(0..tasks.len())].cancel();
    }
    // No task waits for time: when it passes, nobody can run.
    sleep(ms(1)).await;
    world.is_at_rest();
    for task in &tasks {
        task.cancel();
    }
    for task in tasks {
        drop(task.await);
    }
    world.verify();
    Ok(())
}

#[test]
fn nobody_is_forgotten_when_others_are_cancelled() {
    search(comes_to_rest);
}
