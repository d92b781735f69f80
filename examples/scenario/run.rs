//! Runs a scenario: every operation is what a user of the library would write for it.
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

type Running = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

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
    trace: Mutex<Vec<Event>>,
}

impl Program {
    pub(crate) fn new(unit: Duration) -> Arc<Self> {
        Arc::new(Program {
            unit,
            start: Mutex::default(),
            tasks: Mutex::default(),
            boxes: Mutex::default(),
            trace: Mutex::default(),
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

    fn task(&self, name: &Name) -> Option<TaskRef> {
        lock(&self.tasks).1.get(name).cloned()
    }

    fn boxes(&self) -> MutexGuard<'_, HashMap<Name, Running>> {
        lock(&self.boxes)
    }

    pub(crate) fn trace(&self) -> MutexGuard<'_, Vec<Event>> {
        lock(&self.trace)
    }

    fn log(&self, who: &Name, what: String) {
        let start = lock(&self.start).expect("the program has started");
        let at = start.elapsed().as_micros() as u64;
        self.trace().push((at, who.clone(), what));
    }

    fn time(&self, microseconds: u64) -> Duration {
        Duration::from_nanos(self.unit.as_nanos() as u64 * microseconds)
    }

    fn make(self: &Arc<Self>, name: &Name, block: Block, eager: bool) {
        let me = Me { name: name.clone(), program: self.clone() };
        let builder = filch::TaskBuilder::new().name(&**name);
        let body = me.clone().block(block, None);
        let task = if eager { builder.spawn_eager(body) } else { builder.spawn(body) };
        {
            let mut tasks = lock(&self.tasks);
            tasks.0.push((*task).clone());
            tasks.1.insert(name.clone(), (*task).clone());
        }
        task.add_done_callback(move |task| me.done(&task));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The task that runs an operation: under whose name its events are written down.
#[derive(Clone)]
struct Me {
    name: Name,
    program: Arc<Program>,
}

impl Me {
    fn log(&self, what: impl Into<String>) {
        self.program.log(&self.name, what.into());
    }

    fn done(&self, task: &TaskRef) {
        self.log(match task.error() {
            _ if task.is_cancelled() => "done cancelled".to_owned(),
            Some(error) => format!("done error {}", shown(&error)),
            None => format!("done value v:{}", self.name),
        });
    }

    /// The block's future; `timeout` is the innermost one lexically around it.
    fn block(self, block: Block, timeout: Option<Deadline>) -> Running {
        Box::pin(async move {
            for op in block.iter() {
                self.op(op, &timeout).await?;
            }
            Ok(())
        })
    }

    fn inside(&self, block: &Block, timeout: &Option<Deadline>) -> Running {
        self.clone().block(block.clone(), timeout.clone())
    }

    async fn op(&self, op: &Op, timeout: &Option<Deadline>) -> Result<()> {
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
            Op::Cancel(_) | Op::Uncancel(_) | Op::Cancelling(_) | Op::Join(_) => {
                self.ask(op).await?;
            }
            Op::Timeout(limit, block) => self.timeout(*limit, block).await?,
            Op::Reschedule(limit) => self.reschedule(*limit, timeout),
            Op::Try(block, handlers) => self.attempt(block, handlers, timeout).await?,
            Op::Fail(text) => return Err(Boom(text.clone()).into()),
            Op::JoinAll(_) | Op::TryJoin(_) | Op::Select(_) | Op::Unordered(_) => {
                self.several(op, timeout).await?;
            }
            Op::Box(..) | Op::PollBox(_) | Op::AwaitBox(_) | Op::DropBox(_) => {
                self.boxed(op, timeout).await?;
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
            _ => {
                task.join().await?;
                format!("v:{name}")
            }
        };
        self.log(format!("{verb} {name} {result}"));
        Ok(())
    }

    async fn timeout(&self, limit: Option<u64>, block: &Block) -> Result<()> {
        let mut deadline = None;
        let body = |inner: Deadline| {
            deadline = Some(inner.clone());
            self.inside(block, &Some(inner))
        };
        filch::timeout_scope(limit.map(|time| self.program.time(time)), body).await?;
        let expired = deadline.is_some_and(|deadline| deadline.expired());
        self.log(format!("timeout expired={expired}"));
        Ok(())
    }

    fn reschedule(&self, limit: Option<u64>, timeout: &Option<Deadline>) {
        if let Some(timeout) = timeout {
            let at = limit.map(|time| Instant::now() + self.program.time(time));
            let moved = timeout.reschedule(at).is_ok();
            self.log(if moved { "resched" } else { "resched refused" });
        }
    }

    /// `try`: the handlers, and around them what must run at the end.
    async fn attempt(
        &self,
        block: &Block,
        handlers: &Arc<Handlers>,
        timeout: &Option<Deadline>,
    ) -> Result<()> {
        let Some(finally) = &handlers.finally else {
            return self.handled(block, handlers, timeout).await;
        };
        let ended = filch::catch_cancelled(self.handled(block, handlers, timeout)).await;
        self.log("finally");
        self.inside(finally, timeout).await?;
        match ended {
            Ok(result) => result,
            Err(cancelled) => cancelled.raise().await,
        }
    }

    async fn handled(
        &self,
        block: &Block,
        handlers: &Handlers,
        timeout: &Option<Deadline>,
    ) -> Result<()> {
        let block = self.inside(block, timeout);
        let result = match &handlers.cancelled {
            None => block.await,
            Some((handler, after)) => match filch::catch_cancelled(block).await {
                Ok(result) => result,
                Err(cancelled) => return self.cancelled(cancelled, handler, *after, timeout).await,
            },
        };
        match (result, &handlers.error) {
            (Err(error), Some((handler, after))) if !error.is_cancelled() => {
                self.log(format!("caught {}", shown(&error)));
                self.inside(handler, timeout).await?;
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
        timeout: &Option<Deadline>,
    ) -> Result<()> {
        self.log("caught Cancelled");
        self.inside(handler, timeout).await?;
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

    /// Several blocks at once in this task.
    async fn several(&self, op: &Op, timeout: &Option<Deadline>) -> Result<()> {
        use futures::StreamExt;
        use futures::future::{join_all, select_all, try_join_all};
        let start =
            |blocks: &[Block]| blocks.iter().map(|block| self.inside(block, timeout)).collect();
        match op {
            Op::JoinAll(blocks) => {
                let running: Vec<Running> = start(blocks);
                join_all(running).await.into_iter().collect::<Result<()>>()?;
                self.log("join_all");
            }
            Op::TryJoin(blocks) => {
                let running: Vec<Running> = start(blocks);
                try_join_all(running).await?;
                self.log("try_join");
            }
            Op::Select(blocks) => {
                let (first, _, losers) = select_all::<Vec<Running>>(start(blocks)).await;
                drop(losers);
                first?;
                self.log("select");
            }
            Op::Unordered(blocks) => {
                let running: Vec<Running> = start(blocks);
                let unordered: futures::stream::FuturesUnordered<_> = running.into_iter().collect();
                let ended: Vec<Result<()>> = unordered.collect().await;
                ended.into_iter().collect::<Result<()>>()?;
                self.log("funord");
            }
            _ => unreachable!("`op` sends nothing else here"),
        }
        Ok(())
    }

    /// A block's future under a name, moved about.
    async fn boxed(&self, op: &Op, timeout: &Option<Deadline>) -> Result<()> {
        let (verb, name) = match op {
            Op::Box(name, block) => {
                let running = self.inside(block, timeout);
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
fn shown(error: &Error) -> String {
    match error.downcast_ref::<Boom>() {
        Some(boom) => boom.to_string(),
        None if error.is_cancelled() => "Cancelled".to_owned(),
        None if error.is_timeout() => "Timeout".to_owned(),
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
