//! Whom a group asks to end by itself, and who of them was asked already.
//!
//! A group that shuts down makes a request of its parent and one of every member (TG-03), and if
//! the parent, or a member, awaits another member, several of them come to the same task. In
//! asyncio they do so in one step, before anybody runs: they count, one by one, and are delivered
//! once (CAN-12). Here a task may have been told, and clean up, when the next one comes. So each
//! member is asked once, by whichever request comes first; the others only count, there and along
//! the way that the first one took (`cancel`).

use crate::sys::Mutex;
use crate::task::answers::Request;
use crate::task::raw::TaskRef;

/// The members of a group that shuts down.
#[derive(Debug)]
pub(crate) struct Members {
    /// Who they are, sorted.
    names: Vec<Name>,
    asked: Mutex<Vec<bool>>,
}

/// The number, which a task of a simulation and one of a runtime may share, and the place in
/// memory, which may be another task's later.
type Name = (u64, usize);

fn name(task: &TaskRef) -> Name {
    (task.header().id(), task.address().addr())
}

impl Members {
    pub(crate) fn new(tasks: &[TaskRef]) -> Self {
        let mut names: Vec<Name> = tasks.iter().map(name).collect();
        names.sort_unstable();
        let asked = Mutex::new(vec![false; names.len()]);
        Members { names, asked }
    }

    /// Makes a request of one task, by one step of its state word, unless it is a member that was
    /// asked: then it counts.
    pub(super) fn request(&self, task: &TaskRef, ask: impl FnOnce() -> Request) -> Request {
        let Ok(place) = self.names.binary_search(&name(task)) else { return ask() };
        let mut asked = self.asked.lock();
        if asked[place] {
            return match task.header().state.count_one() {
                true => Request::Counted,
                false => Request::Refused,
            };
        }
        let answer = ask();
        asked[place] = !matches!(answer, Request::Busy);
        answer
    }
}
