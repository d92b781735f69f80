//! The plain sequential model: futures, tasks and what they wait for, one step after the other,
//! as the state tables have it. Nothing of filch is used here.
//!
//! A future is pending or has ended; when it ends, the tasks that wait for it stand at the end of
//! the line of those that can run. A task is a stack of [`Frame`]s; a step goes on until it has to
//! wait. Time moves when nobody can run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::frames::{Frame, Group, Signal};
use crate::program::{Block, Deed, MOST, PERMITS, PROMISES, ROOM, TICK};
use crate::shared::{Queue, Semaphore};

/// A future, by its number.
pub(crate) type Id = usize;

/// What a future has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Pending,
    Value,
    Failed(Fault),
    Cancelled,
}

/// An error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    Boom,
    Promise,
    Timeout,
    Shutdown,
    Group(Vec<Fault>),
}

pub(crate) struct Future {
    pub(crate) state: State,
    /// The tasks that wait for it, in order.
    waiters: Vec<usize>,
    /// The task whose end it is.
    task: Option<usize>,
}

pub(crate) struct Task {
    pub(crate) end: Id,
    pub(crate) frames: Vec<Frame>,
    /// Requests.
    pub(crate) count: u32,
    /// One of them is to be delivered.
    pub(crate) must: bool,
    waits_for: Option<Id>,
    /// The group that it is a child of.
    pub(crate) group: Option<usize>,
    /// The group that was around where it was spawned.
    pub(crate) around: Option<usize>,
    /// It may join those made before its first ancestor: so nobody awaits himself.
    pub(crate) joins: usize,
}

/// What a timer does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Alarm {
    End(Id),
    Timeout { task: usize, scope: usize },
}

/// What stands in line to be run.
enum Turn {
    Step(usize),
    /// filch only: a task is looked at that was woken while it ran. If it is to run by now, it does
    /// so here.
    Look(usize),
    /// A group is told that its child has ended.
    Ended {
        group: usize,
        child: usize,
    },
}

/// Whose order of what happens within one instant.
///
/// The tables are asyncio's in either. What filch does otherwise stands in `docs/guarantees.md`,
/// under what is not promised:
///
/// - one who was cancelled, but has not run yet, is told all the same, and passes it on when he
///   runs, where asyncio tells the next one at once ([`Model::notify`]);
/// - one who was given permits is out of the line, so that a newcomer who finds enough of them
///   takes them at once, where asyncio has him wait until the other one has run
///   ([`Model::take_permits`]);
/// - whom his own timeout interrupts goes on at once ([`Model::at_once`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Ways {
    #[default]
    Asyncio,
    Filch,
}

impl Turn {
    fn is_step_of(&self, task: usize) -> bool {
        matches!(self, Turn::Step(other) if *other == task)
    }
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) ways: Ways,
    pub(crate) now: u64,
    ready: VecDeque<Turn>,
    /// filch only: the task that runs was woken meanwhile.
    woken: Option<usize>,
    /// By their time, and then by when they were set.
    pub(crate) alarms: BTreeMap<(u64, u64), Alarm>,
    pub(crate) serial: u64,
    timers: u64,
    pub(crate) futures: Vec<Future>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) promises: Vec<Id>,
    pub(crate) queues: Vec<Queue>,
    pub(crate) permits: Vec<Semaphore>,
    pub(crate) groups: Vec<Group>,
    /// Those who were told although they had been cancelled.
    pub(crate) noticed: BTreeSet<Id>,
    pub(crate) items: u32,
    log: Vec<String>,
}

/// What is there after each deed, as text.
pub(crate) fn run(deeds: &[Deed], ways: Ways) -> Vec<String> {
    let mut model = Model { ways, permits: PERMITS.map(Semaphore::new).into(), ..Model::default() };
    model.promises = (0..PROMISES).map(|_| model.future(None)).collect();
    model.queues = ROOM.map(Queue::new).into();
    let mut steps = Vec::new();
    for deed in deeds {
        let time = model.deed(deed);
        model.settle(time);
        steps.push(model.state());
    }
    while (0..model.tasks.len()).any(|task| model.is_pending(task)) {
        for task in 0..model.tasks.len() {
            model.cancel(task);
        }
        model.settle(0);
        steps.push(model.state());
        assert!(steps.len() < MOST, "somebody never ends: {deeds:?}");
    }
    steps
}

impl Model {
    pub(crate) fn future(&mut self, task: Option<usize>) -> Id {
        self.futures.push(Future { state: State::Pending, waiters: Vec::new(), task });
        self.futures.len() - 1
    }

