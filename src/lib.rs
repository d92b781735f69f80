//! A work-stealing task runtime whose tasks behave like Python's asyncio tasks.

mod sys;

mod driver;

mod task;

mod reactor;
