//! The machine of a program that is being checked: loom sees where its threads meet, no more.
//!
//! A user's model (`crate::model`) looks for wrong orders in the user's program. That the house's
//! own words of state are written in the right order is what the models of the house are for
//! (`model.rs`), and to explore that again inside every program would take for ever. So here an
//! atomic is the real one behind a *gate*: a place where loom may let the other threads go first,
//! and where what one thread has done becomes known to the next. An operation that comes through
//! the gate is one step; what it finds is never stale. A lock's gate is kept while it is held.
//!
//! What is [`quiet`] has no gate: no program can tell in which order its memory was handed out.
//!
//! Outside a model there is one thread, and all gates stand open.

#[path = "real.rs"]
#[allow(dead_code, unused_imports, reason = "some of it is not needed here")]
mod real;

use std::cell::Cell;
use std::sync::OnceLock;

pub(crate) use loom::future::block_on;
pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::thread;
pub(crate) use real::{Arc, CachePadded, Ordering, UnsafeCell, constant, fence};

/// Draws numbers for what is no task of a model: those are numbered from 1 in each run.
pub(crate) fn take_numbers(count: u64) -> u64 {
    (1 << 32) + real::take_numbers(count)
}

std::thread_local! {
    /// All threads of a model are coroutines of one thread, so these are shared by all of them.
    static MODELLED: Cell<bool> = const { Cell::new(false) };
    /// How many gates have been passed.
    static PASSED: Cell<u64> = const { Cell::new(0) };
    /// The number of the gate that was passed last.
    static LAST: Cell<u64> = const { Cell::new(0) };
    /// The number of the newest gate.
    static GATES: Cell<u64> = const { Cell::new(0) };
    /// The number of the thread of the model that unwinds; 0: none.
    static UNWINDING: Cell<u64> = const { Cell::new(0) };
    /// The number of the newest thread of a model.
    static THREADS: Cell<u64> = const { Cell::new(0) };
    /// Is told when a thread goes on after others had gone first.
    static SWITCHED: Cell<Option<fn()>> = const { Cell::new(None) };
}

loom::thread_local! {
    /// How many locks this thread of the model holds.
    static HELD: Cell<u32> = Cell::new(0);
    /// The number of this thread of the model.
    static NUMBER: u64 = next_thread();
}

fn next_thread() -> u64 {
    THREADS.set(THREADS.get() + 1);
    THREADS.get()
}

/// While it lives, this thread runs a model, and the gates are in use.
pub(crate) struct Modelled(());

impl Modelled {
    /// `switched` is called by a thread that goes on after others have gone first.
    pub(crate) fn enter(switched: fn()) -> Self {
        MODELLED.set(true);
        PASSED.set(0);
        SWITCHED.set(Some(switched));
        Modelled(())
    }
}

impl Drop for Modelled {
    fn drop(&mut self) {
        leave_model();
    }
}

/// Panics: this machine runs models.
#[track_caller]
pub(crate) fn assert_real() {
    panic!("compiled with `--cfg loom`, filch runs nothing but models: see `filch::model`");
}

/// The model is over, however it ended.
pub(crate) fn leave_model() {
    MODELLED.set(false);
    SWITCHED.set(None);
}

/// How many gates this run of the model has passed: how long it is.
pub(crate) fn gates_passed() -> u64 {
    PASSED.get()
}

/// Does something that no other thread may come between, and that is none of the program's steps.
pub(crate) fn unseen<R>(act: impl FnOnce() -> R) -> R {
    let before = MODELLED.replace(false);
    let result = act();
    MODELLED.set(before);
    result
}

/// Are the gates in use? A thread that unwinds goes through, unless it waits for a lock.
fn is_modelled() -> bool {
    MODELLED.get() && !unwinds()
}

/// Does this thread of the model unwind? To the standard library they are all one: so whoever comes
/// here first, after a panic, is the one.
fn unwinds() -> bool {
    if !std::thread::panicking() {
        UNWINDING.set(0);
        return false;
    }
    let number = NUMBER.with(|number| *number);
    if UNWINDING.get() == 0 {
        UNWINDING.set(number);
    }
    UNWINDING.get() == number
}

