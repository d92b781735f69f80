//! Runs a scenario: every operation is what a user of the library would write for it.
//!
//! Tasks, `try` and boxes are here; scopes, and what awaits several tasks, beside.
//!
//! Blocks are boxed futures of `filch::Result<()>`. An error goes up as `Err`; a cancellation
//! unwinds, and only `try` looks at it. What tasks see is written down with its time; how tasks of
//! one instant interleave is nobody's promise, so whoever compares does it per task.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use filch::time::Instant;
use filch::{Cancelled, Deadline, Error, Result, TaskRef};

use crate::foreign::foreign_sleep;
use crate::parse::{After, Block, Handlers, Name, Op, Scenario};
use crate::scopes::Group;
use crate::waits::Shared;

pub(crate) type Running = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// One line of a trace: microseconds from the start, the task, what it saw.
pub(crate) type Event = (u64, Name, String);

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every task is done.
    Complete,
    /// Nothing could run, and nothing was waited for.
    Deadlock,
}

/// Runs a scenario in a simulation with this seed.
///
/// # Panics
/// If the simulation ends with an error that is no deadlock.
pub(crate) fn simulate(seed: u64, scenario: &Scenario) -> (Ending, Vec<Event>) {
    let program = Program::new(Duration::from_micros(1));
    let ending = match filch::sim::run(seed, program.clone().root(scenario.main.clone())) {
        Ok(()) => Ending::Complete,
        Err(error) if error.is_deadlock() => Ending::Deadlock,
        Err(error) => panic!("the root of a scenario failed: {error}"),
    };
    program.boxes().clear();
    (ending, std::mem::take(&mut program.trace()))
}

/// What the tasks of one scenario share.
pub(crate) struct Program {
    /// How long a microsecond of the scenario takes.
    unit: Duration,
    start: Mutex<Option<Instant>>,
    /// In order of making.
    tasks: Mutex<(Vec<TaskRef>, HashMap<Name, TaskRef>)>,
    boxes: Mutex<HashMap<Name, Running>>,
    shared: Mutex<Shared>,
    trace: Mutex<Vec<Event>>,
    /// What must not happen, and did.
    faults: Mutex<Vec<String>>,
}

impl Program {
    pub(crate) fn new(unit: Duration) -> Arc<Self> {
        Arc::new(Program {
            unit,
            start: Mutex::default(),
            tasks: Mutex::default(),
            boxes: Mutex::default(),
            shared: Mutex::default(),
            trace: Mutex::default(),
            faults: Mutex::default(),
        })
    }

    /// Makes the task `main` and waits for every task that is ever made.
    pub(crate) async fn root(self: Arc<Self>, main: Block) {
        *lock(&self.start) = Some(Instant::now());
        self.make(&"main".into(), main, false);
        let mut next = 0;
        while let Some(task) = self.made(next) {
            next += 1;
            let _: Result<()> = task.join().await;
        }
        self.boxes().clear();
    }

    /// The tasks made so far.
    pub(crate) fn tasks(&self) -> Vec<TaskRef> {
        lock(&self.tasks).0.clone()
    }

    fn made(&self, number: usize) -> Option<TaskRef> {
        lock(&self.tasks).0.get(number).cloned()
    }

    pub(crate) fn task(&self, name: &Name) -> Option<TaskRef> {
        lock(&self.tasks).1.get(name).cloned()
    }

