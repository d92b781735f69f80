//! filch, through its public face.
//!
//! A task of filch returns a result; [`Fine`] makes one of what a workload returns, at no cost.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use filch::net::{TcpListener, TcpStream};
use filch::{Runtime, Task};
use pin_project_lite::pin_project;

use super::Engine;

pub(crate) struct Filch(Runtime);

pin_project! {
    /// A future whose output is wrapped in `Ok`.
    struct Fine<F> {
        #[pin]
        inner: F,
    }
}

impl<F: Future> Future for Fine<F> {
    type Output = filch::Result<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx).map(Ok)
    }
}

/// Waits for a cancelled task.
pub(crate) struct Ending(Task<()>);

impl Future for Ending {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

impl Engine for Filch {
    const NAME: &'static str = "filch";
    type Task<T: Send + 'static> = Task<T>;
    type Ending = Ending;
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn start(workers: usize) -> Self {
        Self(Runtime::builder().workers(workers).build().expect("filch starts"))
    }

    fn block_on<F>(&self, future: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let task = self.0.handle().spawn(Fine { inner: future });
        task.wait().expect("the workload ends well")
    }

    fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        filch::spawn(Fine { inner: future })
    }

    fn detach<F>(future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(filch::spawn(future));
    }

    async fn join<T: Send + 'static>(task: Task<T>) -> T {
        task.await.expect("the task ends well")
    }

    fn cancel(task: Task<()>) -> Ending {
        task.cancel();
        Ending(task)
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        filch::yield_now()
    }

    fn sleep(time: Duration) -> impl Future<Output = ()> + Send + 'static {
        filch::sleep(time)
    }

    async fn timeout<F>(limit: Duration, future: F) -> bool
    where
        F: Future<Output = ()> + Send,
    {
        filch::timeout(limit, future).await.is_ok()
    }

    async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        stream.read(buffer).await
    }

    async fn write_all(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        stream.write_all(bytes).await
    }
}