/// A place where other threads may go first.
#[derive(Debug)]
struct Gate(OnceLock<(u64, loom::sync::Mutex<()>)>);

type Held<'a> = loom::sync::MutexGuard<'a, ()>;

impl Gate {
    const fn new() -> Self {
        Gate(OnceLock::new())
    }

    /// Its number, and what loom sees of it.
    fn inside(&self) -> &(u64, loom::sync::Mutex<()>) {
        self.0.get_or_init(|| {
            GATES.set(GATES.get() + 1);
            (GATES.get(), loom::sync::Mutex::new(()))
        })
    }

    fn hold(&self) -> Option<Held<'_>> {
        if !is_modelled() {
            return None;
        }
        let (number, lock) = self.inside();
        let before = begin();
        let held = unpoisoned(lock.lock());
        passed(*number, before);
        Some(held)
    }

    /// `None`: somebody else holds it.
    fn try_hold(&self) -> Option<Option<Held<'_>>> {
        if !is_modelled() {
            return Some(None);
        }
        let (number, lock) = self.inside();
        let before = begin();
        let held = lock.try_lock();
        passed(*number, before);
        held.ok().map(Some)
    }

    /// Nobody comes between the steps of a thread that holds a lock.
    fn pass(&self) {
        if !is_modelled() || HELD.with(Cell::get) == 0 {
            drop(self.hold());
        } else {
            loom::stop_exploring();
            drop(self.hold());
            loom::explore();
        }
    }

    /// Passes, unless this gate was the last one that anybody passed: in a loop, a look and the
    /// weak exchange that relies on it are one step. A strong one stands for itself: what it relies
    /// on may be a look of the program's own.
    fn pass_once(&self) {
        let number = self.0.get().map_or(0, |(number, _)| *number);
        if number == 0 || LAST.replace(0) != number {
            self.pass();
        }
    }
}

/// The running thread is about to come to a gate.
fn begin() -> u64 {
    PASSED.set(PASSED.get() + 1);
    PASSED.get()
}

/// It has passed that gate; have others been there first?
fn passed(gate: u64, before: u64) {
    LAST.set(gate);
    if PASSED.get() != before
        && let Some(switched) = SWITCHED.get()
    {
        switched();
    }
}

fn unpoisoned<T>(result: Result<T, std::sync::PoisonError<T>>) -> T {
    result.unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What is seen by the program before it is seen by others goes through the gate. `$hint`: is a
/// relaxed load of this kind only a hint?
macro_rules! gated {
    ($($name:ident($value:ty, hint: $hint:expr)),*) => {$(
        /// The real one, behind a gate.
        #[derive(Debug)]
        pub(crate) struct $name {
            value: std::sync::atomic::$name,
            gate: Gate,
        }

        #[allow(dead_code, reason = "each kind has all that one of them needs")]
        impl $name {
            pub(crate) const fn new(value: $value) -> Self {
                $name { value: std::sync::atomic::$name::new(value), gate: Gate::new() }
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                if order != Ordering::Relaxed || !$hint {
                    self.gate.pass();
                }
                self.value.load(order)
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                if order != Ordering::Relaxed {
                    self.gate.pass();
                }
                self.value.store(value, order);
            }

            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                self.gate.pass();
                self.value.swap(value, order)
            }

            pub(crate) fn compare_exchange(
                &self,
                from: $value,
                to: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.gate.pass();
                self.value.compare_exchange(from, to, success, failure)
            }

            pub(crate) fn compare_exchange_weak(
                &self,
                from: $value,
                to: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.gate.pass_once();
                self.value.compare_exchange(from, to, success, failure)
            }
        }
    )*};
}

/// Sums and bits. Who counts references or events tells nobody anything: sums have no gate.
macro_rules! numbers {
    ($($name:ident($value:ty)),*) => {$(
        #[allow(dead_code, reason = "each kind has all that one of them needs")]
        impl $name {
            pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                self.value.fetch_add(value, order)
            }

            pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                self.value.fetch_sub(value, order)
            }

            pub(crate) fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                self.value.fetch_max(value, order)
            }

            pub(crate) fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                self.gate.pass();
                self.value.fetch_update(success, failure, change)
            }

            pub(crate) fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                self.gate.pass();
                self.value.fetch_or(value, order)
            }

            pub(crate) fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                self.gate.pass();
                self.value.fetch_and(value, order)
            }
        }
    )*};
}

