//! A scenario as data: what one line of JSON says, before anything runs.
//!
//! Everything is checked here, so that the interpreter meets only what it knows: a line that is no
//! scenario is [`Fault::Malformed`], one that uses an operation not built yet is
//! [`Fault::Unsupported`].

use std::sync::Arc;

use serde_json::Value;

/// A list of operations, run in turn. Shared, because futures of it must own what they run.
pub(crate) type Block = Arc<[Op]>;

/// Tasks, boxes and texts are named by it.
pub(crate) type Name = Arc<str>;

/// A scenario: the block of its task `main`, and the name it goes by.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) id: Value,
    pub(crate) main: Block,
}

/// One operation; microseconds are plain numbers.
#[derive(Debug)]
pub(crate) enum Op {
    Log(Name),
    Sleep(u64),
    Foreign(u64),
    Spawn { task: Name, block: Block, eager: bool },
    Cancel(Name),
    Uncancel(Name),
    Cancelling(Name),
    Join(Name),
    Shield(Name),
    Timeout(Option<u64>, Block),
    Reschedule(Option<u64>),
    Group(Block),
    GroupSpawn(Name, Block),
    Gather(Vec<Name>, bool),
    Wait(Vec<Name>, When, Option<u64>),
    WaitForTask(u64, Name),
    WaitForBlock(u64, Block),
    AsCompleted(Vec<Name>, Option<u64>),
    Try(Block, Arc<Handlers>),
    Fail(Name),
    EventWait(Name),
    EventSet(Name),
    EventClear(Name),
    Lock(Name, Block),
    Permit(Name, usize, Block),
    Put(Name, usize, Name),
    Get(Name, usize),
    JoinAll(Vec<Block>),
    TryJoin(Vec<Block>),
    Select(Vec<Block>),
    Unordered(Vec<Block>),
    Box(Name, Block),
    PollBox(Name),
    AwaitBox(Name),
    DropBox(Name),
    Count,
}

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    All,
    First,
    FirstError,
}

/// What a `try` does about how its block ends.
#[derive(Debug, Default)]
pub(crate) struct Handlers {
    pub(crate) cancelled: Option<(Block, After)>,
    pub(crate) error: Option<(Block, After)>,
    pub(crate) finally: Option<Block>,
}

/// What becomes of that which was caught, once the handler's block has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It goes on up: an error as `Err`, a cancellation by unwinding.
    Raise,
    /// It goes on up as an `Err`.
    Return,
    Swallow,
    Uncancel,
}

/// Why a line cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It uses this operation, which the interpreter does not have.
    Unsupported(String),
    /// It is no scenario.
    Malformed(String),
}

/// Reads one line.
///
/// # Errors
/// [`Fault`], if it cannot be run.
pub(crate) fn scenario(line: &str) -> Result<Scenario, Fault> {
    let value: Value = serde_json::from_str(line).map_err(|error| malformed(&error.to_string()))?;
    let main = block(value.get("main").ok_or_else(|| malformed("no `main`"))?)?;
    Ok(Scenario { id: value.get("id").cloned().unwrap_or(Value::Null), main })
}

fn block(value: &Value) -> Result<Block, Fault> {
    array(value)?.iter().map(op).collect()
}

fn blocks(value: &Value) -> Result<Vec<Block>, Fault> {
    array(value)?.iter().map(block).collect()
}

fn op(value: &Value) -> Result<Op, Fault> {
    let parts = array(value)?;
    let at = |index: usize| parts.get(index).unwrap_or(&Value::Null);
    let kind = at(0).as_str().ok_or_else(|| malformed("an operation without a name"))?;
    Ok(match kind {
        "log" => Op::Log(name(at(1))?),
        "sleep" => Op::Sleep(time(at(1))?),
        "foreign" => Op::Foreign(time(at(1))?),
        "spawn" => Op::Spawn { task: name(at(1))?, block: block(at(2))?, eager: false },
        "eager" => Op::Spawn { task: name(at(1))?, block: block(at(2))?, eager: true },
        "cancel" => Op::Cancel(name(at(1))?),
        "uncancel" => Op::Uncancel(name(at(1))?),
        "cancelling" => Op::Cancelling(name(at(1))?),
        "join" => Op::Join(name(at(1))?),
        "shield" => Op::Shield(name(at(1))?),
        "timeout" => Op::Timeout(limit(at(1))?, block(at(2))?),
        "resched" => Op::Reschedule(limit(at(1))?),
        "group" => Op::Group(block(at(1))?),
        "gspawn" => Op::GroupSpawn(name(at(1))?, block(at(2))?),
        "try" => Op::Try(block(at(1))?, Arc::new(handlers(at(2))?)),
        "fail" => Op::Fail(name(at(1))?),
        "box" => Op::Box(name(at(1))?, block(at(2))?),
        "poll_box" => Op::PollBox(name(at(1))?),
        "await_box" => Op::AwaitBox(name(at(1))?),
        "drop_box" => Op::DropBox(name(at(1))?),
        "count" => Op::Count,
        kind => return several(kind, &at),
    })
}

