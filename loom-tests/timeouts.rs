//! Timeouts: the alarm goes off while the inside ends, or the deadline is moved, or all is dropped.
//!
//! Whatever comes first: the task ends in one of the ways there are, no request stays in its count,
//! and no timer stays armed.

use std::future::pending;
use std::sync::{Arc as StdArc, Mutex as StdMutex};

use super::common::{
    Deserted, all_gone, ends_elsewhere, explore, home, milliseconds, spawn, twice,
};
use crate::error::{Error, Result};
use crate::scope::{Deadline, ReturnWhen, timeout_at, timeout_scope, wait};
use crate::task::handle::Task;
use crate::task::memory::Home;

/// How a task ended: its value, or whether time was up.
fn ended<T>(task: Task<T>) -> Result<T, bool> {
    assert!(task.is_finished(), "nobody tells it");
    assert_eq!(task.cancelling(), 0, "a request stays");
    task.outcome().map_err(|error: Error| error.is_timeout())
}

/// No timer is armed, and none keeps a task.
#[track_caller]
fn nothing_is_left(runtime: &Deserted, home: &Home) {
    assert_eq!(runtime.handle.timers().next(), None);
    all_gone(home);
}

/// The timer fires while what is inside ends: a value or a timeout, and nothing stays (TMO-16).
/// Breaks if a scope that is over leaves its own request in the count, or if neither `poll_set` nor
/// the drop of `Alarm` disarms that.
#[test]
fn a_timer_fires_while_the_block_ends() {
    explore(|| {
        let runtime = Deserted::new();
        let _entered = runtime.handle.enter();
        let (home, queue) = home();
        let task = spawn(&home, timeout_at(milliseconds(1), twice(7)));
        let target = task.task_ref();
        queue.run();
        let ender = ends_elsewhere(&queue, &target);
        runtime.fire(milliseconds(1));
        queue.run();
        ender.join().unwrap();
        queue.run();
        assert!(matches!(ended(task), Ok(7) | Err(true)));
        drop(target);
        nothing_is_left(&runtime, &home);
    });
}

/// The timer fires while somebody asks the task to end: it does, cancelled, for his request stands
/// (TMO-06). Breaks if `Scope::leave` takes all requests for the scope's own.
#[test]
fn a_timer_fires_while_somebody_asks() {
    explore(|| {
        let runtime = Deserted::new();
        let _entered = runtime.handle.enter();
        let (home, queue) = home();
        let task = spawn(&home, timeout_at(milliseconds(1), pending::<()>()));
        queue.run();
        let firing = runtime.fires_elsewhere(milliseconds(1));
        let accepted = task.cancel();
        queue.run();
        firing.join().unwrap();
        queue.run();
        assert!(accepted && task.is_finished());
        assert_eq!(task.cancelling(), 1);
        assert!(task.is_cancelled());
        drop(task);
        nothing_is_left(&runtime, &home);
    });
}

/// The task is ended by force, and with it the timer goes, while that fires. Breaks if `Alarm`
/// leaves its timer where it is when it is dropped.
#[test]
fn a_timer_fires_while_its_task_is_dropped() {
    explore(|| {
        let runtime = Deserted::new();
        let _entered = runtime.handle.enter();
        let (home, queue) = home();
        let task = spawn(&home, timeout_at(milliseconds(1), pending::<()>()));
        queue.run();
        let firing = runtime.fires_elsewhere(milliseconds(1));
        let killed = task.kill();
        firing.join().unwrap();
        queue.run();
        assert_ne!(killed, ended(task) == Err(true));
        nothing_is_left(&runtime, &home);
    });
}

/// A task in a timeout that can be moved, and what moves it.
fn movable(
    deadline: u64,
) -> (impl Future<Output = Result<()>> + Send, StdArc<StdMutex<Option<Deadline>>>) {
    let place = StdArc::new(StdMutex::new(None));
    let there = place.clone();
    let limit = std::time::Duration::from_millis(deadline);
    let scope = timeout_scope(limit, move |deadline| {
        *there.lock().unwrap() = Some(deadline);
        pending::<Result<()>>()
    });
    (scope, place)
}

