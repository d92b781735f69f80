//! Every queued task runs once, whoever queues it; nobody sleeps over one; nobody keeps one.

use std::collections::HashSet;
use std::panic::Location;
use std::sync::mpsc;
use std::task::Wake;
use std::time::Duration;

use super::idle::LOOK;
use super::watch::{Held, Watch};
use super::*;
use crate::sys::{AtomicUsize, Condvar, Mutex, Ordering, thread};
use crate::task::memory::{Home, HomeHandle, Kind};
use crate::task::raw::{self, First};

/// A driver with no outside world: a permit per instance. `events` are ready tasks that only a
/// poll of their instance brings in.
#[derive(Default)]
struct Seats {
    seats: Vec<(Mutex<bool>, Condvar)>,
    events: Arc<Vec<Mutex<Vec<Waker>>>>,
}

impl Seats {
    fn new(workers: usize) -> Self {
        let seat = |_| (Mutex::new(false), Condvar::new());
        let events = (0..workers).map(|_| Mutex::new(Vec::new())).collect();
        Seats { seats: (0..workers).map(seat).collect(), events: Arc::new(events) }
    }
}

impl Driver for Seats {
    fn poll(&self, instance: usize) -> bool {
        let ready = std::mem::take(&mut *self.events[instance].lock());
        let any = !ready.is_empty();
        ready.into_iter().for_each(Waker::wake);
        any
    }

    fn wait(&self, instance: usize, limit: Option<Duration>) {
        let (permit, bell) = &self.seats[instance];
        let mut permit = permit.lock();
        while !*permit {
            permit = match limit {
                None => bell.wait(permit),
                Some(limit) => {
                    let (guard, passed) = bell.wait_for(permit, limit);
                    permit = guard;
                    if passed {
                        break;
                    }
                    continue;
                }
            };
        }
        *permit = false;
        drop(permit);
        self.poll(instance);
    }

    fn notify(&self, instance: usize) {
        let (permit, bell) = &self.seats[instance];
        *permit.lock() = true;
        bell.notify_one();
    }
}

/// A scheduler whose workers run.
struct Rig {
    shared: Arc<Shared>,
    home: HomeHandle,
    threads: Vec<thread::JoinHandle<()>>,
    events: Arc<Vec<Mutex<Vec<Waker>>>>,
}

impl Rig {
    fn new(workers: usize) -> Rig {
        let driver = Seats::new(workers);
        let events = driver.events.clone();
        let config = Config { driver: Box::new(driver), workers, processors: 2 };
        let (shared, workers) = Shared::new(config);
        let start = |worker: Worker| thread::spawn(move || worker.run());
        let threads = workers.into_iter().map(start).collect();
        let home = Home::new(Box::new(shared.clone()), Kind::Shared);
        Rig { shared, home, threads, events }
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        // SAFETY: the future is `Send` and `'static`.
        let (task, _) = unsafe { raw::new(&self.home, future, Location::caller(), First::Queued) };
        task.queue();
    }

    fn spawn_fn(&self, run: impl FnOnce() + Send + 'static) {
        self.spawn(async move { run() });
    }

    fn end(mut self) {
        self.shared.stop();
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
        while let Some(task) = self.shared.next_leftover() {
            task.kill();
        }
    }
}

/// Polls pending so many times, waking itself.
async fn yields(times: usize) {
    for _ in 0..times {
        let mut first = true;
        std::future::poll_fn(|context| {
            if std::mem::take(&mut first) {
                context.waker().wake_by_ref();
                return std::task::Poll::Pending;
            }
            std::task::Poll::Ready(())
        })
        .await;
    }
}

fn counts_to(limit: usize) -> (impl Fn() + Clone + Send + 'static, mpsc::Receiver<()>) {
    let (done, end) = mpsc::channel();
    let count = Arc::new(AtomicUsize::new(0));
    let step = move || {
        if count.fetch_add(1, Ordering::Relaxed) + 1 == limit {
            done.send(()).unwrap();
        }
    };
    (step, end)
}

