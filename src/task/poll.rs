//! One poll of a task: what comes before it, the poll, and how the task goes on or ends.
//!
//! The state word decides who may do this; all else here happens while RUNNING is this thread's.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::task::{Context, Poll};

use crate::error::{Error, Result};
use crate::probe;
use crate::task::answers::{End, Ending, Start};
use crate::task::current::{Current, Verdict};
use crate::task::ends::{complete, complete_with_value};
use crate::task::present::Present;
use crate::task::raw::{Header, TaskRef, clear_contained, clear_stage};
use crate::task::report::{Report, Stopwatch};
use crate::task::{Why, cancel, jobs, waker};

/// The right to poll a scheduled task once. The runtime's reference keeps the task alive.
#[derive(Debug)]
pub(crate) struct Runnable(pub(super) NonNull<Header>);

// SAFETY: as for `TaskRef`; the state word gives this right to one holder at a time.
unsafe impl Send for Runnable {}

/// Queues a task at its home.
pub(crate) fn schedule(header: NonNull<Header>, why: Why) {
    // SAFETY: the task is there until the `Runnable` made here was run; its home, until this
    // returns: the caller holds a reference to the task, or is a worker that the home waits for.
    let home = unsafe { header.as_ref() }.home();
    home.schedule().schedule(Runnable(header), why);
}

impl Runnable {
    /// The task is SCHEDULED, or RUNNING and not polled, and there is no other right to it.
    pub(super) fn new(header: NonNull<Header>) -> Self {
        Runnable(header)
    }

    pub(crate) fn into_raw(self) -> NonNull<()> {
        self.0.cast()
    }

    /// # Safety
    /// `raw` comes from [`into_raw`](Runnable::into_raw), and is used once.
    pub(crate) unsafe fn from_raw(raw: NonNull<()>) -> Self {
        Runnable(raw.cast())
    }

    /// The task that it is about.
    pub(crate) fn task(&self) -> TaskRef {
        // SAFETY: as in `run`.
        unsafe { TaskRef::from_header(self.0) }
    }

    /// The number of the task.
    pub(crate) fn number(&self) -> u64 {
        // SAFETY: the right to poll keeps the task alive.
        unsafe { self.0.as_ref() }.id()
    }

    /// Queues a task that was made with `First::Queued`, or waited for its turn.
    pub(crate) fn queue(self) {
        self.queue_for(Why::Woken);
    }

    /// As [`queue`](Runnable::queue), for another reason.
    pub(crate) fn queue_for(self, why: Why) {
        schedule(self.0, why);
    }

    /// Polls the task once. It is freed if it ends, and queued again if it must be.
    pub(crate) fn run(self) {
        // SAFETY: a queued task is alive: the runtime's reference goes only when it is done.
        let header = unsafe { self.0.as_ref() };
        if header.own_vars(|vars| vars.as_shared().is_some()) {
            return self.run_in_turn();
        }
        poll_once(self.0, header.state.start_poll());
    }

    /// Polls a task that shares its context: not while another one is inside (CTX-12).
    #[cold]
    fn run_in_turn(self) {
        let raw = self.0;
        // SAFETY: as in `run`.
        let header = unsafe { raw.as_ref() };
        let context = header.own_vars(|vars| vars.as_shared().cloned());
        let context = context.expect("only tasks in a shared context wait for their turn");
        let later = Runnable(raw);
        let call = move || {
            // Whoever calls has no reference, and the task may end, and with it its home, while it
            // is still being queued.
            let _task = later.task();
            later.queue();
        };
        let Some(_turn) = context.enter_in_turn(call) else { return };
        poll_once(raw, header.state.start_poll());
    }

    /// Polls a task that was made with `First::Eager` for the first time.
    pub(crate) fn run_eagerly(self) {
        poll_once(self.0, Start::default());
    }

    /// Ends a task that was made with `First::Eager` as cancelled, without polling it.
    pub(crate) fn refuse(self) {
        kill_running(self.0);
    }

    /// Ends the task without asking: its future is dropped, it ends cancelled.
    pub(crate) fn kill(self) {
        // SAFETY: as in `run`.
        let header = unsafe { self.0.as_ref() };
        let context = header.own_vars(|vars| vars.as_shared().cloned());
        let _ = header.state.start_poll();
        kill_running(self.0);
        // It may have been its turn, for which others wait.
        drop(context.map(|context| context.enter()));
    }
}

