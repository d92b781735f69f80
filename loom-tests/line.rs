//! The line and those ahead of it: who chooses a queue is not deceived by a thief.

use super::common::explore;
use super::queue::{number, task};
use crate::scheduler::line::Line;
use crate::sys::thread;
use crate::task::Runnable;

/// Breaks if `pop_by_turns` tries once only: the queue that it chose may have been emptied.
#[test]
fn the_owner_goes_away_from_nothing() {
    explore(|| {
        let line = Line::new(1);
        line.push(task(0));
        let events = line.expect_events();
        // Three turns are theirs, then it is the line's.
        (1..5).for_each(|number| line.push(task(number)));
        drop(events);
        let thief = thread::spawn({
            let thief = line.thief();
            move || thief.steal().map(number)
        });
        let mut all: Vec<u32> = rest(&line).map(number).collect();
        assert!(line.thief().is_empty(), "it left some behind");
        all.extend(thief.join().unwrap());
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
    });
}

fn rest(line: &Line) -> impl Iterator<Item = Runnable> {
    std::iter::from_fn(|| line.pop())
}
