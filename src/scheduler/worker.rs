//! The loop of one thread, from top to bottom.
//!
//! ~~~text
//! care     now and then: timers, events, the injector, hostages      (fairness)
//! take     the next-slot, a few times in a row at most; the line
//! search   injector, other lines, other instances;  spin a little    (one worker at a time)
//! park     announce, look once more, wait in the driver; the guard looks around every so often
//! ~~~
//! Care comes every 61 tasks, or about every 200 us if they are slow. A tick that is published with
//! each task tells the others that this worker goes on.

use std::time::Duration;

use crate::driver::clock::Instant;
use crate::probe;
use crate::scheduler::Shared;
use crate::scheduler::idle::{LOOK, Limit};
use crate::scheduler::queue::{Lane, Local, insist};
use crate::scheduler::watch::{Held, Seen};
use crate::scheduler::worth::{TRIAL, Trial};
use crate::sys::{Arc, thread};
use crate::task::Runnable;
use crate::task::memory::Home;

/// So many tasks of the next-slot in a row, while others wait in line.
const SLOT_IN_A_ROW: u32 = 3;
/// So many tasks from one care to the next, at most.
const CARE: u32 = 61;
/// About so long from one care to the next: slow tasks, more frequent care.
const CARE_TIME: Duration = Duration::from_micros(200);
/// The time between two polls of the driver, which is a system call: short after one that brought
/// something, for more may follow, and twice as long after each vain one.
const LEAST_POLL_GAP: Duration = Duration::from_micros(3);
const MOST_POLL_GAP: Duration = Duration::from_micros(20);
/// Polls that take that long on average are worth another worker's while, one by one.
const COARSE: Duration = Duration::from_micros(10);
/// The least time between two times that freed cells are sent home.
const FLUSH_GAP: Duration = Duration::from_millis(1);
/// The longest search before parking. A sleeper takes about that long to wake up.
const MOST_SPIN: Duration = Duration::from_micros(50);
const LEAST_SPIN: Duration = Duration::from_micros(3);
/// Who has slept so long goes to sleep again without leaving a guard on watch.
const RESTED: Duration = Duration::from_millis(1);
/// Who has slept so long gives the memory back that it does not need.
const TRIM_AFTER: Duration = Duration::from_secs(1);

/// A worker that waits for its thread.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    local: Local,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, local: Local) -> Self {
        Worker { shared, local }
    }

    /// Runs tasks on this thread until the scheduler is stopped.
    pub(crate) fn run(self) {
        let _entered = self.local.enter();
        let mut turn = Turn::new(&self.shared, &self.local);
        turn.lane.set_parked(false);
        // Whatever foreign code a turn runs is contained there; this is the last resort.
        while probe::contain("a worker's turn", || turn.work()).is_none() {
            turn.recover();
        }
        turn.lane.set_parked(true);
    }
}

/// What the loop keeps from one turn to the next.
struct Turn<'a> {
    shared: &'a Shared,
    local: &'a Local,
    lane: &'a Lane,
    tick: u32,
    /// The tick of the next care, and how many there are between two.
    next_care: u32,
    pace: u32,
    slot_in_a_row: u32,
    /// This worker is the one that searches.
    searching: bool,
    /// It has stolen, and looks at what comes of it.
    trial: Option<Trial>,
    /// All others slept at the last care; what it had run by then.
    alone: Option<u32>,
    /// It has announced itself as a sleeper, and has not left.
    asleep: bool,
    /// Its last sleep was a long one, and the next may be, too.
    rested: bool,
    /// It comes from its driver, and has not searched since.
    fresh: bool,
    /// How long the next search spins.
    spin: Duration,
    random: u32,
    cared: Instant,
    polled: Instant,
    poll_gap: Duration,
    flushed: Instant,
    /// Who stood still at the last look, or was slow.
    held: Vec<Held>,
}

