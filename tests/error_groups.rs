//! Errors that come together stay together: they are looked through, parted and picked from, and
//! keep their places (Python's exception groups).

mod common;

use std::fmt;
use std::future::pending;
use std::io;
use std::pin::Pin;

use common::{Boom, Log, OnDrop, in_any_order, seconds, simulate};
use filch::{Elapsed, Error, Result, catch_cancelled, sleep, spawn};
use filch::{TaskGroup, task_group, timeout, timeout_any};

fn boom(text: &'static str) -> Error {
    Boom(text).into()
}

fn broken() -> Error {
    io::Error::from(io::ErrorKind::BrokenPipe).into()
}

/// Two pipes and two booms, at two depths.
fn mixed() -> Error {
    Error::group([boom("a"), broken(), Error::group([broken(), boom("b")])])
}

#[test]
fn group_is_made_of_its_errors() {
    let group = mixed();
    assert!(group.is_group());
    assert_eq!(group.errors().len(), 3);
    assert!(group.errors()[0].is::<Boom>() && group.errors()[1].is::<io::Error>());
    assert_eq!(group.errors()[2].errors().len(), 2);
    assert!(!group.is_cancelled() && !group.is_timeout() && !group.is_panic());
    assert!(!group.is::<Boom>(), "it is not what is in it");
}

#[test]
fn other_errors_are_no_groups() {
    for error in [boom("a"), broken(), Error::msg("text")] {
        assert!(!error.is_group());
        assert!(error.errors().is_empty());
    }
}

#[test]
#[should_panic = "a group of errors has at least one"]
fn group_is_never_empty() {
    drop(Error::group([]));
}

#[test]
fn text_names_all_errors() {
    let error = Error::group([boom("a"), Error::group([boom("b")]), boom("c")]);
    assert_eq!(error.to_string(), "3 errors: a; (1 error: b); c");
    assert_eq!(format!("{error:?}"), "Error(3 errors: a; (1 error: b); c)");
}

#[test]
fn split_keeps_the_shape_on_both_sides() {
    let (booms, rest) = mixed().split(Error::is::<Boom>);
    assert_eq!(booms.unwrap().to_string(), "2 errors: a; (1 error: b)");
    let rest = rest.unwrap();
    assert_eq!(rest.errors().len(), 2);
    assert!(rest.errors()[0].is::<io::Error>() && rest.errors()[1].errors()[0].is::<io::Error>());
}

#[test]
fn nothing_or_everything_may_be_on_one_side() {
    let (none, all) = mixed().split(Error::is_timeout);
    assert!(none.is_none());
    assert_eq!(all.unwrap().to_string(), mixed().to_string());
    let (all, none) = mixed().split(|error| !error.is_group());
    assert_eq!(all.unwrap().to_string(), mixed().to_string());
    assert!(none.is_none());
    let (whole, none) = mixed().split(|_| true);
    assert_eq!(whole.unwrap().errors().len(), 3);
    assert!(none.is_none());
}

#[test]
fn group_may_be_wanted_as_a_whole() {
    let (inner, rest) = mixed().split(|error| error.errors().len() == 2);
    assert_eq!(inner.unwrap().errors()[0].errors().len(), 2);
    assert_eq!(rest.unwrap().errors().len(), 2);
}

#[test]
fn error_that_is_no_group_is_split_by_itself() {
    let (picked, rest) = boom("a").split(Error::is::<Boom>);
    assert!(picked.unwrap().is::<Boom>() && rest.is_none());
    let (picked, rest) = boom("a").split(Error::is::<io::Error>);
    assert!(picked.is_none() && rest.unwrap().is::<Boom>());
}

#[test]
fn subgroup_is_what_is_picked() {
    let pipes = mixed().subgroup(Error::is::<io::Error>).unwrap();
    assert_eq!(pipes.errors().len(), 2);
    assert!(mixed().subgroup(Error::is_panic).is_none());
}

