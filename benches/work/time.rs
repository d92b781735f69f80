//! What does a timer cost, that fires, that never does, that is put off; and how late is it?

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::common::{Countdown, Engine, Sample, Server, Watch};
use crate::work::waking::compute;

const LONG: Duration = Duration::from_secs(30);

/// A hundred tasks, each putting a limit of 30 s around a yield, again and again.
pub(crate) async fn timeout_unfired<E: Engine>(each: usize) -> Sample {
    let (countdown, done) = Countdown::new(100);
    let watch = Watch::start();
    for _ in 0..100 {
        let countdown = countdown.clone();
        E::detach(async move {
            for _ in 0..each {
                assert!(E::timeout(LONG, E::yield_now()).await);
            }
            countdown.arrive();
        });
    }
    done.await.unwrap();
    watch.stop(100 * each)
}

/// Tasks that each sleep once, 1 to 50 ms: 500 ns each of a hundred thousand if nothing else costs.
pub(crate) async fn sleep_many<E: Engine>(count: usize) -> Sample {
    let (countdown, done) = Countdown::new(count);
    let watch = Watch::start();
    for number in 0..count {
        let countdown = countdown.clone();
        let time = Duration::from_millis(1 + (number % 50) as u64);
        E::detach(async move {
            E::sleep(time).await;
            countdown.arrive();
        });
    }
    done.await.unwrap();
    watch.stop(count)
}

/// So many timers are armed at once, 10 to 1,000 s ahead, and then dropped in random order.
pub(crate) async fn timers_live<E: Engine>(count: usize) -> Sample {
    let mut random = fastrand::Rng::with_seed(7);
    let times: Vec<u64> = (0..count).map(|_| random.u64(10_000..1_000_000)).collect();
    let mut timers: Vec<Pin<Box<dyn Future<Output = ()> + Send>>> = Vec::with_capacity(count);
    let watch = Watch::start();
    for time in times {
        let mut timer: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(E::sleep(Duration::from_millis(time)));
        let polled = timer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        timers.push(timer);
    }
    while !timers.is_empty() {
        drop(timers.swap_remove(random.usize(..timers.len())));
    }
    watch.stop(count)
}

/// A hundred tasks put their deadline off at every yield.
pub(crate) async fn reschedule<E: Server>(each: usize) -> Sample {
    let (countdown, done) = Countdown::new(100);
    let watch = Watch::start();
    for _ in 0..100 {
        let countdown = countdown.clone();
        E::detach(async move {
            E::put_off(LONG, each).await;
            countdown.arrive();
        });
    }
    done.await.unwrap();
    watch.stop(100 * each)
}

/// How late a hundred sleepers wake, while 64 tasks compute for 20 us at every turn.
pub(crate) async fn lateness<E: Engine>(sleeps: usize) -> Sample {
    let busy: Vec<E::Task<()>> = (0..64)
        .map(|_| {
            E::spawn(async {
                loop {
                    compute(Duration::from_micros(20));
                    E::yield_now().await;
                }
            })
        })
        .collect();
    let sleepers: Vec<_> = (0..100).map(|number| E::spawn(delays::<E>(number, sleeps))).collect();
    let mut delays = Vec::with_capacity(100 * sleeps);
    for sleeper in sleepers {
        delays.extend(E::join(sleeper).await);
    }
    let endings: Vec<E::Ending> = busy.into_iter().map(E::cancel).collect();
    for ending in endings {
        ending.await;
    }
    Sample::of_delays(delays)
}

async fn delays<E: Engine>(number: usize, sleeps: usize) -> Vec<Duration> {
    let mut delays = Vec::with_capacity(sleeps);
    for turn in 0..sleeps {
        let time = Duration::from_micros(1_000 + (37 * number + 311 * turn) as u64 % 4_000);
        let due = Instant::now() + time;
        E::sleep(time).await;
        delays.push(due.elapsed());
    }
    delays
}