/// The deadline is moved to an earlier moment while the task is polled: its timer follows
/// (TMO-07). Breaks if the poll does not follow once more when it ends, or if `reschedule` wakes
/// nobody.
#[test]
fn a_deadline_is_moved_while_the_task_is_polled() {
    explore(|| {
        let runtime = Deserted::new();
        let _entered = runtime.handle.enter();
        let (home, queue) = home();
        let (scope, place) = movable(9);
        let task = spawn(&home, scope);
        queue.run();
        let deadline = place.lock().unwrap().take().unwrap();
        let mover = loom::thread::spawn(move || {
            deadline.reschedule(milliseconds(1)).unwrap();
        });
        task.wake();
        queue.run();
        mover.join().unwrap();
        queue.run();
        assert_eq!(runtime.handle.timers().next(), Some(milliseconds(1)));
        runtime.fire(milliseconds(1));
        queue.run();
        assert_eq!(ended(task), Err(true));
    });
}

/// The deadline is moved away while its timer fires: it is the new one that counts, or the move is
/// refused and time is up (TMO-16). Breaks if the poll after the move leaves the timer as it was,
/// or if the timer that fires does not look whether the deadline was moved.
#[test]
fn a_deadline_is_moved_while_its_timer_fires() {
    explore(|| {
        let runtime = Deserted::new();
        let _entered = runtime.handle.enter();
        let (home, queue) = home();
        let (scope, place) = movable(1);
        let task = spawn(&home, scope);
        queue.run();
        let deadline = place.lock().unwrap().take().unwrap();
        let firing = runtime.fires_elsewhere(milliseconds(1));
        let moved = deadline.reschedule(milliseconds(2)).is_ok();
        assert_ne!(moved, deadline.expired());
        queue.run();
        firing.join().unwrap();
        queue.run();
        if !moved {
            assert_eq!(ended(task), Err(true));
            return;
        }
        assert!(!task.is_finished());
        assert_eq!(runtime.handle.timers().next(), Some(milliseconds(2)));
        runtime.fire(milliseconds(2));
        queue.run();
        assert_eq!(ended(task), Err(true));
        assert_eq!(runtime.handle.timers().next(), None);
    });
}

/// A timer fires while the task is polled, which takes notice on its way in or out, or the next
/// time; whoever saw that time is up saw the truth (TMO-04).
/// Breaks if the alarm wakes nobody, or if the next poll takes no notice.
#[test]
fn a_timer_fires_while_the_task_is_polled() {
    explore(|| {
        let runtime = Deserted::new();
        let _entered = runtime.handle.enter();
        let (home, queue) = home();
        let (scope, place) = movable(1);
        let task = spawn(&home, scope);
        queue.run();
        let deadline = place.lock().unwrap().take().unwrap();
        let firing = runtime.fires_elsewhere(milliseconds(1));
        task.wake();
        queue.run();
        let seen = deadline.expired();
        firing.join().unwrap();
        queue.run();
        assert!(deadline.expired() || !seen);
        assert_eq!(ended(task), Err(true));
        drop(deadline);
        nothing_is_left(&runtime, &home);
    });
}

/// A `wait` reaches its limit while the task ends that it waits for: it returns once, and tells
/// the truth (WAIT-05, WAIT-07). Breaks if neither the wait nor the drop of its `Alarm` disarms
/// that.
#[test]
fn a_wait_reaches_its_limit_while_the_task_ends() {
    explore(|| {
        let runtime = Deserted::new();
        let _entered = runtime.handle.enter();
        let (home, queue) = home();
        let inner = spawn(&home, twice(()));
        let target = inner.task_ref();
        queue.run();
        let limit = std::time::Duration::from_millis(1);
        let outer = spawn(&home, async move {
            let waited = wait([inner], ReturnWhen::AllCompleted).timeout(limit).await;
            let told = waited.done.len();
            assert_eq!(told + waited.pending.len(), 1);
            Ok(told)
        });
        queue.run();
        let ender = ends_elsewhere(&queue, &target);
        runtime.fire(milliseconds(1));
        queue.run();
        ender.join().unwrap();
        queue.run();
        assert!(target.is_finished() && target.cancelling() == 0);
        assert!(ended(outer).is_ok());
        drop(target);
        nothing_is_left(&runtime, &home);
    });
}
