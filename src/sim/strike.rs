//! One blow at one moment of a simulated run, for sweeps over all moments.
//!
//! Before each turn, whoever could be struck is counted: the unfinished tasks, or the timeouts
//! that are running. The one whose number has come is struck: cancelled, or timed out. Numbers
//! from zero up, one run each, strike everybody at every moment, among them the moments in which
//! a task suspends, and those in which it has been woken and has not run yet.

use std::task::Waker;

use crate::probe::{self, Kept};
use crate::sys::{Arc, Mutex};
use crate::task::raw::TaskRef;

/// What is done to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    Cancel,
    TimeOut,
}

#[derive(Debug)]
pub(crate) struct Strike {
    blow: Blow,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// How many more are spared.
    spared: u64,
    /// How many turns there have been.
    turns: u64,
    limits: Vec<Arc<Limit>>,
    hit: Option<String>,
}

/// A timeout that only a strike lets run out.
#[derive(Debug)]
pub(crate) struct Limit(Mutex<(bool, Option<Kept>)>);

impl Limit {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Limit(Mutex::new((false, None))))
    }

    /// Whether it has run out; if not, `waker` is woken when it does.
    pub(crate) fn is_over(&self, waker: &Waker) -> bool {
        let waker = Kept::of(waker);
        let mut state = self.0.lock();
        let former = if state.0 { None } else { state.1.replace(waker) };
        let is_over = state.0;
        drop(state);
        drop(former);
        is_over
    }

    fn run_out(&self) {
        let waker = {
            let mut state = self.0.lock();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            probe::wake(waker.into_waker());
        }
    }
}

impl Strike {
    /// Spares the first `number`.
    pub(crate) fn new(blow: Blow, number: u64) -> Self {
        let state = State { spared: number, turns: 0, limits: Vec::new(), hit: None };
        Strike { blow, state: Mutex::new(state) }
    }

    /// A turn is about to begin.
    pub(super) fn moment(&self, live: impl FnOnce() -> Vec<TaskRef>) {
        let mut state = self.state.lock();
        if state.hit.is_some() {
            return;
        }
        state.turns += 1;
        match self.blow {
            Blow::Cancel => {
                if let Some(task) = state.pick(live()) {
                    let (name, place, turn) = (task.name(), task.location(), state.turns);
                    state.hit = Some(format!("task {name} ({place}) cancelled in turn {turn}"));
                    drop(state);
                    task.cancel();
                }
            }
            Blow::TimeOut => {
                let limits = state.limits.clone();
                let count = limits.len();
                if let Some((number, limit)) = state.pick((1..).zip(limits).collect()) {
                    let turn = state.turns;
                    state.hit = Some(format!("timeout {number} of {count} ran out in turn {turn}"));
                    drop(state);
                    limit.run_out();
                }
            }
        }
    }

    pub(crate) fn enter(&self, limit: &Arc<Limit>) {
        if self.blow == Blow::TimeOut {
            self.state.lock().limits.push(limit.clone());
        }
    }

    pub(crate) fn leave(&self, limit: &Arc<Limit>) {
        self.state.lock().limits.retain(|other| !Arc::ptr_eq(limit, other));
    }

    /// Who was struck, and when.
    pub(crate) fn hit(&self) -> Option<String> {
        self.state.lock().hit.clone()
    }
}

impl State {
    /// The one who is not spared.
    fn pick<T>(&mut self, candidates: Vec<T>) -> Option<T> {
        let count = candidates.len() as u64;
        if self.spared < count {
            return candidates.into_iter().nth(self.spared as usize);
        }
        self.spared -= count;
        None
    }
}