    pub(crate) fn spawn(
        &mut self,
        block: &Block,
        group: Option<usize>,
        by: Option<usize>,
        around: Option<usize>,
    ) {
        let task = self.tasks.len();
        let joins = by.map_or(task, |parent| self.tasks[parent].joins);
        let end = self.future(Some(task));
        let frames = vec![Frame::block(block)];
        let (count, must, waits_for) = Default::default();
        self.tasks.push(Task { end, frames, count, must, waits_for, group, around, joins });
        self.ready.push_back(Turn::Step(task));
    }

    pub(crate) fn is_pending(&self, task: usize) -> bool {
        self.futures[self.tasks[task].end].state == State::Pending
    }

    /// Ends a future; false: it has ended before.
    pub(crate) fn finish(&mut self, id: Id, state: State) -> bool {
        let future = &mut self.futures[id];
        if future.state != State::Pending {
            return false;
        }
        future.state = state;
        let waiters = std::mem::take(&mut future.waiters);
        self.ready.extend(waiters.into_iter().map(Turn::Step));
        true
    }

    fn cancel_future(&mut self, id: Id) -> bool {
        match self.futures[id].task {
            Some(task) => self.cancel(task),
            None => self.finish(id, State::Cancelled),
        }
    }

    /// The first rows of the table of cancellation.
    pub(crate) fn cancel(&mut self, task: usize) -> bool {
        if !self.is_pending(task) {
            return false;
        }
        self.tasks[task].count += 1;
        let forwarded = !self.is_looked_at(task)
            && self.tasks[task].waits_for.is_some_and(|id| self.cancel_future(id));
        if !forwarded {
            self.tasks[task].must = true;
        }
        true
    }

    /// filch only: it is to be looked at, and hears then what was asked of it.
    fn is_looked_at(&self, task: usize) -> bool {
        self.woken == Some(task)
            || self.ready.iter().any(|turn| matches!(turn, Turn::Look(other) if *other == task))
    }

    pub(crate) fn uncancel(&mut self, task: usize) -> u32 {
        let task = &mut self.tasks[task];
        task.count = task.count.saturating_sub(1);
        if task.count == 0 {
            task.must = false;
        }
        task.count
    }

    pub(crate) fn log(&mut self, who: usize, what: impl Into<String>) {
        self.log.push(format!("{who} {}", what.into()));
    }

    pub(crate) fn alarm(&mut self, at: u64, alarm: Alarm) -> (u64, u64) {
        self.serial += 1;
        self.alarms.insert((at, self.serial), alarm);
        (at, self.serial)
    }

    /// A moment of its own, so much later.
    pub(crate) fn later(&mut self, time: u64) -> u64 {
        self.timers += 1;
        (self.now / TICK + time) * TICK + self.timers
    }

    pub(crate) fn item(&mut self) -> u32 {
        self.items += 1;
        self.items
    }

    /// The task that a number means, of the first so many.
    pub(crate) fn task(&self, number: usize, of: usize) -> Option<usize> {
        (of > 0).then(|| number % of)
    }

    fn deed(&mut self, deed: &Deed) -> u64 {
        let mut time = 0;
        let count = self.tasks.len();
        let said = match *deed {
            Deed::Spawn(ref block) => {
                self.spawn(block, None, None, None);
                "spawned".to_owned()
            }
            Deed::Cancel(number) => {
                format!("{:?}", self.task(number, count).map(|task| self.cancel(task)))
            }
            Deed::Uncancel(number) => {
                format!("{:?}", self.task(number, count).map(|task| self.uncancel(task)))
            }
            Deed::Pass(ticks) => {
                time = ticks;
                "passed".to_owned()
            }
            Deed::Set(promise) => self.finish(self.promises[promise], State::Value).to_string(),
            Deed::Fail(promise) => {
                let state = State::Failed(Fault::Promise);
                self.finish(self.promises[promise], state).to_string()
            }
            Deed::Revoke(promise) => {
                self.finish(self.promises[promise], State::Cancelled).to_string()
            }
            Deed::TryPut(queue) => {
                let item = self.item();
                (self.put(queue, item) == Some(true)).to_string()
            }
            Deed::TryGet(queue) => format!("{:?}", self.get(queue)),
            Deed::Done(queue) => self.queues[queue].done().to_string(),
            Deed::Shutdown(queue, at_once) => {
                self.shutdown(queue, at_once);
                "shut down".to_owned()
            }
        };
        self.log.push(format!("driver {said}"));
        time
    }

    /// Lets everything run that can, until so much time has passed.
    fn settle(&mut self, time: u64) {
        let until = self.now + (time + 1) * TICK;
        loop {
            while let Some(turn) = self.ready.pop_front() {
                match turn {
                    Turn::Step(task) => self.step(task),
                    Turn::Look(task) => self.look(task),
                    Turn::Ended { group, child } => self.child_ended(group, child),
                }
            }
            match self.alarms.first_key_value() {
                Some((&(at, _), _)) if at < until => self.ring(at),
                _ => break,
            }
        }
        self.now = until;
    }

