//! A shop and its customer on a network that delays, loses, breaks and cuts: 200 runs.
//!
//! `cargo run --example simulate`; if a run goes wrong, its seed is named and repeats it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filch::net::{TcpListener, TcpStream};
use filch::{Result, sim, sleep, spawn, timeout};

/// What the shop has sold. A set: who has to ask twice must not pay twice.
type Book = Arc<Mutex<BTreeSet<u8>>>;

async fn shop(book: Book) -> Result<()> {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (stream, book) = (listener.accept().await?.0, book.clone());
        let serve = async move {
            let mut order = [0];
            stream.read_exact(&mut order).await?;
            book.lock().unwrap().insert(order[0]);
            Ok(stream.write_all(&order).await?)
        };
        spawn(serve).detach();
    }
}

/// One attempt. Nothing in it, or in the shop, knows that the network is not real.
async fn buy(order: u8) -> Result<()> {
    let stream = TcpStream::connect("shop:80").await?;
    stream.write_all(&[order]).await?;
    Ok(stream.read_exact(&mut [0]).await?)
}

async fn trouble() {
    loop {
        sleep(Duration::from_millis(sim::random(0..3_000))).await;
        match sim::random(0..4) {
            0 => sim::net().partition("main", "shop"),
            1 => drop(sim::net().link("main", "shop").reset()),
            _ => sim::net().heal("main", "shop"),
        }
    }
}

fn main() {
    let latency = Duration::from_millis(1)..=Duration::from_millis(400);
    sim::Builder::new().latency(latency).loss(0.2).check(0..200, async || {
        let book = Book::default();
        sim::host("shop").spawn(shop(book.clone())).detach();
        spawn(trouble()).detach();
        for order in 0..10 {
            while timeout(Duration::from_secs(2), buy(order)).await.is_err() {}
            assert!(book.lock().unwrap().contains(&order), "a lost order");
        }
        assert_eq!(book.lock().unwrap().len(), 10);
        Ok(())
    });
    println!("200 runs, and nothing went wrong");
}