#[test]
fn clones_share_their_errors() {
    let group = mixed();
    let clone = group.clone();
    assert!(std::ptr::eq(group.errors(), clone.errors()));
}

/// Handles the errors that it knows, and gives the others on: `except*`.
async fn handles_booms(work: impl Future<Output = Result<()>>) -> Result<usize> {
    let Err(error) = work.await else { return Ok(0) };
    match error.split(Error::is::<Boom>) {
        (Some(booms), None) => Ok(booms.errors().len()),
        (_, Some(rest)) => Err(rest),
        (None, None) => unreachable!("an error is on one side"),
    }
}

#[test]
fn groups_errors_are_handled_by_kind() {
    in_any_order(async || {
        let all_known = task_group(async |group| {
            group.spawn(async { Err::<(), _>(boom("a")) });
            Err(boom("b"))
        });
        let handled = handles_booms(all_known).await?;
        assert!((1..=2).contains(&handled));

        let one_unknown = task_group(async |group| {
            group.spawn(async { Err::<(), _>(broken()) });
            sleep(seconds(1)).await;
            Ok(())
        });
        let rest = handles_booms(one_unknown).await.unwrap_err();
        assert!(rest.errors()[0].is::<io::Error>());
        Ok(())
    });
}

#[test]
fn timeouts_and_panics_keep_their_kind_in_a_group() {
    simulate(async {
        let error = task_group(async |group| {
            group.spawn(timeout(seconds(1), sleep(seconds(2))));
            Ok(())
        });
        let error = error.await.unwrap_err();
        assert!(error.errors()[0].is_timeout() && error.errors()[0].is::<Elapsed>());

        let task = spawn(task_group(async |group| {
            group.spawn(async { panic!("out of paper") });
            Ok(())
        }));
        let error = task.await.unwrap_err();
        assert!(error.errors()[0].is_panic());
        Ok(())
    });
}

#[test]
fn group_goes_through_question_marks_and_boxes() {
    fn boxed() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Err(mixed())?
    }
    let error = boxed().unwrap_err();
    assert_eq!(error.to_string(), mixed().to_string());
}

/// There and back, in every way that there is.
fn ways(error: &Error) -> [Error; 5] {
    let boxed = || Box::<dyn std::error::Error + Send + Sync>::from(error.clone());
    let twice = || io::Error::other(io::Error::other(boxed()));
    [
        Error::from_boxed(boxed()),
        Error::from_boxed(Error::from_boxed(boxed()).into()),
        io::Error::other(error.clone()).into(),
        twice().into(),
        Error::from_boxed(twice().into()),
    ]
}

#[test]
fn errors_that_were_boxed_are_what_they_were() {
    let group = mixed();
    assert!(ways(&group).iter().all(|same| std::ptr::eq(same.errors(), group.errors())));
    assert!(ways(&boom("a")).iter().all(Error::is::<Boom>));
    simulate(async {
        let late = timeout(seconds(1), sleep(seconds(2))).await.unwrap_err();
        assert!(ways(&late).iter().all(|same| same.is_timeout() && same.is::<Elapsed>()));
        let panicked = spawn(async { panic!("out of paper") }).await.unwrap_err();
        assert!(ways(&panicked).iter().all(Error::is_panic));
        let task = spawn(pending::<()>());
        task.cancel_with("enough");
        let cancelled = task.await.unwrap_err();
        assert!(ways(&cancelled).iter().all(Error::is_cancelled));
        assert!(ways(&cancelled).iter().all(|same| same.cancel_message() == Some("enough")));
        Ok(())
    });
}