    /// Every timer of this moment goes off.
    fn ring(&mut self, at: u64) {
        self.now = self.now.max(at);
        while let Some(entry) = self.alarms.first_entry() {
            if entry.key().0 > at {
                break;
            }
            match entry.remove() {
                Alarm::End(id) => {
                    self.finish(id, State::Value);
                }
                Alarm::Timeout { task, scope } => {
                    self.expire(task, scope);
                    if self.ways == Ways::Filch {
                        self.at_once(task);
                    }
                }
            }
        }
    }

    /// filch only: whom his own timeout interrupts goes on at once, before others who waited for
    /// the same. If that was a promise, its end wakes him, too, while he runs.
    fn at_once(&mut self, task: usize) {
        let awaited = self.tasks[task].waits_for;
        if !self.leaves_the_line(task) {
            return;
        }
        self.woken = awaited.is_some_and(|id| self.promises.contains(&id)).then_some(task);
        self.step(task);
        let woken = self.woken.take().is_some();
        if woken && self.is_pending(task) && !self.ready.iter().any(|turn| turn.is_step_of(task)) {
            self.ready.push_back(Turn::Look(task));
        }
    }

    /// filch only: he who was woken while he ran.
    fn look(&mut self, task: usize) {
        if let Some(id) = self.tasks[task].waits_for {
            self.ask_what_is_awaited(task, id);
        }
        if self.leaves_the_line(task) {
            self.step(task);
        }
    }

    /// Takes a task out of the line of those that can run; false: it does not stand there.
    fn leaves_the_line(&mut self, task: usize) -> bool {
        let place = self.ready.iter().position(|turn| turn.is_step_of(task));
        place.is_some_and(|place| self.ready.remove(place).is_some())
    }

    fn step(&mut self, number: usize) {
        let task = &mut self.tasks[number];
        let must = std::mem::take(&mut task.must);
        let outcome = task.waits_for.take().map(|id| &self.futures[id].state);
        let mut signal = match outcome {
            _ if must => Signal::Cancelled,
            Some(State::Cancelled) => Signal::Cancelled,
            Some(State::Failed(fault)) => Signal::Fault(fault.clone()),
            _ => Signal::Go,
        };
        loop {
            signal = match self.advance(number, signal) {
                Flow::On(signal) => signal,
                Flow::Yield => return self.ready.push_back(Turn::Step(number)),
                Flow::Wait(id) => return self.wait(number, id),
                Flow::End(signal) => return self.end(number, signal),
            };
        }
    }

    fn wait(&mut self, task: usize, id: Id) {
        self.futures[id].waiters.push(task);
        self.tasks[task].waits_for = Some(id);
        if !self.is_looked_at(task) {
            self.ask_what_is_awaited(task, id);
        }
    }

    /// A request that was not delivered goes to what the task waits for.
    fn ask_what_is_awaited(&mut self, task: usize, id: Id) {
        if self.tasks[task].must && self.cancel_future(id) {
            self.tasks[task].must = false;
        }
    }

    fn end(&mut self, task: usize, signal: Signal) {
        let lost = std::mem::take(&mut self.tasks[task].must);
        let state = match signal {
            Signal::Go if lost => State::Cancelled,
            Signal::Go => State::Value,
            Signal::Cancelled => State::Cancelled,
            Signal::Fault(fault) => State::Failed(fault),
        };
        if let Some(group) = self.tasks[task].group {
            self.ready.push_back(Turn::Ended { group, child: task });
        }
        self.finish(self.tasks[task].end, state);
    }

    fn state(&mut self) -> String {
        let mut text = std::mem::take(&mut self.log).join("; ");
        text += " |";
        for task in &self.tasks {
            text += &format!(" {}/{}", self.futures[task.end].state, task.count);
        }
        text += " |";
        for promise in &self.promises {
            text += &format!(" {}", self.futures[*promise].state);
        }
        for queue in &self.queues {
            text += &format!(" | {queue}");
        }
        for permits in &self.permits {
            text += &format!(" | {permits}");
        }
        text
    }
}

/// What becomes of a task that has been resumed.
pub(crate) enum Flow {
    On(Signal),
    Yield,
    Wait(Id),
    End(Signal),
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            State::Pending => f.write_str("pending"),
            State::Value => f.write_str("value"),
            State::Failed(fault) => f.write_str(&fault.to_string()),
            State::Cancelled => f.write_str("cancelled"),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Boom => f.write_str("boom"),
            Fault::Promise => f.write_str("promise"),
            Fault::Timeout => f.write_str("timeout"),
            Fault::Shutdown => f.write_str("shutdown"),
            Fault::Group(members) => {
                let members: Vec<String> = members.iter().map(Fault::to_string).collect();
                write!(f, "[{}]", members.join(","))
            }
        }
    }
}
