//! What a transition of the state word tells its caller: what it met, and what is owed now.

/// What the waker owes the task.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    Queue,
    Nothing,
}

/// What a poll starts with.
#[must_use]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Start {
    /// A request waits for delivery.
    pub(crate) armed: bool,
    /// It has been to the task that is awaited, and is to be taken here.
    pub(crate) here: bool,
    /// A message came with it, and is in the cold part.
    pub(crate) message: bool,
    /// A request was passed on through the published note.
    pub(crate) passed: bool,
    /// Something happened to scopes of this task from outside; the cold part tells what.
    pub(crate) news: bool,
}

/// What the end of a poll that stays pending owes.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It sleeps; it may run, and be freed, elsewhere from now on.
    Idle,
    /// It was woken, or marked, meanwhile: queue it again.
    Requeue,
    /// It was marked and awaits one task: the lock is held, pass the request on.
    Forward { message: bool },
}

/// What a cancel request met.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The task is done.
    Refused,
    /// Somebody holds the lock: try again.
    Busy,
    /// Recorded.
    Accepted(Recorded),
    /// Only counted: the task is a member of the group that asks, and was asked before.
    Counted,
}

/// How a request was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// The lock is held, and must be released.
    pub(crate) locked: bool,
    /// The task awaits another: the request goes on to that one. (The lock is held.)
    pub(crate) follow: bool,
    /// The task was idle: queue it.
    pub(crate) queue: bool,
    /// An earlier request is on its way, and keeps its message.
    pub(crate) late: bool,
}

/// How a task ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Value,
    Failed,
    Cancelled,
}

/// What the completer owes.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Completed {
    /// Somebody waits: the lock is held, take the waiters out, unlock, release, wake.
    pub(crate) waiters: bool,
    /// The runtime's reference is still to be released; the value first, if no handle owns it.
    pub(crate) release: bool,
    /// Nobody holds the cell any more: free it.
    pub(crate) free: bool,
}