/// How many tasks a test makes: Miri is slow.
const MANY: usize = if cfg!(miri) { 40 } else { 20_000 };

#[test]
fn tasks_from_several_threads_run_once_each() {
    for workers in [1, 2, 8] {
        let rig = Arc::new(Rig::new(workers));
        let runs: Arc<Vec<_>> = Arc::new((0..4 * MANY).map(|_| AtomicUsize::new(0)).collect());
        let (step, end) = counts_to(4 * MANY);
        let producers = (0..4).map(|producer| {
            let (rig, runs, step) = (rig.clone(), runs.clone(), step.clone());
            thread::spawn(move || {
                for task in producer * MANY..(producer + 1) * MANY {
                    let (runs, step) = (runs.clone(), step.clone());
                    rig.spawn(async move {
                        yields(task % 3).await;
                        runs[task].fetch_add(1, Ordering::Relaxed);
                        step();
                    });
                }
            })
        });
        producers.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
        end.recv().unwrap();
        assert!(runs.iter().all(|run| run.load(Ordering::Relaxed) == 1));
        Arc::into_inner(rig).unwrap().end();
    }
}

fn tree(rig: &Arc<Rig>, depth: u32, step: impl Fn() + Clone + Send + 'static) {
    if depth > 0 {
        for _ in 0..2 {
            let (inner, step) = (rig.clone(), step.clone());
            rig.spawn_fn(move || tree(&inner, depth - 1, step));
        }
    }
    step();
}

#[test]
fn tasks_that_spawn_tasks_all_run() {
    let depth = if cfg!(miri) { 4 } else { 14 };
    for workers in [1, 2, 8] {
        let rig = Arc::new(Rig::new(workers));
        let (step, end) = counts_to((1 << (depth + 1)) - 1);
        let root = rig.clone();
        rig.spawn_fn(move || tree(&root, depth, step));
        end.recv().unwrap();
        while Arc::strong_count(&rig) > 1 {
            thread::yield_now();
        }
        Arc::into_inner(rig).unwrap().end();
    }
}

#[test]
fn no_wake_is_lost_between_rounds_of_sleep() {
    for workers in [1, 2, 3] {
        let rig = Rig::new(workers);
        for round in 0..MANY / 4 {
            let (step, end) = counts_to(1 + round % 3);
            (0..1 + round % 3).for_each(|_| rig.spawn_fn(step.clone()));
            end.recv().unwrap();
            if round % 8 == 0 {
                // Lets them fall asleep, or nearly so.
                (0..round % 64).for_each(|_| thread::yield_now());
            }
        }
        rig.end();
    }
}

#[test]
fn timer_of_a_plain_thread_wakes_an_idle_runtime() {
    struct Bell(mpsc::Sender<()>);
    impl Wake for Bell {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.send(()).unwrap();
        }
    }
    for workers in [1, 2] {
        let rig = Rig::new(workers);
        for round in 0..20 {
            let (done, end) = mpsc::channel();
            let timer = Box::pin(Timer::new());
            // Longer and longer, so that some come while the guard watches and some later.
            let at = Instant::now() + Duration::from_micros(round * round * 100);
            rig.shared.arm(timer.as_ref(), at, Waker::from(std::sync::Arc::new(Bell(done))));
            end.recv().unwrap();
            assert!(Instant::now() >= at && timer.fired());
        }
        rig.end();
    }
}