/// Operations on several tasks or blocks, and what is like them.
fn several<'a>(kind: &str, at: &dyn Fn(usize) -> &'a Value) -> Result<Op, Fault> {
    Ok(match kind {
        "gather" => Op::Gather(names(at(1))?, at(2).as_bool() == Some(true)),
        "wait" => Op::Wait(names(at(1))?, when(at(2))?, limit(at(3))?),
        "wait_for" if at(2).is_string() => Op::WaitForTask(time(at(1))?, name(at(2))?),
        "wait_for" => Op::WaitForBlock(time(at(1))?, block(at(2))?),
        "as_completed" => Op::AsCompleted(names(at(1))?, limit(at(2))?),
        "join_all" => Op::JoinAll(blocks(at(1))?),
        "try_join" => Op::TryJoin(blocks(at(1))?),
        "select" => Op::Select(blocks(at(1))?),
        "funord" => Op::Unordered(blocks(at(1))?),
        "evt_wait" => Op::EventWait(name(at(1))?),
        "evt_set" => Op::EventSet(name(at(1))?),
        "evt_clear" => Op::EventClear(name(at(1))?),
        "lock" => Op::Lock(name(at(1))?, block(at(2))?),
        "sem" => Op::Permit(name(at(1))?, count(at(2))?, block(at(3))?),
        "qput" => Op::Put(name(at(1))?, count(at(2))?, name(at(3))?),
        "qget" => Op::Get(name(at(1))?, count(at(2))?),
        kind => return Err(Fault::Unsupported(kind.to_owned())),
    })
}

fn handlers(value: &Value) -> Result<Handlers, Fault> {
    let handler = |key: &str| value.get(key).map(handler).transpose();
    Ok(Handlers {
        cancelled: handler("cancelled")?,
        error: handler("error")?,
        finally: value.get("finally").map(block).transpose()?,
    })
}

fn handler(value: &Value) -> Result<(Block, After), Fault> {
    let after = match value.get(1).and_then(Value::as_str) {
        Some("raise") => After::Raise,
        Some("err") => After::Return,
        Some("swallow") => After::Swallow,
        Some("uncancel") => After::Uncancel,
        _ => return Err(malformed("a handler without its action")),
    };
    Ok((block(value.get(0).unwrap_or(&Value::Null))?, after))
}

fn array(value: &Value) -> Result<&Vec<Value>, Fault> {
    value.as_array().ok_or_else(|| malformed(&format!("a list was expected, not {value}")))
}

fn name(value: &Value) -> Result<Name, Fault> {
    value.as_str().map(Arc::from).ok_or_else(|| malformed(&format!("no name: {value}")))
}

fn names(value: &Value) -> Result<Vec<Name>, Fault> {
    array(value)?.iter().map(name).collect()
}

fn when(value: &Value) -> Result<When, Fault> {
    match value.as_str() {
        Some("ALL_COMPLETED") => Ok(When::All),
        Some("FIRST_COMPLETED") => Ok(When::First),
        Some("FIRST_EXCEPTION") => Ok(When::FirstError),
        _ => Err(malformed(&format!("nothing to wait for: {value}"))),
    }
}

fn time(value: &Value) -> Result<u64, Fault> {
    value.as_u64().ok_or_else(|| malformed(&format!("no time: {value}")))
}

fn count(value: &Value) -> Result<usize, Fault> {
    time(value).map(|count| count as usize)
}

fn limit(value: &Value) -> Result<Option<u64>, Fault> {
    if value.is_null() { Ok(None) } else { time(value).map(Some) }
}

fn malformed(what: &str) -> Fault {
    Fault::Malformed(what.to_owned())
}
