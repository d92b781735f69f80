//! The forms a socket takes: halves, the ecosystem's traits, the standard library's types.

#[path = "common/sockets.rs"]
mod sockets;

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::pin::pin;
use std::time::Duration;

use filch::net::{ReuniteError, TcpListener, TcpStream};
use filch::spawn;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt, poll};
use sockets::{ANY_PORT, everywhere, pair, pattern};

#[test]
fn halves_come_together_again_only_with_their_own() {
    everywhere(async || {
        let (ours, theirs) = pair().await?;
        let (our_read, our_write) = ours.into_split();
        let (their_read, their_write) = theirs.into_split();
        let ReuniteError(our_read, their_write) = our_read.reunite(their_write).unwrap_err();
        let ours = our_read.reunite(our_write)?;
        let theirs = their_read.reunite(their_write)?;
        ours.write_all(b"whole").await?;
        theirs.read_exact(&mut [0; 5]).await?;
        Ok(())
    });
}

#[test]
fn borrowed_halves_read_and_write_side_by_side() {
    everywhere(async || {
        let (mut ours, theirs) = pair().await?;
        let echo = spawn(async move { Ok(futures::io::copy(&theirs, &mut &theirs).await?) });
        let bytes = pattern(1 << 20);
        let mut came = vec![0; bytes.len()];
        {
            let (mut read, mut write) = TcpStream::split(&mut ours);
            let writing = pin!(write.write_all(&bytes));
            let reading = pin!(read.read_exact(&mut came));
            futures::future::try_join(writing, reading).await?;
        }
        assert!(came == bytes);
        ours.shutdown(Shutdown::Write)?;
        assert_eq!(echo.await?, bytes.len() as u64);
        Ok(())
    });
}

#[test]
fn halves_that_own_the_stream_do_what_borrowed_ones_do() {
    everywhere(async || {
        let (ours, mut theirs) = pair().await?;
        let (address, peer) = (ours.local_addr()?, ours.peer_addr()?);
        let (mut read, mut write) = ours.into_split();
        assert_eq!((read.local_addr()?, read.peer_addr()?), (address, peer));
        assert_eq!((write.local_addr()?, write.peer_addr()?), (address, peer));
        let (mut their_read, mut their_write) = TcpStream::split(&mut theirs);
        assert_eq!((their_read.local_addr()?, their_write.local_addr()?), (peer, peer));
        assert_eq!(write.write_vectored(&[IoSlice::new(b"1"), IoSlice::new(b"2")]).await?, 2);
        let mut came = [0; 2];
        their_read.read_exact(&mut came).await?;
        their_write.write_all(&came).await?;
        came = [0; 2];
        while read.peek(&mut came).await? < 2 {}
        assert_eq!(came, *b"12");
        let [one, two] = &mut came;
        let mut places = [one, two].map(|byte| IoSliceMut::new(std::slice::from_mut(byte)));
        assert_eq!(read.read_vectored(&mut places).await?, 2);
        assert_eq!(came, *b"12");
        Ok(())
    });
}

#[test]
fn dropping_the_writing_half_ends_its_direction() {
    everywhere(async || {
        let (ours, theirs) = pair().await?;
        let (_read, mut write) = ours.into_split();
        write.write_all(b"all").await?;
        drop(write);
        let mut came = Vec::new();
        (&theirs).read_to_end(&mut came).await?;
        assert_eq!(came, b"all");
        Ok(())
    });
}

#[test]
fn the_traits_of_the_ecosystem_work_by_value_and_by_reference() {
    everywhere(async || {
        let (mut ours, theirs) = pair().await?;
        AsyncWriteExt::write_all(&mut ours, b"by value").await?;
        ours.flush().await?;
        let mut buffer = [0; 8];
        AsyncReadExt::read_exact(&mut &theirs, &mut buffer).await?;
        assert_eq!(&buffer, b"by value");
        AsyncWriteExt::write_all(&mut &theirs, b"by reference").await?;
        AsyncWriteExt::close(&mut &theirs).await?;
        let mut text = String::new();
        ours.read_to_string(&mut text).await?;
        assert_eq!(text, "by reference");
        Ok(())
    });
}

#[test]
fn incoming_connections_are_a_stream() {
    everywhere(async || {
        let listener = TcpListener::bind(ANY_PORT).await?;
        let address = listener.local_addr()?;
        let clients = spawn(async move {
            for _ in 0..3 {
                TcpStream::connect(address).await?;
            }
            Ok(())
        });
        let mut incoming = listener.incoming();
        for _ in 0..3 {
            incoming.next().await.unwrap()?;
        }
        assert!(poll!(incoming.next()).is_pending());
        clients.await
    });
}

#[test]
fn options_are_kept_and_small_writes_are_not_delayed() {
    everywhere(async || {
        let (ours, theirs) = pair().await?;
        assert!(ours.nodelay()? && theirs.nodelay()?);
        ours.set_nodelay(false)?;
        assert!(!ours.nodelay()?);
        ours.set_ttl(42)?;
        assert_eq!(ours.ttl()?, 42);
        ours.set_linger(Some(Duration::from_secs(3)))?;
        assert_eq!(ours.linger()?, Some(Duration::from_secs(3)));
        ours.set_linger(None)?;
        assert!(ours.take_error()?.is_none());
        Ok(())
    });
}

#[test]
fn sockets_of_the_standard_library_come_and_go() {
    filch::run(async {
        let listener = TcpListener::from_std(std::net::TcpListener::bind(ANY_PORT)?)?;
        let ours = std::net::TcpStream::connect(listener.local_addr()?)?;
        let ours = TcpStream::from_std(ours)?;
        let mut theirs = listener.accept().await?.0.into_std()?;
        theirs.set_nonblocking(false)?;
        ours.write_all(b"hello").await?;
        let mut buffer = [0; 5];
        theirs.read_exact(&mut buffer)?;
        theirs.write_all(&buffer)?;
        ours.read_exact(&mut buffer).await?;
        assert_eq!(&buffer, b"hello");
        TcpListener::from_std(listener.into_std()?)?;
        Ok(())
    })
    .unwrap();
}