/// Runs `hostage` on a worker, which then blocks until everything it left behind has run.
fn takes_no_hostages(
    workers: usize,
    count: usize,
    hostage: fn(&Arc<Rig>, Box<dyn FnOnce() + Send>),
) {
    for _ in 0..20 {
        let rig = Arc::new(Rig::new(workers));
        let (step, end) = counts_to(count);
        let (done, all) = mpsc::channel();
        let inner = rig.clone();
        rig.spawn_fn(move || {
            (0..count).for_each(|_| hostage(&inner, Box::new(step.clone())));
            drop(inner);
            // This poll ends only after the others have run.
            end.recv().unwrap();
            done.send(()).unwrap();
        });
        all.recv().unwrap();
        while Arc::strong_count(&rig) > 1 {
            thread::yield_now();
        }
        Arc::into_inner(rig).unwrap().end();
    }
}

#[test]
fn tasks_behind_a_blocking_poll_run_elsewhere() {
    for (workers, count) in [(2, 1), (2, 8), (2, 100), (4, 1), (4, 8)] {
        takes_no_hostages(workers, count, |rig, run| rig.spawn_fn(run));
    }
}

#[test]
fn long_tasks_that_wait_are_shared_with_who_sleeps() {
    let rig = Arc::new(Rig::new(2));
    let (sender, seen) = mpsc::channel();
    let over = Arc::new(AtomicUsize::new(0));
    let (inner, stop) = (rig.clone(), over.clone());
    rig.spawn_fn(move || {
        while inner.shared.idle.nobody_sleeps() {
            thread::yield_now();
        }
        // Too few for a surplus, and no poll takes long enough to stand still.
        for _ in 0..4 {
            inner.spawn(computes_and_yields(stop.clone(), sender.clone()));
        }
        drop(inner);
    });
    let first = seen.recv().unwrap();
    assert!(seen.iter().any(|thread| thread != first));
    over.store(1, Ordering::Relaxed);
    while Arc::strong_count(&rig) > 1 {
        thread::yield_now();
    }
    Arc::into_inner(rig).unwrap().end();
}

/// Polls of 20 us each; tells on which thread.
async fn computes_and_yields(stop: Arc<AtomicUsize>, threads: mpsc::Sender<thread::ThreadId>) {
    while stop.load(Ordering::Relaxed) == 0 {
        let until = Instant::now() + Duration::from_micros(20);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        threads.send(thread::current().id()).unwrap();
        yields(1).await;
    }
}

#[test]
fn only_long_tasks_that_wait_at_every_look_are_shared_and_only_by_the_idle() {
    let mut rig = Rig::new(2);
    rig.shared.stop();
    rig.threads.drain(..).for_each(|thread| thread.join().unwrap());
    rig.spawn_fn(|| {});
    let lanes = &rig.shared.lanes;
    let task = queue::insist(|| rig.shared.injector.steal()).unwrap();
    assert!(lanes[0].slot.put(task).is_none());
    lanes[0].set_parked(false);

    let watch = Watch::new(2);
    let (mut now, mut tick) = (Instant::from_nanoseconds(0), lanes[0].tick());
    let mut look_after = |polls: u32| {
        now += LOOK;
        tick += polls;
        lanes[0].publish_tick(tick);
        let mut held = Vec::new();
        watch.look(lanes, 1, now, &mut held);
        held
    };
    look_after(1_000);
    assert_eq!(look_after(30), []);
    assert_eq!(look_after(30), [Held::Slow(0)]);
    assert_eq!(look_after(100), [], "short ones are left alone");
    assert_eq!(look_after(30), []);
    lanes[1].set_parked(false);
    assert_eq!(look_after(30), [], "who is awake has enough to do");
    lanes[1].set_parked(true);
    let task = lanes[0].slot.take();
    assert_eq!(look_after(30), [], "nothing waits");
    assert_eq!(look_after(0), [Held::Still(0)]);
    task.unwrap().kill();
    rig.end();
}

struct Call(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for Call {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.lock().take().unwrap()();
    }
}

#[test]
fn timers_of_a_blocking_worker_fire() {
    takes_no_hostages(2, 3, |rig, run| {
        let timer = Box::leak(Box::new(Timer::new()));
        let call = std::sync::Arc::new(Call(Mutex::new(Some(run))));
        let at = Instant::now() + Duration::from_micros(700);
        rig.shared.arm(Pin::static_ref(timer), at, Waker::from(call));
    });
}