    fn boxes(&self) -> MutexGuard<'_, HashMap<Name, Running>> {
        lock(&self.boxes)
    }

    pub(crate) fn shared(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }

    pub(crate) fn trace(&self) -> MutexGuard<'_, Vec<Event>> {
        lock(&self.trace)
    }

    pub(crate) fn fault(&self, what: String) {
        lock(&self.faults).push(what);
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        lock(&self.faults).clone()
    }

    fn log(&self, who: &Name, what: String) {
        let start = lock(&self.start).expect("the program has started");
        let at = start.elapsed().as_micros() as u64;
        self.trace().push((at, who.clone(), what));
    }

    pub(crate) fn time(&self, microseconds: u64) -> Duration {
        Duration::from_nanos(self.unit.as_nanos() as u64 * microseconds)
    }

    fn make(self: &Arc<Self>, name: &Name, block: Block, eager: bool) {
        let me = Me { name: name.clone(), program: self.clone() };
        let builder = filch::TaskBuilder::new().name(&**name);
        let body = me.clone().block(block, Frame::default());
        let task = if eager { builder.spawn_eager(body) } else { builder.spawn(body) };
        self.keep(me, task.task_ref());
    }

    /// A task has been made.
    pub(crate) fn keep(&self, me: Me, task: TaskRef) {
        {
            let mut tasks = lock(&self.tasks);
            tasks.0.push(task.clone());
            tasks.1.insert(me.name.clone(), task.clone());
        }
        task.add_done_callback(move |task| me.done(&task));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is lexically around a block: the innermost timeout and the innermost group.
#[derive(Clone, Default)]
pub(crate) struct Frame {
    pub(crate) timeout: Option<Deadline>,
    pub(crate) group: Option<Group>,
}

/// The task that runs an operation: under whose name its events are written down.
#[derive(Clone)]
pub(crate) struct Me {
    pub(crate) name: Name,
    pub(crate) program: Arc<Program>,
}

impl Me {
    pub(crate) fn log(&self, what: impl Into<String>) {
        self.program.log(&self.name, what.into());
    }

    fn done(&self, task: &TaskRef) {
        self.log(match task.error() {
            _ if task.is_cancelled() => "done cancelled".to_owned(),
            Some(error) => format!("done error {}", shown(&error)),
            None => format!("done value v:{}", self.name),
        });
    }

    /// The block's future; `frame` is what is lexically around it.
    pub(crate) fn block(self, block: Block, frame: Frame) -> Running {
        Box::pin(async move {
            for op in block.iter() {
                self.op(op, &frame).await?;
            }
            Ok(())
        })
    }

    pub(crate) fn inside(&self, block: &Block, frame: &Frame) -> Running {
        self.clone().block(block.clone(), frame.clone())
    }

    async fn op(&self, op: &Op, frame: &Frame) -> Result<()> {
        match op {
            Op::Log(text) => self.log(format!("log {text}")),
            Op::Sleep(time) => {
                filch::sleep(self.program.time(*time)).await;
                self.log("slept");
            }
            Op::Foreign(time) => {
                foreign_sleep(self.program.time(*time)).await;
                self.log("foreign");
            }
            Op::Spawn { task, block, eager } => {
                self.program.make(task, block.clone(), *eager);
                self.log(format!("{} {task}", if *eager { "eager" } else { "spawn" }));
            }
            Op::Cancel(_) | Op::Uncancel(_) | Op::Cancelling(_) | Op::Join(_) | Op::Shield(_) => {
                self.ask(op).await?;
            }
            Op::Timeout(limit, block) => self.timeout(*limit, block, frame).await?,
            Op::Reschedule(limit) => self.reschedule(*limit, frame),
            Op::Group(block) => self.group(block, frame).await?,
            Op::GroupSpawn(task, block) => self.group_spawn(task, block, frame),
            Op::Gather(names, collect) => self.gather(names, *collect).await?,
            Op::Wait(names, when, limit) => self.wait(names, *when, *limit).await,
            Op::WaitForTask(limit, name) => self.wait_for_task(*limit, name).await?,
            Op::WaitForBlock(limit, block) => self.wait_for_block(*limit, block).await?,
            Op::AsCompleted(names, limit) => self.as_completed(names, *limit).await?,
            Op::Try(block, handlers) => self.attempt(block, handlers, frame).await?,
            Op::Fail(text) => return Err(Boom(text.clone()).into()),
            Op::EventWait(_) | Op::EventSet(_) | Op::EventClear(_) => self.waits(op, frame).await?,
            Op::Lock(..) | Op::Permit(..) | Op::Put(..) | Op::Get(..) => {
                self.waits(op, frame).await?;
            }
            Op::JoinAll(_) | Op::TryJoin(_) | Op::Select(_) | Op::Unordered(_) => {
                self.several(op, frame).await?;
            }
            Op::Box(..) | Op::PollBox(_) | Op::AwaitBox(_) | Op::DropBox(_) => {
                self.boxed(op, frame).await?;
            }
            Op::Count => {
                let task = filch::current_task().expect("a scenario runs in tasks");
                self.log(format!("count {}", task.cancelling()));
            }
        }
        Ok(())
    }

    /// What is done to a task by its name.
    async fn ask(&self, op: &Op) -> Result<()> {
        let (verb, name) = match op {
            Op::Cancel(name) => ("cancel", name),
            Op::Uncancel(name) => ("uncancel", name),
            Op::Cancelling(name) => ("cancelling", name),
            Op::Join(name) => ("join", name),
            Op::Shield(name) => ("shield", name),
            _ => unreachable!("`op` sends nothing else here"),
        };
        let Some(task) = self.program.task(name) else {
            self.log(format!("{verb} {name} missing"));
            return Ok(());
        };
        let result = match op {
            Op::Cancel(_) => task.cancel().to_string(),
            Op::Uncancel(_) => task.uncancel().to_string(),
            Op::Cancelling(_) => task.cancelling().to_string(),
            Op::Shield(_) => {
                filch::shield(task).await?;
                format!("v:{name}")
            }
            _ => {
                task.join().await?;
                format!("v:{name}")
            }
        };
        self.log(format!("{verb} {name} {result}"));
        Ok(())
    }

    /// `try`: the handlers, and around them what must run at the end.
    async fn attempt(&self, block: &Block, handlers: &Arc<Handlers>, frame: &Frame) -> Result<()> {
        let Some(finally) = &handlers.finally else {
            return self.handled(block, handlers, frame).await;
        };
        let ended = filch::catch_cancelled(self.handled(block, handlers, frame)).await;
        self.log("finally");
        self.inside(finally, frame).await?;
        match ended {
            Ok(result) => result,
            Err(cancelled) => cancelled.raise().await,
        }
    }

    async fn handled(&self, block: &Block, handlers: &Handlers, frame: &Frame) -> Result<()> {
        let block = self.inside(block, frame);
        let result = match &handlers.cancelled {
            None => block.await,
            Some((handler, after)) => match filch::catch_cancelled(block).await {
                Ok(result) => result,
                Err(cancelled) => return self.cancelled(cancelled, handler, *after, frame).await,
            },
        };
        match (result, &handlers.error) {
            (Err(error), Some((handler, after))) if !error.is_cancelled() => {
                self.log(format!("caught {}", shown(&error)));
                self.inside(handler, frame).await?;
                if *after == After::Raise { Err(error) } else { Ok(()) }
            }
            (result, _) => result,
        }
    }

    async fn cancelled(
        &self,
        cancelled: Cancelled,
        handler: &Block,
        after: After,
        frame: &Frame,
    ) -> Result<()> {
        self.log("caught Cancelled");
        self.inside(handler, frame).await?;
        match after {
            After::Raise => cancelled.raise().await,
            After::Return => return Err(cancelled.into()),
            After::Swallow => {}
            After::Uncancel => {
                let task = filch::current_task().expect("a scenario runs in tasks");
                self.log(format!("uncancel {} {}", self.name, task.uncancel()));
            }
        }
        Ok(())
    }

    /// A block's future under a name, moved about.
    async fn boxed(&self, op: &Op, frame: &Frame) -> Result<()> {
        let (verb, name) = match op {
            Op::Box(name, block) => {
                let running = self.inside(block, frame);
                let before = self.program.boxes().insert(name.clone(), running);
                drop(before);
                return Ok(());
            }
            Op::PollBox(name) => ("polled", name),
            Op::AwaitBox(name) => ("awaited", name),
            Op::DropBox(name) => ("dropped", name),
            _ => unreachable!("`op` sends nothing else here"),
        };
        let taken = self.program.boxes().remove(name);
        let Some(mut running) = taken else {
            self.log(format!("{verb} {name} missing"));
            return Ok(());
        };
        match op {
            Op::PollBox(_) => match futures::poll!(&mut running) {
                std::task::Poll::Ready(result) => result?,
                std::task::Poll::Pending => {
                    self.program.boxes().insert(name.clone(), running);
                }
            },
            Op::AwaitBox(_) => running.await?,
            _ => drop(running),
        }
        self.log(format!("{verb} {name}"));
        Ok(())
    }
}

/// How an error is written in a trace.
pub(crate) fn shown(error: &Error) -> String {
    match error.downcast_ref::<Boom>() {
        Some(boom) => boom.to_string(),
        None if error.is_cancelled() => "Cancelled".to_owned(),
        None if error.is_timeout() => "Timeout".to_owned(),
        None if error.is_group() => {
            let mut members: Vec<String> = error.errors().iter().map(shown).collect();
            members.sort();
            format!("Group[{}]", members.join(","))
        }
        None => error.to_string(),
    }
}

/// What `fail` fails with.
#[derive(Debug)]
struct Boom(Name);

impl fmt::Display for Boom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Boom:{}", self.0)
    }
}

impl std::error::Error for Boom {}
