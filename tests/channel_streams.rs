//! Receivers as streams: in order, each value once, until the senders are gone.

use std::pin::pin;

use filch::sync::broadcast::{self, Lagged};
use filch::sync::watch;
use filch::{sim, spawn, timeout_any, yield_now};
use futures::{FutureExt, StreamExt};

#[test]
fn a_stream_of_a_broadcast_gives_all_values_and_ends_with_the_senders() {
    sim::run(0, async {
        let (sender, mut receiver) = broadcast::channel(8);
        let task = spawn(async move { Ok(receiver.stream().collect::<Vec<_>>().await) });
        for number in 0..5 {
            sender.send(number).unwrap();
            yield_now().await;
        }
        let other = sender.clone();
        drop(sender);
        yield_now().await;
        other.send(5).unwrap();
        drop(other);
        assert_eq!(task.await?, (0..6).map(Ok).collect::<Vec<_>>());
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_stream_tells_how_many_values_it_missed_and_goes_on() {
    sim::run(0, async {
        let (sender, mut receiver) = broadcast::channel(2);
        (0..5).for_each(|number| _ = sender.send(number).unwrap());
        let mut values = pin!(receiver.stream());
        assert_eq!(values.next().await, Some(Err(Lagged(3))));
        assert_eq!(values.next().await, Some(Ok(3)));
        (5..7).for_each(|number| _ = sender.send(number).unwrap());
        drop(sender);
        assert_eq!(values.next().await, Some(Err(Lagged(1))));
        assert_eq!(values.next().await, Some(Ok(5)));
        assert_eq!(values.next().await, Some(Ok(6)));
        assert_eq!(values.next().await, None);
        assert_eq!(values.next().await, None);
        assert_eq!(Lagged(3).to_string(), "receiver was too slow for 3 values");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_stream_of_a_broadcast_that_is_dropped_has_taken_nothing() {
    sim::run(0, async {
        let (sender, mut receiver) = broadcast::channel(2);
        let second = std::time::Duration::from_secs(1);
        assert!(timeout_any(second, pin!(receiver.stream()).next()).await.is_err());
        {
            let mut values = pin!(receiver.stream());
            assert!(values.next().now_or_never().is_none());
            sender.send(1).unwrap();
        }
        assert_eq!(receiver.recv().await, Ok(1));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_stream_of_a_watch_gives_the_latest_value_once() {
    sim::run(0, async {
        let (sender, mut receiver) = watch::channel(0);
        let mut values = pin!(receiver.stream());
        assert!(values.next().now_or_never().is_none(), "the first value counts as seen");
        sender.send(1);
        sender.send(2);
        assert_eq!(values.next().await.as_deref(), Some(&2));
        assert!(values.next().now_or_never().is_none());
        sender.send(3);
        drop(sender);
        assert_eq!(values.next().await.as_deref(), Some(&3));
        assert_eq!(values.next().await, None);
        assert_eq!(values.next().await, None);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_stream_of_a_watch_wakes_for_each_change_and_for_the_end() {
    sim::run(0, async {
        let (sender, mut receiver) = watch::channel(0);
        let task =
            spawn(
                async move { Ok(receiver.stream().map(|value| *value).collect::<Vec<_>>().await) },
            );
        for number in 1..4 {
            yield_now().await;
            sender.send(number);
        }
        yield_now().await;
        drop(sender);
        assert_eq!(task.await?, [1, 2, 3]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_value_that_a_dropped_stream_did_not_give_is_still_to_be_seen() {
    sim::run(0, async {
        let (sender, mut receiver) = watch::channel(0);
        {
            let mut values = pin!(receiver.stream());
            assert!(values.next().now_or_never().is_none());
            sender.send(1);
        }
        assert_eq!(receiver.has_changed(), Ok(true));
        assert_eq!(*receiver.see(), 1);
        Ok(())
    })
    .unwrap();
}
