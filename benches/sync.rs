//! What do locks, events and queues cost, beside those that a user would pick instead?
//!
//! All of them run on filch, on two workers, in the same process, round by round; only the library
//! changes. Where a library has nothing of the kind, its column is empty.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Countdown, Engine, Filch as Runtime, Options, Sample, Scale, WORKERS, Watch, cores};
use kits::{Async, Filch, Kit, Tokio};

mod common;
#[path = "sync/kits.rs"]
mod kits;

fn main() {
    let table = Table { options: Options::read(), runtime: Runtime::start(WORKERS) };
    table.head();
    table.row::<LockFree>();
    table.row::<LockOf<2>>();
    table.row::<LockOf<16>>();
    table.row::<LockOf<256>>();
    table.row::<SemaphoreOf<16>>();
    table.row::<EventOf<1>>();
    table.row::<EventOf<1_000>>();
    table.row::<QueueOf<64, 1, 1>>();
    table.row::<QueueOf<64, 8, 1>>();
    table.row::<QueueOf<64, 8, 8>>();
    table.row::<QueueOf<0, 1, 1>>();
    table.row::<QueueOf<0, 8, 1>>();
    table.row::<QueueOf<0, 8, 8>>();
    table.row::<OneshotReady>();
    table.row::<Oneshot>();
    table.row::<BroadcastTo<8>>();
}

/// What every library does; `None`: what this one cannot do.
trait Work {
    fn name() -> String;
    fn run<K: Kit>(scale: Scale) -> impl Future<Output = Option<Sample>> + Send + 'static;
}

/// Takes and releases a lock that nobody else wants.
struct LockFree;

impl Work for LockFree {
    fn name() -> String {
        "lock_free".to_owned()
    }

    async fn run<K: Kit>(scale: Scale) -> Option<Sample> {
        let times = scale.pick(1_000_000, 1_000);
        let lock = K::lock();
        let watch = Watch::start();
        for _ in 0..times {
            K::add(&lock).await;
        }
        Some(watch.stop(times))
    }
}

/// So many tasks want the same lock, again and again, and yield in between.
struct LockOf<const TASKS: usize>;

impl<const TASKS: usize> Work for LockOf<TASKS> {
    fn name() -> String {
        format!("lock_{TASKS}")
    }

    async fn run<K: Kit>(scale: Scale) -> Option<Sample> {
        let each = scale.pick(200_000, 1_000) / TASKS;
        let lock = Arc::new(K::lock());
        let (countdown, done) = Countdown::new(TASKS);
        let watch = Watch::start();
        for _ in 0..TASKS {
            let (lock, countdown) = (lock.clone(), countdown.clone());
            Runtime::detach(async move {
                for turn in 0..each {
                    K::add(&lock).await;
                    if turn % 8 == 0 {
                        Runtime::yield_now().await;
                    }
                }
                countdown.arrive();
            });
        }
        done.await.unwrap();
        Some(watch.stop(TASKS * each))
    }
}

/// So many tasks share four permits, and yield while they have one.
struct SemaphoreOf<const TASKS: usize>;

impl<const TASKS: usize> Work for SemaphoreOf<TASKS> {
    fn name() -> String {
        format!("semaphore_{TASKS}")
    }

    async fn run<K: Kit>(scale: Scale) -> Option<Sample> {
        let each = scale.pick(100_000, 1_000) / TASKS;
        let semaphore = Arc::new(K::semaphore(4));
        let (countdown, done) = Countdown::new(TASKS);
        let watch = Watch::start();
        for _ in 0..TASKS {
            let (semaphore, countdown) = (semaphore.clone(), countdown.clone());
            Runtime::detach(async move {
                for _ in 0..each {
                    K::hold(&semaphore, Runtime::yield_now()).await;
                }
                countdown.arrive();
            });
        }
        done.await.unwrap();
        Some(watch.stop(TASKS * each))
    }
}

/// So many tasks wait, one wakes them all; then again.
struct EventOf<const TASKS: usize>;

impl<const TASKS: usize> Work for EventOf<TASKS> {
    fn name() -> String {
        format!("event_{TASKS}")
    }

    async fn run<K: Kit>(scale: Scale) -> Option<Sample> {
        let rounds = scale.pick(100_000, 1_000) / TASKS;
        let watch = Watch::start();
        for _ in 0..rounds {
            let event = Arc::new(K::event());
            let waiting = Arc::new(AtomicUsize::new(0));
            let (countdown, done) = Countdown::new(TASKS);
            for _ in 0..TASKS {
                let (event, countdown) = (event.clone(), countdown.clone());
                let waiting = waiting.clone();
                Runtime::detach(async move {
                    let mut joined = Some(|| waiting.fetch_add(1, Ordering::Release));
                    let mut wait = pin!(K::wait(&event));
                    poll_fn(|cx| {
                        let polled = wait.as_mut().poll(cx);
                        if let Some(joined) = joined.take() {
                            joined();
                        }
                        polled
                    })
                    .await;
                    countdown.arrive();
                });
            }
            while waiting.load(Ordering::Acquire) < TASKS {
                Runtime::yield_now().await;
            }
            K::set(&event);
            done.await.unwrap();
        }
        Some(watch.stop(TASKS * rounds))
    }
}

/// So many put, so many get; room for so many items, or, with zero, for any number.
struct QueueOf<const ROOM: usize, const PUTTERS: usize, const GETTERS: usize>;

