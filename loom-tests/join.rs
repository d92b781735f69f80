//! Waiting for a task's end against that end.

use std::future::poll_fn;
use std::task::{Context, Poll, Wake as _};

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::common::{explore, home, outcome, spawn};

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

/// A waker of the task is used while it ends and its handle goes. Breaks if `wake` gives up its
/// reference before it has queued the task.
#[test]
fn a_late_wake_is_harmless() {
    explore(|| {
        let (home, queue) = home();
        let (give, take) = (std::sync::Arc::new(std::sync::Mutex::new(None)), ());
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
        let () = take;
        assert!(queue.run_one());
        let waker = give.lock().unwrap().take().unwrap();
        let runner = thread::spawn({
            let queue = queue.clone();
            move || queue.run()
        });
        waker.wake();
        drop(task);
        runner.join().unwrap();
        queue.run();
        drop(home);
    });
}
