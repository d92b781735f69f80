//! Channels: one value for one, every value for everybody, the latest value.

mod common;

use std::sync::Arc;

use common::{Log, in_any_order, seconds, simulate};
use filch::sync::{broadcast, oneshot, watch};
use filch::{sleep, spawn, timeout, yield_now};

#[test]
fn a_value_is_received_before_and_after_it_is_sent() {
    in_any_order(async || {
        let (sender, receiver) = oneshot::channel();
        let receives = spawn(async move { Ok(receiver.await?) });
        yield_now().await;
        assert_eq!(sender.send(7), Ok(()));
        assert_eq!(receives.await?, 7);
        let (sender, mut receiver) = oneshot::channel();
        assert_eq!(receiver.try_recv(), Err(oneshot::TryRecvError::Empty));
        assert!(!receiver.is_ready());
        sender.send(8).unwrap();
        assert!(receiver.is_ready());
        assert_eq!(receiver.try_recv(), Ok(8));
        assert_eq!(receiver.try_recv(), Err(oneshot::TryRecvError::Closed));
        Ok(())
    });
}

#[test]
fn a_sender_that_is_dropped_ends_the_channel() {
    in_any_order(async || {
        let (sender, receiver) = oneshot::channel::<()>();
        let receives = spawn(receiver_of(receiver));
        yield_now().await;
        drop(sender);
        assert!(receives.await.unwrap_err().is::<oneshot::Closed>());
        let (sender, mut receiver) = oneshot::channel::<()>();
        drop(sender);
        assert_eq!(receiver.try_recv(), Err(oneshot::TryRecvError::Closed));
        Ok(())
    });
}

async fn receiver_of<T>(receiver: oneshot::Receiver<T>) -> filch::Result<T> {
    Ok(receiver.await?)
}

#[test]
fn a_value_that_nobody_wants_comes_back() {
    in_any_order(async || {
        let (sender, receiver) = oneshot::channel();
        assert!(!sender.is_closed());
        let receives = spawn(receiver_of(receiver));
        yield_now().await;
        receives.cancel();
        let _ = receives.await;
        assert!(sender.is_closed());
        assert_eq!(sender.send("back"), Err("back"));
        Ok(())
    });
}

