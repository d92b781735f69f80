//! What may go to another thread, be looked at from there, move while it is pinned, and be held
//! across a `catch_unwind`: of every public type, checked when this is compiled.
//!
//! A type is listed behind exactly what it has. What hides no value of the user's, or only hands
//! whole values on, may be held across a panic: whatever happens, its own state is sound. A lock
//! is not poisoned, so by reference it shows what a panic has left half done, and is not
//! `RefUnwindSafe`; neither are its guards. Futures and errors of others are what they hold.

#![cfg(not(loom))]
#![expect(dead_code, reason = "which of two constants is used is the question")]

use std::cell::Cell;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use filch::{inspect, model, sim, sync, time, *};

macro_rules! has {
    ($type:ty, $trait:path) => {{
        trait No {
            const HAS: bool = false;
        }
        impl<T: ?Sized> No for T {}
        struct Is<T: ?Sized>(std::marker::PhantomData<T>);
        impl<T: ?Sized + $trait> Is<T> {
            const HAS: bool = true;
        }
        <Is<$type>>::HAS
    }};
}

macro_rules! auto_traits {
    ($($has:tt: $($type:ty),+;)+) => { $( $(auto_traits!(@one $has, $type);)+ )+ };
    (@one [$($has:ident)*], $type:ty) => {
        const _: () = {
            const LISTED: &[&str] = &[$(stringify!($has)),*];
            auto_traits!(@each LISTED, $type, Send Sync Unpin UnwindSafe RefUnwindSafe);
        };
    };
    (@each $listed:ident, $type:ty, $trait:ident $($more:ident)*) => {
        assert!(
            has!($type, $trait) == is_listed($listed, stringify!($trait)),
            concat!(stringify!($trait), " for ", stringify!($type)),
        );
        auto_traits!(@each $listed, $type, $($more)*);
    };
    (@each $listed:ident, $type:ty,) => {};
}

const fn is_listed(listed: &[&str], name: &str) -> bool {
    let mut place = 0;
    while place < listed.len() {
        if is_same(listed[place].as_bytes(), name.as_bytes()) {
            return true;
        }
        place += 1;
    }
    false
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut place = 0;
    while place < one.len() && place < other.len() && one[place] == other[place] {
        place += 1;
    }
    place == one.len() && place == other.len()
}

/// A value that stays on its thread.
type Here = Rc<u8>;
/// A value that one thread at a time looks at.
type Single = Cell<u8>;
/// A value that must not be seen after a panic.
type Fragile = &'static mut u8;

/// Runtimes, tasks, and what is said of them.
mod programs {
    use super::*;

    auto_traits! {
        [Send Sync Unpin UnwindSafe RefUnwindSafe]:
            Runtime, Handle, TryCurrentError, Interrupted, CallHandle, TaskBuilder, YieldNow,
            Task<u8>, Task<Single>, TaskRef, TaskId, Join, CallbackId, Report,
            ToThread<fn(), u8>, RuntimeShutdown, Error, Cancelled, Elapsed,
            Context, AlreadyEntered, ContextVar<u8>, ContextVar<Single>, Token<u8>, ResetError;
        // A closure and an error of which nothing is known.
        [Send Sync Unpin]: Builder, BuildError;
        [Send Sync Unpin]: Token<Single>;
    }
}

/// Scopes, and what awaits several tasks.
mod scopes {
    use super::*;

    auto_traits! {
        [Send Sync Unpin UnwindSafe RefUnwindSafe]:
            TaskGroup, GroupRefused, GroupCancelled, Deadline, NotActive, ReturnWhen, Raced<u8>,
            AsCompleted<Task<u8>>, AsCompletedBefore<Task<u8>>, Gather<Vec<Task<u8>>>,
            GatherResults<Vec<Task<u8>>>, Waited<Task<u8>>, Shield<Task<u8>>;
        [Send Sync UnwindSafe RefUnwindSafe]:
            Wait<Task<u8>>, Timeout<Sleep>, TimeoutAny<Sleep>, TimeoutScope<Sleep>,
            GroupScope<Sleep>, UntilCancelled<Sleep>, CatchCancelled<Sleep>;
    }
}

