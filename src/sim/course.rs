//! In which order what is ready runs: as a seed has it, or as it was written down.
//!
//! A course that was written down is a list of *deviations* from the order of arrival: in which
//! turn something else ran than what had been ready for longest, and what became of that. What
//! else is drawn, on the network and by the program, is drawn from the seed in either case.
//!
//! Who is overtaken goes behind everybody. Chance does not care who stands where, but an order that
//! is written down is shorter: who is late once need not be overtaken again in each turn. Shorter
//! still is to hold a task up until nothing else can run: no seed does so, but most mistakes show.

use std::collections::VecDeque;

use super::dice::Dice;
use crate::driver::clock::Instant;
use crate::sys::{Arc, Mutex};

/// In that turn, it was not simply the first in the queue that ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deviation {
    pub(crate) turn: u64,
    pub(crate) choice: Choice,
}

/// Who runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Who stands at that place; those before it go behind everybody.
    Place(usize),
    /// The second; the first is held up until nothing else can run.
    Hold,
}

/// What decides a run.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    pub(crate) seed: u64,
    /// In ascending order of turns; `None`: the seed decides.
    pub(crate) deviations: Option<std::sync::Arc<Vec<Deviation>>>,
    /// Where the run is written down.
    pub(crate) record: Option<Arc<Record>>,
}

impl Course {
    pub(crate) fn of_seed(seed: u64) -> Self {
        Course { seed, deviations: None, record: None }
    }
}

/// One turn of a run.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pub(crate) turn: u64,
    pub(crate) at: Instant,
    pub(crate) who: String,
    /// Who had been ready for longest, if it was not `who`; and is it held up?
    pub(crate) overtaken: Option<(String, bool)>,
}

/// How many turns before its end a record keeps.
const LAST: usize = 10;

/// What is written down of a run.
#[derive(Debug)]
pub(crate) struct Record(Mutex<Written>);

#[derive(Debug, Clone, Default)]
pub(crate) struct Written {
    pub(crate) turns: u64,
    pub(crate) deviations: Vec<Deviation>,
    pub(crate) deviating: Vec<Turn>,
    pub(crate) last: VecDeque<Turn>,
}

impl Record {
    pub(crate) fn new() -> Self {
        Record(Mutex::new(Written::default()))
    }

    pub(crate) fn written(&self) -> Written {
        self.0.lock().clone()
    }

    /// That turn came by that choice.
    pub(super) fn write(&self, choice: Choice, turn: Turn) {
        let mut written = self.0.lock();
        written.turns = turn.turn;
        if choice != Choice::Place(0) {
            written.deviations.push(Deviation { turn: turn.turn, choice });
            written.deviating.push(turn.clone());
        }
        if written.last.len() == LAST {
            written.last.pop_front();
        }
        written.last.push_back(turn);
    }
}

/// Chooses, turn by turn.
pub(super) struct Chooser {
    course: Course,
    dice: Dice,
    turn: u64,
    /// How many deviations have been.
    past: usize,
}

impl Chooser {
    pub(super) fn new(course: Course) -> Self {
        let dice = Dice::in_order_for_zero(course.seed);
        Chooser { course, dice, turn: 0, past: 0 }
    }

    /// Is it asyncio's order?
    pub(super) fn is_in_order(&self) -> bool {
        self.dice.is_in_order()
    }

    pub(super) fn turn(&self) -> u64 {
        self.turn
    }

    pub(super) fn record(&self) -> Option<&Record> {
        self.course.record.as_deref()
    }

    /// One of so many places.
    pub(super) fn choose(&mut self, places: usize) -> Choice {
        self.turn += 1;
        let Some(deviations) = &self.course.deviations else {
            return Choice::Place(self.dice.roll(places));
        };
        match deviations.get(self.past) {
            Some(deviation) if deviation.turn == self.turn => {
                self.past += 1;
                deviation.choice
            }
            _ => Choice::Place(0),
        }
    }
}
