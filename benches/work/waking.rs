//! What does it cost to wake a task: from a plain thread, from another task, all of a crowd?

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::mpsc as plain;
use std::thread;
use std::time::{Duration, Instant};

use event_listener::Event;
use futures::StreamExt;
use futures::channel::{mpsc, oneshot};

use crate::common::{Countdown, Engine, Sample, Server, Watch};

/// Round trips between a task and a thread that belongs to no runtime.
pub(crate) async fn wake_remote<E: Engine>(trips: usize) -> Sample {
    let (sender, receiver) = plain::channel::<oneshot::Sender<()>>();
    let thread = thread::spawn(move || {
        for answer in receiver {
            answer.send(()).unwrap();
        }
    });
    let watch = Watch::start();
    for _ in 0..trips {
        let (answer, answered) = oneshot::channel();
        sender.send(answer).unwrap();
        answered.await.unwrap();
    }
    let sample = watch.stop(trips);
    drop(sender);
    thread.join().unwrap();
    sample
}

/// Two tasks hand one token to and fro: a second worker can only be in the way.
pub(crate) async fn wake_pair<E: Engine>(trips: usize) -> Sample {
    hand_over::<E>(trips, Duration::ZERO).await
}

/// The same, but whoever has handed over computes for 10 us: two workers can share that.
pub(crate) async fn wake_across<E: Engine>(trips: usize) -> Sample {
    hand_over::<E>(trips, Duration::from_micros(10)).await
}

async fn hand_over<E: Engine>(trips: usize, work: Duration) -> Sample {
    let (to_other, mut from_one) = mpsc::unbounded();
    let (to_one, mut from_other) = mpsc::unbounded();
    let other = E::spawn(async move {
        while let Some(token) = from_one.next().await {
            to_one.unbounded_send(token).unwrap();
            compute(work);
        }
    });
    let watch = Watch::start();
    for trip in 0..trips {
        to_other.unbounded_send(trip).unwrap();
        compute(work);
        assert_eq!(from_other.next().await, Some(trip));
    }
    let sample = watch.stop(2 * trips);
    drop(to_other);
    E::join(other).await;
    sample
}

/// Keeps its worker busy.
pub(crate) fn compute(time: Duration) {
    let until = Instant::now() + time;
    while !time.is_zero() && Instant::now() < until {
        spin_loop();
    }
}

/// A crowd waits for one event; from the event until the last has run, for each.
pub(crate) async fn wake_crowd<E: Engine>(waiters: usize, times: usize) -> Sample {
    let mut runs = Vec::with_capacity(times);
    for _ in 0..times {
        let event = Arc::new(Event::new());
        let (waiting, all_wait) = Countdown::new(waiters);
        let (countdown, done) = Countdown::new(waiters);
        for _ in 0..waiters {
            let (listener, waiting, countdown) =
                (event.listen(), waiting.clone(), countdown.clone());
            E::detach(async move {
                waiting.arrive();
                listener.await;
                countdown.arrive();
            });
        }
        all_wait.await.unwrap();
        // The last to arrive may not wait yet.
        E::yield_now().await;
        let watch = Watch::start();
        event.notify(usize::MAX);
        done.await.unwrap();
        runs.push(watch.stop(waiters));
    }
    Sample::mean(&runs)
}

/// CPU time of a runtime with nothing to do, in nanoseconds of every millisecond.
///
/// A hundred tasks sleep for an hour, one listens; a plain thread looks at the clock.
pub(crate) async fn idle_cpu<E: Server>(time: Duration) -> Sample {
    let (listener, _) = E::listen().await.unwrap();
    let mut tasks: Vec<E::Task<()>> =
        (0..100).map(|_| E::spawn(E::sleep(Duration::from_secs(3_600)))).collect();
    tasks.push(E::spawn(async move { drop(E::accept(&listener).await) }));
    let (tell, told) = oneshot::channel();
    thread::spawn(move || {
        // Whoever looks around before it rests has its time.
        thread::sleep(Duration::from_millis(50));
        let watch = Watch::start();
        thread::sleep(time);
        tell.send(watch.stop(1).cpu / (time.as_nanos() as f64 / 1e6)).unwrap();
    });
    let used = told.await.unwrap();
    let endings: Vec<E::Ending> = tasks.into_iter().map(E::cancel).collect();
    for ending in endings {
        ending.await;
    }
    Sample::of(used)
}

/// CPU time of a sleep of 5 ms, from one to the next, with nothing else to do.
pub(crate) async fn tick_cpu<E: Engine>(ticks: usize) -> Sample {
    let watch = Watch::start();
    for _ in 0..ticks {
        E::sleep(Duration::from_millis(5)).await;
    }
    Sample::of(watch.stop(ticks).cpu)
}