impl<const ROOM: usize, const PUTTERS: usize, const GETTERS: usize> Work
    for QueueOf<ROOM, PUTTERS, GETTERS>
{
    fn name() -> String {
        let kind = if ROOM == 0 { "unbounded" } else { "bounded" };
        format!("{kind}_{PUTTERS}_{GETTERS}")
    }

    async fn run<K: Kit>(scale: Scale) -> Option<Sample> {
        let items = scale.pick(400_000, 800);
        let room = (ROOM > 0).then_some(ROOM);
        let (putter, getters) = K::queue(room, GETTERS)?;
        let (countdown, done) = Countdown::new(PUTTERS + GETTERS);
        let watch = Watch::start();
        for mut getter in getters {
            let countdown = countdown.clone();
            Runtime::detach(async move {
                for _ in 0..items / GETTERS {
                    K::get(&mut getter).await;
                }
                countdown.arrive();
            });
        }
        for _ in 0..PUTTERS {
            let (putter, countdown) = (putter.clone(), countdown.clone());
            Runtime::detach(async move {
                for item in 0..items / PUTTERS {
                    K::put(&putter, item as u64).await;
                    // Nothing bounds an unbounded queue: this keeps it from being a mere list.
                    if ROOM == 0 && item % 64 == 0 {
                        Runtime::yield_now().await;
                    }
                }
                countdown.arrive();
            });
        }
        drop(putter);
        done.await.unwrap();
        Some(watch.stop(items))
    }
}

/// The value is there before anybody waits for it.
struct OneshotReady;

impl Work for OneshotReady {
    fn name() -> String {
        "oneshot_ready".to_owned()
    }

    async fn run<K: Kit>(scale: Scale) -> Option<Sample> {
        let times = scale.pick(300_000, 500);
        let watch = Watch::start();
        for number in 0..times {
            let (teller, told) = K::oneshot();
            K::tell(teller, number as u64);
            assert_eq!(told.await, number as u64);
        }
        Some(watch.stop(times))
    }
}

/// One asks a task that it spawned for a value.
struct Oneshot;

impl Work for Oneshot {
    fn name() -> String {
        "oneshot".to_owned()
    }

    async fn run<K: Kit>(scale: Scale) -> Option<Sample> {
        let times = scale.pick(100_000, 500);
        let watch = Watch::start();
        for number in 0..times {
            let (teller, told) = K::oneshot();
            Runtime::detach(async move { K::tell(teller, number as u64) });
            assert_eq!(told.await, number as u64);
        }
        Some(watch.stop(times))
    }
}

/// One sends to so many, who all get everything.
struct BroadcastTo<const RECEIVERS: usize>;

impl<const RECEIVERS: usize> Work for BroadcastTo<RECEIVERS> {
    fn name() -> String {
        format!("broadcast_{RECEIVERS}")
    }

    async fn run<K: Kit>(scale: Scale) -> Option<Sample> {
        let values = scale.pick(50_000, 512);
        // Nobody may be too slow: everything has room.
        let (sender, receivers) = K::broadcast(values.next_power_of_two(), RECEIVERS)?;
        let (countdown, done) = Countdown::new(RECEIVERS);
        let watch = Watch::start();
        for mut receiver in receivers {
            let countdown = countdown.clone();
            Runtime::detach(async move {
                for value in 0..values {
                    assert_eq!(K::receive(&mut receiver).await, value as u64);
                }
                countdown.arrive();
            });
        }
        for value in 0..values {
            K::send(&sender, value as u64);
            if value % 16 == 0 {
                Runtime::yield_now().await;
            }
        }
        done.await.unwrap();
        Some(watch.stop(values * RECEIVERS))
    }
}

struct Table {
    options: Options,
    runtime: Runtime,
}

impl Table {
    fn head(&self) {
        println!("two spinning threads do {:.2} times the work of one", cores());
        let rounds = self.options.rounds;
        println!("ns per operation [of CPU], medians of {rounds} rounds; x: best other by filch");
        let [filch, tokio, other] = [Filch::NAME, Tokio::NAME, Async::NAME];
        println!("{:<16} {filch:>16} {tokio:>16} {other:>16} {:>7}", "row", "x");
    }

    fn row<W: Work>(&self) {
        if !self.options.wants("", &W::name()) {
            return;
        }
        let mut samples: [Vec<Sample>; 3] = Default::default();
        let warm = usize::from(!self.options.quick);
        for round in 0..self.options.rounds + warm {
            for turn in 0..3 {
                let which = (turn + round) % 3;
                let sample = match which {
                    0 => self.run::<W, Filch>(),
                    1 => self.run::<W, Tokio>(),
                    _ => self.run::<W, Async>(),
                };
                samples[which].extend(sample.filter(|_| round >= warm));
            }
        }
        let wall = samples.each_ref().map(|samples| median(samples, |sample| sample.wall));
        let best = wall[1..].iter().flatten().copied().fold(f64::INFINITY, f64::min);
        let times = wall[0].map_or(0.0, |ours| best / ours);
        let [filch, tokio, other] = samples.each_ref().map(|samples| cell(samples));
        println!("{:<16} {filch:>16} {tokio:>16} {other:>16} {times:>7.2}", W::name());
    }

    fn run<W: Work, K: Kit>(&self) -> Option<Sample> {
        if !self.options.runs(K::NAME) {
            return None;
        }
        self.runtime.block_on(W::run::<K>(Scale::of(&self.options)))
    }
}

fn cell(samples: &[Sample]) -> String {
    let [wall, cpu]: [fn(&Sample) -> f64; 2] = [|sample| sample.wall, |sample| sample.cpu];
    match (median(samples, wall), median(samples, cpu)) {
        (Some(wall), Some(cpu)) => format!("{wall:.0} [{cpu:.0}]"),
        _ => "-".to_owned(),
    }
}

fn median(samples: &[Sample], cost: fn(&Sample) -> f64) -> Option<f64> {
    let mut costs: Vec<f64> = samples.iter().map(cost).collect();
    costs.sort_by(f64::total_cmp);
    costs.get(costs.len() / 2).copied()
}