/// Locks, their guards, and what else tasks meet at.
mod meeting {
    use super::*;
    use filch::sync::*;

    auto_traits! {
        [Send Sync Unpin UnwindSafe RefUnwindSafe]:
            Event, Condition, Barrier, BrokenBarrier, Semaphore, BoundedSemaphore,
            ReleasedTooOften, WouldWait, Permit<'static>, OwnedPermit, Promise<u8>, InvalidState;
        [Unpin UnwindSafe RefUnwindSafe]: Promise<Single>, Promise<Here>;
        // By value they are what they hold; by reference, see above.
        [Send Sync Unpin UnwindSafe]: Lock<u8>, Lock<Single>, RwLock<u8>;
        [Send Unpin UnwindSafe]: RwLock<Single>;
        [Unpin UnwindSafe]: Lock<Here>, RwLock<Here>;
        [Send Sync Unpin]: Lock<Fragile>, RwLock<Fragile>;
    }

    auto_traits! {
        [Send Sync Unpin]:
            LockGuard<'static, u8>, OwnedLockGuard<u8>, OwnedMappedLockGuard<u8, u8>,
            RwLockReadGuard<'static, u8>, RwLockWriteGuard<'static, u8>,
            OwnedRwLockReadGuard<u8>, OwnedRwLockWriteGuard<u8>,
            OwnedMappedRwLockReadGuard<u8, u8>, OwnedMappedRwLockWriteGuard<u8, u8>;
        [Send Sync Unpin UnwindSafe RefUnwindSafe]: MappedRwLockReadGuard<'static, u8>;
        [Send Sync Unpin RefUnwindSafe]:
            MappedLockGuard<'static, u8>, MappedRwLockWriteGuard<'static, u8>;
        // Whoever has it alone may take it along; nobody else may look at it meanwhile.
        [Send Unpin]:
            LockGuard<'static, Single>, OwnedLockGuard<Single>, MappedLockGuard<'static, Single>,
            OwnedMappedLockGuard<Single, Single>, MappedRwLockWriteGuard<'static, Single>;
        [Unpin]:
            LockGuard<'static, Here>, OwnedLockGuard<Here>, OwnedMappedLockGuard<Here, Here>,
            RwLockReadGuard<'static, Here>, RwLockWriteGuard<'static, Here>,
            RwLockReadGuard<'static, Single>, OwnedRwLockReadGuard<Single>,
            OwnedMappedRwLockReadGuard<Single, u8>, OwnedMappedRwLockReadGuard<u8, Single>;
    }
}

/// Queues and channels: they hand whole values on.
mod channels {
    use super::*;
    use filch::sync::*;

    auto_traits! {
        [Send Sync Unpin UnwindSafe RefUnwindSafe]:
            Queue<u8>, LifoQueue<u8>, PriorityQueue<u8>, Queue<Single>, LifoQueue<Fragile>,
            Fifo, Lifo, Priority,
            Shutdown, PutError<u8>, TryPutError<u8>, TryGetError, DoneTooOften,
            oneshot::Sender<u8>, oneshot::Receiver<u8>, oneshot::Sender<Single>,
            oneshot::Receiver<Fragile>, oneshot::Closed, oneshot::TryRecvError,
            broadcast::Sender<u8>, broadcast::Receiver<u8>, broadcast::Sender<Single>,
            broadcast::SendError<u8>, broadcast::RecvError, broadcast::TryRecvError,
            broadcast::Lagged, watch::Sender<u8>, watch::Receiver<u8>, watch::Closed;
        [Send Sync UnwindSafe RefUnwindSafe]: Items<'static, u8>, Items<'static, Fragile>;
        [Send Sync RefUnwindSafe]: broadcast::Values<'static, u8>, watch::Values<'static, u8>;
        // Receivers share a value that is watched.
        [Unpin UnwindSafe RefUnwindSafe]: watch::Sender<Single>, watch::Receiver<Single>;
        [Unpin UnwindSafe RefUnwindSafe]:
            Queue<Here>, PriorityQueue<Here>, oneshot::Sender<Here>, oneshot::Receiver<Here>,
            broadcast::Sender<Here>, broadcast::Receiver<Here>;
    }
}

