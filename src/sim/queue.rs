//! What is ready in a simulated world, and who of them is next.

use std::collections::VecDeque;

use super::course::{Choice, Chooser, Course, Turn};
use crate::driver::clock::Instant;
use crate::task::{Job, Runnable};

/// Names a closure that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClosureId(u64);

/// What stands in the queue, and on which host it runs.
pub(super) struct Entry {
    pub(super) host: usize,
    pub(super) what: What,
}

impl Entry {
    /// The number of the task, if it is one, and the host.
    fn task(&self) -> Option<(u64, usize)> {
        match &self.what {
            What::Task(task) => Some((task.number(), self.host)),
            _ => None,
        }
    }
}

pub(super) enum What {
    Task(Runnable),
    /// A closure for a thread. Like a task it may be overtaken.
    Closure(ClosureId, Job),
    /// Of the world itself: it stands still on no host.
    Job(Job),
    /// A host's callback that has come to its turn while the host stood still.
    Late(Job),
    /// A timer was set to a moment that has passed.
    Fire,
}

impl What {
    /// Callbacks keep their order among themselves (MOD-04).
    fn keeps_order(&self) -> bool {
        matches!(self, What::Job(_) | What::Late(_) | What::Fire)
    }

    /// It waits while its host stands still.
    fn is_of_host(&self) -> bool {
        matches!(self, What::Task(_) | What::Closure(..) | What::Late(_))
    }

    /// What it is, in words.
    fn in_words(&self) -> String {
        match self {
            What::Task(task) => {
                let task = task.task();
                format!("{} ({})", task.name(), task.location())
            }
            What::Closure(..) => "a closure for a thread".to_owned(),
            What::Job(_) | What::Late(_) | What::Fire => "a callback".to_owned(),
        }
    }
}

/// Everything that is ready.
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    /// Tasks that are held up until nothing else can run.
    held: VecDeque<Entry>,
    /// Hosts that stand still, and until when; and what would be ready there.
    paused: Vec<(usize, Instant)>,
    asleep: VecDeque<Entry>,
    chooser: Chooser,
    closures: u64,
    /// The world has come to its end: nobody takes anything any more.
    over: bool,
}

impl Queue {
    pub(super) fn new(course: Course) -> Self {
        let chooser = Chooser::new(course);
        let [entries, held, asleep] = [const { VecDeque::new() }; 3];
        Queue { entries, held, paused: Vec::new(), asleep, chooser, closures: 0, over: false }
    }

    /// Is it asyncio's order?
    pub(super) fn is_in_order(&self) -> bool {
        self.chooser.is_in_order()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.held.is_empty() && self.asleep.is_empty()
    }

    pub(super) fn put(&mut self, host: usize, what: What) {
        let entry = Entry { host, what };
        match self.is_asleep(&entry) {
            true => self.asleep.push_back(entry),
            false => self.entries.push_back(entry),
        }
    }

    /// As [`put`](Queue::put); gives it back if nobody would take it.
    pub(super) fn offer(&mut self, host: usize, what: What) -> Option<What> {
        if self.over {
            return Some(what);
        }
        self.put(host, what);
        None
    }

    /// Takes the next one; if there is none, it is over.
    pub(super) fn take_or_end(&mut self) -> Option<Entry> {
        let entry = self.take();
        self.over = entry.is_none();
        entry
    }

    fn is_asleep(&self, entry: &Entry) -> bool {
        entry.what.is_of_host() && self.is_paused(entry.host)
    }

    /// Does that host stand still?
    pub(super) fn is_paused(&self, host: usize) -> bool {
        self.paused.iter().any(|(paused, _)| *paused == host)
    }

    /// Has a host stand still until that moment, or later if it does so already.
    pub(super) fn pause(&mut self, host: usize, until: Instant) {
        match self.paused.iter_mut().find(|(paused, _)| *paused == host) {
            Some((_, before)) => *before = until.max(*before),
            None => self.paused.push((host, until)),
        }
        self.sort();
    }

    /// The next moment at which a host goes on, if any does.
    pub(super) fn next(&self) -> Option<Instant> {
        let moments = self.paused.iter().map(|(_, until)| *until);
        moments.filter(|until| *until != Instant::NEVER).min()
    }

