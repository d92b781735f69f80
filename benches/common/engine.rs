//! What a workload may ask of a runtime.
//!
//! The functions without `self` are called inside tasks of that runtime and mean the one that
//! runs them, as the runtimes' own free functions do. [`Engine`] is what a floor has, too;
//! [`Server`] is the rest of a whole runtime.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Tasks and time.
pub(crate) trait Engine: Send + Sync + Sized + 'static {
    /// What the table calls it.
    const NAME: &'static str;
    /// A spawned task; dropping it leaves the task running, except for smol.
    type Task<T: Send + 'static>: Send + 'static;
    /// Resolves once a cancelled task has ended.
    type Ending: Future<Output = ()> + Send + 'static;

    /// Starts the worker threads.
    fn start(workers: usize) -> Self;

    /// Runs `future` as a task on the workers; the calling thread only waits.
    fn block_on<F>(&self, future: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static;

    /// Spawns a task that can be joined or cancelled.
    fn spawn<F>(future: F) -> Self::Task<F::Output>
    where
        F: Future<Output: Send> + Send + 'static;

    /// Spawns a task and runs it up to its first suspension at once; a runtime that cannot, spawns.
    fn spawn_eager<F>(future: F) -> Self::Task<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        Self::spawn(future)
    }

    /// Spawns a task nobody waits for.
    fn detach<F>(future: F)
    where
        F: Future<Output = ()> + Send + 'static;

    /// Waits for a task and takes what it returned.
    fn join<T: Send + 'static>(task: Self::Task<T>) -> impl Future<Output = T> + Send;

    /// Requests the end of a task at once; what comes back waits for that end.
    fn cancel(task: Self::Task<()>) -> Self::Ending;

    /// Lets the other tasks run once.
    fn yield_now() -> impl Future<Output = ()> + Send;

    /// Waits.
    fn sleep(time: Duration) -> impl Future<Output = ()> + Send + 'static;

    /// Waits for `future` for `limit` at most; says whether it ended in time.
    fn timeout<F>(limit: Duration, future: F) -> impl Future<Output = bool> + Send
    where
        F: Future<Output = ()> + Send;

    /// Runs `count` children in the runtime's own kind of group and waits for all of them.
    fn group<F>(count: usize, child: fn(usize) -> F) -> impl Future<Output = ()> + Send
    where
        F: Future<Output = ()> + Send + 'static;
}

/// Clean-up, other threads, sockets.
pub(crate) trait Server: Engine {
    /// Spawns from threads that belong to no runtime.
    type Handle: Clone + Send + 'static;
    /// A task that cleans up when it is stopped.
    type Tidy: Send + 'static;
    /// A listening socket.
    type Listener: Send + Sync + 'static;
    /// A connected socket, without Nagle's delay.
    type Stream: Send + 'static;

    /// The runtime that this task runs in.
    fn handle() -> Self::Handle;

    /// Spawns a task nobody waits for, from any thread.
    fn detach_on<F>(handle: &Self::Handle, future: F)
    where
        F: Future<Output = ()> + Send + 'static;

    /// Spawns a task that does `work` until it is stopped, and then `clean_up`, with awaits.
    fn spawn_tidy<F, C>(work: F, clean_up: C) -> Self::Tidy
    where
        F: Future<Output = ()> + Send + 'static,
        C: Future<Output = ()> + Send + 'static;

    /// Requests the end of such a task at once; what comes back waits for that end.
    fn stop(task: Self::Tidy) -> impl Future<Output = ()> + Send + 'static;

    /// Yields so often, each time ready to clean up, in the runtime's own way; nobody cancels.
    fn guarded_yields(times: usize) -> impl Future<Output = ()> + Send;

    /// Yields so often within a limit, and puts the deadline off by `limit` each time.
    fn put_off(limit: Duration, times: usize) -> impl Future<Output = ()> + Send;

    /// Does nothing, on a thread for work that blocks.
    fn to_thread() -> impl Future<Output = ()> + Send;

    /// Listens on a free port of the loopback device.
    fn listen() -> impl Future<Output = io::Result<(Self::Listener, SocketAddr)>> + Send;

    /// Takes the next connection.
    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Connects.
    fn connect(address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Reads what is there, once something is; zero at the end of the stream.
    fn read(
        stream: &mut Self::Stream,
        buffer: &mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send;

    /// Writes all of `bytes`.
    fn write_all(
        stream: &mut Self::Stream,
        bytes: &[u8],
    ) -> impl Future<Output = io::Result<()>> + Send;
}
