//! A sequence, done by filch in a simulation.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filch::sync::{Queue, Semaphore, Shutdown};
use filch::time::Instant;
use filch::{Deadline, Error, Promise, Result, TaskGroup, TaskRef};

use crate::program::{After, Block, Deed, MOST, Op, PERMITS, PROMISES, ROOM, TICK};

type Running = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What is there after each deed, as text.
pub(crate) fn run(deeds: &[Deed]) -> Vec<String> {
    let deeds = deeds.to_vec();
    let main = async move {
        let world = Arc::new(World::new());
        let mut steps = Vec::new();
        for deed in &deeds {
            world.deed(deed).await;
            steps.push(world.state());
        }
        // Whoever is left is asked to end until he does.
        while world.unfinished().next().is_some() {
            world.unfinished().for_each(|task| {
                task.cancel();
            });
            settle(0).await;
            steps.push(world.state());
            assert!(steps.len() < MOST, "somebody never ends: {deeds:?}");
        }
        assert_eq!(filch::all_tasks().len(), 1, "somebody is left besides the driver");
        Ok(steps)
    };
    filch::sim::run(0, main).unwrap()
}

/// Lets everything run that can, until so much time has passed.
async fn settle(time: u64) {
    filch::sleep(Duration::from_nanos((time + 1) * TICK)).await;
}

struct World {
    start: Instant,
    tasks: Mutex<Vec<TaskRef>>,
    promises: [Promise<u32>; PROMISES],
    queues: [Queue<u32>; ROOM.len()],
    permits: [Arc<Semaphore>; PERMITS.len()],
    log: Mutex<Vec<String>>,
    /// The last number given to an item.
    items: Mutex<u32>,
    timers: Mutex<u64>,
}

/// What is lexically around a block; of groups, also what was around where its task was spawned.
#[derive(Clone, Default)]
struct Around {
    deadline: Option<Deadline>,
    group: Option<TaskGroup>,
}

impl World {
    fn new() -> Self {
        let queue = |room| if room == 0 { Queue::unbounded() } else { Queue::bounded(room) };
        World {
            start: Instant::now(),
            tasks: Mutex::default(),
            promises: [(); PROMISES].map(|()| Promise::new()),
            queues: ROOM.map(queue),
            permits: PERMITS.map(|count| Arc::new(Semaphore::new(count))),
            log: Mutex::default(),
            items: Mutex::default(),
            timers: Mutex::default(),
        }
    }

    fn tasks(&self) -> Vec<TaskRef> {
        self.tasks.lock().unwrap().clone()
    }

    /// The task that a number means, of the first so many.
    fn task(&self, number: usize, of: usize) -> Option<TaskRef> {
        (of > 0).then(|| self.tasks()[number % of].clone())
    }

    fn unfinished(&self) -> impl Iterator<Item = TaskRef> {
        self.tasks().into_iter().filter(|task| !task.is_finished())
    }

    fn item(&self) -> u32 {
        let mut items = self.items.lock().unwrap();
        *items += 1;
        *items
    }

    /// A moment of its own, so much later.
    fn later(&self, time: u64) -> Instant {
        let mut timers = self.timers.lock().unwrap();
        *timers += 1;
        let now = self.start.elapsed().as_nanos() as u64 / TICK;
        self.start + Duration::from_nanos((now + time) * TICK + *timers)
    }

    fn log(&self, who: &str, what: String) {
        self.log.lock().unwrap().push(format!("{who} {what}"));
    }

    async fn deed(self: &Arc<Self>, deed: &Deed) {
        let mut time = 0;
        let count = self.tasks().len();
        let said = match *deed {
            Deed::Spawn(ref block) => {
                let task = filch::spawn(self.program(count, count, block.clone(), None));
                self.tasks.lock().unwrap().push(task.task_ref());
                "spawned".to_owned()
            }
            Deed::Cancel(number) => format!("{:?}", self.task(number, count).map(|t| t.cancel())),
            Deed::Uncancel(number) => {
                format!("{:?}", self.task(number, count).map(|t| t.uncancel()))
            }
            Deed::Pass(ticks) => {
                time = ticks;
                "passed".to_owned()
            }
            Deed::Set(promise) => self.promises[promise].set(7).is_ok().to_string(),
            Deed::Fail(promise) => {
                self.promises[promise].set_error(Boom("promise")).is_ok().to_string()
            }
            Deed::Revoke(promise) => self.promises[promise].cancel().to_string(),
            Deed::TryPut(queue) => self.queues[queue].try_put(self.item()).is_ok().to_string(),
            Deed::TryGet(queue) => format!("{:?}", self.queues[queue].try_get().ok()),
            Deed::Done(queue) => self.queues[queue].task_done().is_ok().to_string(),
            Deed::Shutdown(queue, at_once) => {
                let queue = &self.queues[queue];
                if at_once {
                    queue.shutdown_now()
                } else {
                    queue.shutdown()
                };
                "shut down".to_owned()
            }
        };
        self.log("driver", said);
        settle(time).await;
    }

    fn state(&self) -> String {
        let mut text = std::mem::take(&mut *self.log.lock().unwrap()).join("; ");
        text += " |";
        for task in self.tasks() {
            text += &format!(" {}/{}", ended(&task), task.cancelling());
        }
        text += " |";
        for promise in &self.promises {
            text += &format!(" {}", ended(promise));
        }
        for queue in &self.queues {
            let (getters, putters) = queue.waiting();
            let (len, left) = (queue.len(), queue.unfinished());
            text += &format!(" | {len} {left} {getters} {putters}");
        }
        for permits in &self.permits {
            text += &format!(" | {} {}", permits.available(), permits.waiting());
        }
        text
    }

