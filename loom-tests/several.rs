//! Several tasks awaited as one, while they end and while whoever awaits them is asked to end.

use std::future::pending;
use std::task::Waker;

use loom::thread;

use super::common::{
    all_gone, ends_elsewhere, explore, explore_at_most, home, outcome, spawn, twice,
};
use crate::scope::{ReturnWhen, gather, wait};
use crate::sys::Arc;
use crate::task::several::{Enough, Watch};

/// Two tasks end, one on each thread, while a third one begins to gather them, on either: it gets
/// both values (GAT-12). Breaks if `look` does not look again when it has left its waker, or if
/// `ended` lets go of the lock between its look at `left` and its change.
#[test]
fn two_tasks_end_while_they_are_gathered() {
    explore_at_most(3, || {
        let (home, queue) = home();
        let (one, two) = (spawn(&home, twice(1)), spawn(&home, twice(2)));
        queue.run();
        let tasks = [one.task_ref(), two.task_ref()];
        let outer = spawn(&home, gather([one, two]));
        let ender = thread::spawn({
            let (queue, task) = (queue.clone(), tasks[0].clone());
            move || {
                task.wake();
                queue.run();
            }
        });
        tasks[1].wake();
        queue.run();
        ender.join().unwrap();
        queue.run();
        assert_eq!(outcome(outer).map(|values| (values[0], values[1])), Ok((1, 2)));
        drop(tasks);
        drop(home);
    });
}

/// Two tasks end, one on each thread, while a third one begins to wait for them, on either: it
/// finds both done (WAIT-05, WAIT-06). Breaks if `listen` forgets a listener that comes too late,
/// or as above.
#[test]
fn two_tasks_end_while_somebody_begins_to_wait() {
    explore_at_most(3, || {
        let (home, queue) = home();
        let (one, two) = (spawn(&home, twice(1)), spawn(&home, twice(2)));
        queue.run();
        let tasks = [one.task_ref(), two.task_ref()];
        let outer = spawn(&home, async move {
            let waited = wait([one, two], ReturnWhen::AllCompleted).await;
            Ok((waited.done.len(), waited.pending.len()))
        });
        let ender = ends_elsewhere(&queue, &tasks[0]);
        tasks[1].wake();
        queue.run();
        ender.join().unwrap();
        queue.run();
        assert_eq!(outcome(outer), Ok((2, 0)));
        drop(tasks);
        all_gone(&home);
    });
}

/// One of two tasks ends while somebody waits for the first of them and is asked to end: the wait
/// returns, or is cancelled; the tasks are left alone (WAIT-08). Breaks if a request to whoever
/// waits goes on to the tasks.
#[test]
fn one_who_waits_for_the_first_is_asked() {
    explore_at_most(3, || {
        let (home, queue) = home();
        let (ends, stays) = (spawn(&home, twice(1)), spawn(&home, pending::<()>()));
        queue.run();
        let [first, second] = [ends.task_ref(), stays.task_ref()];
        let outer = spawn(&home, async move {
            let refs = [ends.task_ref(), stays.task_ref()];
            let waited = wait(refs, ReturnWhen::FirstCompleted).await;
            Ok((waited.done.len(), waited.pending.len()))
        });
        queue.run();
        let ender = ends_elsewhere(&queue, &first);
        let accepted = outer.cancel();
        queue.run();
        ender.join().unwrap();
        queue.run();
        assert_eq!(outcome(outer), if accepted { Err(true) } else { Ok((1, 1)) });
        assert_eq!((first.cancelling(), second.cancelling()), (0, 0));
        assert!(first.is_finished() && !second.is_finished());
        second.cancel();
        queue.run();
        drop((first, second));
        all_gone(&home);
    });
}

/// Whoever gathers is asked to end while the last task ends: the request is refused, because all
/// is over, or unwinds it; it is never lost (GAT-07, GAT-12). Breaks if `end` does not let the
/// waiter take it, or if `go_on` lets go of the waiter before it begins the request.
#[test]
fn a_request_meets_the_end_of_the_last_task() {
    explore(|| {
        let (home, queue) = home();
        let inner = spawn(&home, twice(1));
        let target = inner.task_ref();
        let outer = spawn(&home, gather([inner]));
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
        assert!(target.is_finished());
        assert_eq!(outer.cancelling(), u32::from(accepted));
        match outcome(outer) {
            Ok(values) => assert!(values == [1] && !accepted, "the request is lost"),
            Err(cancelled) => assert!(cancelled && accepted),
        }
        drop(target);
        drop(home);
    });
}

/// Whoever waits goes away while a task ends: the tasks are left alone, and nothing of it stays
/// with them (WAIT-08). Breaks if `Watch` leaves its listeners when it is dropped.
#[test]
fn a_watch_goes_while_a_task_ends() {
    explore(|| {
        let (home, queue) = home();
        let (ends, stays) = (spawn(&home, twice(1)), spawn(&home, pending::<()>()));
        queue.run();
        let watch = Watch::new(vec![ends.task_ref(), stays.task_ref()], Enough::All, true);
        let several = Arc::clone(watch.several());
        let ender = thread::spawn({
            let (queue, ends) = (queue.clone(), ends.task_ref());
            move || {
                ends.wake();
                queue.run();
            }
        });
        drop(watch);
        ender.join().unwrap();
        assert_eq!(Arc::strong_count(&several), 1, "a listener stays");
        assert_eq!((ends.cancelling(), stays.cancelling()), (0, 0));
        assert!(ends.is_finished() && !stays.is_finished());
        stays.cancel();
        queue.run();
        drop((several, ends, stays));
        drop(home);
    });
}

/// Of two that end at once, one makes it enough. Breaks if `ended` decides again.
#[test]
fn one_of_two_makes_it_enough() {
    explore(|| {
        let (home, queue) = home();
        let (one, two) = (spawn(&home, twice(1)), spawn(&home, twice(2)));
        queue.run();
        let tasks = vec![one.task_ref(), two.task_ref()];
        let mut watch = Watch::new(tasks, Enough::First, true);
        let several = Arc::clone(watch.several());
        let ender = thread::spawn({
            let (queue, one) = (queue.clone(), one.task_ref());
            move || {
                one.wake();
                queue.run();
            }
        });
        two.wake();
        queue.run();
        let first = watch.poll(Waker::noop());
        ender.join().unwrap();
        queue.run();
        let last = watch.poll(Waker::noop());
        assert!(last.is_ready());
        assert!(first.is_pending() || first == last, "decided twice");
        drop((watch, several, one, two));
        drop(home);
    });
}
