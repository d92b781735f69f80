//! Time passes for sleeps and intervals exactly as asked for.
//!
//! TASK-08, TASK-17, LOOP-03, LOOP-04, LOOP-05. In virtual time all of it is exact.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use filch::sim;
use filch::time::{Instant, Interval, Missed, Sleep, interval, sleep, sleep_until};
use futures::StreamExt;

const SECOND: Duration = Duration::from_secs(1);

fn in_time<T>(program: impl Future<Output = filch::Result<T>>) -> T {
    sim::run(0, program).unwrap()
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn is_ready(sleep: Pin<&mut Sleep>, waker: &Waker) -> bool {
    sleep.poll(&mut Context::from_waker(waker)).is_ready()
}

#[test]
fn sleep_is_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<Sleep>();
    check::<Interval>();
}

#[test]
fn sleep_ends_when_its_time_has_passed() {
    in_time(async {
        let start = Instant::now();
        for time in [1, 999, 1_000_000, 86_400_000_000_000] {
            let before = Instant::now();
            sleep(Duration::from_nanos(time)).await;
            assert_eq!(before.elapsed(), Duration::from_nanos(time));
        }
        sleep_until(start + 2 * 86_400 * SECOND).await;
        assert_eq!(start.elapsed(), 2 * 86_400 * SECOND);
        Ok(())
    });
}

#[test]
fn time_begins_with_the_call() {
    in_time(async {
        let start = Instant::now();
        let early = sleep(3 * SECOND);
        sleep(2 * SECOND).await;
        early.await;
        assert_eq!(start.elapsed(), 3 * SECOND);
        Ok(())
    });
}

#[test]
fn sleeps_of_no_time_yield_exactly_once() {
    in_time(async {
        let past = Instant::now();
        sleep(SECOND).await;
        for pause in [sleep(Duration::ZERO), sleep_until(past), sleep_until(Instant::now())] {
            let mut pause = pin!(pause);
            let mut polls = 0;
            poll_fn(|context| {
                polls += 1;
                pause.as_mut().poll(context)
            })
            .await;
            assert_eq!(polls, 2);
            assert!(pause.is_elapsed());
        }
        assert_eq!(past.elapsed(), SECOND);
        Ok(())
    });
}

