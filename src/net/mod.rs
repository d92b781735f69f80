//! Sockets: TCP streams and listeners, and the lookup of names.
//!
//! Every operation is tried at once and waits only if it would block; while it waits, only its
//! task waits. An operation that is dropped, by a timeout or a cancellation, has taken nothing and
//! sent nothing, and the next one may follow at once; only `read_exact` and `write_all`, which are
//! many operations in one, may have done a part.
//!
//! Streams implement `futures_io::{AsyncRead, AsyncWrite}`, by value and by reference, so what the
//! ecosystem builds on these works on them: buffers and lines, for example, come from the crate
//! `futures`, with `futures::io::BufReader` and `futures::AsyncBufReadExt`. There, `read_until`
//! keeps what came of a line if it is dropped half-way, and goes on with the next call; `read_line`
//! loses it. Most operations take `&self`: any number of tasks may read, write or accept on one
//! socket at a time; each byte, each connection goes to one of them.
//!
//! What fails here fails with an [`io::Error`], so a limit is set by
//! [`timeout_any`](crate::timeout_any):
//!
//! ```
//! # use std::time::Duration;
//! # use filch::net::{TcpListener, TcpStream};
//! use filch::timeout_any;
//!
//! # filch::run(async {
//! # let listener = TcpListener::bind("127.0.0.1:0").await?;
//! # let stream = TcpStream::connect(listener.local_addr()?).await?;
//! # let (peer, _) = listener.accept().await?;
//! # peer.write_all(b"hello").await?;
//! let mut buffer = [0; 1024];
//! let count = timeout_any(Duration::from_secs(5), stream.read(&mut buffer)).await??;
//! # assert_eq!(&buffer[..count], b"hello");
//! # Ok(())
//! # }).unwrap();
//! ```
//!
//! Sockets belong to the runtime they were made in, and are made inside it. In a
//! [simulation](crate::sim) they are in memory, and connect the hosts of that simulation: the same
//! program runs there, on a network that a test can slow down, cut and heal.

mod halves;
mod listener;
mod resolve;
mod socket;
mod tcp;
mod wire;

use std::io;

pub use halves::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use listener::{Incoming, TcpListener};
pub use resolve::{ToSocketAddrs, lookup_host};
pub use tcp::TcpStream;

/// What is left of several attempts that all failed: their common error, or one that names all.
fn combined(mut errors: Vec<io::Error>) -> io::Error {
    if errors.is_empty() {
        return io::Error::new(io::ErrorKind::InvalidInput, "no address to try");
    }
    let texts: Vec<String> = errors.iter().map(io::Error::to_string).collect();
    if texts.iter().all(|text| *text == texts[0]) {
        return errors.swap_remove(0);
    }
    let kind = errors[0].kind();
    let same = errors.iter().all(|error| error.kind() == kind);
    let kind = if same { kind } else { io::ErrorKind::Other };
    io::Error::new(kind, format!("every address failed: {}", texts.join(", ")))
}
