//! What waits for one worker, and who goes ahead.
//!
//! First come, first served, as long as few wait. Where hundreds of sockets are ready at once, no
//! order is worse for a cache: what belongs to a socket has left it when its turn comes round. So
//! beside a long line, some of the tasks that events bring in stand *ahead* of it, and have three
//! turns of four. A connection whose peer answers is served a few times while it is warm; then too
//! many stand ahead, and it goes to the end of the line. Whoever stands in line waits four times
//! as long at most, and thieves take from the line first: what is there is cold anyway.
//!
//! Only events lead ahead. Tasks that wake each other would find those that they wait for
//! behind them, and wait again.
//!
//! Invariant: an owner who gets nothing has nothing, for only he adds.
//! Model: `loom-tests/line.rs`.

use std::cell::Cell;

use crate::scheduler::queue::insist;
use crate::sys::deque::{Injector, Stealer, Worker};
use crate::task::Runnable;

/// A line of so many is long: what they touch does not stay in a core's cache.
pub(crate) const LONG: usize = 128;
/// So many may stand ahead.
const AHEAD: usize = 32;
/// Of so many turns one is the line's, if anybody stands ahead.
const TURNS: u32 = 4;

/// The owner's end.
#[derive(Debug)]
pub(crate) struct Line {
    line: Worker<Runnable>,
    ahead: Worker<Runnable>,
    /// So many make it long.
    long: usize,
    /// So many turns until the line has had its own. None: nobody stands ahead.
    turns: Cell<u32>,
    /// Whoever is queued now is so because of an event.
    events: Cell<bool>,
}

impl Line {
    pub(crate) fn new(long: usize) -> Self {
        let (line, ahead) = (Worker::new_fifo(), Worker::new_fifo());
        Line { line, ahead, long, turns: Cell::new(0), events: Cell::new(false) }
    }

    pub(crate) fn thief(&self) -> Thief {
        Thief { line: self.line.stealer(), ahead: self.ahead.stealer() }
    }

    /// Whoever is queued while the guard lives may stand ahead.
    pub(crate) fn expect_events(&self) -> Events<'_> {
        self.events.set(true);
        Events(self)
    }

    #[inline]
    pub(crate) fn push(&self, task: Runnable) {
        if self.events.get() {
            return self.push_by_event(task);
        }
        self.line.push(task);
    }

    #[inline(never)]
    fn push_by_event(&self, task: Runnable) {
        if self.line.len() < self.long || self.ahead.len() >= AHEAD {
            return self.line.push(task);
        }
        self.ahead.push(task);
        if self.turns.get() == 0 {
            self.turns.set(TURNS);
        }
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<Runnable> {
        if self.turns.get() == 0 { self.line.pop() } else { self.pop_by_turns() }
    }

    #[cold]
    fn pop_by_turns(&self) -> Option<Runnable> {
        // A thief may come between the choice and the step: then choose again.
        while self.turns.get() > 0 {
            let task = self.next_by_turns().pop();
            if task.is_some() {
                return task;
            }
        }
        None
    }

    /// Whose turn it is, if somebody stands ahead.
    #[inline(never)]
    fn next_by_turns(&self) -> &Worker<Runnable> {
        let left = self.turns.get() - 1;
        if self.ahead.is_empty() {
            self.turns.set(0);
            &self.line
        } else if left == 0 && !self.line.is_empty() {
            self.turns.set(TURNS);
            &self.line
        } else {
            self.turns.set(left.max(1));
            &self.ahead
        }
    }

    /// Puts a batch from the injector into the line, and takes the first of it.
    pub(crate) fn pop_injected(&self, injector: &Injector<Runnable>) -> Option<Runnable> {
        insist(|| injector.steal_batch_and_pop(&self.line))
    }

    /// How many stand in line.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.line.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }
}

/// While it lives, what is queued is queued because of an event.
#[derive(Debug)]
pub(crate) struct Events<'a>(&'a Line);

impl Drop for Events<'_> {
    fn drop(&mut self) {
        self.0.events.set(false);
    }
}

/// The other end, for anybody.
#[derive(Debug)]
pub(crate) struct Thief {
    line: Stealer<Runnable>,
    ahead: Stealer<Runnable>,
}

