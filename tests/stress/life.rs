//! What a task under stress does with its life: one deed after the other, chosen at random.

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use filch::time::Instant;
use filch::{Error, Result, Task, TaskBuilder, TaskRef, all_tasks, catch_cancelled, current_task};
use filch::{interval, sleep, sleep_until, spawn, spawn_eager, timeout, timeout_any, timeout_at};
use filch::{timeout_scope, to_thread, yield_now};
use futures::channel::oneshot;
use futures::future::{join3, select};
use futures::stream::{FuturesUnordered, StreamExt};

use super::wire;
use super::world::{Boom, Child, Counted, Kind, Known, Value, World, lock};

pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// So deep may one deed contain another.
const NESTED: u8 = 4;

/// The whole life of a task. It may begin with what another task has begun.
pub(crate) fn life(
    world: Arc<World>,
    known: Arc<Known>,
    mut rng: Rng,
    luggage: Option<Boxed<'static, ()>>,
) -> Boxed<'static, Result<Value>> {
    let counted = Counted::new(&world, |tally| &tally.futures);
    Box::pin(async move {
        let _counted = counted;
        known.is(current_task().expect("a task is polled"));
        if let Some(luggage) = luggage {
            known.does("carries on");
            luggage.await;
        }
        let deeds = rng.u8(..12);
        let mut me = Me { world, known, rng, children: Vec::new() };
        for _ in 0..deeds {
            if !me.world.step() {
                break;
            }
            me.deed(0).await?;
        }
        me.known.does("ends");
        Ok(Value::new(&me.world, me.known.number))
    })
}

/// A task as it sees itself.
pub(crate) struct Me {
    pub(crate) world: Arc<World>,
    pub(crate) known: Arc<Known>,
    pub(crate) rng: Rng,
    children: Vec<Child>,
}