#[test]
fn caught_cancellations_and_timeouts_come_out_of_io_errors() {
    simulate(async {
        let late = timeout_any(seconds(1), pending::<()>()).await.unwrap_err();
        assert!(Error::from(io::Error::other(late)).is_timeout());
        let task = spawn(async {
            let cancelled = catch_cancelled(pending::<Result<()>>()).await.unwrap_err();
            Err::<(), _>(io::Error::other(cancelled).into())
        });
        sleep(seconds(1)).await;
        task.cancel();
        assert!(task.join().await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn io_errors_that_say_more_stay_what_they_are() {
    let other = Error::from(io::Error::other(Boom("a")));
    assert!(other.is::<io::Error>() && !other.is::<Boom>());
    let chosen = io::Error::new(io::ErrorKind::BrokenPipe, mixed());
    let chosen = Error::from(io::Error::other(chosen));
    assert!(chosen.is::<io::Error>() && !chosen.is_group());
}

#[test]
fn cancellation_that_was_boxed_is_in_no_group() {
    in_any_order(async || {
        let error = task_group(async |group| {
            group.spawn(async {
                let stuck = spawn(pending::<()>());
                stuck.cancel();
                let cancelled = stuck.await.unwrap_err();
                Err::<(), Error>(io::Error::other(cancelled).into())
            });
            group.spawn(async {
                sleep(seconds(1)).await;
                Err::<(), _>(boom("b"))
            });
            Ok(())
        });
        let error = error.await.unwrap_err();
        assert_eq!(error.to_string(), "1 error: b");
        Ok(())
    });
}

/// An error inside as many groups as no stack has room for.
fn deep(innermost: Error) -> Error {
    (0..DEEP).fold(innermost, |error, _| Error::group([error]))
}

const DEEP: usize = 100_000;

#[test]
fn groups_may_be_nested_without_end() {
    let error = deep(mixed());
    let text = error.to_string();
    assert!(text.starts_with("1 error: (1 error: ("));
    assert_eq!(text.trim_end_matches(')').rsplit('(').next(), Some("2 errors: broken pipe; b"));
    assert_eq!(text.matches('(').count(), text.matches(')').count());
    assert_eq!(format!("{error:?}").len(), text.len() + "Error()".len());

    let (booms, rest) = error.split(Error::is::<Boom>);
    let depth = |error: &Error| {
        let mut inner = error.clone();
        let mut depth = 0;
        while let [only] = inner.errors() {
            (inner, depth) = (only.clone(), depth + 1);
        }
        (depth, inner.to_string())
    };
    let innermost = |text: &str| (DEEP, text.to_owned());
    assert_eq!(depth(&booms.unwrap()), innermost("2 errors: a; (1 error: b)"));
    assert_eq!(depth(&rest.unwrap()), innermost("2 errors: broken pipe; (1 error: broken pipe)"));
    assert!(error.subgroup(Error::is_panic).is_none());
}

#[test]
fn task_groups_may_fail_inside_one_another_without_end() {
    fn level(depth: usize) -> Pin<Box<dyn Future<Output = Result<()>> + Send>> {
        Box::pin(async move {
            match depth {
                0 => Err(boom("a")),
                _ => {
                    let inner = async |group: TaskGroup| {
                        group.spawn(level(depth - 1));
                        Ok(())
                    };
                    task_group(inner).await
                }
            }
        })
    }
    simulate(async {
        let error = level(DEEP / 5).await.unwrap_err();
        assert!(error.to_string().trim_end_matches(')').ends_with("(1 error: a"));
        Ok(())
    });
}

/// Notes its end.
#[derive(Debug)]
struct Ends(#[expect(dead_code, reason = "it is only dropped")] OnDrop);

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it ends")
    }
}

impl std::error::Error for Ends {}

#[test]
fn errors_of_a_group_are_dropped_in_order_and_with_the_last_clone() {
    let log = Log::new();
    let ends = |name| Error::from(Ends(log.on_drop(name)));
    let shared = Error::group([ends("c")]);
    let inner = Error::group([ends("b"), shared.clone(), ends("d")]);
    drop(Error::group([ends("a"), inner, ends("e")]));
    assert_eq!(log.lines(), ["a", "b", "d", "e"]);
    drop(shared);
    assert_eq!(log.lines(), ["a", "b", "d", "e", "c"]);
}
