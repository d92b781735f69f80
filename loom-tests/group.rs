//! A group's children, its parent, and those who would be children, on two threads.
//!
//! Whatever comes first: no child outlives the group, each is told to end at most once by it, and
//! the request that a group makes of its parent is taken back.

use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc as StdArc, Mutex as StdMutex};
use std::task::{Context, Wake, Waker};

use super::common::{
    Queue, all_gone, ends_elsewhere, explore, explore_at_most, home, spawn, twice,
};
use crate::error::{Error, Result};
use crate::scope::{TaskGroup, task_group};
use crate::task::handle::Task;
use crate::task::memory::Home;
use crate::task::unwind::catch_cancelled;

/// A handle to the group, once its parent was polled.
pub(super) type Place = StdArc<StdMutex<Option<TaskGroup>>>;

pub(super) fn take(place: &Place) -> TaskGroup {
    place.lock().unwrap().take().unwrap()
}

/// A body that hands its group out, and goes on with what `rest` makes.
pub(super) fn body<F, R>(place: &Place, rest: R) -> impl FnOnce(TaskGroup) -> F + use<F, R>
where
    R: FnOnce() -> F,
{
    let there = place.clone();
    move |group| {
        *there.lock().unwrap() = Some(group);
        rest()
    }
}

/// A parent that waits in its body to be asked to end; and its group.
fn parent(home: &Home, queue: &Queue) -> (Task<()>, TaskGroup) {
    let place = Place::default();
    let parent = spawn(home, task_group(body(&place, pending::<()>)));
    queue.run();
    let group = take(&place);
    (parent, group)
}

/// A child that fails when it is woken. It sleeps now.
fn failing(home: &Home, queue: &Queue, group: &TaskGroup) -> Task<()> {
    let child = spawn(home, async {
        twice(()).await?;
        Err::<(), Error>(Error::msg("child"))
    });
    group.reserve().unwrap().admit(&child);
    queue.run();
    child
}

