//! A look inside a running program: who awaits whom.
//!
//! [`await_graph`] takes a snapshot of all unfinished tasks and promises of a runtime, from any
//! thread, and without polling, waking or stopping anything: as data, and as text. What a task
//! waits for is read off the wakers that it has left there, so a program that is never looked at
//! pays nothing.
//!
//! # Examples
//!
//! ```
//! use filch::{Promise, TaskBuilder, inspect, yield_now};
//!
//! # filch::sim::run(0, async {
//! let answer = Promise::new();
//! let waits = answer.clone();
//! let think = TaskBuilder::new().name("think").spawn(async move { waits.await });
//! let speak = TaskBuilder::new().name("speak").spawn(think);
//! yield_now().await;
//!
//! let graph = inspect::await_graph();
//! println!("{graph}");
//! // main (src/main.rs:5:1), ready
//! // speak (src/main.rs:9:45)
//! // └── think (src/main.rs:8:45)
//! //     └── Promise-2 (src/main.rs:6:14)
//! assert_eq!(graph.to_string().lines().count(), 4);
//! # answer.set(42)?;
//! # assert_eq!(speak.await?, 42);
//! # Ok(())
//! # }).unwrap();
//! ```

mod graph;
mod tree;

pub use graph::{AwaitGraph, TaskInfo, await_graph};
pub use tree::AwaitTree;
