//! The plain floor of sockets: a raw epoll loop, and blocking threads.
//!
//! Two threads with an epoll each, both ends of a connection on the same one, events on edges,
//! one read and one write for each message.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::common::{Sample, WORKERS, Watch};
use crate::work::io::{Echo, room};

/// One end of a connection.
struct End {
    stream: TcpStream,
    /// Bytes still to be written.
    owed: usize,
    /// Of a client: bytes of the answer that are still to come, and messages to be sent after it.
    client: Option<(usize, usize)>,
}

/// What a loop works with.
struct Loop {
    ends: Vec<End>,
    echo: Echo,
    buffer: Vec<u8>,
    message: Vec<u8>,
    /// Clients that are not done.
    talking: usize,
}

impl Loop {
    fn new(echo: Echo) -> Self {
        let mut ends = Vec::with_capacity(2 * echo.connections);
        for client in pairs(echo.connections).into_iter().flat_map(|(one, other)| {
            let client = Some((echo.bytes, echo.messages - 1));
            [
                End { stream: one, owed: echo.bytes, client },
                End { stream: other, owed: 0, client: None },
            ]
        }) {
            client.stream.set_nonblocking(true).unwrap();
            ends.push(client);
        }
        let (buffer, message) = (room(echo.bytes), vec![7; echo.bytes]);
        Self { ends, echo, buffer, message, talking: echo.connections }
    }

    fn run(&mut self) {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        for (number, end) in self.ends.iter().enumerate() {
            let data = epoll::EventData::new_u64(number as u64);
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&epoll, &end.stream, data, flags).unwrap();
        }
        let mut events = Vec::with_capacity(1_024);
        while self.talking > 0 {
            events.clear();
            epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None).unwrap();
            for event in &events {
                self.turn(event.data.u64() as usize);
            }
        }
    }

    fn turn(&mut self, number: usize) {
        self.write(number);
        loop {
            let end = &mut self.ends[number];
            let count = match recv(&end.stream, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((_, count)) => count,
                Err(Errno::AGAIN) => return,
                Err(error) => panic!("the floor cannot read: {error}"),
            };
            match &mut end.client {
                None => end.owed += count,
                Some((left, messages)) => {
                    *left -= count;
                    if *left == 0 && *messages == 0 {
                        self.talking -= 1;
                    } else if *left == 0 {
                        *messages -= 1;
                        *left = self.echo.bytes;
                        end.owed = self.echo.bytes;
                    }
                }
            }
            self.write(number);
            if count < self.buffer.len() {
                return;
            }
        }
    }

    fn write(&mut self, number: usize) {
        let end = &mut self.ends[number];
        while end.owed > 0 {
            let part = &self.message[..end.owed.min(self.message.len())];
            match send(&end.stream, part, SendFlags::NOSIGNAL) {
                Ok(count) => end.owed -= count,
                Err(Errno::AGAIN) => return,
                Err(error) => panic!("the floor cannot write: {error}"),
            }
        }
    }
}

/// Connected sockets, both ends ours.
fn pairs(count: usize) -> Vec<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    (0..count).map(|_| pair(&listener)).collect()
}

fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = listener.accept().unwrap();
    one.set_nodelay(true).unwrap();
    other.set_nodelay(true).unwrap();
    (one, other)
}

/// The connections shared out among as many loops as a runtime has workers.
pub(crate) fn echo(echo: Echo) -> Sample {
    let threads = WORKERS.min(echo.connections);
    let share = Echo { connections: echo.connections / threads, ..echo };
    let ready = Arc::new(Barrier::new(threads + 1));
    let loops: Vec<_> = (0..threads)
        .map(|_| {
            let (mut all, ready) = (Loop::new(share), ready.clone());
            thread::spawn(move || {
                ready.wait();
                all.run();
            })
        })
        .collect();
    let watch = Watch::start();
    ready.wait();
    for thread in loops {
        thread.join().unwrap();
    }
    watch.stop(echo.connections * echo.messages)
}

/// Connect, say hello, hear it, hang up, in blocking calls, on as many threads as workers.
pub(crate) fn churn(connections: usize) -> Sample {
    let watch = Watch::start();
    let threads: Vec<_> = (0..WORKERS)
        .map(|_| {
            thread::spawn(move || {
                let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
                for _ in 0..connections / WORKERS {
                    let (mut client, mut server) = pair(&listener);
                    client.write_all(&[7; 64]).unwrap();
                    server.read_exact(&mut [0; 64]).unwrap();
                    server.write_all(&[7; 64]).unwrap();
                    client.read_exact(&mut [0; 64]).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    watch.stop(connections)
}

/// From one thread's write to another's blocking read.
pub(crate) fn wire_to_handler(messages: usize) -> Sample {
    let (mut client, mut server) = pairs(1).remove(0);
    let writer = thread::spawn(move || {
        let stamp = |_| {
            thread::sleep(Duration::from_micros(100));
            let at = Instant::now();
            client.write_all(&[7; 8]).unwrap();
            client.read_exact(&mut [0]).unwrap();
            at
        };
        (0..messages).map(stamp).collect::<Vec<_>>()
    });
    let seen: Vec<Instant> = (0..messages)
        .map(|_| {
            server.read_exact(&mut [0; 8]).unwrap();
            let at = Instant::now();
            server.write_all(&[1]).unwrap();
            at
        })
        .collect();
    let written = writer.join().unwrap();
    let delays = seen.into_iter().zip(written);
    Sample::of_delays(delays.map(|(seen, at)| seen.saturating_duration_since(at)).collect())
}