/// The clock, the outside world, and looks inside.
mod elsewhere {
    use super::*;
    use filch::net::*;

    auto_traits! {
        [Send Sync Unpin UnwindSafe RefUnwindSafe]: Interval, Missed, time::Instant;
        [Send Sync UnwindSafe RefUnwindSafe]: Sleep;
        [Send Sync Unpin UnwindSafe RefUnwindSafe]:
            TcpStream, TcpListener, Incoming<'static>, ReadHalf<'static>, WriteHalf<'static>,
            OwnedReadHalf, OwnedWriteHalf, ReuniteError;
        [Send Sync Unpin UnwindSafe RefUnwindSafe]:
            inspect::AwaitGraph, inspect::TaskInfo, inspect::AwaitTree<'static>;
        [Send Sync Unpin UnwindSafe RefUnwindSafe]:
            sim::Host, sim::Net, sim::Link, sim::Builder, sim::LimitReached, sim::Schedule,
            sim::ParseScheduleError, sim::Failure, sim::Broken, sim::Swept;
        [Send Sync UnwindSafe RefUnwindSafe]: sim::TimeoutWhenSwept<Sleep>;
        [Send Sync Unpin UnwindSafe RefUnwindSafe]:
            model::Builder, model::Explored, model::Failure;
        [Send Unpin UnwindSafe]: model::cell::UnsafeCell<u8>;
    }
}

/// What is public, and not a type.
const OTHERS: &[&str] = &[
    "Order",
    "IntoError",
    "Outcome",
    "Result",
    "TaskHandle",
    "Together",
    "ToSocketAddrs",
    "WholeGuard",
];

/// The names of types that a file of the source makes public.
fn public_types(file: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let mut names = Vec::new();
    // A list may go over several lines.
    let ours = |item: &&str| !item.contains("std::") && !item.contains("loom::");
    for item in text.split(';').filter(ours).filter_map(|item| item.split_once("pub use ")) {
        let list = item.1.rsplit("::").next().unwrap_or_default();
        let list = item.1.split_once('{').map_or(list, |(_, list)| list);
        names.extend(list.split([',', '}', '{']).map(|name| name.trim().to_owned()));
    }
    for line in text.lines().map(str::trim_start) {
        let kind = ["pub struct ", "pub enum "].iter().find_map(|kind| line.strip_prefix(kind));
        let end = |name: &str| name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len());
        names.extend(kind.map(|name| name[..end(name)].to_owned()));
    }
    names.retain(|name| name.starts_with(char::is_uppercase) && !OTHERS.contains(&name.as_str()));
    names
}

#[test]
fn every_public_type_is_listed() {
    let listed = include_str!("auto_traits.rs");
    let is_listed = |name: &str| {
        let words = listed.split(|c: char| !c.is_alphanumeric());
        words.into_iter().any(|word| word == name)
    };
    let (mut count, files) = (
        0,
        [
            "lib.rs",
            "sync/mod.rs",
            "sync/oneshot.rs",
            "sync/broadcast.rs",
            "sync/watch.rs",
            "time.rs",
            "net/mod.rs",
            "inspect/mod.rs",
            "runtime/sim.rs",
            "runtime/model.rs",
        ],
    );
    for file in files {
        for name in public_types(file) {
            count += 1;
            assert!(is_listed(&name), "{name} of {file} is not in these lists");
        }
    }
    assert!(count > 120, "only {count} types were found");
}

#[test]
fn what_is_held_across_a_panic_goes_on() {
    let (queue, event) = (Arc::new(sync::Queue::unbounded()), Arc::new(sync::Event::new()));
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (handle, task) = (runtime.handle(), runtime.handle().spawn(async { Ok(7) }));
    let panicked = std::panic::catch_unwind(|| {
        queue.try_put(1).unwrap();
        event.set();
        handle.spawn(async {}).detach();
        panic!("by {}", task.name());
    });
    assert!(panicked.is_err() && event.is_set());
    assert_eq!((queue.try_get(), task.wait().unwrap()), (Ok(1), 7));
}