impl Thief {
    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty() && self.ahead.is_empty()
    }

    /// How many stand in line.
    pub(crate) fn len(&self) -> usize {
        self.line.len()
    }

    /// Takes one.
    pub(crate) fn steal(&self) -> Option<Runnable> {
        [&self.line, &self.ahead].into_iter().find_map(|from| insist(|| from.steal()))
    }

    /// Takes one to run, and moves a batch to the end of another line.
    pub(crate) fn steal_into(&self, to: &Line) -> Option<Runnable> {
        let steal = |from: &Stealer<Runnable>| match from.is_empty() {
            true => None,
            false => insist(|| from.steal_batch_and_pop(&to.line)),
        };
        [&self.line, &self.ahead].into_iter().find_map(steal)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::Location;

    use super::*;
    use crate::task::memory::{Home, HomeHandle, Kind};
    use crate::task::raw::{self, First};
    use crate::task::{Job, Schedule, Why};

    struct Nowhere;

    impl Schedule for Nowhere {
        fn schedule(&self, _task: Runnable, _why: Why) {
            unreachable!("nobody wakes these tasks");
        }

        fn job(&self, _job: Job) {}
    }

    /// A line, and tasks for it, which are known by their numbers.
    struct Queue {
        line: Line,
        home: HomeHandle,
    }

    impl Queue {
        fn new() -> Queue {
            Queue { line: Line::new(LONG), home: Home::new(Box::new(Nowhere), Kind::Shared) }
        }

        fn push(&self, count: usize) -> Vec<u64> {
            let push = |_| {
                let place = Location::caller();
                // SAFETY: the future owns nothing, and is `Send`.
                let (task, _) = unsafe { raw::new(&self.home, async {}, place, First::Queued) };
                let number = task.number();
                self.line.push(task);
                number
            };
            (0..count).map(push).collect()
        }

        fn push_by_event(&self, count: usize) -> Vec<u64> {
            let _events = self.line.expect_events();
            self.push(count)
        }

        fn pop(&self, count: usize) -> Vec<u64> {
            (0..count).map_while(|_| self.line.pop().map(end)).collect()
        }
    }

    fn end(task: Runnable) -> u64 {
        let number = task.number();
        task.kill();
        number
    }

    #[test]
    fn few_come_in_the_order_in_which_they_are_queued() {
        let queue = Queue::new();
        let mut pushed = queue.push(2);
        pushed.extend(queue.push_by_event(3));
        pushed.extend(queue.push(1));
        assert_eq!(queue.pop(9), pushed);
    }

    #[test]
    fn beside_a_long_line_those_ahead_have_three_turns_of_four() {
        let queue = Queue::new();
        let line = queue.push(LONG);
        let ahead = queue.push_by_event(AHEAD);
        let too_many = queue.push_by_event(2);
        for turn in 0..AHEAD / 3 {
            assert_eq!(queue.pop(3), ahead[3 * turn..3 * turn + 3]);
            assert_eq!(queue.pop(1), line[turn..turn + 1]);
        }
        assert_eq!(queue.pop(AHEAD % 3), ahead[AHEAD - AHEAD % 3..]);
        let rest: Vec<u64> = line[AHEAD / 3..].iter().chain(&too_many).copied().collect();
        assert_eq!(queue.pop(LONG + 9), rest);
        assert_eq!(queue.push_by_event(1), queue.pop(2), "the line is short again");
    }

    #[test]
    fn whoever_stands_ahead_of_an_emptied_line_is_found() {
        let queue = Queue::new();
        let line = queue.push(LONG);
        let ahead = queue.push_by_event(2);
        let thief = queue.line.thief();
        let stolen: Vec<u64> = (0..LONG).map(|_| end(thief.steal().unwrap())).collect();
        assert_eq!(stolen, line, "from the line first");
        assert!(queue.line.is_empty() && !thief.is_empty());
        assert_eq!(queue.pop(9), ahead);
        assert!(thief.is_empty());
    }

    #[test]
    fn a_thief_moves_whoever_stands_ahead_too() {
        let (queue, other) = (Queue::new(), Queue::new());
        let mut all = queue.push(LONG);
        all.extend(queue.push_by_event(5));
        let thief = queue.line.thief();
        let mut moved = Vec::new();
        while let Some(task) = thief.steal_into(&other.line) {
            moved.push(end(task));
            moved.extend(other.pop(LONG));
        }
        moved.sort_unstable();
        assert_eq!(moved, all);
        assert!(thief.is_empty());
    }
}