// A relaxed look at a task's word is the walk's over all cells, which asks again.
gated!(
    AtomicBool(bool, hint: false),
    AtomicU32(u32, hint: false),
    AtomicU64(u64, hint: true),
    AtomicUsize(usize, hint: false)
);
numbers!(AtomicU32(u32), AtomicU64(u64), AtomicUsize(usize));

pub(crate) use std::sync::atomic::AtomicPtr;

/// A lock whose gate is kept while it is held.
#[derive(Debug)]
pub(crate) struct Mutex<T> {
    gate: Gate,
    value: real::Mutex<T>,
}

/// A section under a lock is one step here, however it waits.
pub(crate) use self::{Mutex as Brief, MutexGuard as BriefGuard};

/// A lock that is held.
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    lock: &'a Mutex<T>,
    value: Option<real::MutexGuard<'a, T>>,
    gate: Option<Held<'a>>,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Mutex { gate: Gate::new(), value: real::Mutex::new(value) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        loop {
            let gate = self.gate.hold();
            if let Some(guard) = self.held(gate) {
                return guard;
            }
            // One of the two unwinds, and did not stop at the gate.
            assert!(MODELLED.get(), "a lock is held by a thread that goes on");
            thread::yield_now();
        }
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let gate = self.gate.try_hold()?;
        self.held(gate)
    }

    fn held<'a>(&'a self, gate: Option<Held<'a>>) -> Option<MutexGuard<'a, T>> {
        let value = Some(self.value.try_lock()?);
        if gate.is_some() {
            HELD.with(|held| held.set(held.get() + 1));
        }
        Some(MutexGuard { lock: self, value, gate })
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        drop(self.value.take());
        if self.gate.is_some() && is_modelled() {
            HELD.with(|held| held.set(held.get() - 1));
        }
        drop(self.gate.take());
    }
}

impl<T> std::ops::Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is held")
    }
}

impl<T> std::ops::DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("it is held")
    }
}

/// Loom's condition variable; a wait with a limit waits without one.
#[derive(Debug)]
pub(crate) struct Condvar(OnceLock<loom::sync::Condvar>);

impl Condvar {
    pub(crate) const fn new() -> Self {
        Condvar(OnceLock::new())
    }

    fn inside(&self) -> &loom::sync::Condvar {
        self.0.get_or_init(loom::sync::Condvar::new)
    }

    pub(crate) fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let lock = guard.lock;
        let gate = guard.gate.take().expect("nobody waits outside a model");
        drop(guard);
        HELD.with(|held| held.set(held.get() - 1));
        let before = begin();
        let gate = unpoisoned(self.inside().wait(gate));
        passed(lock.gate.inside().0, before);
        lock.held(Some(gate)).unwrap_or_else(|| lock.lock())
    }

    pub(crate) fn wait_for<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _limit: std::time::Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        (self.wait(guard), false)
    }

    pub(crate) fn notify_one(&self) {
        if is_modelled() {
            self.inside().notify_one();
        }
    }

    pub(crate) fn notify_all(&self) {
        if is_modelled() {
            self.inside().notify_all();
        }
    }
}

/// Loom's thread-locals, written with `const` as the real ones are.
macro_rules! modelled_thread_local {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = const { $value:expr };)*) => {
        loom::thread_local! { $($(#[$attribute])* static $name: $type = $value;)* }
    };
}
pub(crate) use modelled_thread_local as thread_local;

/// So many short spins before a thread yields to others: in a model, that is the only way on.
pub(crate) const SPINS: u32 = 0;

/// What no program can see, and no gate guards.
pub(crate) mod quiet {
    pub(crate) use self::Mutex as Brief;
    pub(crate) use super::real::MutexGuard;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};

    /// The real lock. Whoever waits for it lets the other threads of the model go on.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(super::real::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Mutex(super::real::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            loop {
                match self.0.try_lock() {
                    Some(guard) => return guard,
                    None => super::thread::yield_now(),
                }
            }
        }
    }
}