#[test]
fn events_of_a_blocking_worker_are_taken() {
    takes_no_hostages(2, 3, |rig, run| {
        let worker = rig.shared.this_worker().unwrap();
        let call = std::sync::Arc::new(Call(Mutex::new(Some(run))));
        rig.events[worker].lock().push(call.into());
    });
}

#[test]
fn blocking_poll_that_follows_others_keeps_nothing_either() {
    // The guard has been watching for a while, others are awake, and the worker is no fresh one.
    let rig = Arc::new(Rig::new(2));
    for _ in 0..200 {
        let (step, end) = counts_to(3);
        let inner = rig.clone();
        let (done, all) = mpsc::channel();
        rig.spawn(async move {
            yields(300).await;
            (0..3).for_each(|_| inner.spawn_fn(step.clone()));
            drop(inner);
            end.recv().unwrap();
            done.send(()).unwrap();
        });
        all.recv().unwrap();
    }
    while Arc::strong_count(&rig) > 1 {
        thread::yield_now();
    }
    Arc::into_inner(rig).unwrap().end();
}

#[test]
fn flood_of_yields_starves_nobody() {
    let rig = Arc::new(Rig::new(1));
    let over = Arc::new(AtomicBool::new(false));
    for _ in 0..3 {
        let over = over.clone();
        rig.spawn(async move {
            while !over.load(Ordering::Acquire) {
                yields(1).await;
            }
        });
    }
    // A task from outside, a timer and an event: each gets its turn.
    let (step, end) = counts_to(3);
    rig.spawn_fn(step.clone());
    let timer = Box::leak(Box::new(Timer::new()));
    let call = |run| std::sync::Arc::new(Call(Mutex::new(Some(run)))).into();
    rig.shared.arm(Pin::static_ref(timer), Instant::now(), call(Box::new(step.clone())));
    rig.events[0].lock().push(call(Box::new(step)));
    end.recv().unwrap();
    over.store(true, Ordering::Release);
    Arc::into_inner(rig).unwrap().end();
}

#[test]
fn panicking_waker_takes_no_worker_down() {
    let rig = Rig::new(1);
    for _ in 0..10 {
        let call = std::sync::Arc::new(Call(Mutex::new(Some(Box::new(|| panic!("on purpose"))))));
        rig.events[0].lock().push(call.into());
        rig.shared.driver.notify(0);
        let (step, end) = counts_to(1);
        rig.spawn_fn(step);
        end.recv().unwrap();
    }
    rig.end();
}

#[test]
fn what_is_left_in_the_queues_is_handed_out() {
    let rig = Rig::new(2);
    let (inside, entered) = mpsc::channel();
    for _ in 0..2 {
        let inside = inside.clone();
        let shared = rig.shared.clone();
        let raw = &*rig.home as *const Home as usize;
        rig.spawn_fn(move || {
            inside.send(()).unwrap();
            while !shared.is_stopped() {
                thread::yield_now();
            }
            for _ in 0..5 {
                // SAFETY: the rig keeps its home open until this thread is joined.
                let home = unsafe { &*(raw as *const Home) };
                // SAFETY: the future is `Send` and `'static`.
                unsafe { raw::new(home, async {}, Location::caller(), First::Queued) }.0.queue();
            }
        });
    }
    (0..2).for_each(|_| entered.recv().unwrap());
    let Rig { shared, home, threads, events } = rig;
    shared.stop();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let mut seen = HashSet::new();
    while let Some(task) = shared.next_leftover() {
        let raw = task.into_raw();
        assert!(seen.insert(raw));
        // SAFETY: it comes from `into_raw` just now.
        unsafe { Runnable::from_raw(raw) }.kill();
    }
    assert_eq!(seen.len(), 10);
    drop((home, events));
}
