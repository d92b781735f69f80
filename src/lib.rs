//! A work-stealing task runtime whose tasks behave like Python's asyncio tasks.

mod sys;

mod driver;

mod task;

#[cfg(all(test, loom))]
#[path = "../loom-tests/mod.rs"]
mod loom_tests;
