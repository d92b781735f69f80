//! A request on its walk along tasks that await each other.

use loom::thread;

use super::common::{explore, home, outcome, spawn};
use crate::task::unwind::catch_cancelled;

/// The awaiting task is asked while the awaited one ends: the request arrives, there or here, or
/// was answered by the value (CAN-28, CAN-29). Breaks if `forward` gives up the lock of the task
/// it stands on before it asks the next one, or if `unlock_refused` only unlocks.
#[test]
fn a_request_meets_the_end_of_the_awaited_task() {
    explore(|| {
        let (home, queue) = home();
        let inner = spawn(
            &home,
            std::future::poll_fn({
                let mut polls = 0;
                move |_| {
                    polls += 1;
                    match polls {
                        1 => std::task::Poll::Pending,
                        _ => std::task::Poll::Ready(Ok(1)),
                    }
                }
            }),
        );
        let target = inner.task_ref();
        let outer = spawn(&home, async move {
            let value = inner.await?;
            Ok(value)
        });
        queue.run();
        // Now `outer` awaits `inner`, which ends when it is woken.
        let ender = thread::spawn({
            let (queue, target) = (queue.clone(), target.clone());
            move || {
                target.wake();
                queue.run();
            }
        });
        let accepted = outer.cancel();
        ender.join().unwrap();
        queue.run();
        assert_eq!(outer.cancelling(), u32::from(accepted));
        let asked = target.cancelling() == 1;
        // Either the request went on, and came back as the inner one's end, or the inner one had
        // ended, and the outer one took the request itself. It is never lost.
        assert!(target.is_finished());
        match outcome(outer) {
            Ok(value) => assert!(value == 1 && asked == accepted, "answered only by the inner one"),
            Err(cancelled) => assert!(accepted && cancelled),
        }
        drop(target);
        drop(home);
    });
}

/// Two tasks in a ring are asked from both ends: no deadlock, both end cancelled (CAN-23). Breaks
/// if `forward` waits for the next task's lock while it holds one.
#[test]
fn a_ring_asked_from_both_ends_ends() {
    explore(|| {
        let (home, queue) = home();
        let place = std::sync::Arc::new(std::sync::Mutex::new(None::<crate::TaskRef>));
        let there = place.clone();
        let one = spawn(&home, async move {
            let other = there.lock().unwrap().clone().unwrap();
            other.join().await
        });
        let first = one.task_ref();
        let two = spawn(&home, async move { first.join().await });
        *place.lock().unwrap() = Some(two.task_ref());
        queue.run();
        let asker = thread::spawn({
            let one = one.task_ref();
            move || one.cancel()
        });
        assert!(two.cancel());
        asker.join().unwrap();
        queue.run();
        assert_eq!((outcome(one), outcome(two)), (Err(true), Err(true)));
        place.lock().unwrap().take();
        drop(home);
    });
}

/// The note changes while a request walks it: the task moves on to the next await at that moment,
/// and must not stay there. Breaks if `relock_marked` or `unlock_refused` drops the mark.
#[test]
fn a_request_finds_a_task_that_moves_on() {
    explore(|| {
        let (home, queue) = home();
        let inner = spawn(
            &home,
            std::future::poll_fn({
                let mut polls = 0;
                move |_| {
                    polls += 1;
                    match polls {
                        1 => std::task::Poll::Pending,
                        _ => std::task::Poll::Ready(Ok(())),
                    }
                }
            }),
        );
        let target = inner.task_ref();
        let outer = spawn(&home, async move {
            // Whether the request was swallowed by the inner task or not, the next await is one
            // that nobody wakes.
            let caught = catch_cancelled(inner).await;
            if caught.is_ok() {
                std::future::pending::<()>().await;
            }
        });
        queue.run();
        let ender = thread::spawn({
            let (queue, target) = (queue.clone(), target.clone());
            move || {
                target.wake();
                queue.run();
            }
        });
        assert!(outer.cancel());
        ender.join().unwrap();
        queue.run();
        let swallowed = target.cancelling() == 1 && !target.is_cancelled();
        assert_ne!(swallowed, outer.is_finished(), "delivered, or swallowed by the inner task");
        drop(target);
        outer.cancel();
        queue.run();
        assert!(outer.is_finished());
        drop(outer);
        queue.kill();
        drop(home);
    });
}
