//! A task group that is cancelled on another thread, while those inside end, or are asked to.
//!
//! Whatever comes first: the parent's count is what others asked for, and nothing but their
//! requests goes on.

use std::future::pending;

use super::common::{Queue, explore, home, outcome, spawn, twice};
use super::group::{Place, body, take};
use crate::scope::{GroupCancelled, TaskGroup, task_group};
use crate::task::handle::Task;

/// Another thread, which cancels the group, and runs what that wakes.
fn cancels_elsewhere(queue: &Queue, group: &TaskGroup) -> loom::thread::JoinHandle<()> {
    let (queue, group) = (queue.clone(), group.clone());
    loom::thread::spawn(move || {
        group.cancel();
        queue.run();
    })
}

/// The body awaits a child, which may have ended before the parent is asked: even then the parent
/// is not cancelled. Breaks if a group counts as cancelled only when its request was made.
#[test]
fn a_child_ends_before_the_parent_is_asked() {
    explore(|| {
        let (home, queue) = home();
        let awaited: Task<()> = spawn(&home, pending::<()>());
        let place = Place::default();
        let known = awaited.task_ref();
        let body = body(&place, || async move { known.join().await });
        let parent = spawn(&home, task_group(body));
        queue.run();
        let group = take(&place);
        group.reserve().unwrap().admit(&awaited);
        let canceller = cancels_elsewhere(&queue, &group);
        queue.run();
        canceller.join().unwrap();
        queue.run();
        assert!(awaited.is_cancelled());
        assert!(parent.error().unwrap().is::<GroupCancelled>());
        assert_eq!(parent.cancelling(), 0);
        drop((awaited, parent, group));
        drop(home);
    });
}

/// The parent is asked to end, too: that request goes on, and counts. Breaks if a group that was
/// cancelled does not look whether somebody else has asked.
#[test]
fn the_parent_is_asked_while_its_group_is_cancelled() {
    explore(|| {
        let (home, queue) = home();
        let place = Place::default();
        let body = body(&place, pending::<()>);
        let parent = spawn(&home, task_group(body).until_cancelled());
        queue.run();
        let group = take(&place);
        let child: Task<()> = spawn(&home, pending::<()>());
        group.reserve().unwrap().admit(&child);
        queue.run();
        let canceller = cancels_elsewhere(&queue, &group);
        let accepted = parent.cancel();
        queue.run();
        canceller.join().unwrap();
        queue.run();
        assert_eq!(parent.cancelling(), u32::from(accepted));
        let expected = if accepted { Err(true) } else { Ok(None) };
        assert_eq!(outcome(parent), expected);
        assert!(child.is_cancelled());
        drop((child, group));
        drop(home);
    });
}

/// The body ends by itself: its value is there, whatever was asked of it, and the request that the
/// group made is taken back. Breaks if `leave` does not take it back.
#[test]
fn a_body_ends_while_its_group_is_cancelled() {
    explore(|| {
        let (home, queue) = home();
        let place = Place::default();
        let body = body(&place, || twice(5));
        let parent = spawn(&home, async move {
            let ended = task_group(body).until_cancelled().await?;
            // Nothing is left to be delivered here.
            Ok((ended, twice(7).await?))
        });
        queue.run();
        let group = take(&place);
        let child: Task<()> = spawn(&home, pending::<()>());
        group.reserve().unwrap().admit(&child);
        queue.run();
        let canceller = cancels_elsewhere(&queue, &group);
        parent.wake();
        queue.run();
        canceller.join().unwrap();
        queue.run();
        assert_eq!(parent.cancelling(), 0);
        parent.wake();
        queue.run();
        let (ended, after) = outcome(parent).unwrap();
        assert!(ended.is_none_or(|value| value == 5));
        assert_eq!(after, 7);
        assert!(child.is_cancelled());
        drop((child, group));
        drop(home);
    });
}