impl<'a> Turn<'a> {
    fn new(shared: &'a Shared, local: &'a Local) -> Self {
        let now = Instant::now();
        Turn {
            shared,
            local,
            lane: &shared.lanes[local.index],
            tick: 0,
            next_care: 0,
            pace: CARE,
            slot_in_a_row: 0,
            searching: false,
            trial: None,
            alone: None,
            asleep: false,
            rested: false,
            fresh: false,
            spin: if shared.spins { MOST_SPIN } else { Duration::ZERO },
            random: local.index as u32 + 1,
            cared: now,
            polled: now,
            poll_gap: MOST_POLL_GAP,
            flushed: now,
            held: Vec::with_capacity(shared.workers()),
        }
    }

    fn work(&mut self) {
        while !self.shared.is_stopped() {
            let care = self.tick.wrapping_sub(self.next_care) as i32 >= 0;
            let task = if care { self.care() } else { None };
            if let Some(task) = task.or_else(|| self.take()).or_else(|| self.search()) {
                if self.searching {
                    // Wherever the task came from: nobody is woken while somebody searches.
                    self.found();
                }
                self.go_on();
                task.run();
            } else {
                self.park();
            }
        }
    }

    /// Goes on, though no task is run.
    fn step_in_vain(&mut self) {
        self.lane.step_in_vain();
        self.go_on();
    }

    /// Tells the others that this worker does not stand still.
    #[inline]
    fn go_on(&mut self) {
        self.tick = self.tick.wrapping_add(1);
        self.lane.publish_tick(self.tick);
    }

    #[inline]
    fn take(&mut self) -> Option<Runnable> {
        if self.slot_in_a_row < SLOT_IN_A_ROW
            && let Some(task) = self.lane.slot.take()
        {
            self.slot_in_a_row += 1;
            return Some(task);
        }
        self.slot_in_a_row = 0;
        self.local.line.pop().or_else(|| self.lane.slot.take())
    }

    /// Gives everything that is not in this worker's queue its turn.
    #[cold]
    fn care(&mut self) -> Option<Runnable> {
        let now = Instant::now();
        let took = now.duration_since(self.cared);
        self.set_pace(took);
        self.mind_company(now, took);
        self.cared = now;
        self.shared.fire(now);
        if now.duration_since(self.polled) >= self.poll_gap {
            self.polled = now;
            let came = self.poll();
            let longer = (self.poll_gap * 2).min(MOST_POLL_GAP);
            self.poll_gap = if came { LEAST_POLL_GAP } else { longer };
        }
        if now.duration_since(self.flushed) >= FLUSH_GAP {
            self.flushed = now;
            Home::flush();
        }
        // With a sleeper there is a guard. If there is none, everybody looks in passing.
        if self.shared.idle.nobody_sleeps() && self.shared.watch.is_due(now) {
            self.look(now);
            self.take_over();
        }
        if self.shared.injector.is_empty() {
            return None;
        }
        insist(|| self.shared.injector.steal())
    }

    /// Looks for events of its own. Whom they wake may stand ahead of a long line.
    fn poll(&self) -> bool {
        let _events = self.local.line.expect_events();
        self.shared.driver.poll(self.local.index)
    }

    fn set_pace(&mut self, took: Duration) {
        let took = took.as_nanos().max(1);
        let ran = self.tick.wrapping_sub(self.next_care.wrapping_sub(self.pace));
        let fitting = u128::from(self.pace) * CARE_TIME.as_nanos() / took;
        // A slow task speeds care up at once, fast ones slow it down by and by.
        let most = u128::from(CARE.min(self.pace * 2));
        self.pace = fitting.clamp(1, most) as u32;
        self.local.coarse.set(took >= u128::from(ran) * COARSE.as_nanos());
        self.next_care = self.tick.wrapping_add(self.pace);
    }

    /// How fast is a worker that is alone, and is it to stay alone?
    fn mind_company(&mut self, now: Instant, took: Duration) {
        let (shared, ran) = (self.shared, self.lane.ran());
        let before = self.alone.take();
        if shared.idle.one_is_awake() {
            self.alone = Some(ran);
            if let Some(before) = before {
                shared.worth.ran_alone(ran.wrapping_sub(before), took);
            }
        }
        if shared.idle.is_alone() && (shared.worth.is_over(now) || self.local.coarse.get()) {
            shared.idle.set_alone(false);
            if self.lane.has_surplus() {
                shared.wake_one();
            }
        }
    }

