//! However late somebody spawns or wakes a task, the task ends: never a hang, never a leak (THR-04,
//! section 27; design 6, "Shutdown").
//!
//! Plain threads know nothing of the end until they meet it. Each round drops a runtime under the
//! hands of a few of them, and then asks after every single task.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use filch::sync::oneshot;
use filch::{Handle, Runtime, Task, to_thread};
use filch::{catch_cancelled, catch_cancelled_any, sleep, timeout, yield_now};
use futures::task::AtomicWaker;

const ROUNDS: usize = 1_500;
const SPAWNERS: usize = 3;
/// So many times in a row may nothing have been heard of a round, each after [`NAP`]. No round
/// takes a hundredth of that; it is for the test not to hang. A machine that stands still takes one
/// nap.
const PATIENCE: u32 = 600;
const NAP: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);

/// What became of the futures of one round.
#[derive(Default)]
struct Tally {
    made: AtomicUsize,
    dropped: AtomicUsize,
    begun: AtomicUsize,
    cleaned: AtomicUsize,
}

/// Part of every future: counts it in and out.
struct Counted(Arc<Tally>);

impl Counted {
    fn new(tally: &Arc<Tally>) -> Self {
        tally.made.fetch_add(1, Ordering::Relaxed);
        Counted(tally.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::Release);
    }
}

/// Never ends by itself; once it has begun, it cleans up, with an await.
async fn waits_forever(counted: Counted) {
    counted.0.begun.fetch_add(1, Ordering::Relaxed);
    let Err(cancelled) = catch_cancelled(std::future::pending::<()>()).await else { return };
    yield_now().await;
    counted.0.cleaned.fetch_add(1, Ordering::Relaxed);
    cancelled.raise().await;
}

/// Spawns until the runtime refuses, and a little longer; then waits for every task.
fn spawn_through_the_end(handle: &Handle, tally: &Arc<Tally>) {
    let mut tasks: Vec<Task<()>> = Vec::new();
    let mut refused = 0;
    while refused < 3 {
        let task = handle.spawn(waits_forever(Counted::new(tally)));
        refused += usize::from(task.is_finished());
        tasks.push(task);
        // The end is to come soon, also where there are more threads than cores.
        match tasks.len() {
            0..20 => {}
            20..40 => thread::yield_now(),
            _ => thread::sleep(Duration::from_micros(50)),
        }
    }
    for task in tasks {
        assert!(task.wait().unwrap_err().is_cancelled());
    }
}

/// Drops a runtime while others spawn.
fn spawns_race_with_the_end(number: usize) {
    let tally = Arc::new(Tally::default());
    let runtime = Runtime::builder().workers(1 + number % 3).grace(HOUR).build().unwrap();
    let start = Arc::new(Barrier::new(SPAWNERS + 1));
    let spawner = |_| {
        let (handle, tally, start) = (runtime.handle(), tally.clone(), start.clone());
        thread::spawn(move || {
            start.wait();
            spawn_through_the_end(&handle, &tally);
        })
    };
    let spawners: Vec<_> = (0..SPAWNERS).map(spawner).collect();
    start.wait();
    (0..number % 5).for_each(|_| thread::yield_now());
    drop(runtime);
    spawners.into_iter().for_each(|spawner| spawner.join().unwrap());
    let read = |count: &AtomicUsize| count.load(Ordering::Acquire);
    assert_eq!(read(&tally.made), read(&tally.dropped), "futures made, and dropped");
    assert_eq!(read(&tally.begun), read(&tally.cleaned), "tasks begun, and cleaned up");
}

/// Takes no request for an answer. One poll for each wake, so that each can be its last.
async fn stays(_counted: Counted, bell: Arc<AtomicWaker>) {
    loop {
        let listen = poll_fn(|cx| {
            bell.register(cx.waker());
            Poll::<()>::Pending
        });
        _ = catch_cancelled_any(listen).await;
    }
}

/// Drops a runtime that gives no grace while others wake its tasks, which refuse to end.
fn wakes_race_with_the_end(number: usize) {
    let tally = Arc::new(Tally::default());
    let builder = Runtime::builder().workers(1 + number % 3);
    let runtime = builder.grace(Duration::ZERO).build().unwrap();
    let start = Arc::new(Barrier::new(SPAWNERS + 1));
    let waker = |_| {
        let bell = Arc::new(AtomicWaker::new());
        let task = runtime.handle().spawn(stays(Counted::new(&tally), bell.clone()));
        let start = start.clone();
        thread::spawn(move || {
            start.wait();
            while !task.is_finished() {
                bell.wake();
                thread::yield_now();
            }
            assert!(task.wait().unwrap_err().is_cancelled());
        })
    };
    let wakers: Vec<_> = (0..SPAWNERS).map(waker).collect();
    start.wait();
    (0..number % 5).for_each(|_| thread::yield_now());
    drop(runtime);
    wakers.into_iter().for_each(|waker| waker.join().unwrap());
    assert_eq!(tally.dropped.load(Ordering::Acquire), SPAWNERS);
}

