//! Attempts are started one after the other; the first that succeeds wins, and the others are
//! cancelled and waited for (STAG-01 to STAG-03).

mod common;

use std::time::Duration;

use common::{Boom, Log, in_any_order, me, ms, seconds};
use filch::time::Instant;
use filch::{Error, Raced, Result};
use filch::{catch_cancelled, sleep, spawn, staggered_race, timeout};
use futures::future::BoxFuture;

type Attempt = Box<dyn FnOnce() -> BoxFuture<'static, Result<&'static str>> + Send>;

/// Gives its name, or fails with it, after so many milliseconds.
fn attempt(after: u64, ended: Result<&'static str, &'static str>) -> Attempt {
    Box::new(move || {
        Box::pin(async move {
            sleep(ms(after)).await;
            ended.map_err(|text| Boom(text).into())
        })
    })
}

fn shown(race: &Raced<&str>) -> Vec<Option<String>> {
    race.errors.iter().map(|error| error.as_ref().map(Error::to_string)).collect()
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<Option<String>> {
    texts.map(|text| (!text.is_empty()).then(|| text.to_owned())).to_vec()
}

// upstream: test_staggered.StaggeredTests.test_empty
#[test]
fn nobody_wins_an_empty_race() {
    in_any_order(async || {
        let race = staggered_race([] as [Attempt; 0], None).await?;
        assert_eq!((race.winner, race.errors.len()), (None, 0));
        Ok(())
    });
}

// upstream: test_staggered.StaggeredTests.test_one_successful
#[test]
fn nobody_starts_after_a_success() {
    in_any_order(async || {
        let race = staggered_race([attempt(0, Ok("0")), attempt(0, Ok("1"))], None).await?;
        assert_eq!(race.winner, Some((0, "0")));
        assert_eq!(shown(&race), texts([""]));
        Ok(())
    });
}

// upstream: test_staggered.StaggeredTests.test_first_error_second_successful
#[test]
fn failure_starts_the_next() {
    // STAG-01
    in_any_order(async || {
        let start = Instant::now();
        let attempts = [attempt(5, Err("first")), attempt(0, Ok("1"))];
        let race = staggered_race(attempts, seconds(10)).await?;
        assert_eq!(race.winner, Some((1, "1")));
        assert_eq!(shown(&race), texts(["first", ""]));
        assert_eq!(start.elapsed(), ms(5));
        Ok(())
    });
}

// upstream: test_staggered.StaggeredTests.test_first_timeout_second_successful
#[test]
fn delay_starts_the_next_and_the_loser_is_cancelled() {
    // STAG-01, STAG-02
    in_any_order(async || {
        let start = Instant::now();
        let attempts = [attempt(10_000, Ok("0")), attempt(5, Ok("1"))];
        let race = staggered_race(attempts, ms(100)).await?;
        assert_eq!(race.winner, Some((1, "1")));
        assert_eq!(shown(&race), texts(["cancelled", ""]));
        assert_eq!(start.elapsed(), ms(105));
        Ok(())
    });
}

// upstream: test_staggered.StaggeredTests.test_none_successful
#[test]
fn all_may_fail() {
    // STAG-02
    in_any_order(async || {
        let attempts = [attempt(0, Err("first")), attempt(0, Err("second"))];
        let race = staggered_race(attempts, None).await?;
        assert_eq!(race.winner, None);
        assert_eq!(shown(&race), texts(["first", "second"]));
        let error = race.into_result().unwrap_err();
        assert_eq!(error.to_string(), "2 errors: first; second");
        Ok(())
    });
}

#[test]
fn only_the_failure_of_the_latest_starts_the_next() {
    // STAG-01: the first one fails after the second was started.
    in_any_order(async || {
        let start = Instant::now();
        let attempts = [attempt(15, Err("0")), attempt(90, Err("1")), attempt(1, Ok("2"))];
        let race = staggered_race(attempts, ms(10)).await?;
        assert_eq!(race.winner, Some((2, "2")));
        assert_eq!(start.elapsed(), ms(21));
        Ok(())
    });
}

#[test]
fn losers_are_waited_for() {
    // STAG-02
    in_any_order(async || {
        let log = Log::new();
        let told = log.clone();
        let stubborn: Attempt = Box::new(move || {
            Box::pin(async move {
                if catch_cancelled(sleep(seconds(60))).await.is_err() {
                    sleep(seconds(1)).await;
                    told.add("cleaned up");
                }
                Ok("late")
            })
        });
        let start = Instant::now();
        let race = staggered_race([stubborn, attempt(1, Ok("1"))], ms(10)).await?;
        assert_eq!(race.winner, Some((1, "1")));
        assert_eq!(shown(&race), texts(["", ""]));
        assert_eq!(log.lines(), ["cleaned up"]);
        assert_eq!(start.elapsed(), ms(1011));
        Ok(())
    });
}

#[test]
fn cancelled_race_cancels_all_attempts_and_waits_for_them() {
    // STAG-03
    in_any_order(async || {
        let log = Log::new();
        let attempts = [1, 2, 3].map(|_| {
            let log = log.clone();
            move || async move {
                if let Err(cancelled) = catch_cancelled(sleep(seconds(60))).await {
                    sleep(seconds(1)).await;
                    log.add("cleaned up");
                    cancelled.raise().await;
                }
                Ok(())
            }
        });
        let race = spawn(staggered_race(attempts, ms(100)));
        sleep(ms(150)).await;
        race.cancel();
        assert!(race.await.unwrap_err().is_cancelled());
        assert_eq!(log.lines(), ["cleaned up"; 2]);
        Ok(())
    });
}

#[test]
fn panics_are_failures() {
    in_any_order(async || {
        let early: Attempt = Box::new(|| panic!("early"));
        let late: Attempt = Box::new(|| {
            Box::pin(async {
                sleep(ms(1)).await;
                panic!("late");
            })
        });
        let race = staggered_race([early, late, attempt(1, Ok("2"))], Duration::MAX).await?;
        assert_eq!(race.winner, Some((2, "2")));
        assert_eq!(shown(&race), texts(["panicked: early", "panicked: late", ""]));
        Ok(())
    });
}

#[test]
fn timeout_around_a_race_ends_it() {
    in_any_order(async || {
        let race = staggered_race([attempt(10_000, Ok("0"))], None);
        assert!(timeout(ms(5), race).await.unwrap_err().is_timeout());
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}
