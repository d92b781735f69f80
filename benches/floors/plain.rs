//! The plain floor of tasks and wake-ups: no runtime, one thread, boxed futures polled in a loop.
//!
//! A future that is not ready goes to the back of the line; nobody wakes anybody. What only
//! exists between threads is done by two threads and a futex.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::mem::replace;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

use rustix::thread::futex;

use crate::common::{Sample, Watch};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Default)]
struct Line(VecDeque<Boxed>);

impl Line {
    fn push(&mut self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.push_back(Box::pin(future));
    }

    /// Polls them in turn until all are done.
    fn run(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while let Some(mut future) = self.0.pop_front() {
            if future.as_mut().poll(&mut cx).is_pending() {
                self.0.push_back(future);
            }
        }
    }
}

/// Lets the others run until it is time.
async fn until(mut time: impl FnMut() -> bool) {
    poll_fn(|_| if time() { Poll::Ready(()) } else { Poll::Pending }).await;
}

async fn once() {
    let mut polled = false;
    until(|| replace(&mut polled, true)).await;
}

/// So many batches of a thousand that end at once.
pub(crate) fn spawn_join(batches: usize) -> Sample {
    let mut line = Line::default();
    let watch = Watch::start();
    for _ in 0..batches {
        for number in 0..1_000 {
            line.push(async move {
                let _ = black_box(number);
            });
        }
        line.run();
    }
    watch.stop(batches * 1_000)
}

/// All of them in line, then polled.
pub(crate) fn spawn_many(count: usize) -> Sample {
    let mut line = Line::default();
    let watch = Watch::start();
    for number in 0..count {
        line.push(async move {
            let _ = black_box(number);
        });
    }
    line.run();
    watch.stop(count)
}

/// One after the other: boxed, polled, gone.
pub(crate) fn one_by_one(count: usize) -> Sample {
    let mut line = Line::default();
    let watch = Watch::start();
    for number in 0..count {
        line.push(async move {
            let _ = black_box(number);
        });
        line.run();
    }
    watch.stop(count)
}

/// Groups of a hundred that are polled twice.
pub(crate) fn group_100(groups: usize) -> Sample {
    let mut line = Line::default();
    let watch = Watch::start();
    for _ in 0..groups {
        for _ in 0..100 {
            line.push(once());
        }
        line.run();
    }
    watch.stop(groups * 100)
}

/// A tree of boxed futures, awaited in place.
pub(crate) fn fork_join(leaves: usize) -> Sample {
    let mut line = Line::default();
    let watch = Watch::start();
    line.push(async move { assert_eq!(tree(leaves).await, leaves) });
    line.run();
    watch.stop(leaves)
}

fn tree(leaves: usize) -> Pin<Box<dyn Future<Output = usize> + Send>> {
    Box::pin(async move {
        let half = leaves / 2;
        if leaves == 1 { 1 } else { tree(half).await + tree(leaves - half).await }
    })
}

/// Two hundred that are polled so often.
pub(crate) fn yield_many(yields: usize) -> Sample {
    let mut line = Line::default();
    let watch = Watch::start();
    for _ in 0..200 {
        line.push(async move {
            for _ in 0..yields {
                once().await;
            }
        });
    }
    line.run();
    watch.stop(200 * yields)
}

/// A thousand pairs that set each other a flag.
pub(crate) fn ping_pong(times: usize) -> Sample {
    let mut line = Line::default();
    let watch = Watch::start();
    for _ in 0..times {
        for _ in 0..1_000 {
            let state = Arc::new(AtomicUsize::new(0));
            let other = state.clone();
            line.push(async move {
                state.store(1, Ordering::Relaxed);
                until(|| state.load(Ordering::Relaxed) == 2).await;
            });
            line.push(async move {
                until(|| other.load(Ordering::Relaxed) == 1).await;
                other.store(2, Ordering::Relaxed);
            });
        }
        line.run();
    }
    watch.stop(times * 1_000)
}

/// A token that each takes on when its turn comes.
pub(crate) fn ring(tasks: usize, laps: usize) -> Sample {
    let mut line = Line::default();
    let token = Arc::new(AtomicUsize::new(0));
    for number in 0..tasks {
        let token = token.clone();
        line.push(async move {
            for lap in 0..laps {
                until(|| token.load(Ordering::Relaxed) == lap * tasks + number).await;
                token.fetch_add(1, Ordering::Relaxed);
                once().await;
            }
        });
    }
    let watch = Watch::start();
    line.run();
    watch.stop(tasks * laps)
}

/// Polled once, dropped.
pub(crate) fn cancel_many(count: usize) -> Sample {
    let mut line = Line::default();
    let mut cx = Context::from_waker(Waker::noop());
    let watch = Watch::start();
    for _ in 0..count {
        line.push(std::future::pending());
    }
    for future in &mut line.0 {
        assert!(future.as_mut().poll(&mut cx).is_pending());
    }
    drop(line);
    watch.stop(count)
}

/// A word that two threads write in turn.
struct Turn(AtomicU32);

impl Turn {
    fn wait(&self, wanted: u32) {
        loop {
            let now = self.0.load(Ordering::Acquire);
            if now == wanted {
                return;
            }
            // Who is woken for nothing, or too late to sleep, looks again.
            let _ = futex::wait(&self.0, futex::Flags::PRIVATE, now, None);
        }
    }

    fn give(&self, to: u32) {
        self.0.store(to, Ordering::Release);
        futex::wake(&self.0, futex::Flags::PRIVATE, 1).expect("waking cannot fail");
    }
}

/// Two threads hand over to each other; the cost of both ways.
pub(crate) fn hand_over(trips: usize) -> Sample {
    let turn = Arc::new(Turn(AtomicU32::new(0)));
    let theirs = turn.clone();
    let other = thread::spawn(move || {
        for _ in 0..trips {
            theirs.wait(1);
            theirs.give(0);
        }
    });
    let watch = Watch::start();
    for _ in 0..trips {
        turn.give(1);
        turn.wait(0);
    }
    let sample = watch.stop(trips);
    other.join().expect("it only hands over");
    sample
}
