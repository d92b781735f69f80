//! The modelled machine: the names of `real.rs`, from loom.

pub(crate) use loom::future::block_on;
pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::Arc;
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
pub(crate) use loom::thread;

/// Draws `count` numbers that nobody else in this run of the model gets, and returns the first.
pub(crate) fn take_numbers(count: u64) -> u64 {
    loom::lazy_static! {
        static ref NEXT: AtomicU64 = AtomicU64::new(1);
    }
    NEXT.fetch_add(count, Ordering::Relaxed)
}

pub(crate) type MutexGuard<'a, T> = loom::sync::MutexGuard<'a, T>;

/// Loom's lock, without its poison.
#[derive(Debug)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Mutex(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

/// A model sees through this one at less expense than through a lock that spins, which has a model
/// of its own.
pub(crate) use self::{Mutex as Brief, MutexGuard as BriefGuard};

/// Loom's condition variable; a wait with a limit waits without one.
#[derive(Debug)]
pub(crate) struct Condvar(loom::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Condvar(loom::sync::Condvar::new())
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn wait_for<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _limit: std::time::Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        (self.wait(guard), false)
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A cell whose accesses loom checks for races.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(loom::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        UnsafeCell(loom::cell::UnsafeCell::new(value))
    }

    pub(crate) fn with<R>(&self, look: impl FnOnce(*const T) -> R) -> R {
        self.0.with(look)
    }

    pub(crate) fn with_mut<R>(&self, change: impl FnOnce(*mut T) -> R) -> R {
        self.0.with_mut(change)
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

/// Padding matters to no model.
#[derive(Debug, Default)]
pub(crate) struct CachePadded<T>(T);

impl<T> CachePadded<T> {
    pub(crate) const fn new(value: T) -> Self {
        CachePadded(value)
    }
}

impl<T> std::ops::Deref for CachePadded<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Loom's thread-locals, written with `const` as the real ones are.
macro_rules! modelled_thread_local {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = const { $value:expr };)*) => {
        loom::thread_local! { $($(#[$attribute])* static $name: $type = $value;)* }
    };
}
pub(crate) use modelled_thread_local as thread_local;

/// As the real one, without the `const`.
macro_rules! modelled_constant {
    ($($function:tt)*) => { $($function)* };
}
pub(crate) use modelled_constant as constant;

/// So many short spins before a thread yields to others: in a model, that is the only way on.
pub(crate) const SPINS: u32 = 0;

/// Panics, unless programs can run on this machine.
pub(crate) fn assert_real() {}

/// What no program can see, in whatever order it happens: memory, timers. Here, the same.
pub(crate) mod quiet {
    pub(crate) use super::{
        AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Brief, Mutex, MutexGuard,
    };
}
