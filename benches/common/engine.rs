//! What a workload may ask of a runtime.
//!
//! The functions without `self` are called inside tasks of that runtime and mean the one that
//! runs them, as the runtimes' own free functions do.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// One runtime under test.
pub(crate) trait Engine: Send + Sync + Sized + 'static {
    /// What the table calls it.
    const NAME: &'static str;
    /// A spawned task; dropping it leaves the task running, except for smol.
    type Task<T: Send + 'static>: Send + 'static;
    /// Resolves once a cancelled task has ended.
    type Ending: Future<Output = ()> + Send + 'static;
    /// A listening socket.
    type Listener: Send + Sync + 'static;
    /// A connected socket, without Nagle's delay.
    type Stream: Send + 'static;

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
