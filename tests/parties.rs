//! Small programs around one condition and one barrier, as pairs: a program, and the trace that
//! CPython 3.13 gave it. The same trace must come here, event by event.
//!
//! A program is the number of the barrier's parties, then the tasks, set off by `|`, as operations:
//!
//! | operation    | does                                                                         |
//! |--------------|------------------------------------------------------------------------------|
//! | `y` `zN`     | yields; sleeps N microseconds                                                |
//! | `L` `U`      | takes the condition's lock; releases it                                      |
//! | `w` `WN` `P` | waits; until the number is N; with a predicate that fails at its second look |
//! | `nN` `N` `+` | notifies N, or all; adds one to the number                                   |
//! | `b` `r` `a`  | waits at the barrier, resets it, aborts it                                   |
//! | `cN` `q`     | cancels task N; tells the state of barrier and lock                          |
//! | `TN:op`      | the operation, for N microseconds at most; the timeout is caught             |
//! | `?op`        | the operation; a cancellation or a broken barrier is caught                  |
//!
//! What needs the lock does nothing without it. After 100 seconds all that is left is cancelled,
//! again and again.

mod common;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::{Boom, Log, seconds, simulate};
use filch::sync::{Barrier, BrokenBarrier, Condition, Lock, OwnedLockGuard};
use filch::{Result, Task, TaskRef, catch_cancelled, sleep, spawn, timeout, yield_now};

/// What the tasks of one program share.
struct Scene {
    log: Log,
    lock: Arc<Lock<()>>,
    condition: Condition,
    barrier: Barrier,
    number: AtomicI64,
    tasks: OnceLock<Vec<TaskRef>>,
}

/// One task of a program.
struct Party {
    me: usize,
    scene: Arc<Scene>,
    guard: Option<OwnedLockGuard<()>>,
}

fn argument(op: &str) -> u64 {
    op[1..].parse().unwrap_or(0)
}

impl Party {
    fn say(&self, op: &str, what: impl std::fmt::Display) -> Result<()> {
        self.scene.log.add(format!("{} {op} {what}", self.me));
        Ok(())
    }

    async fn run(mut self, ops: Vec<String>) -> Result<()> {
        for op in &ops {
            let Some(caught) = op.strip_prefix('?') else {
                self.one(op).await?;
                continue;
            };
            match catch_cancelled(self.one(caught)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) if error.is::<BrokenBarrier>() => self.say(op, "broken")?,
                Ok(Err(error)) => return Err(error),
                Err(_) => self.say(op, "cancelled")?,
            }
        }
        Ok(())
    }

    async fn one(&mut self, op: &str) -> Result<()> {
        let Some(limited) = op.strip_prefix('T') else { return self.simple(op).await };
        let (limit, rest) = limited.split_once(':').expect("a limit");
        let limit = Duration::from_micros(limit.parse()?);
        match timeout(limit, self.simple(rest)).await {
            Err(error) if error.is_timeout() => self.say(op, "timeout"),
            ended => ended,
        }
    }

    async fn simple(&mut self, op: &str) -> Result<()> {
        let scene = self.scene.clone();
        match &op[..1] {
            "y" => yield_now().await,
            "z" => sleep(Duration::from_micros(argument(op))).await,
            "L" if self.guard.is_some() => return self.say(op, "held"),
            "L" => self.guard = Some(scene.lock.lock_owned().await),
            "b" => return self.say(op, scene.barrier.wait().await?),
            "r" => scene.barrier.reset(),
            "a" => scene.barrier.abort(),
            "q" => {
                let barrier = (scene.barrier.waiting(), scene.barrier.is_broken());
                let locked = scene.lock.is_locked();
                return self.say(op, format!("{} {} {locked}", barrier.0, barrier.1));
            }
            "c" => {
                let task = &scene.tasks.get().expect("all are there")[argument(op) as usize];
                return self.say(op, task.cancel());
            }
            "+" => return self.say(op, scene.number.fetch_add(1, Ordering::Relaxed) + 1),
            _ => return self.with_lock(op).await,
        }
        self.say(op, "ok")
    }

    async fn with_lock(&mut self, op: &str) -> Result<()> {
        let (scene, me) = (self.scene.clone(), self.me);
        let Some(guard) = &mut self.guard else { return self.say(op, "none") };
        let mut looks = 0;
        let mut look = || {
            looks += 1;
            scene.log.add(format!("{me} {op} look"));
            looks
        };
        let wanted = argument(op);
        match &op[..1] {
            "U" => self.guard = None,
            "w" => scene.condition.wait(guard).await,
            "W" => {
                let is_met = |_: &mut ()| {
                    look();
                    scene.number.load(Ordering::Relaxed) >= wanted as i64
                };
                scene.condition.wait_for(guard, is_met).await;
            }
            "P" => {
                let fails = |_: &mut ()| look() == 2 && std::panic::panic_any(Boom("predicate"));
                scene.condition.wait_for(guard, fails).await;
            }
            "n" => scene.condition.notify(wanted as usize),
            "N" => scene.condition.notify_all(),
            other => panic!("no operation {other}"),
        }
        self.say(op, "ok")
    }
}

/// Starts a task of the program; its end is logged.
fn start(scene: &Arc<Scene>, me: usize, ops: &str) -> Task<()> {
    let party = Party { me, scene: scene.clone(), guard: None };
    let task = spawn(party.run(ops.split_whitespace().map(String::from).collect()));
    let log = scene.log.clone();
    task.add_done_callback(move |task| {
        let end = match () {
            () if task.is_cancelled() => "cancelled",
            () if task.error().is_some() => "error",
            () => "ok",
        };
        log.add(format!("{me} end {end}"));
    });
    task
}

fn trace(program: &str) -> String {
    let (parties, bodies) = program.split_once(' ').expect("parties, and tasks");
    let log = Log::new();
    let scene = Arc::new(Scene {
        log: log.clone(),
        lock: Arc::default(),
        condition: Condition::new(),
        barrier: Barrier::new(parties.parse().unwrap()),
        number: AtomicI64::new(0),
        tasks: OnceLock::new(),
    });
    simulate(async move {
        let tasks: Vec<_> =
            bodies.split('|').enumerate().map(|(me, ops)| start(&scene, me, ops)).collect();
        scene.tasks.set(tasks.iter().map(|task| task.task_ref()).collect()).expect("set once");
        sleep(seconds(100)).await;
        scene.log.add("late");
        while !tasks.iter().all(|task| task.is_finished()) {
            tasks.iter().for_each(|task| _ = task.cancel());
            sleep(seconds(1)).await;
        }
        Ok(())
    });
    log.lines().join(";")
}

#[test]
fn programs_do_what_they_do_in_cpython() {
    let pairs = match std::env::var("FILCH_PARTIES") {
        Ok(path) => std::fs::read_to_string(path).unwrap(),
        Err(_) => include_str!("data/parties.tsv").to_owned(),
    };
    let mut differ = Vec::new();
    for pair in pairs.lines().filter(|line| !line.is_empty()) {
        let (program, expected) = pair.split_once('\t').expect("a program and its trace");
        let got = trace(program);
        if got != expected {
            differ.push(format!("{program}\n  CPython: {expected}\n  here:    {got}"));
        }
    }
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
}
