//! Deterministic simulation: the same program, on one thread, in virtual time, on a network in
//! memory.
//!
//! [`run`] drives a program as [`filch::run`](crate::run) does, but nothing in it depends on the
//! machine: sleeps take no real time, the order of tasks and the network's behaviour are fixed by
//! a seed, and a program that can neither run nor wait ends with an error that names who waits for
//! what. A test written with it takes microseconds, and one that fails, fails again.
//!
//! The program is not told. Tasks, timeouts, [`to_thread`](crate::to_thread) and
//! [sockets](crate::net) are used as ever; only what stands around it, the test, names this module.
//!
//! # First: time
//!
//! Whatever waits for the clock can be tested at once. When no task can run, time jumps to the
//! next moment at which something happens.
//!
//! ```
//! use std::time::Duration;
//! use filch::{sim, timeout};
//!
//! let hour = Duration::from_secs(3600);
//! let result = sim::run(0, timeout(hour, std::future::pending::<()>()));
//! assert!(result.unwrap_err().is_timeout());
//! ```
//!
//! # Second: seeds
//!
//! With seed 0, what is ready runs first in, first out. With any other seed the next task is drawn,
//! which shows what a program takes for granted. [`check`] runs it with many seeds, and names the
//! first one that makes it fail.
//!
//! ```should_panic
//! use std::sync::{Arc, Mutex};
//! use filch::{Result, sim, spawn};
//!
//! async fn two_words() -> Result<()> {
//!     let text = Arc::new(Mutex::new(String::new()));
//!     let tasks = ["hello ", "world"].map(|word| {
//!         let text = text.clone();
//!         spawn(async move { text.lock().unwrap().push_str(word) })
//!     });
//!     for task in tasks {
//!         task.await?;
//!     }
//!     assert_eq!(*text.lock().unwrap(), "hello world"); // says who?
//!     Ok(())
//! }
//!
//! sim::run(0, two_words()).unwrap(); // works
//! sim::check(0..100, two_words); // panics: with seed ..
//! ```
//!
//! The panic tells the seed, the error, and the shortest schedule that was found: who overtook
//! whom, as seldom as it takes to fail. Then run it with that one seed, or [`replay`] that
//! schedule, under the debugger or with more output, as often as need be. [`search`] gives all of
//! it back instead of panicking, and [`seeds`] lets the environment say how long to search.
//!
//! # Third: a network
//!
//! Programs that talk over TCP are put on [hosts](host), each with a name and an address; what a
//! task spawns runs where the task does. The test itself, the main task, is on the host `main`.
//! Names are looked up among the hosts; port numbers, refusals, resets and the end of a stream are
//! those of the real thing, and what is written arrives in pieces, after a while.
//!
//! ```
//! use filch::net::{TcpListener, TcpStream};
//! use filch::{Result, sim, spawn};
//!
//! // The program under test: it greets whoever comes.
//! async fn server() -> Result<()> {
//!     let listener = TcpListener::bind("0.0.0.0:80").await?;
//!     loop {
//!         let (stream, _) = listener.accept().await?;
//!         spawn(async move { Ok(stream.write_all(b"welcome").await?) }).detach();
//!     }
//! }
//!
//! sim::check(0..20, || async {
//!     sim::host("server").spawn(server()).detach();
//!     let stream = TcpStream::connect("server:80").await?;
//!     let mut greeting = [0; 7];
//!     stream.read_exact(&mut greeting).await?;
//!     assert_eq!(&greeting, b"welcome");
//!     Ok(())
//! });
//! ```
//!
//! # Fourth: trouble
//!
//! [`net`] is in the test's hands: how long packets take and how many are lost, between all hosts
//! or [two](Net::link); [`partition`](Net::partition), [`heal`](Net::heal),
//! [`isolate`](Net::isolate); [`refuse`](Net::refuse), [`reset`](Net::reset); and a host can
//! [`crash`](Host::crash), or [stand still](Host::pause) for a while; the clock can
//! [`jump`]. Connections bear it as the systems' do: what is lost is sent again,
//! later and later; a program that only waits to read learns nothing of a cut; so whoever forgot
//! a timeout finds out here.
//!
//! ```
//! use std::time::Duration;
//! use filch::net::{TcpListener, TcpStream};
//! use filch::{sim, sleep, spawn, timeout_any};
//!
//! let stuck = sim::run(0, async {
//!     let server = sim::host("server").spawn(async {
//!         let listener = TcpListener::bind("0.0.0.0:80").await?;
//!         Ok(listener.accept().await?.0)
//!     });
//!     let stream = TcpStream::connect("server:80").await?;
//!     let _theirs = server.await?;
//!     sim::net().partition("main", "server");
//!
//!     let minute = Duration::from_secs(60);
//!     assert!(timeout_any(minute, stream.read(&mut [0])).await.is_err());
//!     stream.read(&mut [0]).await?; // no timeout, and nobody heals the link
//!     Ok(())
//! });
//! let text = stuck.unwrap_err().to_string();
//! assert!(text.contains("main (") && text.contains("awaits bytes from 10.0.0.2:80"), "{text}");
//! ```
//!
//! Trouble at random moments is drawn from the seed by [`random`], so that it repeats, too. The
//! example `simulate` does all of this in sixty lines. [`Builder`] sets what holds from the
//! first moment on, and limits for programs that go on for ever.
//!
//! # Fifth: every moment
//!
//! [`cancel_everywhere`] runs a program once for every moment of every task, and cancels that task
//! there; [`timeout_everywhere`] lets time run out instead. What a program asserts at its end must
//! hold in all these runs: nothing lost, nothing done twice, nobody forgotten.
//!
//! # How connections behave
//!
//! * Each packet's time is drawn from the link's range, 1 to 5 ms unless told otherwise. Inside a
//!   host packets take no time; [`Net::link`] of a host with itself changes that.
//! * A writer may be ahead of its reader by 64 KiB; word of what was read takes its time, too.
//! * A lost packet is sent again after 200 ms, then 400, and so on up to two minutes; after 15
//!   losses in a row the connection ends with [`TimedOut`](std::io::ErrorKind::TimedOut). An
//!   attempt to connect begins with one second and ends after two minutes. Those behind a lost
//!   packet wait for it.
//! * A cut link loses everything, what is on its way included. A reset or a crash that happens
//!   behind it is noticed only when something is sent later.
//! * A listener's full queue leaves further attempts waiting; an address where nobody listens
//!   refuses; one that no host has is unreachable at once.
//!
//! # What is not simulated
//!
//! What goes round the runtime is not seen: threads of one's own, files, the machine's clock, the
//! standard library's sockets, and its `HashMap`, whose order differs from process to process. Nor
//! are dice that other crates roll, such as those of `futures::select!`: with
//! `futures::select_biased!`, or [`random`], the same seed is the same run.
//! A closure for [`to_thread`](crate::to_thread) runs on the simulation's thread, in a turn of its
//! own, and takes no virtual time; where it would have to wait for a task, it panics, because none
//! runs meanwhile: await that in a task. What asks for the time as soon as it is made, such as
//! [`sleep`](crate::sleep), is to be made inside the simulation.

pub use crate::runtime::hosts::{Host, Link, Net, host, host_at, jump, net, random};
pub use crate::runtime::search::{
    Failure, ParseScheduleError, Schedule, check, replay, search, seeds,
};
pub use crate::runtime::simulation::{Builder, LimitReached, run};
pub use crate::runtime::sweep::{Broken, Swept, TimeoutWhenSwept};
pub use crate::runtime::sweep::{cancel_everywhere, timeout_everywhere, timeout_when_swept};
