//! Waiting for a task's end against that end.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Wake as _, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::common::{all_gone, explore, home, outcome, spawn};
use crate::sys::{Arc, UnsafeCell};

struct Count(AtomicUsize);

impl std::task::Wake for Count {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Somebody registers while the task ends: told, or sees the end. Breaks if `lock_unless_done`
/// looks at DONE apart from taking the lock, or `complete` overlooks WAITER.
#[test]
fn whoever_waits_learns_of_the_end() {
    explore(|| {
        let (home, queue) = home();
        let task = spawn(&home, async { Ok(7) });
        let join = task.join();
        let runner = thread::spawn(move || queue.run());
        let count = std::sync::Arc::new(Count(AtomicUsize::new(0)));
        let waker = count.clone().into();
        let mut join = Box::pin(join);
        let ended = join.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        runner.join().unwrap();
        assert!(ended || count.0.load(Ordering::SeqCst) == 1);
        drop(join);
        assert_eq!(outcome(task), Ok(7));
        drop(home);
    });
}

/// A callback is registered while the task ends: it is called once (FUT-20). Breaks as above.
#[test]
fn a_callback_is_called_once() {
    explore(|| {
        let (home, queue) = home();
        let task = spawn(&home, async {});
        let runner = thread::spawn(move || queue.run());
        let count = std::sync::Arc::new(Count(AtomicUsize::new(0)));
        let called = count.clone();
        task.add_done_callback(move |_| called.wake());
        runner.join().unwrap();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        drop(task);
        drop(home);
    });
}

/// The handle goes while the task ends: the value is dropped once, nothing leaks. Breaks if
/// `complete` decides about the value before it knows of the handle.
#[test]
fn a_detached_value_is_dropped_once() {
    explore(|| {
        let (home, queue) = home();
        let kept = loom::sync::Arc::new(());
        let value = kept.clone();
        let task = spawn(&home, async move { Ok(value) });
        let runner = thread::spawn(move || queue.run());
        drop(task);
        runner.join().unwrap();
        assert!(loom::sync::Arc::try_unwrap(kept).is_ok());
        drop(home);
    });
}

/// The same, and whoever drops the handle finds the task ended at the first look, perhaps: then the
/// value is his. Breaks if that look is relaxed.
#[test]
fn a_handle_that_goes_drops_the_value_after_the_end() {
    explore(|| {
        let (home, queue) = home();
        let kept = loom::sync::Arc::new(());
        let value = kept.clone();
        let task = spawn(&home, async move { Ok(value) });
        let dropping = thread::spawn(move || drop(task));
        queue.run();
        dropping.join().unwrap();
        assert!(loom::sync::Arc::try_unwrap(kept).is_ok());
        drop(home);
    });
}

/// A waker of the task is used while it ends and its handle goes. Breaks if `wake` gives up its
/// reference before it has queued the task.
#[test]
fn a_late_wake_is_harmless() {
    explore(|| {
        let (home, queue) = home();
        let give = std::sync::Arc::new(std::sync::Mutex::new(None));
        let given = give.clone();
        let mut polls = 0;
        let task = spawn(
            &home,
            poll_fn(move |context: &mut Context<'_>| {
                polls += 1;
                if polls == 1 {
                    *given.lock().unwrap() = Some(context.waker().clone());
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(())
            }),
        );
        assert!(queue.run_one());
        let waker = give.lock().unwrap().take().unwrap();
        let runner = thread::spawn({
            let queue = queue.clone();
            move || queue.run()
        });
        drop(task);
        // The last reference, if the task has ended.
        waker.wake();
        runner.join().unwrap();
        queue.run();
        all_gone(&home);
    });
}

/// What callbacks touch: loom says so if two do at once.
struct Log(UnsafeCell<Vec<u32>>);

// SAFETY: callbacks of one task never overlap, which is what is checked.
unsafe impl Sync for Log {}
// SAFETY: as above.
unsafe impl Send for Log {}

impl Log {
    fn add(&self, number: u32) {
        self.0.with_mut(|log| {
            // SAFETY: as above.
            unsafe { (*log).push(number) };
            thread::yield_now();
        });
    }
}

/// Callbacks are registered by two threads while the task ends with one already there: each is
/// called once, no two at once, and those of one thread in its order (MOD-04, FUT-05). Breaks if
/// `call_late` calls though somebody else does. (Two threads: loom cannot tell a third that spins
/// for the short lock from one that waits for ever.)
#[test]
fn callbacks_of_one_task_never_overlap() {
    explore(|| {
        let (home, queue) = home();
        let log = Arc::new(Log(UnsafeCell::new(Vec::new())));
        let task = spawn(&home, async {});
        let register = |number: u32| {
            let log = log.clone();
            task.add_done_callback(move |_| log.add(number));
        };
        register(1);
        let other = thread::spawn({
            let (task, log) = (task.task_ref(), log.clone());
            move || {
                task.add_done_callback(move |_| log.add(9));
            }
        });
        queue.run();
        register(2);
        other.join().unwrap();
        // SAFETY: everybody is through.
        let mut called = log.0.with(|log| unsafe { (*log).clone() });
        let nine = called.iter().position(|number| *number == 9).expect("it was called");
        called.remove(nine);
        assert_eq!(called, [1, 2]);
        drop(task);
        drop(home);
    });
}

/// One of two who wait gives up while the task ends: the other is told all the same. Breaks if
/// `add` puts the second where the first is, or if `leave` takes the first whoever leaves.
#[test]
fn who_gives_up_takes_nobodys_place() {
    for leaves in [0, 1] {
        explore(move || {
            let (home, queue) = home();
            let task = spawn(&home, async { Ok(7) });
            let counts = [(); 2].map(|()| std::sync::Arc::new(Count(AtomicUsize::new(0))));
            let mut joins = counts.clone().map(|count| {
                let mut join = Box::pin(task.join());
                let waker = count.into();
                assert!(join.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                Some(join)
            });
            let runner = thread::spawn(move || queue.run());
            drop(joins[leaves].take());
            let told = counts[1 - leaves].0.load(Ordering::SeqCst) > 0;
            assert!(!told || task.is_finished(), "woken for nothing");
            runner.join().unwrap();
            assert_eq!(counts[1 - leaves].0.load(Ordering::SeqCst), 1);
            drop(joins);
            assert_eq!(outcome(task), Ok(7));
            drop(home);
        });
    }
}

/// A future that waits moves to another task while the awaited one ends: told there, or done.
#[test]
fn a_new_waker_is_told_or_the_end_is_seen() {
    explore(|| {
        let (home, queue) = home();
        let task = spawn(&home, async { Ok(7) });
        let [old, new] = [(); 2].map(|()| std::sync::Arc::new(Count(AtomicUsize::new(0))));
        let mut join = Box::pin(task.join());
        let waker = old.into();
        assert!(join.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let runner = thread::spawn(move || queue.run());
        let waker = new.clone().into();
        let ended = join.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        runner.join().unwrap();
        assert!(ended || new.0.load(Ordering::SeqCst) == 1);
        drop((join, task));
        drop(home);
    });
}

/// A plain thread blocks for a task's value while the task ends. (The one who looks is not the
/// first thread: loom forgets a look once somebody else has looked, too, and would not let the
/// store come first.) Breaks if transitions do not acquire.
#[test]
fn a_thread_that_waits_gets_the_value() {
    explore(|| {
        let (home, queue) = home();
        let task = spawn(&home, async { Ok(7) });
        let waiting = thread::spawn(move || task.wait().unwrap());
        queue.run();
        assert_eq!(waiting.join().unwrap(), 7);
        drop(home);
    });
}

/// Somebody looks once whether the task has ended, and finds the value or goes. Breaks if looking
/// at the state word (`load`) is relaxed.
#[test]
fn whoever_finds_the_end_gets_the_value() {
    explore(|| {
        let (home, queue) = home();
        let mut task = spawn(&home, async { Ok(7) });
        let looking = thread::spawn(move || {
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(value) = Pin::new(&mut task).poll(&mut context) {
                assert_eq!(value.unwrap(), 7);
            }
        });
        queue.run();
        looking.join().unwrap();
        all_gone(&home);
    });
}

/// Two let go of a task that has ended, one of them having looked into it: the last one frees what
/// the other has left there. Breaks if neither `release` acquires nor the look for an unseen error.
/// (Both begin with a step on `turn`, which orders nothing: loom tries who goes first there, but
/// not at two loads.)
#[test]
fn the_last_to_go_comes_after_all_others() {
    explore(|| {
        let (home, queue) = home();
        let task = spawn(&home, async {});
        let watcher = task.task_ref();
        queue.run();
        drop(task);
        let turn = Arc::new(AtomicUsize::new(0));
        let looking = thread::spawn({
            let (turn, watcher) = (turn.clone(), watcher.clone());
            move || {
                turn.fetch_add(1, Ordering::Relaxed);
                watcher.set_name("it");
            }
        });
        turn.fetch_add(1, Ordering::Relaxed);
        drop(watcher);
        looking.join().unwrap();
        all_gone(&home);
    });
}