#[test]
fn sleep_of_zero_goes_behind_everything_ready() {
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    in_time(async {
        let tasks: Vec<_> = (0..3)
            .map(|number| {
                let log = log.clone();
                filch::spawn(async move {
                    log.lock().unwrap().push((number, "before"));
                    sleep(Duration::ZERO).await;
                    log.lock().unwrap().push((number, "after"));
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        Ok(())
    });
    let expected = ["before", "after"].map(|half| [(0, half), (1, half), (2, half)]).concat();
    assert_eq!(*log.lock().unwrap(), expected);
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    in_time(async {
        let times = [3, 1, 2, 1, 3, 2];
        let tasks: Vec<_> = (0..times.len())
            .map(|number| {
                let log = log.clone();
                filch::spawn(async move {
                    sleep(times[number] * SECOND).await;
                    log.lock().unwrap().push(number);
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        Ok(())
    });
    assert_eq!(*log.lock().unwrap(), [1, 3, 2, 5, 0, 4]);
}

#[test]
fn longest_sleep_never_ends() {
    let stuck = sim::run(0, sleep(Duration::MAX));
    assert!(stuck.unwrap_err().is_deadlock());
    in_time(async {
        let outer = filch::timeout(SECOND, sleep(Duration::MAX)).await;
        assert!(outer.unwrap_err().is_timeout());
        Ok(())
    });
}

#[test]
fn dropped_sleep_is_forgotten() {
    let stuck = sim::run(0, async {
        let mut long = Box::pin(sleep(SECOND));
        assert!(!is_ready(long.as_mut(), Waker::noop()));
        drop(long);
        pending::<()>().await;
    });
    assert!(stuck.unwrap_err().is_deadlock());
}

#[test]
fn ended_sleep_stays_ready_until_it_is_reset() {
    in_time(async {
        let start = Instant::now();
        let mut pause = pin!(sleep(SECOND));
        pause.as_mut().await;
        assert!(pause.is_elapsed());
        assert!(is_ready(pause.as_mut(), Waker::noop()));
        pause.as_mut().reset(start + 5 * SECOND);
        assert!(!pause.is_elapsed());
        assert_eq!(pause.deadline(), start + 5 * SECOND);
        pause.as_mut().await;
        assert_eq!(start.elapsed(), 5 * SECOND);
        pause.as_mut().reset(start);
        pause.await;
        assert_eq!(start.elapsed(), 5 * SECOND);
        Ok(())
    });
}

#[test]
fn sleep_is_reset_while_it_waits() {
    in_time(async {
        let start = Instant::now();
        for end in [3, 2] {
            let mut pause = pin!(sleep(10 * SECOND));
            assert!(!is_ready(pause.as_mut(), Waker::noop()));
            pause.as_mut().reset(start + end * SECOND);
            pause.await;
            assert_eq!(start.elapsed(), 3 * SECOND);
        }
        Ok(())
    });
}

#[test]
fn last_one_to_poll_is_woken() {
    in_time(async {
        let counts = [(); 2].map(|()| Arc::new(Count::default()));
        let mut pause = pin!(sleep(SECOND));
        for count in &counts {
            assert!(!is_ready(pause.as_mut(), &Waker::from(count.clone())));
        }
        assert_eq!(Arc::strong_count(&counts[0]), 1);
        sleep(2 * SECOND).await;
        assert_eq!(counts[0].0.load(Ordering::Relaxed), 0);
        assert_eq!(counts[1].0.load(Ordering::Relaxed), 1);
        assert!(pause.is_elapsed());
        Ok(())
    });
}

#[test]
#[should_panic(expected = "belongs to no runtime")]
fn sleeping_outside_a_runtime_panics() {
    let _ = is_ready(pin!(sleep(SECOND)), Waker::noop());
}

#[test]
#[should_panic(expected = "period of an interval is zero")]
fn interval_of_no_time_panics() {
    let _ = interval(Duration::ZERO);
}

/// Takes six ticks ten seconds apart, is busy for 25 seconds after the first, and says when each
/// was taken and when it was due.
fn ticks(missed: Missed) -> Vec<(u64, u64)> {
    in_time(async {
        let start = Instant::now();
        let seconds = |at: Instant| at.duration_since(start).as_secs();
        let mut ticks = interval(10 * SECOND);
        ticks.set_missed(missed);
        let mut log = Vec::new();
        for number in 0..6 {
            let due = ticks.tick().await;
            log.push((seconds(Instant::now()), seconds(due)));
            if number == 0 {
                sleep(25 * SECOND).await;
            }
        }
        Ok(log)
    })
}

#[test]
fn burst_makes_up_for_missed_ticks() {
    assert_eq!(ticks(Missed::Burst), [(0, 0), (25, 10), (25, 20), (30, 30), (40, 40), (50, 50)]);
}

#[test]
fn delay_counts_from_the_late_tick() {
    assert_eq!(ticks(Missed::Delay), [(0, 0), (25, 10), (35, 35), (45, 45), (55, 55), (65, 65)]);
}

#[test]
fn skip_keeps_the_rhythm() {
    assert_eq!(ticks(Missed::Skip), [(0, 0), (25, 10), (30, 30), (40, 40), (50, 50), (60, 60)]);
}

#[test]
fn cancelled_tick_is_not_lost() {
    in_time(async {
        let start = Instant::now();
        let mut ticks = interval(10 * SECOND);
        ticks.tick().await;
        let early = filch::timeout_any(SECOND, ticks.tick()).await;
        assert!(early.is_err());
        assert_eq!(ticks.tick().await, start + 10 * SECOND);
        assert_eq!(start.elapsed(), 10 * SECOND);
        Ok(())
    });
}

#[test]
fn interval_is_a_stream_of_its_ticks() {
    let seconds = in_time(async {
        let start = Instant::now();
        let ticks = interval(10 * SECOND).take(3).map(|due| (due - start).as_secs());
        Ok(ticks.collect::<Vec<_>>().await)
    });
    assert_eq!(seconds, [0, 10, 20]);
}

#[test]
fn reset_interval_ticks_a_period_later() {
    in_time(async {
        let start = Instant::now();
        let mut ticks = interval(10 * SECOND);
        ticks.tick().await;
        sleep(4 * SECOND).await;
        ticks.reset();
        assert_eq!(ticks.tick().await, start + 14 * SECOND);
        assert_eq!(ticks.period(), 10 * SECOND);
        Ok(())
    });
}

#[test]
fn interval_may_be_longer_than_time() {
    in_time(async {
        let mut ticks = interval(Duration::MAX);
        for missed in [Missed::Burst, Missed::Delay, Missed::Skip] {
            ticks.set_missed(missed);
            assert_eq!(ticks.missed(), missed);
        }
        ticks.tick().await;
        let next = filch::timeout_any(SECOND, ticks.tick()).await;
        assert!(next.is_err());
        Ok(())
    });
}

#[test]
fn hundred_thousand_sleepers_come_and_go() {
    let ended = Rc::new(RefCell::new(0));
    in_time(async {
        let tasks: Vec<_> = (1..=100_000_u64)
            .map(|number| filch::spawn(sleep(Duration::from_micros(number * 7919 % 50_000 + 1))))
            .collect();
        for task in tasks {
            task.await?;
            *ended.borrow_mut() += 1;
        }
        Ok(())
    });
    assert_eq!(*ended.borrow(), 100_000);
}

#[test]
fn million_timers_live_at_once() {
    // On real threads: all are armed by one task, half are let go of, half end.
    let main = async {
        let moment = |number: u64| Duration::from_micros(number * 7919 % 100_000 + 1);
        let mut sleeps: Vec<_> = (0..1_000_000_u64)
            .map(|number| match number % 2 {
                0 => Box::pin(sleep(Duration::from_secs(3600))),
                _ => Box::pin(sleep(moment(number))),
            })
            .collect();
        poll_fn(|context| {
            for sleep in &mut sleeps {
                let _ended_already = sleep.as_mut().poll(context);
            }
            Poll::Ready(())
        })
        .await;
        let mut number = 0_u64;
        sleeps.retain(|_| {
            number += 1;
            number.is_multiple_of(2)
        });
        for sleep in sleeps {
            sleep.await;
        }
        Ok(number)
    };
    assert_eq!(filch::run(main).unwrap(), 1_000_000);
}

#[test]
fn unpolled_sleep_needs_no_runtime() {
    let pause = sleep(SECOND);
    assert!(!pause.is_elapsed());
    assert!(pause.deadline() > Instant::now());
    let mut zero = pin!(sleep(Duration::ZERO));
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(zero.as_mut().poll(&mut context), Poll::Pending);
    assert_eq!(zero.as_mut().poll(&mut context), Poll::Ready(()));
}
