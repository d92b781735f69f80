//! The state word: what a task is doing, what was asked of it, and who still holds it.
//!
//! One word, one table. A transition is a method named after what happened; it is one atomic step
//! and returns what the caller now owes. Nobody else sees the bits.
//!
//! | bits   | name      | set by                | cleared by         | while set               |
//! |--------|-----------|-----------------------|--------------------|-------------------------|
//! | 0      | SCHEDULED | wake                  | start of poll      | queued, or will be      |
//! | 1      | RUNNING   | spawn, start of poll  | end of poll        | one thread polls it (1) |
//! | 2      | DONE      | last poll ends        | never              | future gone, result in  |
//! | 3      | CANCEL    | cancel                | start of poll (2)  | the next poll is armed  |
//! | 4      | COMMITTED | cancel if idle (3)    | start of poll      | uncancel comes too late |
//! | 5      | NOTE      | end of poll           | start of poll      | the awaited task shows  |
//! | 6      | PASSED    | cancel                | start of poll      | the request went there  |
//! | 7      | LOCKED    | who looks in          | the same           | the short lock is held  |
//! | 8      | WAITER    | join, callback        | last poll ends     | somebody wants the end  |
//! | 9      | HANDLE    | spawn                 | drop of the handle | a `Task` owns the value |
//! | 10     | FAILED    | last poll ends        | never              | DONE, with an error     |
//! | 11     | CANCELLED | last poll ends        | never              | DONE, by cancellation   |
//! | 12     | UNSEEN    | last poll ends        | a look, or cancel  | nobody knows the error  |
//! | 13     | MESSAGE   | cancel                | cancel without one | the mark has a message  |
//! | 14     | NEWS      | a scope, from outside | a poll, taking it  | the cold part has it    |
//! | 15     | HERE      | cancel, its walk over | start of poll      | taken here, not passed  |
//! | 16..32 | requests  | cancel, +1            | uncancel, -1       | `cancelling()`, bounded |
//! | 32..64 | refs      | clone, +1             | drop, -1           | the allocation lives    |
//!
//! (1) Or it is new, or woke itself, and is queued, which says the same: not idle. (2) Or
//! uncancel, to 0, before COMMITTED. (3) Or the end of the poll, if CANCEL is set by then.
//! RUNNING and DONE are never both set. A cell without refs is free: `references` counts them.
//!
//! The **short lock** guards the header's cold part, its waiter and, while the task is idle, its
//! note. It is held for a few stores, never across foreign code. Polls wait for it, at both ends:
//! so whoever holds it over an idle task knows that the task stays idle.
//! Model: `loom-tests/state.rs`.

use crate::sys::{AtomicU64, Ordering, Patience};
use crate::task::answers::{Completed, End, Ending, Recorded, Request, Start, Wake};

#[path = "references.rs"]
mod references;

const SCHEDULED: u64 = 1 << 0;
const RUNNING: u64 = 1 << 1;
const DONE: u64 = 1 << 2;
const CANCEL: u64 = 1 << 3;
const COMMITTED: u64 = 1 << 4;
const NOTE: u64 = 1 << 5;
const PASSED: u64 = 1 << 6;
const LOCKED: u64 = 1 << 7;
const WAITER: u64 = 1 << 8;
const HANDLE: u64 = 1 << 9;
const FAILED: u64 = 1 << 10;
const CANCELLED: u64 = 1 << 11;
const UNSEEN: u64 = 1 << 12;
const MESSAGE: u64 = 1 << 13;
const NEWS: u64 = 1 << 14;
const HERE: u64 = 1 << 15;

/// What the start of a poll clears.
const UNTIL_POLLED: u64 = SCHEDULED | CANCEL | COMMITTED | NOTE | PASSED | NEWS | HERE;

const REQUEST: u64 = 1 << 16;
const REQUESTS: u64 = 0xffff << 16;
const REF: u64 = 1 << 32;

/// Half of what fits: a program that leaks this many wakers is stopped before it wraps.
const MOST_REFS: u64 = 1 << 31;

/// The word.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct State(AtomicU64);

impl State {
    /// A task that is queued for its first poll, or in it; the runtime and a handle hold it.
    pub(crate) fn running() -> Self {
        State(AtomicU64::new(Self::FRESH | RUNNING))
    }

    /// A task that nobody polls.
    pub(crate) fn idle() -> Self {
        State(AtomicU64::new(Self::FRESH))
    }

    const FRESH: u64 = HANDLE | (2 * REF);

    /// Puts this word where a free cell's word is, seen by whoever walks the cells.
    ///
    /// The walk takes references with [`try_ref`](State::try_ref); its acquire meets this release.
    pub(crate) fn publish(self, word: &AtomicU64) {
        word.store(self.into_bits(), Ordering::Release);
    }