    /// There is nothing left. If the steal was so long ago: was it worth it?
    fn weigh(&mut self, least: Duration) {
        let Some(trial) = self.trial else { return };
        let now = Instant::now();
        let took = now.duration_since(trial.since);
        if took < least {
            return;
        }
        self.trial = None;
        let all = self.shared.ran().wrapping_sub(trial.all);
        let others = all.saturating_sub(self.lane.ran().wrapping_sub(trial.mine));
        // Beside somebody who is in the middle of a long poll, all that it runs is won.
        if others >= all / 8 && self.shared.worth.is_lost(all, took, now) {
            self.shared.idle.set_alone(true);
        }
    }

    /// Looks for work elsewhere, for a while if nobody else does.
    #[cold]
    fn search(&mut self) -> Option<Runnable> {
        self.weigh(TRIAL);
        self.searching = self.searching || self.shared.idle.search();
        if !self.searching {
            return self.scrape();
        }
        let mut now = Instant::now();
        let end = now + self.spin;
        let mut round = 0u32;
        while !self.shared.is_stopped() {
            if let Some(task) = self.look_around(now, round) {
                self.cared = now;
                self.alone = None;
                return Some(task);
            }
            now = Instant::now();
            if now >= end {
                break;
            }
            self.step_in_vain();
            thread::yield_now();
            round += 1;
        }
        self.spin = if self.spin > LEAST_SPIN { self.spin / 2 } else { Duration::ZERO };
        None
    }

    /// One round of a search. Events first: they are this worker's own.
    fn look_around(&mut self, now: Instant, round: u32) -> Option<Runnable> {
        let shared = self.shared;
        // Who comes from its driver knows; who parks at once has it looked at then.
        let knows = std::mem::take(&mut self.fresh) || self.spin.is_zero();
        if round.is_multiple_of(4) && !knows {
            self.poll();
        }
        if shared.timers.next().is_some_and(|next| next <= now) {
            shared.fire(now);
        }
        let found = self.take().or_else(|| self.take_injected()).or_else(|| self.steal());
        if found.is_some() || round > 0 {
            return found;
        }
        for index in self.others() {
            // Who is parked gets its events itself.
            if !shared.lanes[index].is_parked() {
                shared.driver.poll(index);
            }
        }
        self.take()
    }

    /// All workers but this one, from a random one on.
    fn others(&mut self) -> impl Iterator<Item = usize> + use<> {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        let (workers, me) = (self.shared.workers(), self.local.index);
        let start = self.random as usize % workers;
        (0..workers).map(move |step| (start + step) % workers).filter(move |other| *other != me)
    }

    fn take_injected(&self) -> Option<Runnable> {
        let injector = &self.shared.injector;
        if injector.is_empty() {
            return None;
        }
        self.local.line.pop_injected(injector)
    }

    fn steal(&mut self) -> Option<Runnable> {
        if self.shared.idle.is_alone() {
            return None;
        }
        let task = self.others().find_map(|other| self.steal_from(other))?;
        if self.trial.is_none() {
            let (mine, all) = (self.lane.ran(), self.shared.ran());
            self.trial = Some(Trial { since: Instant::now(), mine, all });
        }
        Some(task)
    }

    fn steal_from(&self, other: usize) -> Option<Runnable> {
        self.shared.lanes[other].thief.steal_into(&self.local.line)
    }

    /// What a worker takes that may not search: only what has been left over for anybody.
    fn scrape(&mut self) -> Option<Runnable> {
        let lanes = &self.shared.lanes;
        self.take_injected().or_else(|| {
            if self.shared.idle.is_alone() {
                return None;
            }
            self.others()
                .filter(|other| lanes[*other].has_surplus())
                .find_map(|other| self.steal_from(other))
        })
    }

    /// Ends the search because there is something to do; if there is more, wakes the next.
    fn found(&mut self) {
        self.searching = false;
        self.shared.idle.found();
        if self.shared.has_work() {
            self.shared.wake_one();
        }
    }

