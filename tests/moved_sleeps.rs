//! What waits for the clock may be moved to another runtime, and does not hang when one ends.
//!
//! Nothing is timed but by the clock itself: a moment that never comes shows as a test that hangs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use filch::time::Instant;
use filch::{
    ReturnWhen, Runtime, as_completed, sleep, spawn, timeout_any, timeout_scope, to_thread, wait,
};
use futures::executor::block_on;

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(3600);

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

fn runtime() -> Runtime {
    Runtime::builder().workers(1).build().unwrap()
}

type Moving<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Polls `future` in a runtime, which ends, and then to its end in another.
fn moved<T: Send + 'static>(mut future: Moving<T>) -> T {
    let first = runtime();
    let polled = first.handle().spawn(async move {
        assert!(poll_once(future.as_mut(), Waker::noop()).is_pending());
        Ok(future)
    });
    let future = polled.wait().unwrap();
    drop(first);
    runtime().handle().spawn(async move { Ok(future.await) }).wait().unwrap()
}

#[test]
fn a_sleep_ends_in_the_runtime_that_polls_it() {
    let end = Instant::now() + SHORT;
    moved(Box::pin(sleep(SHORT)));
    assert!(Instant::now() >= end);
}

#[test]
fn a_limit_runs_out_in_the_runtime_that_polls_it() {
    assert!(moved(Box::pin(timeout_any(SHORT, sleep(LONG)))).is_err());
    let scope = timeout_scope(SHORT, |_| sleep(LONG));
    assert!(moved(Box::pin(scope)).unwrap_err().is_timeout());
}

#[test]
fn what_waits_for_tasks_learns_in_another_runtime_that_time_is_up() {
    let third = runtime();
    let task = third.handle().spawn(sleep(LONG));
    let waited = moved(Box::pin(wait([task], ReturnWhen::AllCompleted).timeout(SHORT)));
    assert_eq!(waited.pending.len(), 1);
    let mut tasks = as_completed(waited.pending).timeout(SHORT);
    let next = moved(Box::pin(async move { tasks.next().await.unwrap().map(drop) }));
    assert!(next.unwrap_err().is_timeout());
}

#[test]
fn a_sleep_is_moved_though_its_first_runtime_runs_on() {
    let (one, other) = (runtime(), runtime());
    let mut pause = Box::pin(sleep(SHORT));
    let polled = one.handle().spawn(async move {
        assert!(poll_once(pause.as_mut(), Waker::noop()).is_pending());
        Ok(pause)
    });
    let pause = polled.wait().unwrap();
    // Nobody looks at the clock of the first one any more.
    let (hold, held) = mpsc::channel::<()>();
    let busy = one.handle().spawn(async move { Ok(_ = held.recv()) });
    other.handle().spawn(pause).wait().unwrap();
    drop(hold);
    busy.wait().unwrap();
}

#[test]
fn the_end_of_a_runtime_wakes_who_sleeps_there_and_is_no_end_of_the_sleep() {
    let (first, count) = (runtime(), Arc::new(Count::default()));
    let (mut pause, waker) = (Box::pin(sleep(LONG)), Waker::from(count.clone()));
    let polled = first.handle().spawn(async move {
        assert!(poll_once(pause.as_mut(), &waker).is_pending());
        Ok(pause)
    });
    let mut pause = polled.wait().unwrap();
    drop(first);
    assert_eq!(count.0.load(Ordering::Acquire), 1);
    let outside = catch_unwind(AssertUnwindSafe(|| poll_once(pause.as_mut(), Waker::noop())));
    let message = *outside.unwrap_err().downcast::<&str>().unwrap();
    assert!(message.contains("has shut down"), "{message}");
    let second = runtime();
    let inside = second.handle().spawn(async move {
        Ok(poll_once(pause.as_mut(), Waker::noop()).is_pending() && !pause.is_elapsed())
    });
    assert!(inside.wait().unwrap());
}

#[test]
fn the_end_of_a_simulation_wakes_who_sleeps_there() {
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let pause = filch::sim::run(0, async move {
        let mut pause = Box::pin(sleep(LONG));
        spawn(async move {
            assert!(poll_once(pause.as_mut(), &waker).is_pending());
            Ok(pause)
        })
        .await
    });
    assert_eq!(count.0.load(Ordering::Acquire), 1);
    drop(pause.unwrap());
}

/// What panics if a thread of its own waits for that.
fn panic_of<F: Future>(future: impl FnOnce() -> F) -> String {
    let ended = catch_unwind(AssertUnwindSafe(|| drop(block_on(future()))));
    let message = *ended.unwrap_err().downcast::<&str>().unwrap();
    message.to_owned()
}

/// A runtime that ends without waiting for a closure which has begun.
fn with_a_closure(closure: impl FnOnce() + Send + 'static) -> Runtime {
    let runtime = Runtime::builder().workers(1).grace(Duration::ZERO).build().unwrap();
    let (begun, begins) = mpsc::channel();
    let closure = to_thread(move || {
        begun.send(()).unwrap();
        closure();
    });
    runtime.handle().spawn(closure).detach();
    begins.recv().unwrap();
    runtime
}

/// Has a closure that its runtime leaves behind do `what`, and returns what it panics with. It
/// goes on, at its call, when the runtime has ended.
fn left_behind<F: Future>(what: impl FnOnce(&dyn Fn()) -> F + Send + 'static) -> String {
    let (go_on, gate) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let (arrives, arrived) = mpsc::channel();
    let runtime = with_a_closure(move || {
        let go_on = || {
            arrives.send(()).unwrap();
            assert!(gate.recv().is_err());
        };
        tell.send(panic_of(|| what(&go_on))).unwrap();
    });
    arrived.recv().unwrap();
    drop(runtime);
    drop(go_on);
    told.recv().unwrap()
}

#[test]
fn a_sleep_that_begins_after_the_end_of_its_runtime_says_so() {
    let message = left_behind(|go_on| {
        go_on();
        sleep(LONG)
    });
    assert!(message.contains("has shut down"), "{message}");
    let message = left_behind(|go_on| {
        go_on();
        timeout_any(LONG, std::future::pending::<()>())
    });
    assert!(message.contains("has shut down"), "{message}");
}

#[test]
fn a_sleep_of_a_thread_that_its_runtime_leaves_behind_does_not_end_early() {
    let message = left_behind(|go_on| {
        let mut pause = Box::pin(sleep(LONG));
        assert!(poll_once(pause.as_mut(), Waker::noop()).is_pending());
        go_on();
        pause
    });
    assert!(message.contains("has shut down"), "{message}");
}

#[test]
fn a_wait_that_meets_the_end_of_its_runtime_never_ends_early() {
    for round in 0..100 {
        let (tell, told) = mpsc::channel();
        let waits = move || async move {
            match round % 2 {
                0 => sleep(LONG).await,
                _ => assert!(timeout_any(LONG, sleep(LONG)).await.is_ok(), "it ended early"),
            }
        };
        drop(with_a_closure(move || tell.send(panic_of(waits)).unwrap()));
        let message = told.recv().unwrap();
        assert!(message.contains("has shut down"), "{message}");
    }
}
