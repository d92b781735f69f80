//! The plain floor of sockets: a raw epoll loop, and blocking threads.
//!
//! Two threads with an epoll each, both ends of a connection on the same one, events on edges,
//! one read and one write for each message, and the same work on it as everywhere.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::common::{Sample, WORKERS, Watch};
use crate::work::io::{Echo, room};

/// One end of a connection, which does what a task of its own would do (`work::io`): a server sends
/// back what came before it reads on, a client looks at the whole answer.
struct End {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What is still to be sent: of a server's buffer, of a client's message.
    owed: Range<usize>,
    client: Option<Client>,
}

struct Client {
    message: Vec<u8>,
    /// So many bytes of the answer have come.
    came: usize,
    /// Messages to be sent after this one.
    left: usize,
}

impl End {
    fn new(stream: TcpStream, bytes: usize, client: Option<Client>) -> Self {
        stream.set_nonblocking(true).unwrap();
        let owed = 0..client.as_ref().map_or(0, |client| client.message.len());
        End { stream, buffer: room(bytes), owed, client }
    }

    /// Sends all that is owed; false if it would block.
    fn send(&mut self) -> bool {
        while !self.owed.is_empty() {
            let all = self.client.as_ref().map_or(&self.buffer, |client| &client.message);
            match send(&self.stream, &all[self.owed.clone()], SendFlags::NOSIGNAL) {
                Ok(count) => self.owed.start += count,
                Err(Errno::AGAIN) => return false,
                Err(error) => panic!("the floor cannot write: {error}"),
            }
        }
        true
    }

    /// Reads once: how much, and how much would have fit. Nothing if it would block.
    fn receive(&mut self) -> Option<(usize, usize)> {
        let start = self.client.as_ref().map_or(0, |client| client.came);
        let free = &mut self.buffer[start..];
        let space = free.len();
        match recv(&self.stream, free, RecvFlags::empty()) {
            Ok((_, count)) => Some((count, space)),
            Err(Errno::AGAIN) => None,
            Err(error) => panic!("the floor cannot read: {error}"),
        }
    }

    /// Looks at what came, and owes the next; true if it was the last answer.
    fn take(&mut self, count: usize) -> bool {
        let Some(client) = &mut self.client else {
            self.owed = 0..count;
            return false;
        };
        client.came += count;
        if client.came < client.message.len() {
            return false;
        }
        assert_eq!(self.buffer[..client.came], client.message);
        client.came = 0;
        if client.left == 0 {
            return true;
        }
        client.left -= 1;
        client.message[0] = client.left as u8;
        self.owed = 0..client.message.len();
        false
    }
}

/// What a loop works with.
struct Loop {
    ends: Vec<End>,
    /// Clients that are not done.
    talking: usize,
}

impl Loop {
    fn new(echo: Echo) -> Self {
        let bytes = echo.bytes;
        let both = |(one, other)| {
            let client = Client { message: vec![7; bytes], came: 0, left: echo.messages - 1 };
            [End::new(one, bytes, Some(client)), End::new(other, bytes, None)]
        };
        let ends = pairs(echo.connections).into_iter().flat_map(both).collect();
        Self { ends, talking: echo.connections }
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
        let end = &mut self.ends[number];
        while end.send() {
            let Some((count, space)) = end.receive() else { return };
            self.talking -= usize::from(end.take(count));
            if count < space {
                end.send();
                return;
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