    /// Sleeps until there is something to do.
    #[cold]
    fn park(&mut self) {
        Home::flush();
        self.weigh(TRIAL / 4);
        self.trial = None;
        let searching = std::mem::take(&mut self.searching);
        let forget = self.shared.idle.announce(self.local.index, searching, self.rested);
        self.asleep = true;
        self.lane.set_parked(true);
        if let Some(guard) = forget {
            self.shared.driver.forget(guard);
            if self.shared.idle.is_reminded(guard) {
                self.shared.driver.remind(guard, LOOK);
            }
        }
        if !self.shared.has_work() {
            self.sleep();
        }
        self.get_up();
    }

    fn get_up(&mut self) {
        self.step_in_vain();
        self.lane.set_parked(false);
        let left = self.shared.idle.leave(self.local.index, Instant::now());
        self.asleep = false;
        self.searching = left.searching;
        if let Some(guard) = left.remind {
            self.shared.driver.remind(guard, LOOK);
        }
        if !self.lane.is_empty() && self.searching {
            self.found();
        } else if self.lane.has_surplus() && !self.shared.idle.is_alone() {
            self.shared.wake_one();
        }
    }

    fn sleep(&mut self) {
        let began = Instant::now();
        let mut now = began;
        let mut trimmed = false;
        while !self.shared.is_stopped() {
            let next_timer = || {
                self.shared.timers.settle(now);
                self.shared.timers.next()
            };
            let limit = self.shared.idle.limit(self.local.index, now, next_timer);
            if let Limit::Guard { reminded: true, .. } = limit {
                self.keep_watch(now, false);
                if !self.lane.is_empty() {
                    break;
                }
            }
            let time = match limit {
                Limit::Awake => break,
                Limit::None | Limit::Guard { until: Instant::NEVER, .. } => None,
                Limit::Guard { until, .. } => Some(until.duration_since(now)),
            };
            let time =
                if trimmed { time } else { Some(time.unwrap_or(TRIM_AFTER).min(TRIM_AFTER)) };
            self.shared.driver.wait(self.local.index, time);
            now = Instant::now();
            if let Limit::Guard { timers, .. } = limit {
                self.keep_watch(now, timers);
            }
            if !self.lane.is_empty() {
                break;
            }
            if !trimmed && now.duration_since(began) >= TRIM_AFTER {
                Home::trim_here();
                trimmed = true;
            }
        }
        self.cared = now;
        self.alone = None;
        self.fresh = true;
        self.rested = now.duration_since(began) >= RESTED;
        if self.shared.spins && now.duration_since(began) < MOST_SPIN * 3 / 2 {
            // Spinning would have been cheaper than this.
            self.spin = (self.spin.max(LEAST_SPIN) * 4).min(MOST_SPIN);
        }
    }

    /// What the guard does whenever it wakes up.
    fn keep_watch(&mut self, now: Instant, timers: bool) {
        if self.look(now) == Seen::Calm {
            self.shared.idle.rest();
        }
        if timers {
            self.shared.fire(now);
        }
        self.take_over();
    }

    fn look(&mut self, now: Instant) -> Seen {
        let shared = self.shared;
        shared.watch.look(&shared.lanes, self.local.index, now, &mut self.held)
    }

    /// Takes over what stands behind those who stand still, and shares with those who are slow.
    fn take_over(&mut self) {
        let slot = |index: usize| self.shared.lanes[index].slot.steal();
        let mut stands_still = false;
        while let Some(held) = self.held.pop() {
            match held {
                Held::Still(index) => {
                    self.adopt([self.steal_from(index), slot(index), self.take_injected()]);
                    self.shared.driver.poll(index);
                    stands_still = true;
                }
                Held::Slow(index) => self.adopt([self.steal_from(index).or_else(|| slot(index))]),
            }
        }
        if stands_still {
            self.shared.fire(Instant::now());
        }
    }

    fn adopt<const COUNT: usize>(&self, tasks: [Option<Runnable>; COUNT]) {
        tasks.into_iter().flatten().for_each(|task| self.local.line.push(task));
    }

    /// After a panic anywhere: nobody must take this worker for a sleeper or a searcher.
    fn recover(&mut self) {
        if self.asleep {
            self.get_up();
        }
        if self.searching {
            self.found();
        }
    }
}
