//! What is said with a request arrives, in the task and at whoever awaits it (CAN-08, CAN-12,
//! CAN-19, CAN-20).

mod common;

use common::{Log, in_any_order, me, ms, seconds, simulate};
use filch::{Cancelled, ReturnWhen, Task, catch_cancelled, sleep, spawn, wait, yield_now};

/// A task that sleeps for long.
fn sleeper() -> Task<()> {
    spawn(sleep(seconds(3600)))
}

#[test]
fn requests_to_a_waiting_task_deliver_the_first_message_once() {
    // CAN-12, section 27
    simulate(async {
        let log = Log::new();
        let seen = log.clone();
        let task = spawn(async move {
            let cancelled = catch_cancelled(sleep(seconds(10))).await.unwrap_err();
            seen.add(format!("{:?} {}", cancelled.message(), me().cancelling()));
            sleep(seconds(1)).await;
            seen.add("goes on");
        });
        sleep(seconds(1)).await;
        assert!(task.cancel_with("a"));
        assert!(task.cancel_with("b"));
        task.await?;
        assert_eq!(log.lines(), ["Some(\"a\") 2", "goes on"]);
        Ok(())
    });
}

#[test]
fn requests_to_a_fresh_task_keep_the_last_message() {
    // CAN-08, CAN-12, section 27: the body is not entered
    in_any_order(async || {
        let log = Log::new();
        let captured = log.on_drop("dropped");
        let seen = log.clone();
        let mut task = spawn(async move {
            seen.add("entered");
            drop(captured);
        });
        assert!(task.cancel_with("x"));
        assert!(task.cancel_with("y"));
        let error = (&mut task).await.unwrap_err();
        assert_eq!(error.cancel_message(), Some("y"));
        assert_eq!(task.cancelling(), 2);
        assert_eq!(log.lines(), ["dropped"]);
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_task_cancel_message_getter
#[test]
fn message_given_before_the_first_step_arrives() {
    // CAN-08, CAN-20
    in_any_order(async || {
        let task = spawn(async { Ok(()) });
        task.cancel_with("my message");
        assert_eq!(task.await.unwrap_err().cancel_message(), Some("my message"));
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_task_cancel_message_setter
#[test]
fn later_message_replaces_one_that_was_not_delivered() {
    // CAN-20
    in_any_order(async || {
        let task = spawn(async { Ok(()) });
        task.cancel_with("my message");
        task.cancel_with("my new message".to_owned());
        assert_eq!(task.await.unwrap_err().cancel_message(), Some("my new message"));
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_cancel_with_message_before_starting_task
#[test]
fn message_reaches_the_one_who_awaits() {
    // CAN-05, CAN-08, CAN-20
    simulate(async {
        let outer = spawn(async {
            let task = sleeper();
            task.cancel_with("my message");
            let waited = wait([task.task_ref()], ReturnWhen::AllCompleted).await;
            assert_eq!((waited.done.len(), waited.pending.len()), (1, 0));
            task.await
        });
        assert_eq!(outer.await.unwrap_err().cancel_message(), Some("my message"));
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_cancel_with_message_then_future_result
#[test]
fn every_await_tells_the_message() {
    // CAN-19, CAN-20
    in_any_order(async || {
        for message in [None, Some("my message")] {
            let mut task = sleeper();
            yield_now().await;
            match message {
                Some(message) => task.cancel_with(message),
                None => task.cancel(),
            };
            assert_eq!((&mut task).await.unwrap_err().cancel_message(), message);
            assert_eq!(task.join().await.unwrap_err().cancel_message(), message);
        }
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_cancel_with_message_then_future_exception
#[test]
fn error_of_a_cancelled_task_is_its_cancellation() {
    // CAN-19, CAN-20
    in_any_order(async || {
        for message in [None, Some("my message")] {
            let task = sleeper();
            yield_now().await;
            match message {
                Some(message) => task.cancel_with(message),
                None => task.cancel(),
            };
            yield_now().await;
            sleep(ms(1)).await;
            let error = task.error().unwrap();
            assert!(error.is_cancelled());
            assert_eq!(error.cancel_message(), message);
        }
        Ok(())
    });
}

/// An error made of a cancellation.
#[derive(Debug)]
struct Because(Cancelled);

impl std::fmt::Display for Because {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cancelled")
    }
}

impl std::error::Error for Because {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

// upstream: test_tasks.BaseTaskTests.test_cancellation_exception_context
#[test]
fn error_may_name_the_cancellation_it_was_made_of() {
    // TASK-21, CAN-20
    simulate(async {
        let task = spawn(async {
            let inner = sleeper();
            yield_now().await;
            let asked = inner.task_ref();
            spawn(async move { _ = asked.cancel_with("msg") }).detach();
            match catch_cancelled(inner).await {
                Err(cancelled) => Err(Because(cancelled).into()),
                Ok(result) => result,
            }
        });
        let error = task.await.unwrap_err();
        assert!(!error.is_cancelled());
        assert_eq!(error.to_string(), "cancelled");
        let source = error.source().unwrap().downcast_ref::<Cancelled>().unwrap();
        assert_eq!(source.message(), Some("msg"));
        Ok(())
    });
}

#[test]
fn cancellation_returned_as_an_error_ends_the_task_cancelled() {
    // TASK-03, CAN-20: with its message
    in_any_order(async || {
        let mut task = spawn(async {
            match catch_cancelled(sleep(seconds(10))).await {
                Err(cancelled) => Err(cancelled.into()),
                Ok(()) => Ok(()),
            }
        });
        sleep(seconds(1)).await;
        task.cancel_with("why");
        let error = (&mut task).await.unwrap_err();
        assert_eq!(error.cancel_message(), Some("why"));
        assert!(task.is_cancelled());
        Ok(())
    });
}

#[test]
fn message_goes_down_and_up_a_chain() {
    // CAN-20: through chains of tasks
    in_any_order(async || {
        let log = Log::new();
        let seen = log.clone();
        let outer = spawn(async move {
            let middle = spawn(async move {
                let inner = spawn(async move {
                    let cancelled = catch_cancelled(sleep(seconds(9))).await.unwrap_err();
                    seen.add(format!("{:?}", cancelled.message()));
                    cancelled.raise().await;
                });
                inner.await
            });
            middle.await
        });
        sleep(seconds(1)).await;
        outer.cancel_with("deep");
        let error = outer.await.unwrap_err();
        assert_eq!(error.cancel_message(), Some("deep"));
        assert_eq!(log.lines(), ["Some(\"deep\")"]);
        Ok(())
    });
}