    #[cfg(not(loom))]
    fn into_bits(self) -> u64 {
        self.0.into_inner()
    }

    #[cfg(loom)]
    fn into_bits(self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn load(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// One atomic step: `step` gives the next word and the answer, or only an answer.
    #[inline]
    fn step<T>(&self, mut step: impl FnMut(u64) -> (Option<u64>, T)) -> T {
        let mut now = self.0.load(Ordering::Acquire);
        loop {
            let (next, answer) = step(now);
            let Some(next) = next else { return answer };
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return answer,
                Err(other) => now = other,
            }
        }
    }

    /// As [`step`](State::step), once nobody holds the short lock.
    #[inline]
    fn step_unlocked<T>(&self, mut step: impl FnMut(u64) -> (u64, T)) -> T {
        let mut patience = Patience::new();
        loop {
            let done = self.step(|now| match now & LOCKED {
                0 => {
                    let (next, answer) = step(now);
                    (Some(next), Some(answer))
                }
                _ => (None, None),
            });
            match done {
                Some(answer) => return answer,
                None => patience.wait(),
            }
        }
    }

    // ---- polling ---------------------------------------------------------------------------

    /// Somebody wakes the task.
    pub(crate) fn wake(&self) -> Wake {
        let before = self.0.fetch_or(SCHEDULED, Ordering::AcqRel);
        match before & (SCHEDULED | RUNNING | DONE) {
            0 => Wake::Queue,
            _ => Wake::Nothing,
        }
    }

    /// A worker takes the task from a queue and polls it.
    #[inline]
    pub(crate) fn start_poll(&self) -> Start {
        // RUNNING in the queue, and nothing is marked: the step would change nothing.
        match self.load() & (RUNNING | LOCKED | UNTIL_POLLED) {
            RUNNING => Start::default(),
            _ => self.start_marked_poll(),
        }
    }

    fn start_marked_poll(&self) -> Start {
        self.step_unlocked(|now| {
            debug_assert!(now & (SCHEDULED | RUNNING) != 0 && now & DONE == 0);
            let next = now & !UNTIL_POLLED | RUNNING;
            let start = Start {
                armed: now & CANCEL != 0,
                here: now & HERE != 0,
                message: now & MESSAGE != 0,
                passed: now & PASSED != 0,
                news: now & NEWS != 0,
            };
            (next, start)
        })
    }

    /// A sleeping task is taken to be ended without asking.
    pub(crate) fn start_kill(&self) -> bool {
        self.step_unlocked(|now| match now & (SCHEDULED | RUNNING | DONE) {
            0 => (now & !(NOTE | PASSED) | RUNNING, true),
            _ => (now, false),
        })
    }

    /// The poll ended pending; `noted`: the header names the one task it awaits.
    ///
    /// Not called if the task woke itself: it is queued at once, and RUNNING until its next poll.
    pub(crate) fn end_poll(&self, noted: bool) -> End {
        self.step_unlocked(|now| {
            debug_assert_eq!(now & (RUNNING | DONE), RUNNING);
            let next = now & !RUNNING;
            if now & SCHEDULED != 0 {
                (next, End::Requeue)
            } else if now & CANCEL == 0 {
                (if noted { next | NOTE } else { next }, End::Idle)
            } else if noted {
                let message = now & MESSAGE != 0;
                (next & !CANCEL | NOTE | LOCKED, End::Forward { message })
            } else {
                (next | COMMITTED | SCHEDULED, End::Requeue)
            }
        })
    }

    /// The future ended with a value. False: a request is undelivered, so the task ends cancelled
    /// (CAN-09), and nobody can take the request back any more.
    pub(crate) fn may_return(&self) -> bool {
        self.step(|now| match now & CANCEL {
            0 => (None, true),
            _ => (Some(now | COMMITTED), false),
        })
    }

    /// The task ends; its future is gone and its result stored. `kept`: a value is stored.
    ///
    /// `None`: a value, but a request came first: ask [`may_return`](State::may_return) again.
    #[inline(always)]
    pub(crate) fn complete(&self, ending: Ending, kept: bool) -> Option<Completed> {
        let outcome = outcome(ending);
        let mut patience = Patience::new();
        loop {
            let answer = self.step(|now| {
                debug_assert_eq!(now & (RUNNING | DONE), RUNNING);
                if now & LOCKED != 0 {
                    return (None, Err(()));
                }
                if ending == Ending::Value && now & CANCEL != 0 {
                    return (None, Ok(None));
                }
                let waiters = now & WAITER != 0;
                let release = waiters || (kept && now & HANDLE == 0);
                let mut next = now & !(RUNNING | SCHEDULED | CANCEL | COMMITTED | WAITER);
                next |= DONE | outcome | if waiters { LOCKED } else { 0 };
                if !release {
                    next -= REF;
                }
                let free = next < REF;
                (Some(next), Ok(Some(Completed { waiters, release, free })))
            });
            match answer {
                Ok(answer) => return answer,
                Err(()) => patience.wait(),
            }
        }
    }

    /// The lock is held over an idle task that nobody polls: it ends at once.
    pub(crate) fn settle(&self, ending: Ending) -> Completed {
        self.step(|now| {
            debug_assert_eq!(now & (LOCKED | SCHEDULED | RUNNING | DONE), LOCKED);
            let waiters = now & WAITER != 0;
            let mut next = now & !(LOCKED | WAITER) | DONE | outcome(ending);
            next |= if waiters { LOCKED } else { 0 };
            if !waiters {
                next -= REF;
            }
            (Some(next), Completed { waiters, release: waiters, free: next < REF })
        })
    }

    // ---- cancellation ----------------------------------------------------------------------

    /// Somebody asks the task to end. `message`: one came along, so the lock is wanted.
    pub(crate) fn request(&self, message: bool) -> Request {
        self.step(|now| {
            if now & DONE != 0 {
                let next = (now & UNSEEN != 0).then_some(now & !UNSEEN);
                return (next, Request::Refused);
            }
            if now & LOCKED != 0 {
                return (None, Request::Busy);
            }
            let idle = now & (SCHEDULED | RUNNING) == 0;
            let follow = idle && now & NOTE != 0;
            let locked = follow || message || now & MESSAGE != 0;
            let mut next = if now & REQUESTS == REQUESTS { now } else { now + REQUEST };
            next = match (idle, follow) {
                (_, true) => next & !CANCEL,
                (true, _) => next | CANCEL | COMMITTED | SCHEDULED,
                (false, _) => next | CANCEL,
            };
            if locked {
                next |= LOCKED;
            }
            let late = now & COMMITTED != 0;
            let queue = idle && !follow;
            (Some(next), Request::Accepted(Recorded { locked, follow, queue, late }))
        })
    }

    /// The lock is held over an idle task whose request was accepted by the task it awaits.
    pub(crate) fn unlock_passed(&self) {
        self.step(|now| (Some(now & !LOCKED | PASSED), ()));
    }

    /// The lock is held over a task whose request was refused: it must take it itself. It may have
    /// moved on, where nothing held it in place.
    pub(crate) fn unlock_refused(&self, message: bool) -> Wake {
        self.step(|now| {
            let next = with_message(now & !LOCKED | CANCEL, message);
            match now & (SCHEDULED | RUNNING) {
                0 => (Some(next | HERE | COMMITTED | SCHEDULED), Wake::Queue),
                SCHEDULED => (Some(next | HERE), Wake::Nothing),
                _ => (Some(next), Wake::Nothing),
            }
        })
    }

    /// The lock is held over an idle task whose request could not be placed just now: let go of the
    /// lock, leaving the mark behind.
    pub(crate) fn unlock_marked(&self, message: bool) {
        self.step(|now| (Some(with_message(now & !LOCKED | CANCEL, message)), ()));
    }

    /// Takes the lock again after [`unlock_marked`](State::unlock_marked), and the mark with it.
    ///
    /// `None`: somebody holds the lock. `Some(false)`: the request is in other hands by now.
    pub(crate) fn relock_marked(&self) -> Option<bool> {
        self.step(|now| {
            let waiting = now & (SCHEDULED | RUNNING | DONE) == 0 && now & NOTE != 0;
            if !waiting || now & CANCEL == 0 {
                (None, Some(false))
            } else if now & LOCKED != 0 {
                (None, None)
            } else {
                (Some(now & !CANCEL | LOCKED), Some(true))
            }
        })
    }

    /// A request that had left the running task comes back: its mark, not its count.
    pub(crate) fn take_mark_back(&self) {
        // Relaxed: what belongs to the mark is this thread's, as the task is, until its poll ends.
        self.0.fetch_or(CANCEL, Ordering::Relaxed);
    }

    /// Takes one request back, never below zero; to zero, the undelivered mark goes too.
    pub(crate) fn uncancel(&self) -> u32 {
        self.step(|now| {
            if now & REQUESTS == 0 {
                return (None, 0);
            }
            let mut next = now - REQUEST;
            if next & REQUESTS == 0 && next & (CANCEL | COMMITTED) == CANCEL {
                next &= !CANCEL;
            }
            (Some(next), count(next))
        })
    }

    /// A request waits for the next poll.
    pub(crate) fn is_marked(&self) -> bool {
        self.load() & CANCEL != 0
    }

    /// How many requests stand.
    pub(crate) fn requests(&self) -> u32 {
        count(self.load())
    }

    /// How many requests stand, if no news wait to be taken: what is new may be counted.
    pub(crate) fn requests_unless_news(&self) -> Option<u32> {
        let now = self.load();
        (now & NEWS == 0).then(|| count(now))
    }

    /// A request is counted: it reaches the task otherwise than by the mark. False: it is done.
    pub(crate) fn count_one(&self) -> bool {
        self.step(|now| match now & (DONE | REQUESTS) {
            done if done & DONE != 0 => (None, false),
            REQUESTS => (None, true),
            _ => (Some(now + REQUEST), true),
        })
    }

    /// A group leaves with errors: its own request, if it made one, is taken back, and if others
    /// stand than those of `elsewhere`, the task is marked, in the same step (TG-10).
    ///
    /// False: news wait to be taken, and may be counted already.
    pub(crate) fn leave_failed(&self, own: bool, elsewhere: u32) -> bool {
        self.step(|now| {
            if now & NEWS != 0 {
                return (None, false);
            }
            let next = if own && now & REQUESTS != 0 { now - REQUEST } else { now };
            if count(next) > elsewhere {
                (Some(next | CANCEL), true)
            } else if count(next) == 0 && next & (CANCEL | COMMITTED) == CANCEL {
                (Some(next & !CANCEL), true)
            } else {
                (Some(next), true)
            }
        })
    }

    // ---- the short lock --------------------------------------------------------------------

    pub(crate) fn lock(&self) {
        self.step_unlocked(|now| (now | LOCKED, ()));
    }

    /// Takes the lock unless the task is done.
    pub(crate) fn lock_unless_done(&self) -> bool {
        self.step_unlocked(|now| match now & DONE {
            0 => (now | LOCKED, true),
            _ => (now, false),
        })
    }

    /// Takes the lock if the task sleeps.
    pub(crate) fn lock_idle(&self) -> bool {
        self.step_unlocked(|now| match now & (SCHEDULED | RUNNING | DONE) {
            0 => (now | LOCKED, true),
            _ => (now, false),
        })
    }

    pub(crate) fn unlock(&self) {
        self.0.fetch_and(!LOCKED, Ordering::Release);
    }

    /// Unlocks; from now on somebody waits for the end.
    pub(crate) fn unlock_waited(&self) {
        self.step(|now| (Some(now & !LOCKED | WAITER), ()));
    }

    /// Unlocks; a message is stored with the mark, or not.
    pub(crate) fn unlock_with_message(&self, message: bool) {
        self.step(|now| (Some(with_message(now & !LOCKED, message)), ()));
    }

    /// Unlocks; a scope of this task has ended elsewhere.
    pub(crate) fn unlock_news(&self) {
        self.step(|now| (Some(now & !LOCKED | NEWS), ()));
    }

    /// Unlocks; a group made a request of this task.
    pub(crate) fn unlock_fired(&self) {
        self.step(|now| {
            let next = if now & REQUESTS == REQUESTS { now } else { now + REQUEST };
            (Some(next & !LOCKED | NEWS), ())
        });
    }

    /// Unlocks; the news were taken.
    pub(crate) fn unlock_no_news(&self) {
        self.0.fetch_and(!(LOCKED | NEWS), Ordering::Release);
    }

    // ---- looks -----------------------------------------------------------------------------

    /// Does it sleep, with a note that others can find? `passed`: which a request went through.
    pub(crate) fn is_idle_with_note(&self, passed: bool) -> bool {
        let wanted = if passed { NOTE | PASSED } else { NOTE };
        self.load() & (SCHEDULED | RUNNING | DONE | wanted) == wanted
    }

    pub(crate) fn is_done(&self) -> bool {
        self.load() & DONE != 0
    }

    /// How the task ended, if it has.
    pub(crate) fn ending(&self) -> Option<Ending> {
        match self.load() & (DONE | FAILED | CANCELLED) {
            now if now & DONE == 0 => None,
            now if now & FAILED != 0 => Some(Ending::Failed),
            now if now & CANCELLED != 0 => Some(Ending::Cancelled),
            _ => Some(Ending::Value),
        }
    }

    /// Somebody looks at the error.
    pub(crate) fn see(&self) {
        if self.load() & UNSEEN != 0 {
            // Relaxed: it is only a flag; whoever frees comes after this holder's release.
            self.0.fetch_and(!UNSEEN, Ordering::Relaxed);
        }
    }

    /// The last holder is gone: did nobody look at the error?
    pub(crate) fn is_unseen(&self) -> bool {
        self.load() & UNSEEN != 0
    }
}

fn outcome(ending: Ending) -> u64 {
    match ending {
        Ending::Value => 0,
        Ending::Failed => FAILED | UNSEEN,
        Ending::Cancelled => CANCELLED,
    }
}

fn count(word: u64) -> u32 {
    ((word & REQUESTS) >> 16) as u32
}

fn with_message(word: u64, message: bool) -> u64 {
    if message { word | MESSAGE } else { word & !MESSAGE }
}
