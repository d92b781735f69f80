//! A promise: set against cancelled against awaited. (Two threads: loom cannot tell a third one
//! that spins for the short lock from one that waits for ever.)

use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::common::{all_gone, explore};
use crate::sync::Promise;
use crate::task::memory::{Home, HomeHandle, Kind};
use crate::task::{Job, Runnable, Schedule, Why, jobs};

/// What `runtime` has for promises, but for the queue of callbacks.
struct Nobody;

impl Schedule for Nobody {
    fn schedule(&self, task: Runnable, _why: Why) {
        task.end_cancelled();
    }

    fn job(&self, job: Job) {
        jobs::run(job);
    }

    fn is_single(&self) -> bool {
        true
    }
}

struct Count(AtomicUsize);

impl std::task::Wake for Count {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counter() -> (std::sync::Arc<Count>, Waker) {
    let count = std::sync::Arc::new(Count(AtomicUsize::new(0)));
    (count.clone(), count.into())
}

fn home() -> HomeHandle {
    Home::new_with_own_numbers(Box::new(Nobody), Kind::Shared)
}

fn promise(home: &Home) -> Promise<u32> {
    Promise::in_home(home, Location::caller())
}

fn poll(promise: &mut Promise<u32>, waker: &Waker) -> Option<Result<u32, bool>> {
    match Pin::new(promise).poll(&mut Context::from_waker(waker)) {
        Poll::Ready(result) => Some(result.map_err(|error| error.is_cancelled())),
        Poll::Pending => None,
    }
}

/// The home is empty: nobody kept a reference to a promise.
fn nothing_is_left(home: &Home) {
    all_gone(&home);
}

/// One sets the value while another cancels: one of them wins, and the other is told so (FUT-02,
/// FUT-04). Breaks if `lock_idle` looks apart from taking the lock.
#[test]
fn set_or_cancelled_but_not_both() {
    explore(|| {
        let home = home();
        let promise = promise(&home);
        let canceller = thread::spawn({
            let promise = promise.clone();
            move || promise.cancel()
        });
        let set = promise.set(7).is_ok();
        let cancelled = canceller.join().unwrap();
        assert_ne!(set, cancelled);
        assert_eq!(promise.is_cancelled(), cancelled);
        let result = promise.result().expect("it has an outcome");
        assert_eq!(result.ok(), set.then_some(7));
        drop(promise);
        nothing_is_left(&home);
    });
}

/// Two set it: one succeeds, and that one's value it is. Breaks as above, or if `put` is called
/// before the lock is held.
#[test]
fn of_two_values_one_stays() {
    explore(|| {
        let home = home();
        let promise = promise(&home);
        let other = thread::spawn({
            let promise = promise.clone();
            move || promise.set(1).is_ok()
        });
        let ours = promise.set(2).is_ok();
        // Whoever is too late sees the other's.
        let seen = promise.result().expect("it has an outcome").ok();
        let theirs = other.join().unwrap();
        assert_ne!(ours, theirs);
        assert_eq!(seen, Some(if ours { 2 } else { 1 }));
        drop(promise);
        nothing_is_left(&home);
    });
}

/// Somebody begins to wait while the value is set: told, or sees it. Breaks if `settle` in `state`
/// overlooks WAITER.
#[test]
fn whoever_waits_gets_the_value() {
    explore(|| {
        let home = home();
        let promise = promise(&home);
        let setter = thread::spawn({
            let promise = promise.clone();
            move || promise.set(7).unwrap()
        });
        let (count, waker) = counter();
        let mut waiting = promise.clone();
        let first = poll(&mut waiting, &waker);
        setter.join().unwrap();
        assert!(first.is_some() || count.0.load(Ordering::SeqCst) == 1);
        assert_eq!(first.or_else(|| poll(&mut waiting, &waker)), Some(Ok(7)));
        drop((waiting, promise));
        nothing_is_left(&home);
    });
}

/// One waits and then cancels while another sets the value: the waiter learns of the one end there
/// is. Breaks if `end_cancelled` does not tell whoever waits.
#[test]
fn set_against_cancel_against_wait() {
    explore(|| {
        let home = home();
        let promise = promise(&home);
        let setter = thread::spawn({
            let promise = promise.clone();
            move || promise.set(7).is_ok()
        });
        let (count, waker) = counter();
        let mut waiting = promise.clone();
        let first = poll(&mut waiting, &waker);
        let cancelled = promise.cancel();
        let set = setter.join().unwrap();
        assert_ne!(set, cancelled);
        assert!(first.is_some() || count.0.load(Ordering::SeqCst) == 1);
        let end = first.or_else(|| poll(&mut waiting, &waker)).expect("it has an outcome");
        assert_eq!(end, if set { Ok(7) } else { Err(true) });
        drop((waiting, promise));
        nothing_is_left(&home);
    });
}

/// A callback is registered while the value is set: it is called once (FUT-20). Breaks as above.
#[test]
fn a_callback_is_called_once() {
    explore(|| {
        let home = home();
        let promise = promise(&home);
        let setter = thread::spawn({
            let promise = promise.clone();
            move || promise.set(7).unwrap()
        });
        let (count, _) = counter();
        let called = count.clone();
        promise.add_done_callback(move |task| {
            assert!(task.is_finished());
            called.0.fetch_add(1, Ordering::SeqCst);
        });
        setter.join().unwrap();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        drop(promise);
        nothing_is_left(&home);
    });
}

/// Somebody asks who waits while the value is set, which takes the waiter away and ends it: gets a
/// reference that counts, or nobody. Breaks if `task_of` does not count its reference, or if
/// `look_for_awaiters` does not take the lock.
#[test]
fn who_waits_can_be_asked_while_it_ends() {
    explore(|| {
        let (tasks, queue) = super::common::home();
        let home = home();
        let promise = promise(&home);
        let waiting = super::common::spawn(&tasks, promise.clone());
        queue.run();
        let setter = thread::spawn({
            let promise = promise.clone();
            move || {
                promise.set(7).unwrap();
                queue.run();
            }
        });
        let awaiters = promise.awaiters();
        setter.join().unwrap();
        assert!(awaiters.iter().all(|task| *task == waiting.task_ref()));
        assert!(waiting.is_finished());
        drop((awaiters, waiting, promise));
        nothing_is_left(&home);
        nothing_is_left(&tasks);
    });
}

/// The last who could set it goes while somebody waits through a handle: the promise ends
/// cancelled, and nothing leaks. Breaks if `abandon` tells nobody.
#[test]
fn a_promise_nobody_can_keep_is_cancelled() {
    explore(|| {
        let home = home();
        let promise = promise(&home);
        let task = promise.task_ref();
        let other = thread::spawn({
            let promise = promise.clone();
            move || drop(promise)
        });
        let (count, waker) = counter();
        let mut join = Box::pin(task.join());
        let first = join.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        assert!(!first, "it is still in our hands");
        drop(promise);
        other.join().unwrap();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(task.is_cancelled());
        drop((join, task));
        nothing_is_left(&home);
    });
}
