//! The server: sends back what comes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use filch::net::{TcpListener, TcpStream};
use filch::{Result, Task};

use crate::totals::Totals;

/// How long accepting pauses when descriptors or memory have run out.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves until it is cancelled; then ends its connections, and ends itself.
pub(crate) async fn serve(listener: TcpListener, totals: Arc<Totals>) -> Result<()> {
    let mut connections = Connections::default();
    let served = filch::catch_cancelled(accept_all(&listener, &mut connections, &totals)).await;
    drop(listener);
    connections.end().await;
    match served {
        Ok(result) => result,
        Err(cancelled) => cancelled.raise().await,
    }
}

async fn accept_all(
    listener: &TcpListener,
    connections: &mut Connections,
    totals: &Arc<Totals>,
) -> Result<()> {
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => connections.add(filch::spawn(echo(stream, totals.clone()))),
            Err(error) if is_shortage(&error) => {
                eprintln!("accepting pauses: {error}");
                filch::sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn echo(stream: TcpStream, totals: Arc<Totals>) -> Result<()> {
    let _open = totals.open_connection();
    let mut buffer = vec![0; 16 << 10];
    loop {
        match exchange(&stream, &mut buffer).await {
            Ok(0) => return Ok(()),
            Ok(count) => totals.echoed(count),
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

async fn exchange(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let count = stream.read(buffer).await?;
    stream.write_all(&buffer[..count]).await?;
    Ok(count)
}

/// Descriptors or memory have run out: the listener is as good as before, only not now.
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    shortages.iter().any(|shortage| error.raw_os_error() == Some(shortage.raw_os_error()))
}

/// The peer left without a farewell, which is its right.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// The tasks of the open connections.
#[derive(Debug, Default)]
struct Connections {
    tasks: Vec<Task<()>>,
    /// Finished ones are let go when there are this many.
    limit: usize,
}

impl Connections {
    fn add(&mut self, task: Task<()>) {
        if self.tasks.len() >= self.limit {
            self.tasks.retain(|task| !task.is_finished());
            self.limit = 2 * self.tasks.len().max(64);
        }
        self.tasks.push(task);
    }

    async fn end(self) {
        for task in &self.tasks {
            task.cancel();
        }
        for task in self.tasks {
            if let Err(error) = task.await
                && !error.is_cancelled()
            {
                eprintln!("a connection failed: {error}");
            }
        }
    }
}
