//! Closures that block, awaited.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::blocking::Ticket;
use crate::error::{Error, Result};
use crate::runtime::handle::{Handle, Which};
use crate::runtime::slot::Slot;
use crate::simulated;
use crate::sys::Arc;
use crate::task::vars;

/// Runs a closure that may block on a thread of its own kind, and waits for what it gives.
///
/// It begins when this is first polled, with a copy of the context variables of whoever does; each
/// closure runs once (THR-01). In a simulation it runs on the simulation's thread, in a turn of its
/// own, between the polls of tasks: there it must not wait for a task, which could not run
/// meanwhile, and [panics](crate::sim::run) if it has to.
///
/// # Errors
/// A panic of the closure ([`is_panic`](Error::is_panic)); or the system's error, if it gives no
/// thread for it; or an error that says so, if the runtime is shutting down.
///
/// # Cancellation
/// Returns at once. A closure that runs goes on to its end, and what it gives is dropped; one that
/// has not begun never does (THR-03). The end of a runtime waits for those that run, within
/// [its grace](crate::Builder::grace).
///
/// # Panics
/// If it is polled outside a runtime, or again after its end.
///
/// # Examples
///
/// ```
/// # filch::run(async {
/// let bytes = filch::to_thread(|| std::fs::read("Cargo.toml")).await??;
/// assert!(!bytes.is_empty());
/// # Ok(())
/// # }).unwrap();
/// ```
#[doc(alias("asyncio.to_thread", "run_in_executor", "spawn_blocking"))]
pub fn to_thread<F, T>(work: F) -> ToThread<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    ToThread { work: Some(work), slot: Slot::new(), queued: None }
}

/// The future of [`to_thread`].
#[must_use = "futures do nothing unless they are polled"]
pub struct ToThread<F, T> {
    work: Option<F>,
    slot: Arc<Slot<Result<T>>>,
    queued: Option<(Handle, Number)>,
}

/// Under which number the closure is queued, and where.
enum Number {
    Pool(Ticket),
    World(simulated::ClosureId),
    #[cfg(all(loom, not(test)))]
    Model(Arc<crate::sys::Mutex<Option<crate::task::Job>>>),
}

/// Fills the slot, also if the closure is dropped without having run.
struct Filler<T>(Arc<Slot<Result<T>>>);

impl<T> Drop for Filler<T> {
    fn drop(&mut self) {
        if self.0.is_empty() {
            self.0.fill(Err(Error::msg("the runtime shut down before the closure could run")));
        }
    }
}

fn contained<T>(work: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(Error::panic)
}

impl<F, T> ToThread<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    fn submit(&mut self, work: F) -> Result<()> {
        let runtime = Handle::current();
        let work = vars::bind(move |()| work());
        let work = move || work(());
        let (filler, there) = (Filler(self.slot.clone()), runtime.clone());
        let job = Box::new(move || {
            let _current = there.enter();
            let result = contained(work);
            filler.0.fill(result);
        });
        let number = match &*runtime.0 {
            Which::Threads(engine) => Number::Pool(engine.blocking().submit(job)?),
            Which::Sim(world) => Number::World(world.submit(job)),
            #[cfg(all(loom, not(test)))]
            Which::Model(model) => Number::Model(model.submit(job)),
        };
        self.queued = Some((runtime, number));
        Ok(())
    }
}

impl<F, T> Future for ToThread<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        if let Some(work) = self.work.take()
            && let Err(error) = self.submit(work)
        {
            return Poll::Ready(Err(error));
        }
        assert!(self.queued.is_some(), "a closure on a thread is polled after its end");
        let result = ready!(self.slot.poll(context.waker()));
        self.queued = None;
        Poll::Ready(result)
    }
}

impl<F, T> Unpin for ToThread<F, T> {}

impl<F, T> Drop for ToThread<F, T> {
    fn drop(&mut self) {
        let Some((runtime, number)) = self.queued.take() else { return };
        let withdrawn = match (&*runtime.0, number) {
            (Which::Threads(engine), Number::Pool(ticket)) => engine.blocking().withdraw(ticket),
            (Which::Sim(world), Number::World(closure)) => world.withdraw(closure),
            #[cfg(all(loom, not(test)))]
            (_, Number::Model(job)) => job.lock().take(),
            _ => unreachable!("a closure is queued in its own runtime"),
        };
        drop(withdrawn);
        self.slot.leave();
    }
}

impl<F, T> fmt::Debug for ToThread<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToThread").field("begun", &self.work.is_none()).finish()
    }
}