    fn program(
        self: &Arc<Self>,
        number: usize,
        joins: usize,
        block: Block,
        group: Option<TaskGroup>,
    ) -> Running {
        let me = Me { number, joins, world: self.clone() };
        me.block(block, Around { deadline: None, group })
    }
}

/// How a task or a promise ended, if it did.
fn ended(task: &TaskRef) -> String {
    match task.error() {
        _ if !task.is_finished() => "pending".to_owned(),
        _ if task.is_cancelled() => "cancelled".to_owned(),
        None => "value".to_owned(),
        Some(error) => shown(&error),
    }
}

fn shown(error: &Error) -> String {
    match error.downcast_ref::<Boom>() {
        Some(Boom(what)) => (*what).to_owned(),
        None if error.is_timeout() => "timeout".to_owned(),
        None if error.is_cancelled() => "cancelled".to_owned(),
        None if error.is_group() => {
            let members: Vec<String> = error.errors().iter().map(shown).collect();
            format!("[{}]", members.join(","))
        }
        None if error.is::<Shutdown>() || error.is::<filch::sync::PutError<u32>>() => {
            "shutdown".to_owned()
        }
        None => error.to_string(),
    }
}

/// An error of the program.
#[derive(Debug)]
struct Boom(&'static str);

impl fmt::Display for Boom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Boom {}

/// The task that runs an operation.
#[derive(Clone)]
struct Me {
    number: usize,
    /// It may join those made before its first ancestor: so nobody awaits himself.
    joins: usize,
    world: Arc<World>,
}

impl Me {
    fn block(self, block: Block, around: Around) -> Running {
        Box::pin(async move {
            for op in block.iter() {
                self.op(op, &around).await?;
            }
            Ok(())
        })
    }

    fn inside(&self, block: &Block, around: &Around) -> Running {
        self.clone().block(block.clone(), around.clone())
    }

    fn log(&self, what: impl Into<String>) {
        self.world.log(&self.number.to_string(), what.into());
    }

    fn me(&self) -> TaskRef {
        filch::current_task().expect("a program runs in a task")
    }

    async fn op(&self, op: &Op, around: &Around) -> Result<()> {
        let world = &self.world;
        match *op {
            Op::Yield => filch::yield_now().await,
            Op::Sleep(time) => filch::sleep_until(world.later(time)).await,
            Op::Await(number) => {
                world.promises[number].clone().await?;
            }
            Op::Join(number) => {
                if let Some(task) = world.task(number, self.joins) {
                    task.join().await?;
                }
            }
            Op::Put(queue) => {
                let item = world.item();
                world.queues[queue].put(item).await?;
            }
            Op::Get(queue) => {
                let item = world.queues[queue].get().await?;
                self.log(format!("got {item}"));
            }
            Op::Permit(semaphore, count, ref block) => {
                let permit = world.permits[semaphore].acquire_many(count).await;
                self.inside(block, around).await?;
                drop(permit);
            }
            Op::Cancel(number) => {
                let task = world.task(number, world.tasks().len()).expect("this is one");
                self.log(task.cancel().to_string());
            }
            Op::CancelSelf => assert!(self.me().cancel()),
            Op::Uncancel => self.log(self.me().uncancel().to_string()),
            Op::Set(number) => self.log(world.promises[number].set(8).is_ok().to_string()),
            Op::Fail => return Err(Boom("boom").into()),
            _ => self.scope(op, around).await?,
        }
        self.log("on");
        Ok(())
    }

    /// What has a block of its own, or is about what is around.
    async fn scope(&self, op: &Op, around: &Around) -> Result<()> {
        match op {
            Op::Timeout(time, block) => {
                let limit = self.world.later(*time) - Instant::now();
                let body = |deadline| {
                    let deadline = Some(deadline);
                    self.inside(block, &Around { deadline, ..around.clone() })
                };
                filch::timeout_scope(limit, body).await
            }
            Op::Move(time) => {
                let Some(deadline) = &around.deadline else { return Ok(()) };
                let to = time.map(|time| self.world.later(time));
                self.log(deadline.reschedule(to).is_ok().to_string());
                Ok(())
            }
            Op::Catch(block, after) => self.catch(block, *after, around).await,
            Op::Try(block) => match self.inside(block, around).await {
                Err(error) if !error.is_cancelled() => {
                    self.log(format!("tried {}", shown(&error)));
                    Ok(())
                }
                ended => ended,
            },
            Op::Group(block) => {
                let body = |group| {
                    let group = Some(group);
                    self.inside(block, &Around { group, ..around.clone() })
                };
                filch::task_group(body).await
            }
            Op::Child(block) | Op::Spawn(block) => {
                let number = self.world.tasks().len();
                let group = around.group.clone();
                let program = self.world.program(number, self.joins, block.clone(), group);
                let task = match &around.group {
                    Some(group) if matches!(op, Op::Child(_)) => group.try_spawn(program).ok(),
                    _ => Some(filch::spawn(program)),
                };
                self.log(if task.is_some() { "made" } else { "refused" });
                self.world.tasks.lock().unwrap().extend(task.map(|task| task.task_ref()));
                Ok(())
            }
            _ => unreachable!("`op` sends nothing else here"),
        }
    }

    async fn catch(&self, block: &Block, after: After, around: &Around) -> Result<()> {
        match filch::catch_cancelled(self.inside(block, around)).await {
            Ok(ended) => return ended,
            Err(cancelled) => {
                self.log("caught");
                match after {
                    After::Raise => cancelled.raise().await,
                    After::Swallow => {}
                    After::Uncancel => self.log(self.me().uncancel().to_string()),
                }
            }
        }
        Ok(())
    }
}
