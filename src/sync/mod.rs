//! What tasks use to wait for each other: locks, events, queues, channels.
//!
//! All are one idea: a little state and a line of those who wait for it to change, first come,
//! first served, without an allocation per wait. They are shared by reference, most often in an
//! [`Arc`](std::sync::Arc), and work from any task on any worker, in a simulation, in futures
//! driven by somebody else, and, by their `.._blocking` forms, from plain threads. Those panic
//! inside a task or a callback, and, if they would have to wait, on a thread on which a simulation
//! runs.
//!
//! Cancellation loses nothing: a future that is dropped at any moment, also in the moment it was
//! promised a lock, a permit or an item, hands it on to the next in line.
//!
//! | asyncio | here |
//! |---|---|
//! | `Lock` | [`Lock`], which owns what it protects; [`RwLock`] for many readers |
//! | `Event` | [`Event`] |
//! | `Future` | [`Promise`] |
//! | `Condition` | [`Condition`], with a guard of the lock |
//! | `Semaphore`, `BoundedSemaphore` | [`Semaphore`], [`BoundedSemaphore`] |
//! | `Barrier` | [`Barrier`] |
//! | `Queue`, `LifoQueue`, `PriorityQueue` | [`Queue`], [`LifoQueue`], [`PriorityQueue`] |
//!
//! Nothing like them in asyncio, and expected in Rust: [`oneshot`] for one value, [`broadcast`] for
//! everybody, [`watch`] for the latest.

mod barrier;
mod block;
pub mod broadcast;
mod condition;
mod deserted;
mod event;
mod guards;
mod heap;
mod lock;
pub mod oneshot;
mod order;
mod permit;
pub(crate) mod permits;
mod promise;
mod queue;
mod queue_error;
mod queue_kinds;
mod queue_wait;
mod rwlock;
mod rwlock_guards;
mod semaphore;
pub mod watch;

pub use barrier::{Barrier, BrokenBarrier};
pub use condition::Condition;
pub use event::Event;
pub use guards::{LockGuard, MappedLockGuard, OwnedLockGuard, OwnedMappedLockGuard, WholeGuard};
pub use lock::{Lock, WouldWait};
pub use order::{Fifo, Lifo, Order, Priority};
pub use permit::{OwnedPermit, Permit};
pub use promise::{InvalidState, Promise};
pub use queue::{DoneTooOften, PutError, Queue, Shutdown, TryGetError, TryPutError};
pub use queue_kinds::{LifoQueue, PriorityQueue};
pub use queue_wait::Items;
pub use rwlock::RwLock;
pub use rwlock_guards::{MappedRwLockReadGuard, MappedRwLockWriteGuard};
pub use rwlock_guards::{OwnedMappedRwLockReadGuard, OwnedMappedRwLockWriteGuard};
pub use rwlock_guards::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard};
pub use rwlock_guards::{RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{BoundedSemaphore, ReleasedTooOften, Semaphore};
