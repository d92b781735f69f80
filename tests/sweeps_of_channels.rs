//! Sweeps through channels: whoever is cancelled or timed out takes no value along.

mod common;

use std::sync::Arc;

use common::sweeps::{all, party, sweep};
use filch::sync::{broadcast, oneshot, watch};
use filch::yield_now;

#[test]
fn a_oneshot_channel() {
    sweep(async || {
        let value = Arc::new(());
        let (sender, receiver) = oneshot::channel();
        let got = party(async move {
            let _value: Option<Arc<()>> = receiver.await.ok();
        });
        let sent = party({
            let value = value.clone();
            async move {
                yield_now().await;
                yield_now().await;
                let _ = sender.send(value);
            }
        });
        all([got, sent]).await;
        assert_eq!(Arc::strong_count(&value), 1, "the value is somewhere still");
    });
}

#[test]
fn a_broadcast_channel() {
    sweep(async || {
        let (sender, mut receiver) = broadcast::channel(4);
        let parties: Vec<_> = (0..2)
            .map(|_| {
                let mut receiver = sender.subscribe();
                party(async move {
                    for expected in 0..2 {
                        assert_eq!(receiver.recv().await, Ok(expected));
                    }
                })
            })
            .collect();
        for value in 0..2 {
            yield_now().await;
            sender.send(value).unwrap();
        }
        all(parties).await;
        assert_eq!(sender.receivers(), 1);
        assert_eq!((receiver.recv().await, receiver.recv().await), (Ok(0), Ok(1)));
        assert!(receiver.is_empty());
    });
}

#[test]
fn a_watch_channel() {
    sweep(async || {
        let (sender, receiver) = watch::channel(0);
        let parties: Vec<_> = (0..2)
            .map(|_| {
                let mut receiver = receiver.clone();
                party(async move {
                    receiver.wait_for(|value| *value == 2).await.unwrap();
                })
            })
            .collect();
        for value in 1..=2 {
            yield_now().await;
            sender.send(value);
        }
        all(parties).await;
        assert_eq!(sender.receivers(), 1);
    });
}

#[test]
fn senders_who_wait_for_the_end() {
    sweep(async || {
        let (mut told, receiver) = oneshot::channel::<u32>();
        let (news, reader) = broadcast::channel::<u32>(1);
        let (latest, watcher) = watch::channel(0);
        let parties = [
            party(async move { told.closed().await }),
            party({
                let news = news.clone();
                async move { news.closed().await }
            }),
            party({
                let latest = latest.clone();
                async move { latest.closed().await }
            }),
            party(async move {
                let _kept = (receiver, reader, watcher);
                yield_now().await;
                yield_now().await;
            }),
        ];
        all(parties).await;
        assert!(news.is_closed() && latest.is_closed());
        news.closed().await;
        latest.closed().await;
    });
}
