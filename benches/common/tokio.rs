//! tokio 1, multi-threaded.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::oneshot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::{Engine, Server};

pub(crate) struct Tokio(Runtime);

/// Waits for an aborted task.
pub(crate) struct Ending(JoinHandle<()>);

impl Future for Ending {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

impl Engine for Tokio {
    const NAME: &'static str = "tokio";
    type Task<T: Send + 'static> = JoinHandle<T>;
    type Ending = Ending;

    fn start(workers: usize) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(workers).enable_all().build();
        Self(runtime.expect("tokio starts"))
    }

    fn block_on<F>(&self, future: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.0.block_on(self.0.spawn(future)).expect("the workload ends well")
    }

    fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        tokio::spawn(future)
    }

    fn detach<F>(future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(tokio::spawn(future));
    }

    async fn join<T: Send + 'static>(task: JoinHandle<T>) -> T {
        task.await.expect("the task ends well")
    }

    fn cancel(task: JoinHandle<()>) -> Ending {
        task.abort();
        Ending(task)
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }

    fn sleep(time: Duration) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep(time)
    }

    async fn timeout<F>(limit: Duration, future: F) -> bool
    where
        F: Future<Output = ()> + Send,
    {
        tokio::time::timeout(limit, future).await.is_ok()
    }

    async fn group<F>(count: usize, child: fn(usize) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut set = JoinSet::new();
        for number in 0..count {
            set.spawn(child(number));
        }
        while let Some(ended) = set.join_next().await {
            ended.expect("the children end well");
        }
    }
}

/// An aborted task cannot await: what cleans up has to be told by a message.
impl Server for Tokio {
    type Handle = Handle;
    type Tidy = (oneshot::Sender<()>, JoinHandle<()>);
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

    fn spawn_tidy<F, C>(work: F, clean_up: C) -> Self::Tidy
    where
        F: Future<Output = ()> + Send + 'static,
        C: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = stopped => clean_up.await,
                () = work => {}
            }
        });
        (stop, task)
    }

    fn stop((stop, task): Self::Tidy) -> impl Future<Output = ()> + Send + 'static {
        stop.send(()).expect("the task is not over");
        async { task.await.expect("the clean-up ends well") }
    }

    async fn guarded_yields(times: usize) {
        let (_stop, mut stopped) = oneshot::channel::<()>();
        for _ in 0..times {
            tokio::select! {
                biased;
                _ = &mut stopped => panic!("nobody cancels"),
                () = tokio::task::yield_now() => {}
            }
        }
    }

    async fn put_off(limit: Duration, times: usize) {
        let mut deadline = pin!(tokio::time::sleep(limit));
        for _ in 0..times {
            deadline.as_mut().reset(Instant::now() + limit);
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => {}
                () = &mut deadline => panic!("there is time"),
            }
        }
    }

    async fn to_thread() {
        tokio::task::spawn_blocking(|| ()).await.expect("nothing cannot fail");
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
