//! smol 2: its executor on threads of ours, its own reactor.
//!
//! The executor of `smol::spawn` takes its thread count from the environment, once; this one
//! does the same with a number.

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::channel::oneshot;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use smol::{Executor, Task, Timer, future};

use super::{Engine, Server};

static EXECUTOR: Executor<'static> = Executor::new();

pub(crate) struct Smol;

type Inner = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Waits for a cancelled task, unless it was over at once.
pub(crate) struct Ending {
    inner: Inner,
    over: bool,
}

impl Future for Ending {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.over { Poll::Ready(()) } else { self.inner.as_mut().poll(cx) }
    }
}

impl Engine for Smol {
    const NAME: &'static str = "smol";
    type Task<T: Send + 'static> = Task<T>;
    type Ending = Ending;

    fn start(workers: usize) -> Self {
        static STARTED: Once = Once::new();
        STARTED.call_once(|| {
            for _ in 0..workers {
                std::thread::spawn(|| smol::block_on(EXECUTOR.run(pending::<()>())));
            }
        });
        Self
    }

    fn block_on<F>(&self, future: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        smol::block_on(EXECUTOR.spawn(future))
    }

    fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        EXECUTOR.spawn(future)
    }

    fn detach<F>(future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        EXECUTOR.spawn(future).detach();
    }

    async fn join<T: Send + 'static>(task: Task<T>) -> T {
        task.await
    }

    /// The request is made by the first poll of smol's future.
    fn cancel(task: Task<()>) -> Ending {
        let mut inner: Inner = Box::pin(async move { task.cancel().await.unwrap_or(()) });
        let over = inner.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        Ending { inner, over }
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        future::yield_now()
    }

    async fn sleep(time: Duration) {
        Timer::after(time).await;
    }

    async fn timeout<F>(limit: Duration, inner: F) -> bool
    where
        F: Future<Output = ()> + Send,
    {
        let ends = async {
            inner.await;
            true
        };
        let expires = async {
            Timer::after(limit).await;
            false
        };
        future::or(ends, expires).await
    }

    async fn group<F>(count: usize, child: fn(usize) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks: Vec<Task<()>> = (0..count).map(|number| EXECUTOR.spawn(child(number))).collect();
        for task in tasks {
            task.await;
        }
    }
}

/// A cancelled task cannot await: what cleans up has to be told by a message.
impl Server for Smol {
    type Handle = ();
    type Tidy = (oneshot::Sender<()>, Task<()>);
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn handle() {}

    fn detach_on<F>((): &(), future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        EXECUTOR.spawn(future).detach();
    }

    fn spawn_tidy<F, C>(work: F, clean_up: C) -> Self::Tidy
    where
        F: Future<Output = ()> + Send + 'static,
        C: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let told = async { stopped.await.is_ok() };
        let done = async {
            work.await;
            false
        };
        let task = EXECUTOR.spawn(async move {
            if future::or(told, done).await {
                clean_up.await;
            }
        });
        (stop, task)
    }

    fn stop((stop, task): Self::Tidy) -> impl Future<Output = ()> + Send + 'static {
        stop.send(()).expect("the task is not over");
        task
    }

    async fn guarded_yields(times: usize) {
        let (_stop, mut stopped) = oneshot::channel::<()>();
        for _ in 0..times {
            let told = async {
                let _ = (&mut stopped).await;
                panic!("nobody cancels");
            };
            future::or(told, future::yield_now()).await;
        }
    }

    async fn put_off(limit: Duration, times: usize) {
        let mut deadline = Timer::after(limit);
        for _ in 0..times {
            deadline.set_after(limit);
            let late = async {
                (&mut deadline).await;
                panic!("there is time");
            };
            future::or(future::yield_now(), late).await;
        }
    }

    async fn to_thread() {
        smol::unblock(|| ()).await;
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