impl Me {
    /// Does something. An error ends the task: [`Boom`], or a cancellation.
    fn deed(&mut self, nested: u8) -> Boxed<'_, Result<()>> {
        Box::pin(async move {
            let most = if self.is(Kind::Meek) { 83 } else { 100 };
            match self.rng.u8(..most) {
                0..17 => self.wait().await,
                17..20 => self.hear().await,
                20..35 => self.ask().await,
                35..48 => return self.spawn(),
                48..58 if nested < NESTED => return self.catch(nested + 1).await,
                58..66 => wire::talk(self).await,
                66..68 => self.leave_to_thread().await,
                68..83 => return self.join().await,
                83..96 if nested < NESTED => return self.limit(nested + 1).await,
                96..98 => self.hand_on().await,
                98..100 => return self.end(),
                _ => yield_now().await,
            }
            Ok(())
        })
    }

    fn is(&self, kind: Kind) -> bool {
        self.known.kind == kind
    }

    pub(crate) fn some_time(&mut self) -> Duration {
        if self.world.hurries && self.rng.u8(..32) > 0 {
            return Duration::from_nanos(self.rng.u64(..20_000));
        }
        match self.rng.u8(..16) {
            0..5 => Duration::ZERO,
            5..12 => Duration::from_micros(self.rng.u64(1..400)),
            12..15 => Duration::from_micros(self.rng.u64(400..2500)),
            _ => Duration::from_millis(self.rng.u64(2..12)),
        }
    }

    // ---- waiting -----------------------------------------------------------------------------

    async fn wait(&mut self) {
        self.known.does("waits");
        let (one, two) = (self.some_time(), self.some_time());
        match self.rng.u8(..8) {
            0..3 => sleep(one).await,
            3 => sleep_until(Instant::now() + one).await,
            4 => drop(select(Box::pin(sleep(one)), Box::pin(sleep(two))).await),
            5 => drop(join3(sleep(one), yield_now(), sleep(two)).await),
            6 => {
                let mut beats = interval(Duration::from_micros(self.rng.u64(1..300)));
                for _ in 0..self.rng.u8(..4) {
                    beats.tick().await;
                }
            }
            _ => {
                for _ in 0..self.rng.u8(..6) {
                    yield_now().await;
                }
            }
        }
    }

    /// Waits for a word from whoever finds the letter, and answers one.
    async fn hear(&mut self) {
        self.known.does("waits for a word");
        let (letter, word) = oneshot::channel();
        let time = self.some_time();
        let former = self.world.letters.put(letter, &mut self.rng);
        if let Some(letter) = self.world.letters.take(&mut self.rng) {
            _ = letter.send(self.known.number);
        }
        // Whoever has waited for an answer to the former gets none.
        drop(former);
        if self.rng.bool() {
            _ = word.await;
        } else {
            drop(select(word, Box::pin(sleep(time))).await);
        }
    }

    /// A closure on a thread: with a value, with a panic, or left half-way.
    async fn leave_to_thread(&mut self) {
        self.known.does("leaves work to a thread");
        let counted = Counted::new(&self.world, |tally| &tally.closures);
        let (time, panics) = (self.rng.u64(..300), self.rng.u8(..4) == 0);
        let work = to_thread(move || {
            let _counted = counted;
            std::thread::sleep(Duration::from_micros(time));
            if panics {
                resume_unwind(Box::new("a closure, on purpose"));
            }
            time
        });
        if self.rng.bool() {
            drop(select(work, Box::pin(sleep(self.some_time()))).await);
            return;
        }
        match work.await {
            Ok(given) if given == time && !panics => {}
            Err(error) if error.is_panic() && panics || self.world.is_ending() => drop(error),
            other => self.world.complain(format!("a closure gave {other:?}")),
        }
    }

    // ---- others ------------------------------------------------------------------------------

    /// Asks somebody, perhaps itself, to end; takes requests back; wants to know of ends.
    async fn ask(&mut self) {
        self.known.does("asks");
        let somebody = self.world.anybody(&mut self.rng);
        let other = somebody.filter(|_| self.rng.u8(..8) > 0).unwrap_or(self.known.clone());
        match self.rng.u8(..8) {
            0..3 => {
                let accepted = other.cancel(&mut self.rng);
                if accepted && self.rng.bool() {
                    // Nothing may come between: who asked takes it back.
                    other.uncancel();
                }
            }
            3 if other.kind == Kind::Wild => other.uncancel(),
            4 | 5 => {
                let id = self.world.add_callback(&other);
                if self.rng.bool() && other.task().remove_done_callback(id) {
                    self.world.callback_is_removed();
                }
            }
            6 => {
                other.task().set_name(format!("task {} of the stress", other.number));
                assert!(format!("{other:?}").contains(&other.number.to_string()));
            }
            _ => {
                if let Some(deadline) = self.world.deadlines.take(&mut self.rng) {
                    _ = deadline.reschedule(Instant::now() + self.some_time());
                }
                drop(all_tasks());
            }
        }
    }

    fn spawn(&mut self) -> Result<()> {
        self.known.does("spawns");
        let beside = if self.rng.u8(..8) == 0 { self.world.beside() } else { None };
        let how = if beside.is_some() { 9 } else { self.rng.u8(..10) };
        let world = beside.unwrap_or(self.world.clone());
        let kind = match self.rng.u8(..4) {
            0 => Kind::Solo,
            1 | 2 if !self.is(Kind::Meek) => Kind::Wild,
            _ => Kind::Meek,
        };
        let start = |life| match how {
            0..4 => spawn(life),
            4 | 5 => spawn_eager(life),
            6 => TaskBuilder::new().name("named").spawn(life),
            7 => TaskBuilder::new().name("eager").spawn_eager(life),
            _ => world.handle.spawn(life),
        };
        let child = beget(&world, &mut self.rng, kind, None, start);
        match child {
            Some(child) if kind != Kind::Solo && self.rng.u8(..4) > 0 => self.children.push(child),
            Some(child) => child.task.detach(),
            None => {}
        }
        Ok(())
    }

    /// Begins to wait, and has another task carry on.
    async fn hand_on(&mut self) {
        self.known.does("hands on");
        let (limit, time) = (self.some_time(), self.some_time());
        let caught = self.rng.bool();
        let mut luggage: Boxed<'static, ()> = Box::pin(async move {
            if caught {
                drop(catch_cancelled(timeout(limit, sleep(time))).await);
            } else {
                drop(timeout(limit, sleep(time)).await);
            }
        });
        if futures::poll!(luggage.as_mut()).is_ready() {
            return;
        }
        if self.rng.bool() {
            sleep(self.some_time()).await;
        }
        let child = beget(&self.world, &mut self.rng, Kind::Wild, Some(luggage), spawn);
        self.children.extend(child);
    }

    fn end(&mut self) -> Result<()> {
        self.known.does("ends early");
        match self.rng.u8(..2) {
            0 => Err(Boom.into()),
            _ => resume_unwind(Box::new("a task, on purpose")),
        }
    }

    // ---- joining -----------------------------------------------------------------------------

    /// One of the own children, or of those that others gave away. Only younger ones, so that there
    /// is no ring.
    fn child(&mut self) -> Option<Child> {
        if self.rng.u8(..4) == 0 {
            let mut parcels = lock(&self.world.parcels);
            let mine = self.known.number;
            let all = !self.is(Kind::Meek);
            let fits = |known: &Known| known.number > mine && (all || known.kind == Kind::Meek);
            if let Some(place) = parcels.iter().position(|child| fits(&child.known)) {
                return Some(parcels.swap_remove(place));
            }
        }
        let count = self.children.len();
        (count > 0).then(|| self.children.swap_remove(self.rng.usize(..count)))
    }

    async fn join(&mut self) -> Result<()> {
        self.known.does("joins");
        match self.rng.u8(..8) {
            0 => return self.join_anybody().await,
            1 => return self.join_some().await,
            2 if !self.is(Kind::Meek) => return self.join_three().await,
            _ => {}
        }
        let Some(mut child) = self.child() else { return Ok(()) };
        match self.rng.u8(..6) {
            0 => lock(&self.world.parcels).push(child),
            1 => child.task.detach(),
            2 => {
                // Half-way, and then left, or once more.
                let time = self.some_time();
                drop(select(&mut child.task, Box::pin(sleep(time))).await);
                if !child.task.is_finished() {
                    self.children.push(child);
                }
            }
            _ => {
                let outcome = (&mut child.task).await;
                return self.look_at(&child.known, outcome);
            }
        }
        Ok(())
    }

    /// Looks at what a task gave. Sometimes, its cancellation becomes this one's.
    fn look_at(&mut self, known: &Known, outcome: Result<Value>) -> Result<()> {
        self.world.check(known, &outcome);
        match outcome {
            Err(error) if error.is_cancelled() && self.rng.u8(..8) == 0 => {
                self.known.imitates();
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// By reference: anybody younger; or older, perhaps itself, but then not for ever.
    async fn join_anybody(&mut self) -> Result<()> {
        let Some(other) = self.world.anybody(&mut self.rng) else { return Ok(()) };
        let meek = self.is(Kind::Meek);
        if other.kind == Kind::Solo || meek && other.kind == Kind::Wild {
            return Ok(());
        }
        let join = other.task().join();
        if other.number <= self.known.number {
            if meek {
                return Ok(());
            }
            // There may be a ring, and a member that swallows whatever comes: so the time is
            // limited by more than a request.
            self.known.does("joins an older one");
            let (limit, time) = (self.some_time(), self.some_time());
            let either = async { drop(select(join, Box::pin(sleep(time))).await) };
            return ignore_timeout(timeout(limit, either).await);
        }
        let joined = join.await;
        if joined.is_ok() && other.task().error().is_some() {
            self.world.complain(format!("{other:?} has failed, and was joined without an error"));
        }
        Ok(())
    }

    /// Several, in the order of their ends, and not always all.
    async fn join_some(&mut self) -> Result<()> {
        let children = std::mem::take(&mut self.children);
        let mut joins: FuturesUnordered<_> =
            children.into_iter().map(|child| async { (child.known, child.task.await) }).collect();
        let mut left = self.rng.usize(..=joins.len());
        while left > 0
            && let Some((known, outcome)) = joins.next().await
        {
            self.look_at(&known, outcome)?;
            left -= 1;
        }
        Ok(())
    }

    /// A child, a timeout and a catch side by side.
    async fn join_three(&mut self) -> Result<()> {
        let Some(child) = self.child() else { return Ok(()) };
        let (time, limit) = (self.some_time(), self.some_time());
        let limited = timeout(limit, sleep(time));
        let caught = catch_cancelled(sleep(time));
        let (outcome, limited, _caught) = join3(child.task, limited, caught).await;
        ignore_timeout(limited)?;
        self.look_at(&child.known, outcome)
    }

    // ---- scopes ------------------------------------------------------------------------------

    /// Something under a deadline.
    async fn limit(&mut self, nested: u8) -> Result<()> {
        let (limit, other) = (self.some_time(), self.some_time());
        let how = self.rng.u8(..8);
        ignore_timeout(match how {
            0..3 => timeout(limit, self.deed(nested)).await,
            3 => timeout_at(Instant::now() + limit, self.deed(nested)).await,
            4 => timeout(None, self.deed(nested)).await,
            5 => timeout_any(limit, sleep(other)).await.map_err(Error::from),
            _ => {
                timeout_scope(limit, async move |deadline| {
                    drop(self.world.deadlines.put(deadline.clone(), &mut self.rng));
                    // Too late is no mistake here.
                    let now = Instant::now();
                    _ = deadline.reschedule(if how == 6 { Some(now + other) } else { None });
                    let done = self.deed(nested).await;
                    _ = deadline.reschedule(Some(now + limit));
                    yield_now().await;
                    done
                })
                .await
            }
        })
    }

    /// Something that may be cancelled; then cleans up, and goes on or not.
    async fn catch(&mut self, nested: u8) -> Result<()> {
        let cancelled = match catch_cancelled(self.deed(nested)).await {
            Ok(done) => return done,
            Err(cancelled) => cancelled,
        };
        self.known.does("cleans up");
        for _ in 0..self.rng.u8(..3) {
            sleep(self.some_time()).await;
        }
        match self.rng.u8(..4) {
            0 => cancelled.raise().await,
            1 => return Err(cancelled.into()),
            _ if self.is(Kind::Meek) => cancelled.raise().await,
            2 if self.is(Kind::Wild) => self.known.uncancel(),
            _ => {}
        }
        self.known.does("has swallowed");
        Ok(())
    }
}

/// Begins a life, unless there are too many already.
pub(crate) fn beget(
    world: &Arc<World>,
    rng: &mut Rng,
    kind: Kind,
    luggage: Option<Boxed<'static, ()>>,
    start: impl FnOnce(Boxed<'static, Result<Value>>) -> Task<Value>,
) -> Option<Child> {
    if world.is_crowded() || !world.step() {
        return None;
    }
    let known = world.expect(kind);
    let task = start(life(world.clone(), known.clone(), rng.fork(), luggage));
    let given: &TaskRef = &task;
    world.introduce(&known, given, rng);
    Some(Child { known, task })
}

fn ignore_timeout(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.is_timeout() => Ok(()),
        other => other,
    }
}
