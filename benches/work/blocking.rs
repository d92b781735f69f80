//! What does it cost to have nothing done on a thread that may block?

use crate::common::{Countdown, Sample, Server, Watch};

/// So many tasks, each asking again when it has its answer.
pub(crate) async fn to_thread<E: Server>(tasks: usize, each: usize) -> Sample {
    let (countdown, done) = Countdown::new(tasks);
    let watch = Watch::start();
    for _ in 0..tasks {
        let countdown = countdown.clone();
        E::detach(async move {
            for _ in 0..each {
                E::to_thread().await;
            }
            countdown.arrive();
        });
    }
    done.await.unwrap();
    watch.stop(tasks * each)
}
