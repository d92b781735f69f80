//! What does it cost to end tasks that sleep, and to be ready for it?

use std::time::Duration;

use crate::common::{Countdown, Engine, Sample, Server, Watch};

const HOUR: Duration = Duration::from_secs(3_600);

/// Tasks spawned, asleep for an hour, cancelled, awaited.
pub(crate) async fn cancel_many<E: Engine>(count: usize) -> Sample {
    let watch = Watch::start();
    let sleepers = sleepers::<E>(count).await;
    end::<E>(sleepers).await;
    watch.stop(count)
}

/// The second half of that alone.
pub(crate) async fn cancel_asleep<E: Engine>(count: usize) -> Sample {
    let sleepers = sleepers::<E>(count).await;
    let watch = Watch::start();
    end::<E>(sleepers).await;
    watch.stop(count)
}

async fn sleepers<E: Engine>(count: usize) -> Vec<E::Task<()>> {
    let (countdown, asleep) = Countdown::new(count);
    let mut tasks = Vec::with_capacity(count);
    for _ in 0..count {
        let countdown = countdown.clone();
        tasks.push(E::spawn(async move {
            countdown.arrive();
            E::sleep(HOUR).await;
        }));
    }
    asleep.await.unwrap();
    tasks
}

async fn end<E: Engine>(tasks: Vec<E::Task<()>>) {
    let endings: Vec<E::Ending> = tasks.into_iter().map(E::cancel).collect();
    for ending in endings {
        ending.await;
    }
}

/// As `cancel_many`, and each cleans up with a yield before it ends.
pub(crate) async fn cancel_clean_up<E: Server>(count: usize) -> Sample {
    let (countdown, asleep) = Countdown::new(count);
    let mut tasks = Vec::with_capacity(count);
    let watch = Watch::start();
    for _ in 0..count {
        let countdown = countdown.clone();
        let work = async move {
            countdown.arrive();
            E::sleep(HOUR).await;
        };
        tasks.push(E::spawn_tidy(work, async { E::yield_now().await }));
    }
    asleep.await.unwrap();
    let endings: Vec<_> = tasks.into_iter().map(E::stop).collect();
    for ending in endings {
        ending.await;
    }
    watch.stop(count)
}

/// Tasks that are ready to clean up at every yield, and are never asked to.
pub(crate) async fn cancel_never<E: Server>(each: usize) -> Sample {
    let (countdown, done) = Countdown::new(200);
    let watch = Watch::start();
    for _ in 0..200 {
        let countdown = countdown.clone();
        E::detach(async move {
            E::guarded_yields(each).await;
            countdown.arrive();
        });
    }
    done.await.unwrap();
    watch.stop(200 * each)
}