/// Drops a runtime that gives no grace while a task blocks its worker; then that goes to sleep.
fn worker_comes_late(number: usize) {
    let tally = Arc::new(Tally::default());
    let runtime = Runtime::builder().workers(2).grace(Duration::ZERO).build().unwrap();
    let (blocks, is_blocked) = mpsc::channel();
    let (release, is_released) = mpsc::channel::<()>();
    let counted = Counted::new(&tally);
    let task = runtime.handle().spawn(async move {
        let _counted = counted;
        blocks.send(()).unwrap();
        is_released.recv().unwrap();
        // Once asleep, once queued.
        while number.is_multiple_of(2) {
            _ = catch_cancelled(yield_now()).await;
        }
        _ = catch_cancelled(std::future::pending::<()>()).await;
        std::future::pending::<()>().await;
    });
    is_blocked.recv().unwrap();
    drop(runtime);
    assert!(!task.is_finished(), "its worker was left behind");
    release.send(()).unwrap();
    assert!(task.wait().unwrap_err().is_cancelled());
    assert_eq!(tally.dropped.load(Ordering::Acquire), 1);
}

/// Runs rounds on a thread of their own, so that one that hangs can be named.
fn rounds(count: usize, round: fn(usize)) {
    let (report, reports) = mpsc::channel();
    let rounds = thread::spawn(move || {
        for number in 0..count {
            report.send(number).unwrap();
            round(number);
        }
    });
    let (mut last, mut patience) = (0, PATIENCE);
    loop {
        match reports.recv_timeout(NAP) {
            Ok(number) => (last, patience) = (number, PATIENCE),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => patience -= 1,
        }
        assert!(patience > 0, "round {last} hangs");
    }
    rounds.join().unwrap();
}

#[test]
fn spawns_that_race_with_the_end_are_all_ended() {
    rounds(ROUNDS, spawns_race_with_the_end);
}

#[test]
fn wakes_that_race_with_the_end_lose_no_task() {
    rounds(ROUNDS, wakes_race_with_the_end);
}

#[test]
fn worker_that_comes_late_ends_what_it_leaves() {
    rounds(20, worker_comes_late);
}

#[test]
fn a_runtime_that_ends_with_its_thread_still_calls_back() {
    thread_local! {
        static KEPT: RefCell<Option<Runtime>> = const { RefCell::new(None) };
    }
    let (call, called) = mpsc::channel();
    let keeps = move || {
        let runtime = Runtime::builder().workers(1).grace(Duration::from_millis(1)).build();
        let handle = runtime.as_ref().unwrap().handle();
        KEPT.set(Some(runtime.unwrap()));
        let ended = handle.spawn(async {});
        while !ended.is_finished() {
            thread::yield_now();
        }
        // What this thread knows of callbacks is younger than the runtime, and goes before it.
        let late = call.clone();
        ended.add_done_callback(move |_| late.send("late").unwrap());
        let (begin, begun) = mpsc::channel();
        let refuses = handle.spawn(async move {
            begin.send(()).unwrap();
            loop {
                let _ = catch_cancelled_any(pending::<()>()).await;
            }
        });
        refuses.add_done_callback(move |_| call.send("ended by force").unwrap());
        begun.recv().unwrap();
    };
    thread::spawn(keeps).join().unwrap();
    assert_eq!(called.iter().collect::<Vec<_>>(), ["late", "ended by force"]);
}

