//! The law that all scopes obey: nothing inside outlives its scope.
//!
//! A scope is a future around another one that knows what to do when that one is unwound
//! (`task::unwind` is the law in code). What stands here gives the law its uses: timeouts, and task
//! groups, whose inside is a body and all the children it has. A group that is dropped half-way
//! asks its children to end; they clean up, and the runtime sees to their end.
//!
//! Beside them stands what awaits several tasks without owning them: `gather`, `wait`,
//! `as_completed`, `shield` and `staggered_race`.

mod as_completed;
mod gather;
mod gather_tuple;
mod group_scope;
mod shield;
mod staggered;
mod task_group;
mod task_handle;
mod timeout;
mod timeout_scope;
mod wait;

pub use as_completed::{AsCompleted, AsCompletedBefore, as_completed};
pub use gather::{Gather, GatherResults, Together, gather, gather_together};
pub use group_scope::{GroupCancelled, GroupScope, UntilCancelled};
pub use shield::{Shield, shield};
pub use staggered::{Raced, staggered_race};
pub use task_group::{TaskGroup, task_group};
pub use task_handle::TaskHandle;
pub use timeout::{Timeout, TimeoutAny, timeout, timeout_any, timeout_at};
pub use timeout_scope::{Deadline, NotActive, TimeoutScope, timeout_scope};
pub use wait::{ReturnWhen, Wait, Waited, wait};

pub use crate::task::children::GroupRefused;
