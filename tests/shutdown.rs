//! Whoever spawns while the runtime ends gets a task that ends: never a hang, never a leak (THR-04,
//! section 27; design 6, "Shutdown").
//!
//! Plain threads know nothing of the end until they meet it. Each round drops a runtime under the
//! hands of a few of them, and then asks after every single task.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use filch::{Handle, Runtime, Task, catch_cancelled, yield_now};

const ROUNDS: usize = 1_500;
const SPAWNERS: usize = 3;
/// No round takes a hundredth of this; it is for the test not to hang.
const LIMIT: Duration = Duration::from_secs(20);

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

fn round(number: usize) {
    let tally = Arc::new(Tally::default());
    let runtime = Runtime::builder().workers(1 + number % 3).build().unwrap();
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

#[test]
fn spawns_that_race_with_the_end_are_all_ended() {
    let (report, reports) = mpsc::channel();
    let rounds = thread::spawn(move || {
        for number in 0..ROUNDS {
            report.send(number).unwrap();
            round(number);
        }
    });
    let mut last = 0;
    loop {
        match reports.recv_timeout(LIMIT) {
            Ok(number) => last = number,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("round {last} hangs"),
        }
    }
    rounds.join().unwrap();
}