#[test]
fn a_runtime_ends_with_one_of_its_blocking_threads() {
    struct Last(Option<Arc<Runtime>>, mpsc::Sender<&'static str>);
    impl Drop for Last {
        fn drop(&mut self) {
            drop(self.0.take());
            self.1.send("over").unwrap();
        }
    }
    thread_local! {
        static KEPT: RefCell<Option<Last>> = const { RefCell::new(None) };
    }
    let idle = Duration::from_millis(1);
    let runtime = Arc::new(Runtime::builder().workers(1).blocking_idle(idle).build().unwrap());
    let ((tell, told), (go, may_go)) = (mpsc::channel(), mpsc::channel::<()>());
    let last = Last(Some(runtime.clone()), tell);
    let keep = async move {
        let keep = to_thread(move || {
            KEPT.set(Some(last));
            may_go.recv()
        });
        keep.await.map(drop)
    };
    runtime.handle().spawn(keep).detach();
    drop(runtime);
    // The thread waits for more to do; it has what it keeps to itself when nothing comes.
    drop(go);
    assert_eq!(told.recv(), Ok("over"));
}

/// A runtime with a task that has begun, and cleans up before it tells `cleaned`.
fn with_a_task(workers: usize) -> (Runtime, Task<()>, mpsc::Receiver<&'static str>) {
    let runtime = Runtime::builder().workers(workers).build().unwrap();
    let (tell, told) = mpsc::channel();
    let task = runtime.handle().spawn(async move {
        tell.send("begun").unwrap();
        let Err(cancelled) = catch_cancelled(pending::<()>()).await else { return };
        yield_now().await;
        tell.send("cleaned up").unwrap();
        cancelled.raise().await;
    });
    assert_eq!(told.recv(), Ok("begun"));
    (runtime, task, told)
}

#[test]
fn a_runtime_that_a_worker_drops_is_not_waited_for_there() {
    for workers in [1, 2] {
        let (runtime, other, told) = with_a_task(workers);
        let handle = runtime.handle();
        // Nobody takes the value of a detached task: the worker drops it after the poll.
        let (go, gone) = oneshot::channel::<()>();
        let value = async move { Ok(gone.await.map(|()| runtime).ok()) };
        handle.spawn(value).detach();
        go.send(()).unwrap();
        assert_eq!(told.recv(), Ok("cleaned up"));
        assert!(other.wait().unwrap_err().is_cancelled());
    }
}

/// Longer than all that the end grants to everybody, however long or short the grace.
const LONG: Duration = Duration::from_millis(2500);

#[test]
fn a_closure_that_runs_has_the_whole_grace_to_return() {
    // THR-03
    let runtime = Runtime::builder().workers(1).grace(HOUR).build().unwrap();
    let returned = Arc::new(AtomicUsize::new(0));
    let (begins, has_begun) = mpsc::channel();
    let there = returned.clone();
    let closure = move || {
        begins.send(()).unwrap();
        thread::sleep(LONG);
        there.fetch_add(1, Ordering::Release);
    };
    runtime.handle().spawn(filch::to_thread(closure)).detach();
    has_begun.recv().unwrap();
    drop(runtime);
    assert_eq!(returned.load(Ordering::Acquire), 1, "it was left behind");
}

#[test]
fn a_callback_that_waits_has_the_whole_grace_to_be_called() {
    let runtime = Runtime::builder().workers(1).grace(HOUR).build().unwrap();
    let called = Arc::new(AtomicUsize::new(0));
    let (begins, has_begun) = mpsc::channel();
    runtime.handle().call_soon(move || {
        begins.send(()).unwrap();
        thread::sleep(LONG);
    });
    let there = called.clone();
    runtime.handle().call_soon(move || {
        there.fetch_add(1, Ordering::Release);
    });
    has_begun.recv().unwrap();
    drop(runtime);
    assert_eq!(called.load(Ordering::Acquire), 1, "it was dropped");
}

#[test]
fn a_runtime_is_shut_down_and_awaited_inside_a_task() {
    let (inner, task, told) = with_a_task(1);
    filch::run(async move {
        inner.shutdown().await;
        assert_eq!(told.try_recv(), Ok("cleaned up"));
        assert!(task.is_cancelled());
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_runtime_ends_though_nobody_awaits_it() {
    let (runtime, task, told) = with_a_task(1);
    drop(runtime.shutdown());
    assert_eq!(told.recv(), Ok("cleaned up"));
    assert!(task.wait().unwrap_err().is_cancelled());
}

#[test]
fn a_task_that_shuts_its_own_runtime_down_is_cancelled_by_it() {
    let (runtime, task, told) = with_a_task(1);
    let handle = runtime.handle();
    let ends = handle.spawn(async move { runtime.shutdown().await });
    assert!(ends.wait().unwrap_err().is_cancelled());
    assert_eq!(told.recv(), Ok("cleaned up"));
    assert!(task.wait().unwrap_err().is_cancelled());
}

#[test]
fn a_closure_that_runs_may_use_timers_until_it_returns() {
    let runtime = Runtime::builder().workers(1).grace(HOUR).build().unwrap();
    let (begins, has_begun) = mpsc::channel();
    let (ends, is_ending) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let closure = move || {
        begins.send(()).unwrap();
        // The end has begun, and all tasks are gone.
        assert!(is_ending.recv().is_err());
        futures::executor::block_on(sleep(Duration::from_millis(20)));
        let value = futures::executor::block_on(timeout(HOUR, async { Ok(42) }));
        tell.send(value.unwrap()).unwrap();
    };
    runtime.handle().spawn(filch::to_thread(closure)).detach();
    has_begun.recv().unwrap();
    let until_the_end = async move {
        pending::<()>().await;
        drop(ends);
    };
    runtime.handle().spawn(until_the_end).detach();
    drop(runtime);
    assert_eq!(told.try_recv(), Ok(42));
}

/// Waits for a task when it is dropped.
struct Waits(Handle, mpsc::Sender<bool>);

impl Drop for Waits {
    fn drop(&mut self) {
        let waits = AssertUnwindSafe(|| self.0.spawn(async {}).wait());
        self.1.send(catch_unwind(waits).is_err()).unwrap();
    }
}

#[test]
fn a_destructor_on_a_worker_does_not_block_it() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (tell, told) = mpsc::channel();
    let value = Waits(runtime.handle(), tell);
    let (go, gone) = oneshot::channel::<()>();
    runtime.handle().spawn(async move { Ok(gone.await.map(|()| value).ok()) }).detach();
    go.send(()).unwrap();
    assert_eq!(told.recv(), Ok(true));
    runtime.handle().spawn(async {}).wait().unwrap();
}
