//! Everything that can happen to one task, two and three at a time, on the whole task: its future,
//! its value, its waiters and its cell, not the state word alone.
//!
//! Whatever came first: nothing is polled or dropped twice or by two threads (loom watches the
//! stage), a wake is followed by a poll, an accepted request by its delivery, an end by everybody's
//! knowing, and the cell comes home.

use std::pin::Pin;
use std::sync::Arc as StdArc;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use loom::thread;

use super::common::{Queue, all_gone, explore_at_most, home, spawn};
use crate::TaskRef;
use crate::error::Result;
use crate::sys::Arc;
use crate::task::handle::Task;
use crate::task::live;
use crate::task::memory::HomeHandle;

/// What somebody does to the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Wake,
    Poll,
    Cancel,
    CancelWith,
    Uncancel,
    DropHandle,
    Join,
    Callback,
    Kill,
    Look,
    Walk,
}

const ACTS: [Act; 11] = [
    Act::Wake,
    Act::Poll,
    Act::Cancel,
    Act::CancelWith,
    Act::Uncancel,
    Act::DropHandle,
    Act::Join,
    Act::Callback,
    Act::Kill,
    Act::Look,
    Act::Walk,
];

/// Where the task stands before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// Polled once, and asleep.
    Asleep,
    /// It woke itself in its first poll: queued, and RUNNING for everybody else.
    Yielded,
    /// Queued for its first poll.
    Fresh,
}

/// Counts what may happen once.
#[derive(Default)]
struct Counts {
    futures: AtomicUsize,
    values: AtomicUsize,
    called: AtomicUsize,
    told: AtomicUsize,
    polls: AtomicUsize,
    waker: StdMutex<Option<Waker>>,
}

impl Wake for Counts {
    fn wake(self: StdArc<Self>) {
        add(&self.told);
    }
}

fn add(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn get(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::Relaxed)
}

struct Value(StdArc<Counts>);

impl Drop for Value {
    fn drop(&mut self) {
        add(&self.0.values);
    }
}

/// Ends at its second poll.
struct Twice {
    counts: StdArc<Counts>,
    yields: bool,
}

