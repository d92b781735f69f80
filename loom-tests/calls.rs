//! The queue of callbacks, against those who add to it, its turn, its timers and its end.

use std::panic::Location;
use std::sync::Arc as StdArc;
use std::time::Duration;

use loom::thread;

use super::common::{Deserted, explore, milliseconds, run};
use crate::runtime::calls::Call;
use crate::sys::{Arc, AtomicBool, AtomicUsize, Mutex, Ordering};

/// Callbacks write their numbers here. The model knows this lock, and so tries their orders.
type Log = StdArc<Mutex<Vec<u32>>>;

fn soon(runtime: &Deserted, log: &Log, number: u32) -> StdArc<Call> {
    let log = log.clone();
    runtime.engine.calls().soon(move || log.lock().push(number), Location::caller())
}

fn log() -> Log {
    StdArc::new(Mutex::new(Vec::new()))
}

/// What was called, in that order; and nobody keeps a callback.
fn called(log: Log) -> Vec<u32> {
    let log = StdArc::try_unwrap(log).expect("a callback is kept, though it never will be called");
    std::mem::take(&mut *log.lock())
}

/// Two threads add callbacks while they are called: each is, once, and those of one thread in its
/// order (LOOP-01, LOOP-10). Breaks if `drain` does not look again before it stops, or looks in one
/// hold of the lock and stops in the next; or if `post` starts a drain though there is one.
#[test]
fn callbacks_are_called_once_and_in_order() {
    explore(|| {
        let runtime = Deserted::new();
        let log = log();
        let first = soon(&runtime, &log, 1);
        let runner = thread::spawn({
            let engine = runtime.engine.clone();
            move || run(&engine)
        });
        let second = soon(&runtime, &log, 2);
        let third = soon(&runtime, &log, 3);
        runtime.run();
        runner.join().unwrap();
        runtime.run();
        drop((first, second, third));
        assert_eq!(called(log), [1, 2, 3]);
    });
}

/// A callback is taken back while it is called: one of both (LOOP-06). Breaks if `cancel` says yes
/// without having taken the work.
#[test]
fn a_callback_is_called_or_cancelled() {
    explore(|| {
        let runtime = Deserted::new();
        let log = log();
        let call = soon(&runtime, &log, 1);
        let canceller = thread::spawn(move || {
            let cancelled = call.cancel();
            assert_eq!(call.is_cancelled(), cancelled);
            cancelled
        });
        runtime.run();
        let cancelled = canceller.join().unwrap();
        assert_eq!(called(log).len(), usize::from(!cancelled));
    });
}

/// A callback is added while the runtime ends, where no worker calls it: it is dropped, and not
/// kept. Breaks if `post` does not look whether it is closed, or `close` leaves what is ready.
#[test]
fn a_callback_comes_while_the_queue_is_closed() {
    explore(|| {
        let runtime = Deserted::new();
        let log = log();
        let adding = thread::spawn({
            let (engine, log) = (runtime.engine.clone(), log.clone());
            move || {
                let work = move || log.lock().push(1);
                drop(engine.calls().soon(work, Location::caller()));
            }
        });
        let (calls, shared) = (runtime.engine.calls(), runtime.engine.shared());
        calls.close();
        shared.end();
        shared.kill_leftovers();
        adding.join().unwrap();
        assert!(called(log).is_empty());
        assert!(!calls.post(Box::new(|| {})));
    });
}

/// A callback's moment comes while the runtime ends: called once, or not at all, and its timer is
/// nowhere. Breaks if `close` leaves the timers.
#[test]
fn a_moment_comes_while_the_queue_is_closed() {
    explore(|| {
        let runtime = Deserted::new();
        let log = log();
        let there = log.clone();
        let work = move || there.lock().push(1);
        let at = milliseconds(1);
        let call = runtime.engine.calls().at(at, work, Location::caller()).0;
        let firing = runtime.fires_elsewhere(at);
        runtime.engine.calls().close();
        firing.join().unwrap();
        runtime.run();
        assert_eq!(runtime.handle.timers().next(), None);
        drop(call);
        assert!(called(log).len() <= 1);
    });
}

/// A callback for a later moment comes while the runtime ends: it waits for it nowhere. Breaks if
/// `at` arms the timer after it has let go of the lock.
#[test]
fn a_later_callback_comes_while_the_queue_is_closed() {
    explore(|| {
        let runtime = Deserted::new();
        let log = log();
        let adding = thread::spawn({
            let (engine, there) = (runtime.engine.clone(), log.clone());
            move || {
                let work = move || there.lock().push(1);
                drop(engine.calls().at(milliseconds(1), work, Location::caller()));
            }
        });
        runtime.engine.calls().close();
        adding.join().unwrap();
        runtime.fire(milliseconds(1));
        runtime.run();
        assert_eq!(runtime.handle.timers().next(), None);
        assert!(called(log).is_empty());
    });
}

/// The end waits until what was added before it has been called (`call_out`). Breaks if `call_out`
/// does not look at what is being called, but only at what stands in the queue.
#[test]
fn the_end_waits_for_what_was_added() {
    explore(|| {
        let runtime = Deserted::new();
        // Loom's own, so that it sees that the order of call and look matters.
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let work = move || {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        drop(runtime.engine.calls().soon(work, Location::caller()));
        let over = Arc::new(AtomicBool::new(false));
        let runner = thread::spawn({
            let (engine, over) = (runtime.engine.clone(), over.clone());
            move || {
                while !over.load(Ordering::Acquire) {
                    run(&engine);
                    thread::yield_now();
                }
            }
        });
        runtime.engine.calls().call_out(Duration::MAX);
        assert_eq!(count.load(Ordering::Relaxed), 1, "the end came first");
        over.store(true, Ordering::Release);
        runner.join().unwrap();
    });
}
