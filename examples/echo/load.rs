//! The load: clients that send a message, wait for it to come back, and send the next.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use filch::net::TcpStream;
use filch::time::Instant;
use filch::{Error, Result, Task};

use crate::options::Options;
use crate::stop::Stop;
use crate::totals::{Recorder, Totals};

/// A load, ready to run.
#[derive(Debug)]
pub(crate) struct Load {
    address: SocketAddr,
    connections: usize,
    size: usize,
    seconds: u32,
    /// How long one request may take.
    patience: Duration,
    totals: Arc<Totals>,
}

impl Load {
    pub(crate) fn new(address: SocketAddr, options: &Options) -> Self {
        let Options { connections, size, seconds, patience, .. } = *options;
        let (patience, totals) = (Duration::from_secs(patience.into()), Arc::default());
        Load { address, connections, size, seconds, patience, totals }
    }

    /// Runs for its time, or until a signal, and says how it was.
    pub(crate) async fn run(self, stop: Stop) -> Result<()> {
        let elapsed = self.send(stop).await;
        self.summary(elapsed)
    }

    /// Likewise, and stops the server before the summary.
    pub(crate) async fn run_beside(self, stop: Stop, server: Task<()>) -> Result<()> {
        let elapsed = self.send(stop).await;
        server.cancel();
        if let Err(error) = server.await
            && !error.is_cancelled()
        {
            self.totals.error(&error);
        }
        self.summary(elapsed)
    }

    /// Starts the clients, shows progress, and stops the clients by cancellation.
    async fn send(&self, mut stop: Stop) -> Duration {
        println!("{} connections, {} bytes a message", self.connections, self.size);
        let start = Instant::now();
        let clients: Vec<_> = (0..self.connections)
            .map(|number| {
                let (address, size, patience) = (self.address, self.size, self.patience);
                filch::spawn(client(number, address, size, patience, self.totals.clone()))
            })
            .collect();
        self.watch(&mut stop, &clients).await;
        let elapsed = start.elapsed();
        for client in &clients {
            client.cancel();
        }
        for client in clients {
            if let Err(error) = client.await
                && !error.is_cancelled()
            {
                self.totals.error(&error);
            }
        }
        elapsed
    }

    /// A line per second, until the time is over, a signal comes or no client is left.
    async fn watch(&self, stop: &mut Stop, clients: &[Task<()>]) {
        let mut before = 0;
        for second in 1..=self.seconds {
            if stop.within_a_second().await || clients.iter().all(|client| client.is_finished()) {
                return;
            }
            let requests = self.totals.requests();
            let errors = self.totals.errors();
            println!("{second:>3} s: {} requests/s, errors {errors}", requests - before);
            before = requests;
        }
    }

    fn summary(&self, elapsed: Duration) -> Result<()> {
        let (requests, errors) = (self.totals.requests(), self.totals.errors());
        let per_second = requests as f64 / elapsed.as_secs_f64();
        println!(
            "{requests} requests in {:.2} s: {per_second:.0} requests/s",
            elapsed.as_secs_f64()
        );
        let [half, most, nearly_all] = [0.5, 0.99, 0.999].map(|share| self.totals.quantile(share));
        println!("latency: p50 {half:.1} us, p99 {most:.1} us, p99.9 {nearly_all:.1} us");
        println!("errors {errors}, tasks left {}", crate::tasks_left());
        if errors == 0 { Ok(()) } else { Err(Error::msg(format!("{errors} errors"))) }
    }
}

/// Sends requests until it is cancelled.
async fn client(
    number: usize,
    address: SocketAddr,
    size: usize,
    patience: Duration,
    totals: Arc<Totals>,
) -> Result<()> {
    let stream = filch::timeout(patience, async { Ok(TcpStream::connect(address).await?) }).await?;
    let mut recorder = Recorder::new(totals);
    let mut message: Vec<u8> = (0..size).map(|place| (place + number) as u8).collect();
    let mut answer = vec![0; size];
    loop {
        message[0] = message[0].wrapping_add(1);
        let start = Instant::now();
        filch::timeout(patience, request(&stream, &message, &mut answer)).await?;
        recorder.record(start, Instant::now());
    }
}

/// Sends one message and takes its answer.
async fn request(stream: &TcpStream, message: &[u8], answer: &mut [u8]) -> Result<()> {
    stream.write_all(message).await?;
    stream.read_exact(answer).await?;
    if *answer == *message { Ok(()) } else { Err(Error::msg("the answer is not the message")) }
}