/// Ends a task that is RUNNING for this thread as cancelled.
pub(super) fn kill_running(raw: NonNull<Header>) {
    // SAFETY: the task is RUNNING, so the runtime's reference is there.
    let header = unsafe { raw.as_ref() };
    header.report_destroyed();
    let present = Present::new();
    header.take_scopes(&present, false);
    drop(present);
    clear_contained(raw, "the future of a task that was ended by force");
    complete(raw, Ending::Cancelled, None);
}

/// What most polls come to; `Else`: a verdict tells.
enum Came {
    Pending,
    Value,
    Else,
}

/// Polls a task that is RUNNING for this thread.
fn poll_once(raw: NonNull<Header>, start: Start) {
    // SAFETY: the task is RUNNING for this thread, so the runtime's reference is there.
    let header = unsafe { raw.as_ref() };
    probe::polled(header.id());
    let mut verdict = None;
    {
        let mut current = Current::new(raw);
        header.take_scopes(current.present(), start.passed);
        // SAFETY: the guard is dropped two lines on, while `current` is still in its place.
        let entered = unsafe { current.enter() };
        let came = poll_scoped(raw, &current, start, &mut verdict);
        drop(entered);
        if current.holds_jobs() {
            jobs::run_held();
        }
        match came {
            Came::Pending => return suspend(raw, &mut current),
            Came::Value | Came::Else => {}
        }
    }
    match verdict {
        None => complete_with_value(raw),
        Some(verdict) => conclude(raw, verdict),
    }
}

/// The task ends otherwise than with a value.
#[inline(never)]
fn conclude(raw: NonNull<Header>, verdict: Verdict) {
    match verdict {
        Verdict::Pending => unreachable!("it sleeps, or has been queued"),
        Verdict::Value => complete(raw, Ending::Value, None),
        Verdict::Failed(error) => complete(raw, Ending::Failed, Some(error)),
        Verdict::Cancelled(message) => {
            let error = message.map(|message| Error::cancelled(Some(message)));
            complete(raw, Ending::Cancelled, error);
        }
    }
}

/// The poll itself, between what comes before and after it in the root scope.
#[inline]
fn poll_scoped(
    raw: NonNull<Header>,
    current: &Current,
    start: Start,
    verdict: &mut Option<Verdict>,
) -> Came {
    if (start.news || start.message || start.armed) && hear(raw, current, start, verdict) {
        return Came::Else;
    }
    // SAFETY: as in `poll_once`.
    let header = unsafe { raw.as_ref() };
    let waker = waker::borrowed(raw);
    let mut context = Context::from_waker(&waker);
    let polled = match probe::is_debugged() {
        false => contained(raw, &mut context),
        true => watched(raw, &mut context),
    };
    match polled {
        // What is told apart here is told in registers: to move a verdict takes longer.
        Ok(Poll::Pending) if current.is_plain(false) => Came::Pending,
        Ok(Poll::Ready(Ok(()))) if current.is_plain(true) => Came::Value,
        Ok(polled) => judge(raw, current, polled, verdict),
        Err(payload) => {
            *verdict = Some(panicked(header, payload));
            clear_contained(raw, "an unwound task");
            Came::Else
        }
    }
}

#[inline(never)]
fn judge(
    raw: NonNull<Header>,
    current: &Current,
    polled: Poll<Result<()>>,
    verdict: &mut Option<Verdict>,
) -> Came {
    let unwound = polled.is_pending();
    match current.judge(polled) {
        Verdict::Pending => Came::Pending,
        Verdict::Value => Came::Value,
        cancelled @ Verdict::Cancelled(_) if unwound => {
            *verdict = Some(drop_unwound(raw).unwrap_or(cancelled));
            Came::Else
        }
        other => {
            *verdict = Some(other);
            clear_contained(raw, "an unwound task");
            Came::Else
        }
    }
}

/// What was asked of the task, and of its scopes, since its last poll. True: the root takes it, the
/// task ends.
#[cold]
fn hear(
    raw: NonNull<Header>,
    current: &Current,
    start: Start,
    verdict: &mut Option<Verdict>,
) -> bool {
    // SAFETY: as in `poll_once`.
    let header = unsafe { raw.as_ref() };
    if start.news || start.message {
        header.state.lock();
        let (news, message) = header.with_cold(|cold, _| {
            let message = if start.armed { cold.message.take() } else { None };
            (std::mem::take(&mut cold.news), message)
        });
        header.state.unlock_no_news();
        current.learn(news);
        current.says(message);
    }
    let taken = start.armed && current.arm(start.here);
    if taken {
        *verdict = Some(drop_unwound(raw).unwrap_or_else(|| current.cancelled()));
    }
    taken
}