#[test]
fn a_value_that_is_not_fetched_is_dropped_with_the_channel() {
    let value = Arc::new(());
    let (sender, receiver) = oneshot::channel();
    sender.send(value.clone()).unwrap();
    assert_eq!(Arc::strong_count(&value), 2);
    drop(receiver);
    assert_eq!(Arc::strong_count(&value), 1);
    let (sender, receiver) = oneshot::channel();
    drop(receiver);
    drop(sender.send(value.clone()));
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_receiver_may_be_polled_by_another_task() {
    in_any_order(async || {
        let (sender, mut receiver) = oneshot::channel();
        let first = timeout(seconds(1), async { Ok((&mut receiver).await?) }).await;
        assert!(first.unwrap_err().is_timeout());
        let second = spawn(receiver_of(receiver));
        yield_now().await;
        sender.send(1).unwrap();
        assert_eq!(second.await?, 1);
        Ok(())
    });
}

#[test]
fn values_cross_threads() {
    let mut sum = 0;
    for number in 0..2_000 {
        let (sender, receiver) = oneshot::channel();
        let thread = number % 100 == 0;
        let send = move || sender.send(number).unwrap();
        let received = if thread {
            let sends = std::thread::spawn(send);
            let received = receiver.recv_blocking();
            sends.join().unwrap();
            received
        } else {
            send();
            receiver.recv_blocking()
        };
        sum += received.unwrap();
    }
    assert_eq!(sum, 1_999 * 2_000 / 2);
}

#[test]
fn everybody_gets_every_value() {
    in_any_order(async || {
        let (sender, receiver) = broadcast::channel(2);
        let mut others = [receiver, sender.subscribe()].map(|mut receiver| {
            spawn(async move {
                let mut got = Vec::new();
                loop {
                    match receiver.recv().await {
                        Ok(value) => got.push(value),
                        Err(broadcast::RecvError::Closed) => return Ok(got),
                        Err(lagged) => return Err(lagged.into()),
                    }
                }
            })
        });
        for value in 1..=4 {
            assert_eq!(sender.send(value), Ok(2));
            sleep(seconds(1)).await;
        }
        drop(sender);
        for other in &mut others {
            assert_eq!(other.await?, [1, 2, 3, 4]);
        }
        Ok(())
    });
}

#[test]
fn one_who_is_too_slow_is_told_what_it_missed() {
    simulate(async {
        let (sender, mut slow) = broadcast::channel(2);
        let mut quick = sender.subscribe();
        for value in 1..=5 {
            sender.send(value).unwrap();
            assert_eq!(quick.recv().await, Ok(value));
        }
        assert_eq!((slow.len(), quick.len()), (5, 0));
        assert_eq!(slow.recv().await, Err(broadcast::RecvError::Lagged(3)));
        assert_eq!((slow.recv().await, slow.try_recv()), (Ok(4), Ok(5)));
        assert_eq!(slow.try_recv(), Err(broadcast::TryRecvError::Empty));
        Ok(())
    });
}

#[test]
fn values_that_nobody_is_to_get_are_dropped() {
    let value = Arc::new(());
    let (sender, mut one) = broadcast::channel(8);
    let other = sender.subscribe();
    for _ in 0..3 {
        sender.send(value.clone()).unwrap();
    }
    one.try_recv().unwrap();
    assert_eq!(Arc::strong_count(&value), 4, "the other is to get them all");
    drop(other);
    assert_eq!(Arc::strong_count(&value), 3);
    drop(one);
    assert_eq!(Arc::strong_count(&value), 1);
    assert_eq!(sender.send(value), Err(broadcast::SendError(Arc::new(()))));
    assert!(sender.subscribe().resubscribe().is_empty());
}

#[test]
fn the_latest_value_is_seen_once() {
    in_any_order(async || {
        let (log, (sender, mut receiver)) = (Log::new(), watch::channel(0));
        assert_eq!((*receiver.latest(), receiver.has_changed()), (0, Ok(false)));
        let sees = spawn({
            let log = log.clone();
            async move {
                while receiver.changed().await.is_ok() {
                    log.add(receiver.latest().to_string());
                }
            }
        });
        sleep(seconds(1)).await;
        let kept = sender.latest();
        sender.send(1);
        sender.modify(|value| *value += 1);
        assert!(!sender.modify_if(|_| false));
        assert_eq!((*kept, *sender.latest()), (0, 2), "what is looked at does not change");
        sleep(seconds(1)).await;
        sender.send(3);
        drop(sender);
        sees.await?;
        assert_eq!(log.lines(), ["2", "3"]);
        Ok(())
    });
}

#[test]
fn a_certain_value_is_waited_for() {
    in_any_order(async || {
        let (sender, mut receiver) = watch::channel(1);
        receiver.wait_for(|value| *value == 1).await?;
        let mut other = receiver.clone();
        let waits = spawn(async move { Ok(*other.wait_for(|value| *value == 3).await?) });
        for value in 2..=3 {
            yield_now().await;
            sender.send(value);
        }
        assert_eq!(waits.await?, 3);
        assert_eq!((receiver.has_changed(), *receiver.see()), (Ok(true), 3));
        assert_eq!((sender.receivers(), *sender.clone().subscribe().latest()), (1, 3));
        drop(sender);
        assert_eq!(receiver.changed().await, Err(watch::Closed));
        assert_eq!(receiver.wait_for(|value| *value == 4).await, Err(watch::Closed));
        Ok(())
    });
}

#[test]
fn plain_threads_get_what_tasks_send() {
    let (news, mut reader) = broadcast::channel(4);
    let (latest, mut watcher) = watch::channel(0);
    let reads = std::thread::spawn(move || reader.recv_blocking());
    let watches = std::thread::spawn(move || {
        watcher.changed_blocking().unwrap();
        *watcher.see()
    });
    filch::run(async move {
        news.send("all").unwrap();
        latest.send(1);
    })
    .unwrap();
    assert_eq!((reads.join().unwrap(), watches.join().unwrap()), (Ok("all"), 1));
}

#[test]
fn a_sender_learns_that_nobody_wants_the_value() {
    in_any_order(async || {
        let (mut sender, receiver) = oneshot::channel::<u32>();
        // One who gives up waiting for the end can still send.
        assert!(timeout(seconds(1), sender.closed()).await.is_err());
        assert!(!sender.is_closed());
        let works = spawn(async move {
            sender.closed().await;
            sender.closed().await;
            Ok((sender.is_closed(), sender.send(1)))
        });
        yield_now().await;
        drop(receiver);
        assert_eq!(works.await?, (true, Err(1)));
        let (mut sender, receiver) = oneshot::channel();
        assert!(timeout(seconds(1), sender.closed()).await.is_err());
        assert_eq!(sender.send(2), Ok(()));
        assert_eq!(receiver.await, Ok(2));
        Ok(())
    });
}

#[test]
fn senders_learn_that_the_last_receiver_is_gone() {
    in_any_order(async || {
        let (news, reader) = broadcast::channel::<u32>(1);
        let (latest, watcher) = watch::channel(0);
        let (others, more) = ((news.subscribe(), latest.subscribe()), news.clone());
        let waits = spawn(async move {
            news.closed().await;
            latest.closed().await;
            Ok((news.is_closed(), latest.is_closed()))
        });
        yield_now().await;
        drop((reader, watcher));
        // One who gives up leaves the line.
        assert!(timeout(seconds(1), more.closed()).await.is_err());
        assert!(!waits.is_finished());
        drop(others);
        assert_eq!(waits.await?, (true, true));
        more.closed().await;
        Ok(())
    });
}
