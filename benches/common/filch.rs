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
use filch::time::Instant;
use filch::{Handle, Runtime, Task};
use pin_project_lite::pin_project;

use super::{Engine, Server};

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

    fn spawn_eager<F>(future: F) -> Task<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        filch::spawn_eager(Fine { inner: future })
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

    async fn group<F>(count: usize, child: fn(usize) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let children = filch::task_group(async |group| {
            for number in 0..count {
                group.spawn(child(number));
            }
            Ok(())
        });
        children.await.expect("the children end well");
    }
}

impl Server for Filch {
    type Handle = Handle;
    type Tidy = Task<()>;
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn handle() -> Handle {
        Handle::current()
    }

    fn detach_on<F>(handle: &Handle, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(handle.spawn(future));
    }

    fn spawn_tidy<F, C>(work: F, clean_up: C) -> Task<()>
    where
        F: Future<Output = ()> + Send + 'static,
        C: Future<Output = ()> + Send + 'static,
    {
        filch::spawn(async move {
            if let Err(cancelled) = filch::catch_cancelled(work).await {
                clean_up.await;
                cancelled.raise().await;
            }
        })
    }

    fn stop(task: Task<()>) -> impl Future<Output = ()> + Send + 'static {
        Self::cancel(task)
    }

    async fn guarded_yields(times: usize) {
        for _ in 0..times {
            filch::catch_cancelled(filch::yield_now()).await.expect("nobody cancels");
        }
    }

    async fn put_off(limit: Duration, times: usize) {
        let work = filch::timeout_scope(limit, async |deadline| {
            for _ in 0..times {
                deadline.reschedule(Instant::now() + limit)?;
                filch::yield_now().await;
            }
            Ok(())
        });
        work.await.expect("there is time");
    }

    async fn to_thread() {
        filch::to_thread(|| ()).await.expect("nothing cannot fail");
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