/// Drops the future of a task that ends cancelled. If that panics, the task has panicked: as what
/// `finally` raises, it takes the place of the cancellation.
#[cold]
fn drop_unwound(raw: NonNull<Header>) -> Option<Verdict> {
    // SAFETY: as in `poll_once`.
    let header = unsafe { raw.as_ref() };
    let dropped = catch_unwind(AssertUnwindSafe(|| clear_stage(raw)));
    dropped.err().map(|payload| panicked(header, payload))
}

/// What a future's poll returned, or its panic.
type Polled = std::result::Result<Poll<Result<()>>, Box<dyn Any + Send>>;

/// Polls the future of a task that is RUNNING for this thread.
#[inline]
fn contained(raw: NonNull<Header>, context: &mut Context<'_>) -> Polled {
    // SAFETY: as in `poll_once`; so is the task's future this thread's.
    catch_unwind(AssertUnwindSafe(|| unsafe { (raw.as_ref().template.vtable.poll)(raw, context) }))
}

/// Polls in debug mode, which tells if it takes long.
#[cold]
fn watched(raw: NonNull<Header>, context: &mut Context<'_>) -> Polled {
    // SAFETY: as in `poll_once`.
    let header = unsafe { raw.as_ref() };
    let watch = Stopwatch::start();
    let polled = contained(raw, context);
    watch.stop(header.home().schedule().settings(), || Report::about("a poll was slow", header));
    polled
}

#[cold]
fn panicked(header: &Header, payload: Box<dyn Any + Send>) -> Verdict {
    let error = Error::panic(payload);
    probe::panicked(header.id(), header.location(), &error);
    Verdict::Failed(error)
}

/// The poll ended pending: the task sleeps, or goes on.
fn suspend(raw: NonNull<Header>, current: &mut Current) {
    // SAFETY: as in `poll_once`, until `end_poll` below.
    let header = unsafe { raw.as_ref() };
    let noted = header.put_scopes(current.present_mut());
    if current.is_woken() {
        // It stays RUNNING while it is queued, which says the same to everybody else: not idle.
        return schedule(raw, Why::Yielded);
    }
    match header.state.end_poll(noted) {
        // From here on the task may run, and be freed, elsewhere.
        End::Idle => {}
        End::Requeue => schedule(raw, Why::Yielded),
        End::Forward { message } => {
            // SAFETY: the short lock keeps the task from being polled, so it is alive.
            let task = unsafe { TaskRef::from_header(raw) };
            let message = match message {
                true => task.header().with_cold(|cold, _| cold.message.take()),
                false => None,
            };
            cancel::forward(task, message);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::Location;

    use super::*;
    use crate::context::{Context, Vars};
    use crate::sys::{Arc, AtomicBool, Ordering};
    use crate::task::handle::Task;
    use crate::task::memory::{Home, Kind};
    use crate::task::raw::{self, First};
    use crate::task::{Job, Schedule};

    /// Runs what it is given at once, and notes when it is gone itself.
    struct AtOnce(Arc<AtomicBool>);

    impl Schedule for AtOnce {
        fn schedule(&self, task: Runnable, _why: Why) {
            let gone = self.0.clone();
            task.run();
            assert!(!gone.load(Ordering::Relaxed), "nobody keeps the home of what is queued");
        }

        fn job(&self, _job: Job) {}
    }

    impl Drop for AtOnce {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_that_waits_for_its_turn_keeps_its_home_while_it_is_queued() {
        let gone = Arc::new(AtomicBool::new(false));
        let home = Home::new(Box::new(AtOnce(gone.clone())), Kind::Shared);
        let context = Context::new();
        let turn = context.enter().unwrap();
        let place = Location::caller();
        // SAFETY: the future owns all it uses, and is `Send`.
        let (runnable, task) = unsafe { raw::new(&home, async {}, place, First::Queued) };
        task.set_vars(Vars::shared(context.clone()));
        runnable.run();
        // SAFETY: just made, with that output.
        unsafe { Task::<()>::new(task) }.detach();
        drop(home);
        assert!(!gone.load(Ordering::Relaxed), "it has not run yet");
        drop(turn);
        assert!(gone.load(Ordering::Relaxed));
    }
}