    /// The tasks that could run.
    pub(super) fn ready(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().chain(&self.held).filter_map(Entry::task).map(|(task, _)| task)
    }

    /// The tasks that could run if their hosts did not stand still; with these.
    pub(super) fn asleep(&self) -> impl Iterator<Item = (u64, usize)> {
        self.asleep.iter().filter_map(Entry::task)
    }

    /// It is that late: some hosts go on.
    pub(super) fn pass(&mut self, now: Instant) {
        let before = self.paused.len();
        self.paused.retain(|(_, until)| *until > now);
        if self.paused.len() < before {
            self.sort();
        }
    }

    /// Puts what is ready where it belongs.
    fn sort(&mut self) {
        let mut all = std::mem::take(&mut self.entries);
        all.append(&mut self.held);
        all.append(&mut self.asleep);
        (self.asleep, self.entries) = all.into_iter().partition(|entry| self.is_asleep(entry));
    }

    pub(super) fn submit(&mut self, host: usize, closure: Job) -> ClosureId {
        self.closures += 1;
        let id = ClosureId(self.closures);
        self.put(host, What::Closure(id, closure));
        id
    }

    /// Takes a closure back that has not begun to run.
    pub(super) fn withdraw(&mut self, closure: ClosureId) -> Option<Job> {
        let is_it = |entry: &Entry| matches!(entry.what, What::Closure(id, _) if id == closure);
        let place = |entries: &VecDeque<Entry>| entries.iter().position(is_it);
        let entry = match place(&self.entries) {
            Some(place) => self.entries.remove(place),
            None => place(&self.asleep).and_then(|place| self.asleep.remove(place)),
        };
        match entry?.what {
            What::Closure(_, job) => Some(job),
            _ => None,
        }
    }

    /// Takes what is ready on that host, but for callbacks.
    pub(super) fn take_all_of(&mut self, host: usize) -> VecDeque<Entry> {
        self.paused.retain(|(paused, _)| *paused != host);
        self.sort();
        let of_host = |entry: &Entry| entry.host == host && !entry.what.keeps_order();
        let entries = std::mem::take(&mut self.entries);
        let (gone, rest) = entries.into_iter().partition(of_host);
        self.entries = rest;
        gone
    }

    /// Takes whoever is next.
    pub(super) fn take(&mut self) -> Option<Entry> {
        if self.entries.is_empty() {
            self.entries.append(&mut self.held);
        }
        if self.entries.is_empty() {
            return None;
        }
        match self.chooser.choose(self.entries.len()) {
            Choice::Place(place) => self.take_from(place.min(self.entries.len() - 1)),
            Choice::Hold if self.can_hold() => self.take_second(),
            Choice::Hold => self.take_from(0),
        }
    }

    fn take_from(&mut self, mut place: usize) -> Option<Entry> {
        if self.entries[place].what.keeps_order() {
            place = self.entries.iter().position(|entry| entry.what.keeps_order())?;
        }
        self.write_down(place, Choice::Place(place));
        let entry = self.entries.remove(place);
        self.set_back(place);
        entry
    }

    /// Has so many go behind everybody, but for callbacks.
    fn set_back(&mut self, count: usize) {
        let mut place = 0;
        for _ in 0..count {
            if self.entries[place].what.keeps_order() {
                place += 1;
            } else if let Some(entry) = self.entries.remove(place) {
                self.entries.push_back(entry);
            }
        }
    }

    fn can_hold(&self) -> bool {
        self.entries.len() > 1 && matches!(self.entries[0].what, What::Task(_))
    }

    fn take_second(&mut self) -> Option<Entry> {
        self.write_down(1, Choice::Hold);
        self.held.extend(self.entries.pop_front());
        self.entries.pop_front()
    }

    fn write_down(&self, place: usize, choice: Choice) {
        let Some(record) = self.chooser.record() else { return };
        let in_words = |place: usize| self.entries[place].what.in_words();
        let overtaken = (place > 0).then(|| (in_words(0), choice == Choice::Hold));
        let (turn, at) = (self.chooser.turn(), Instant::now());
        record.write(choice, Turn { turn, at, who: in_words(place), overtaken });
    }
}
