//! Every event that a running program reports, one named function each.
//!
//! They go to `tracing`, target `filch::task`. Nobody listening costs one branch: the events are
//! built, and what they panic with is caught, behind a level check. Whoever listens is foreign
//! code, as is an error's own text: a panic there goes no further.
//!
//! Where a panic of other foreign code would hit somebody who has nothing to do with it, it ends in
//! [`contain`], and is reported from there.

use std::any::Any;
use std::fmt::Display;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Duration;

use tracing::Level;
use tracing::field::display;
use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};

/// Are events of that level listened to at all?
#[inline]
fn is_heard(level: Level) -> bool {
    level <= STATIC_MAX_LEVEL && level <= LevelFilter::current()
}

/// Tells, if somebody listens. What is told moves: what is borrowed would have to be in memory,
/// whether somebody listens or not.
macro_rules! tell {
    ($level:ident, $target:literal, $($event:tt)+) => {
        if is_heard(Level::$level) {
            told(move || tracing::event!(target: $target, Level::$level, $($event)+));
        }
    };
}

#[cold]
#[inline(never)]
fn told(tell: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(tell)) {
        discard(payload);
    }
}

/// A task was made.
pub(crate) fn spawned(task: u64, place: &'static Location<'static>) {
    tell!(DEBUG, "filch::task", task, %place, "spawned");
}

/// A poll of the task begins.
pub(crate) fn polled(task: u64) {
    tell!(TRACE, "filch::task", task, "polled");
}

/// Does anybody listen to the ends of tasks?
#[inline]
pub(crate) fn hears_of_ends() -> bool {
    is_heard(Level::DEBUG)
}

/// The task ended with a value.
pub(crate) fn finished(task: u64) {
    tell!(DEBUG, "filch::task", task, "finished");
}

/// The task ended with an error; `probe` does not know yet whether somebody will look at it.
pub(crate) fn failed(task: u64, error: impl Display) {
    tell!(DEBUG, "filch::task", task, %error, "failed");
}

/// The task ended cancelled.
pub(crate) fn cancelled(task: u64) {
    tell!(DEBUG, "filch::task", task, "cancelled");
}

/// The task panicked; the panic is its error.
pub(crate) fn panicked(task: u64, place: &'static Location<'static>, error: impl Display) {
    tell!(ERROR, "filch::task", task, %place, %error, "task panicked");
}

/// Something went wrong where nobody waits for it, and no handler is set.
pub(crate) fn reported(
    message: &'static str,
    task: Option<u64>,
    name: Option<&str>,
    place: Option<&'static Location<'static>>,
    error: Option<impl Display>,
) {
    let (place, error) = (place.map(display), error.map(display));
    tell!(ERROR, "filch::task", task, name, place, error, "{message}");
}

/// Debug mode: something took long, and no handler is set (DBG-02).
pub(crate) fn slow(
    message: &'static str,
    task: Option<u64>,
    name: Option<&str>,
    place: Option<&'static Location<'static>>,
    took: Duration,
) {
    let place = place.map(display);
    tell!(WARN, "filch::task", task, name, place, ?took, "{message}");
}

/// How many runtimes of this process are in debug mode.
static DEBUGGED: AtomicUsize = AtomicUsize::new(0);

/// Is any runtime in debug mode? Each then asks for itself.
#[inline]
pub(crate) fn is_debugged() -> bool {
    DEBUGGED.load(Ordering::Relaxed) != 0
}

/// A runtime enters debug mode, or leaves it.
pub(crate) fn count_debugged(entered: bool) {
    if entered {
        DEBUGGED.fetch_add(1, Ordering::Relaxed);
    } else {
        DEBUGGED.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A task group was dropped half-way after a child had failed: nobody will see that error.
pub(crate) fn group_abandoned(error: impl Display) {
    tell!(ERROR, "filch::task", %error, "error of a child in an abandoned task group");
}

/// Wakes somebody. A foreign waker may panic, and whoever uses it may hold what others wait for, or
/// be unwinding, where a second panic would end the process.
#[inline]
pub(crate) fn wake(waker: Waker) {
    contain("a waker", || waker.wake());
}

/// As [`wake`], one after the other: whoever panics takes nothing from those behind.
#[inline]
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    let mut wakers = wakers.into_iter();
    while contain("a waker", || wakers.by_ref().for_each(Waker::wake)).is_none() {}
}

/// Drops a waker that is not needed any more, where a panic would be nobody's.
#[inline(never)]
pub(crate) fn drop_waker(waker: Waker) {
    contain("a waker", || drop(waker));
}

/// A waker that is kept until it is used. Most are dropped by somebody who goes away, which may be
/// because of a panic, or has taken what he would have waited for: a panic of theirs would end the
/// process, or take that away.
#[derive(Debug)]
pub(crate) struct Kept(ManuallyDrop<Waker>);

impl Kept {
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Self {
        Kept(ManuallyDrop::new(waker.clone()))
    }

    /// Of nobody.
    pub(crate) fn noop() -> Self {
        Kept::of(Waker::noop())
    }

    /// Gives it to somebody who uses it.
    #[inline]
    pub(crate) fn into_waker(self) -> Waker {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: it is taken once: neither field nor `this` is touched again.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }
}

impl Deref for Kept {
    type Target = Waker;

    #[inline]
    fn deref(&self) -> &Waker {
        &self.0
    }
}

impl DerefMut for Kept {
    #[inline]
    fn deref_mut(&mut self) -> &mut Waker {
        &mut self.0
    }
}

impl Drop for Kept {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the field is not touched again, and `into_waker` does not come here.
        drop_waker(unsafe { ManuallyDrop::take(&mut self.0) });
    }
}

/// Runs foreign code that nobody waits for: a waker, a callback, a destructor. A panic in it is
/// reported, and goes no further; then there is no result.
#[inline]
pub(crate) fn contain<R>(what: &'static str, run: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => Some(result),
        Err(payload) => {
            stray_panic(what, payload);
            None
        }
    }
}

#[cold]
fn stray_panic(what: &'static str, payload: Box<dyn Any + Send>) {
    let error = panic_text(&*payload);
    tell!(ERROR, "filch::task", what, error, "stray panic contained");
    discard(payload);
}

/// Drops what a panic carried, whose destructor is foreign, too, and what that panics with.
fn discard(payload: Box<dyn Any + Send>) {
    let drop_contained = |payload| catch_unwind(AssertUnwindSafe(|| drop(payload)));
    drop_contained(payload).or_else(drop_contained).unwrap_or_else(std::mem::forget);
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&'static str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a value that is no text")
}

/// The runtime ends and this worker has been inside one poll since.
pub(crate) fn stuck(worker: usize) {
    tell!(ERROR, "filch::runtime", worker, "worker is stuck in one poll");
}

/// The runtime ends and these threads will not.
pub(crate) fn left_behind(what: &'static str, number: usize) {
    tell!(ERROR, "filch::runtime", what, number, "left behind at shutdown");
}