/// Counts itself while it lives.
struct Alive(StdArc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A child comes while another one fails: it is refused, or asked to end and waited for (TG-19).
/// Breaks if `admit` does not look at the phase, or if `reserve` does not count.
#[test]
fn a_child_comes_while_another_fails() {
    explore(|| {
        let (home, queue) = home();
        let alive = StdArc::new(AtomicUsize::new(0));
        let place = Place::default();
        let (there, counted) = (place.clone(), alive.clone());
        let parent = spawn(&home, async move {
            let body = move |group| {
                *there.lock().unwrap() = Some(group);
                pending::<()>()
            };
            let ended = task_group(body).await;
            assert_eq!(counted.load(Ordering::Relaxed), 0, "a child outlives its group");
            ended
        });
        queue.run();
        let group = take(&place);
        let child = failing(&home, &queue, &group);
        let ender = ends_elsewhere(&queue, &child);
        let late = group.reserve().ok().map(|reserved| {
            alive.fetch_add(1, Ordering::Relaxed);
            let alive = Alive(alive.clone());
            let late = spawn(&home, async move {
                let _alive = alive;
                pending::<()>().await;
            });
            reserved.admit(&late);
            late
        });
        ender.join().unwrap();
        queue.run();
        if let Some(late) = &late {
            assert!(late.is_cancelled());
            assert_eq!(late.cancelling(), 1);
        }
        assert_eq!(parent.cancelling(), 0);
        assert_eq!(parent.error().unwrap().errors().len(), 1);
        drop((late, child, parent, group));
        all_gone(&home);
    });
}

/// A child that the parent awaits is asked by the group, and through the parent: it is told once,
/// and cleans up in peace. Breaks if `Members::request` asks whoever was asked already.
#[test]
fn an_awaited_child_is_asked_by_parent_and_group() {
    explore_at_most(2, || {
        let (home, queue) = home();
        let awaited: Task<()> = spawn(&home, async {
            assert!(catch_cancelled(pending::<()>()).await.is_err());
            assert!(catch_cancelled(twice(())).await.is_ok(), "the clean-up is interrupted");
            Ok(())
        });
        let place = Place::default();
        let known = awaited.task_ref();
        let body = body(&place, || async move { known.join().await });
        let parent = spawn(&home, task_group(body));
        queue.run();
        let group = take(&place);
        group.reserve().unwrap().admit(&awaited);
        let child = failing(&home, &queue, &group);
        let ender = ends_elsewhere(&queue, &child);
        queue.run();
        ender.join().unwrap();
        queue.run();
        awaited.wake();
        queue.run();
        assert!((1..=2).contains(&awaited.cancelling()));
        assert_eq!(super::common::outcome(awaited), Ok(()));
        assert_eq!(parent.error().unwrap().errors().len(), 1);
        assert_eq!(parent.cancelling(), 0);
        drop((child, parent, group));
        drop(home);
    });
}

/// Two children fail at once: one of them makes the others, and the parent, end, once (TG-08).
/// Breaks if `failed` aborts in another phase than Open.
#[test]
fn two_children_fail_at_once() {
    explore_at_most(2, || {
        let (home, queue) = home();
        let (parent, group) = parent(&home, &queue);
        let third: Task<()> = spawn(&home, pending::<()>());
        group.reserve().unwrap().admit(&third);
        let (one, two) = (failing(&home, &queue, &group), failing(&home, &queue, &group));
        let ender = ends_elsewhere(&queue, &one);
        two.wake();
        queue.run();
        ender.join().unwrap();
        queue.run();
        let failed = [&one, &two].into_iter().filter(|child| !child.is_cancelled()).count();
        assert_eq!(parent.error().unwrap().errors().len(), failed);
        assert!(failed > 0);
        assert_eq!(parent.cancelling(), 0);
        assert!(one.cancelling() + two.cancelling() <= 1);
        assert_eq!(third.cancelling(), 1);
        drop((one, two, third, parent, group));
        drop(home);
    });
}

/// Says whether it was woken.
#[derive(Default)]
struct Rung(AtomicBool);

impl Wake for Rung {
    fn wake(self: StdArc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The last child fails while the group's future goes on to another waker: that one is woken.
/// Breaks if who has told the parent of a failure does not look who waits for the last child.
#[test]
fn the_last_child_fails_while_the_group_changes_wakers() {
    explore(|| {
        let (home, queue) = home();
        let place = Place::default();
        let mut scope = Box::pin(task_group(body(&place, || twice(()))));
        let rung = [(); 2].map(|()| StdArc::new(Rung::default()));
        let wakers = rung.clone().map(Waker::from);
        let mut polls = 0;
        let parent = spawn(&home, async move {
            poll_fn(|_| {
                polls += 1;
                scope.as_mut().poll(&mut Context::from_waker(&wakers[polls / 3]))
            })
            .await
        });
        queue.run();
        let group = take(&place);
        let child = failing(&home, &queue, &group);
        parent.wake();
        queue.run();
        let ender = ends_elsewhere(&queue, &child);
        parent.wake();
        queue.run();
        ender.join().unwrap();
        let asked = rung[1].0.load(Ordering::Relaxed);
        assert!(asked || parent.is_finished(), "nobody polls the group again");
        parent.wake();
        queue.run();
        assert!(parent.is_finished());
        drop((child, parent, group));
        drop(home);
    });
}

/// The parent is asked to end while a child fails: its count is what others asked for (TG-10).
/// Breaks if `leave_failed` does not take the group's own request back.
#[test]
fn the_parent_is_asked_while_a_child_fails() {
    explore(|| {
        let (home, queue) = home();
        let (parent, group) = parent(&home, &queue);
        let child = failing(&home, &queue, &group);
        let ender = ends_elsewhere(&queue, &child);
        let accepted = parent.cancel();
        ender.join().unwrap();
        queue.run();
        assert_eq!(parent.cancelling(), u32::from(accepted));
        let error = parent.error().unwrap();
        assert_eq!(error.errors().len(), usize::from(!child.is_cancelled()));
        assert_eq!(error.is_cancelled(), child.is_cancelled());
        drop((child, parent, group));
        drop(home);
    });
}

/// The group is dropped half-way while a child fails: the request that it made of the parent, if it
/// did, is taken back, and the parent lives on (TG-20). Breaks if `close` does not
/// keep the trigger from going off later.
#[test]
fn the_group_is_dropped_while_a_child_fails() {
    explore(|| {
        let (home, queue) = home();
        let place = Place::default();
        let there = place.clone();
        let parent = spawn(&home, async move {
            let body = move |group| {
                *there.lock().unwrap() = Some(group);
                pending::<()>()
            };
            let mut group = Box::pin(task_group(body));
            let mut polls = 0;
            let waits = std::future::poll_fn(|context| {
                polls += 1;
                match polls {
                    1 => group.as_mut().poll(context).map(drop),
                    _ => std::task::Poll::Ready(()),
                }
            });
            waits.await;
            drop(group);
            twice(7).await
        });
        queue.run();
        let group = take(&place);
        let child = failing(&home, &queue, &group);
        let ender = ends_elsewhere(&queue, &child);
        parent.wake();
        queue.run();
        ender.join().unwrap();
        queue.run();
        assert!(child.is_finished());
        assert_eq!(parent.cancelling(), 0);
        parent.wake();
        queue.run();
        assert_eq!(super::common::outcome(parent), Ok(7));
        drop((child, group));
        drop(home);
    });
}

/// The last child ends while the body does: somebody sees that the group is over. Breaks if `exit`
/// comes after `finish`, or if `leave` does not look whether it is over.
#[test]
fn the_last_child_ends_while_the_body_does() {
    explore(|| {
        let (home, queue) = home();
        let place = Place::default();
        let body = body(&place, || twice(5));
        let parent: Task<i32> = spawn(&home, task_group(body));
        queue.run();
        let group = take(&place);
        let child: Task<()> = spawn(&home, twice(()));
        group.reserve().unwrap().admit(&child);
        queue.run();
        let ender = ends_elsewhere(&queue, &child);
        parent.wake();
        queue.run();
        ender.join().unwrap();
        queue.run();
        assert_eq!(super::common::outcome(parent), Ok(5) as Result<i32, bool>);
        drop((child, group));
        drop(home);
    });
}

/// A child comes while the group is dropped half-way: refused, or asked to end and detached
/// (TG-19, TG-20). Breaks if `abandon` leaves the phase as it was, or asks nobody.
#[test]
fn a_child_comes_while_the_group_is_dropped() {
    explore(|| {
        let (home, queue) = home();
        let (parent, group) = parent(&home, &queue);
        let killer = loom::thread::spawn({
            let parent = parent.task_ref();
            move || parent.kill()
        });
        let child = group.reserve().ok().map(|reserved| {
            let child: Task<()> = spawn(&home, pending::<()>());
            reserved.admit(&child);
            child
        });
        assert!(killer.join().unwrap());
        queue.run();
        if let Some(child) = child {
            assert!(child.is_cancelled(), "a child outlives its group");
            assert_eq!(child.cancelling(), 1);
        }
        assert!(group.reserve().is_err());
        drop((parent, group));
        all_gone(&home);
    });
}
