//! A request on its walk along tasks that await each other.

use std::future::pending;

use loom::thread;

use super::common::{all_gone, explore, explore_at_most, home, outcome, spawn, twice};
use crate::TaskRef;
use crate::task::memory::Home;
use crate::task::unwind::catch_cancelled;

/// The home is empty: nobody kept a reference to a task.
fn nothing_is_left(home: &Home) {
    all_gone(&home);
}

/// The awaiting task is asked while the awaited one ends: the request arrives, there or here, or
/// was answered by the value (CAN-28, CAN-29). Breaks if `forward` gives up the lock of the task
/// it stands on before it asks the next one, or if `unlock_refused` only unlocks.
#[test]
fn a_request_meets_the_end_of_the_awaited_task() {
    explore(|| {
        let (home, queue) = home();
        let inner = spawn(&home, twice(1));
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
/// if `forward` waits for the next task's lock while it holds one, or if `relock_marked` drops the
/// mark of a task that has moved on.
#[test]
fn a_ring_asked_from_both_ends_ends() {
    explore(|| {
        let (home, queue) = home();
        let place = std::sync::Arc::new(std::sync::Mutex::new(None::<TaskRef>));
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
/// and must not stay there. Breaks if `unlock_refused` drops the mark.
#[test]
fn a_request_finds_a_task_that_moves_on() {
    explore(|| {
        let (home, queue) = home();
        let inner = spawn(&home, twice(()));
        let target = inner.task_ref();
        let outer = spawn(&home, async move {
            // Whether the request was swallowed by the inner task or not, the next await is one
            // that nobody wakes.
            let caught = catch_cancelled(inner).await;
            if caught.is_ok() {
                pending::<()>().await;
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

/// The task is asked in the very poll in which it begins to wait for another: the end of that poll
/// passes the request on, once. Breaks if `suspend` does not forward, or if `end_poll` leaves the
/// mark where it was.
#[test]
fn a_request_meets_the_poll_that_begins_to_wait() {
    explore(|| {
        let (home, queue) = home();
        // It swallows what it is asked.
        let inner = spawn(&home, async { drop(catch_cancelled(pending::<()>()).await) });
        let target = inner.task_ref();
        queue.run();
        let outer = spawn(&home, async move {
            let caught = catch_cancelled(inner).await;
            if caught.is_err() { Ok(1) } else { Ok(2) }
        });
        let runner = thread::spawn({
            let queue = queue.clone();
            move || queue.run()
        });
        assert!(outer.cancel());
        runner.join().unwrap();
        queue.run();
        // Before its first poll it is delivered there, and `inner` goes detached.
        let passed = target.cancelling() == 1;
        assert_eq!(outcome(outer), if passed { Ok(2) } else { Err(true) });
        assert_eq!(target.is_finished(), passed);
        target.kill();
        drop(target);
        nothing_is_left(&home);
    });
}

/// A request that went to the awaited task comes back as its end: the awaiting task is unwound,
/// and does not take it for somebody else's. Breaks if `unlock_passed` does not note PASSED.
#[test]
fn a_request_that_comes_back_is_no_value() {
    explore(|| {
        let (home, queue) = home();
        let inner = spawn(&home, twice(1));
        let target = inner.task_ref();
        let outer = spawn(&home, async move { Ok(inner.await.unwrap_or(100)) });
        queue.run();
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
        assert_eq!(outcome(outer), if accepted { Err(true) } else { Ok(1) });
        drop(target);
        nothing_is_left(&home);
    });
}

/// Somebody looks at the awaited task and then at the awaiting one, under their locks, while a
/// request walks from this to that: the request waits, or tries again, depending on which of the
/// two lies higher in memory. Breaks if `unlock_marked` leaves no mark, or if `relock_marked` gives
/// up where it finds the lock taken.
#[test]
fn a_request_meets_somebody_who_looks() {
    for upwards in [false, true] {
        explore(move || {
            let (home, queue) = home();
            let place = std::sync::Arc::new(std::sync::Mutex::new(None));
            // Both of one type: then their cells lie in one chunk, in this order.
            let wait = |place: Option<&std::sync::Arc<std::sync::Mutex<Option<TaskRef>>>>| {
                let place = place.cloned();
                async move {
                    let Some(place) = place else { return pending().await };
                    let target = place.lock().unwrap().take().expect("it was put there");
                    target.join().await
                }
            };
            let early = if upwards { Some(spawn(&home, wait(Some(&place)))) } else { None };
            let inner = spawn(&home, wait(None));
            let outer = early.unwrap_or_else(|| spawn(&home, wait(Some(&place))));
            *place.lock().unwrap() = Some(inner.task_ref());
            queue.run();
            let looking = thread::spawn({
                let targets = [inner.task_ref(), outer.task_ref()];
                move || targets.into_iter().for_each(|task| task.set_name("it"))
            });
            assert!(outer.cancel());
            looking.join().unwrap();
            queue.run();
            assert_eq!((outcome(outer), outcome(inner)), (Err(true), Err(true)));
            nothing_is_left(&home);
        });
    }
}

/// A request walks a chain of three while its end ends: whoever says "accepted" is right, and
/// everybody learns of the end.
#[test]
fn a_request_walks_a_chain_that_unwinds() {
    explore_at_most(2, || {
        let (home, queue) = home();
        let last = spawn(&home, twice(1));
        let target = last.task_ref();
        let middle = spawn(&home, last);
        let first = spawn(&home, middle);
        queue.run();
        let ender = thread::spawn({
            let (queue, target) = (queue.clone(), target.clone());
            move || {
                target.wake();
                queue.run();
            }
        });
        let accepted = first.cancel();
        ender.join().unwrap();
        queue.run();
        assert!(target.is_finished());
        assert_eq!(outcome(first), if accepted { Err(true) } else { Ok(1) });
        drop(target);
        nothing_is_left(&home);
    });
}

/// The awaited task is ended by force while a request walks to it: the request comes back as its
/// end, or is taken by the one that awaits. Breaks if `unlock_refused` only unlocks, or if
/// `unlock_passed` does not note PASSED.
#[test]
fn a_request_meets_a_killed_task() {
    explore(|| {
        let (home, queue) = home();
        let inner = spawn(&home, pending::<()>());
        let target = inner.task_ref();
        let outer = spawn(&home, async move {
            // Whatever becomes of it: only a request ends this one.
            drop(inner.await);
            pending::<()>().await;
        });
        queue.run();
        let killer = thread::spawn(move || target.kill());
        assert!(outer.cancel());
        killer.join().unwrap();
        queue.run();
        assert_eq!((outer.cancelling(), outcome(outer)), (1, Err(true)));
        nothing_is_left(&home);
    });
}

/// The awaiting task is ended by force while a request walks through it: the note goes, and the
/// task it leads to is only asked, or not.
#[test]
fn a_request_walks_through_a_task_that_is_killed() {
    explore(|| {
        let (home, queue) = home();
        let inner = spawn(&home, pending::<()>());
        let target = inner.task_ref();
        let outer = spawn(&home, inner);
        queue.run();
        let killer = thread::spawn({
            let outer = outer.task_ref();
            move || outer.kill()
        });
        let accepted = outer.cancel();
        let killed = killer.join().unwrap();
        queue.run();
        assert!(killed || accepted);
        assert_eq!(outcome(outer), Err(true));
        assert!(accepted || target.cancelling() == 0);
        target.cancel();
        queue.run();
        assert!(target.is_cancelled());
        drop(target);
        nothing_is_left(&home);
    });
}

/// Two ask at once, with a message each, at both ends of a chain: the requests count where they
/// were made, and the message that arrives is one of the two (CAN-12).
#[test]
fn two_requests_meet_on_a_chain() {
    explore(|| {
        let (home, queue) = home();
        let inner = spawn(&home, pending::<()>());
        let target = inner.task_ref();
        let outer = spawn(&home, inner);
        queue.run();
        let other = thread::spawn({
            let target = target.clone();
            move || target.cancel_with("there")
        });
        assert!(outer.cancel_with("here"));
        assert!(other.join().unwrap());
        queue.run();
        let said = outer.error().and_then(|error| error.cancel_message().map(str::to_owned));
        assert!(matches!(said.as_deref(), Some("here" | "there")));
        assert!(matches!((outer.cancelling(), target.cancelling()), (1, 1 | 2)));
        drop((outer, target));
        nothing_is_left(&home);
    });
}

/// A request is taken back while it walks: it counts no more, and nobody hangs.
#[test]
fn a_request_is_taken_back_while_it_walks() {
    explore(|| {
        let (home, queue) = home();
        let inner = spawn(&home, twice(1));
        let target = inner.task_ref();
        let outer = spawn(&home, inner);
        queue.run();
        let other = thread::spawn({
            let outer = outer.task_ref();
            move || outer.uncancel()
        });
        assert!(outer.cancel());
        assert!(other.join().unwrap() <= 1);
        target.wake();
        queue.run();
        assert!(outer.is_finished() && outer.cancelling() <= 1);
        drop((outer, target));
        nothing_is_left(&home);
    });
}