impl Future for Twice {
    type Output = Result<Value>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Value>> {
        let before = self.counts.polls.fetch_add(1, Ordering::Relaxed);
        if before > 0 {
            return Poll::Ready(Ok(Value(self.counts.clone())));
        }
        *self.counts.waker.lock().unwrap() = Some(context.waker().clone());
        if self.yields {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Twice {
    fn drop(&mut self) {
        add(&self.counts.futures);
    }
}

/// What an act is done with, and what it says.
struct Actor {
    act: Act,
    task: TaskRef,
    handle: Option<Task<Value>>,
    waker: Option<Waker>,
    queue: Queue,
    home: Arc<HomeHandle>,
    counts: StdArc<Counts>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Accepted,
    Refused,
    /// Waits no more, having been polled once: the end had come, or not.
    Ended,
}

impl Actor {
    fn act(mut self) -> Said {
        let task = self.task;
        match self.act {
            Act::Wake => self.waker.take().into_iter().for_each(Waker::wake),
            Act::Poll => drop(self.queue.run_one()),
            Act::Cancel if task.cancel() => return Said::Accepted,
            Act::CancelWith if task.cancel_with("so") => return Said::Accepted,
            Act::Cancel | Act::CancelWith => return Said::Refused,
            Act::Uncancel => drop(task.uncancel()),
            Act::DropHandle => drop(self.handle.take()),
            Act::Join => {
                let waker = Waker::from(self.counts.clone());
                let mut join = Box::pin(task.join());
                let ended = join.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
                drop(join);
                return if ended { Said::Ended } else { Said::Nothing };
            }
            Act::Callback => {
                let counts = self.counts.clone();
                task.add_done_callback(move |_| add(&counts.called));
            }
            Act::Kill => drop(task.kill()),
            Act::Look => drop((task.error(), task.name(), task.awaits())),
            Act::Walk => drop(live::tasks([&**self.home])),
        }
        Said::Nothing
    }
}

/// One run of one combination.
fn happens(from: From, acts: &[Act]) {
    let (home, queue) = home();
    let home = Arc::new(home);
    let counts = StdArc::new(Counts::default());
    let yields = from == From::Yielded;
    let task = spawn(&home, Twice { counts: counts.clone(), yields });
    let watcher = task.task_ref();
    if from != From::Fresh {
        assert!(queue.run_one());
    }
    let mut handle = Some(task);
    let mut actors = acts.iter().map(|act| Actor {
        act: *act,
        task: watcher.clone(),
        handle: if *act == Act::DropHandle { handle.take() } else { None },
        waker: counts.waker.lock().unwrap().clone(),
        queue: queue.clone(),
        home: home.clone(),
        counts: counts.clone(),
    });
    let ours = actors.next().expect("somebody acts");
    let threads: Vec<_> = actors.map(|actor| thread::spawn(move || actor.act())).collect();
    let mut said = vec![ours.act()];
    said.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
    drop(counts.waker.lock().unwrap().take());
    queue.run();
    check(from, acts, &said, &watcher, &counts);
    // It can still be ended by whoever likes.
    if !watcher.is_finished() {
        assert!(watcher.cancel());
        queue.run();
        assert!(watcher.is_cancelled());
    }
    drop((handle, watcher, counts.waker.lock().unwrap().take()));
    assert_eq!(get(&counts.futures), 1);
    let callbacks = acts.iter().filter(|act| **act == Act::Callback).count();
    assert_eq!(get(&counts.called), callbacks);
    assert!(get(&counts.values) <= 1 && StdArc::strong_count(&counts) == 1);
    all_gone(&home);
}

/// What holds once all that was queued has run.
fn check(from: From, acts: &[Act], said: &[Said], task: &TaskRef, counts: &Counts) {
    let has = |act| acts.contains(&act);
    let accepted = said.iter().filter(|said| **said == Said::Accepted).count();
    if has(Act::Kill) && task.is_finished() {
        // Cut short, at any point.
        return;
    }
    if from != From::Asleep || has(Act::Wake) || accepted > 0 && !has(Act::Uncancel) {
        let polled = get(&counts.polls);
        let enough = if from == From::Fresh { 1 } else { 2 };
        assert!(task.is_finished() || polled >= enough, "the wake was lost");
    }
    if accepted > 0 && !has(Act::Uncancel) {
        assert!(task.is_cancelled(), "the request was lost");
        assert_eq!(task.cancelling() as usize, accepted);
    }
    if accepted == 0 {
        assert!(!task.is_cancelled() && task.cancelling() == 0);
    }
    if said.contains(&Said::Refused) || said.contains(&Said::Ended) {
        assert!(task.is_finished());
    }
    // A handle that is still there will find its value.
    let left = task.is_finished() && !task.is_cancelled() && !has(Act::DropHandle);
    assert!(!left || get(&counts.values) == 0);
}

fn pairs(from: From) {
    // In both orders: to loom, the first thread is not like the others.
    for one in ACTS {
        for two in ACTS {
            if one == two && one == Act::DropHandle {
                continue;
            }
            explore_at_most(3, move || happens(from, &[one, two]));
        }
    }
}

fn threes(from: From) {
    for (index, one) in ACTS.into_iter().enumerate() {
        for (further, two) in ACTS.into_iter().enumerate().skip(index + 1) {
            for three in ACTS[further + 1..].iter().copied() {
                // A walk is long, and has its own model (`memory`).
                if three == Act::Walk {
                    continue;
                }
                explore_at_most(1, move || happens(from, &[one, two, three]));
            }
        }
    }
}

#[test]
fn two_things_happen_to_a_sleeping_task() {
    pairs(From::Asleep);
}

#[test]
fn two_things_happen_to_a_task_that_woke_itself() {
    pairs(From::Yielded);
}

#[test]
fn two_things_happen_to_a_fresh_task() {
    pairs(From::Fresh);
}

#[test]
fn three_things_happen_to_a_sleeping_task() {
    threes(From::Asleep);
}

#[test]
fn three_things_happen_to_a_task_that_woke_itself() {
    threes(From::Yielded);
}

#[test]
fn three_things_happen_to_a_fresh_task() {
    threes(From::Fresh);
}
