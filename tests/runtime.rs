//! A runtime starts, runs, refuses misuse, and ends with everything closed.

#![cfg(not(loom))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use filch::{Handle, Result, Runtime, catch_cancelled, current_task, sleep, spawn, yield_now};

const HOUR: Duration = Duration::from_secs(3600);

fn runtime() -> Runtime {
    Runtime::builder().workers(2).build().unwrap()
}

fn panic_text(work: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(work)).unwrap_err();
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap()
}

#[test]
fn run_gives_what_main_gives() {
    assert_eq!(filch::run(async { Ok(5) }).unwrap(), 5);
    assert!(filch::run(async { Err::<(), _>(filch::Error::msg("no")) }).is_err());
    filch::run(async {}).unwrap();
}

#[test]
fn main_need_not_be_send_and_may_borrow() {
    let text = std::rc::Rc::new(String::from("here"));
    let mut count = 0;
    runtime()
        .block_on(async {
            yield_now().await;
            count += text.len();
        })
        .unwrap();
    assert_eq!(count, 4);
}

#[test]
fn main_is_a_task_that_can_be_cancelled_and_is_listed() {
    let error = runtime()
        .block_on(async {
            let main = current_task().unwrap();
            assert!(filch::all_tasks().contains(&main));
            spawn(async move {
                main.cancel();
            })
            .detach();
            sleep(HOUR).await;
        })
        .unwrap_err();
    assert!(error.is_cancelled());
}

#[test]
fn a_panic_in_main_is_its_error() {
    let error = runtime().block_on(async { panic!("oh") }).unwrap_err();
    assert!(error.is_panic());
    assert_eq!(error.to_string(), "panicked: oh");
}

#[test]
fn tasks_left_behind_run_on_until_the_runtime_ends() {
    let runtime = runtime();
    let (tell, told) = mpsc::channel();
    runtime
        .block_on(async move {
            filch::spawn_eager(async move {
                let caught = catch_cancelled(sleep(HOUR)).await;
                yield_now().await;
                tell.send(caught.is_err()).unwrap();
            })
            .detach();
        })
        .unwrap();
    assert!(told.try_recv().is_err(), "it still sleeps");
    drop(runtime);
    assert!(told.recv().unwrap(), "it was cancelled, and its clean-up ran, with an await");
}

#[test]
fn a_task_that_swallows_its_cancellation_is_awaited() {
    let done = Arc::new(AtomicUsize::new(0));
    let there = done.clone();
    filch::run(async move {
        filch::spawn_eager(async move {
            drop(catch_cancelled(sleep(HOUR)).await);
            for _ in 0..10 {
                yield_now().await;
            }
            there.store(1, Ordering::SeqCst);
        })
        .detach();
    })
    .unwrap();
    assert_eq!(done.load(Ordering::SeqCst), 1);
}

#[test]
fn a_task_that_refuses_to_end_is_dropped_after_the_grace_period() {
    struct Tell(mpsc::Sender<()>);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let (tell, told) = mpsc::channel();
    let runtime = Runtime::builder().workers(1).grace(Duration::from_millis(10)).build().unwrap();
    let task = runtime.block_on(async {
        Ok(filch::spawn_eager(async move {
            let _tell = Tell(tell);
            loop {
                drop(catch_cancelled(sleep(HOUR)).await);
            }
        }))
    });
    let task = task.unwrap();
    drop(runtime);
    // Here and now; or on its worker, if that has been inside a poll for all this time.
    told.recv().unwrap();
    assert!(task.wait().unwrap_err().is_cancelled());
}

#[test]
fn spawning_on_an_ended_runtime_drops_the_future_and_ends_cancelled() {
    let handle = runtime().handle();
    let task = handle.spawn(async { Ok(1) });
    assert!(task.is_cancelled());
    assert!(task.wait().unwrap_err().is_cancelled());
}

#[test]
fn handles_spawn_from_any_thread() {
    let runtime = runtime();
    let handle = runtime.handle();
    let sum: u32 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let handle = handle.clone();
                scope.spawn(move || handle.spawn(async move { Ok(number) }).wait().unwrap())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(sum, 6);
}

#[test]
fn several_runtimes_live_side_by_side() {
    let (one, two) = (runtime(), runtime());
    let there = two.handle();
    let value = one.block_on(async move {
        let task = there.spawn(async { Ok(std::thread::current().name().map(str::to_owned)) });
        task.await
    });
    assert!(value.unwrap().unwrap().starts_with("filch-"));
    drop(two);
    one.block_on(async { yield_now().await }).unwrap();
}

#[test]
fn a_runtime_may_be_dropped_inside_its_own_task() {
    let runtime = runtime();
    let handle = runtime.handle();
    let (tell, told) = mpsc::channel();
    handle
        .spawn(async move {
            drop(runtime);
            drop(catch_cancelled(sleep(HOUR)).await);
            tell.send(()).unwrap();
        })
        .detach();
    told.recv().unwrap();
}

#[test]
fn misuse_panics_with_advice() {
    let outside = panic_text(|| spawn(async {}).detach());
    assert!(outside.contains("filch::run"), "{outside}");
    assert!(Handle::try_current().is_err());
    let nested = Arc::new(Mutex::new(String::new()));
    let there = nested.clone();
    filch::run(async move {
        *there.lock().unwrap() = panic_text(|| drop(filch::run(async {})));
    })
    .unwrap();
    assert!(nested.lock().unwrap().contains("await the future"), "{nested:?}");
}

#[test]
fn nonsense_settings_say_which_and_why() {
    let text = |builder: filch::Builder| builder.build().unwrap_err().to_string();
    let builder = Runtime::builder;
    assert_eq!(text(builder().workers(0)), "workers = 0: a runtime needs at least one worker");
    assert_eq!(text(builder().workers(5000)), "workers = 5000: more than 1024");
    assert_eq!(
        text(builder().blocking_threads(0)),
        "blocking_threads = 0: `to_thread` needs at least one thread"
    );
    assert_eq!(text(builder().thread_name("a\0b")), "thread_name = \"a\\0b\": it contains a NUL");
}

#[test]
fn panics_do_not_take_a_worker_down() -> Result<()> {
    let runtime = Runtime::builder().workers(1).build()?;
    runtime.block_on(async {
        for _ in 0..10 {
            let task = spawn(async { panic!("again") });
            assert!(task.await.unwrap_err().is_panic());
        }
        assert_eq!(spawn(async { Ok(1) }).await?, 1);
        Ok(())
    })
}

#[test]
fn a_callback_that_panics_is_contained() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let value = runtime.block_on(async {
        let task = spawn(async { Ok(3) });
        task.add_done_callback(|_| panic!("in a callback"));
        task.await
    });
    assert_eq!(value.unwrap(), 3);
}

#[test]
fn a_value_that_panics_when_dropped_is_contained() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let runtime = Runtime::builder().workers(1).build().unwrap();
    runtime
        .block_on(async {
            spawn(async { Ok(Bomb) }).detach();
            for _ in 0..3 {
                yield_now().await;
            }
            assert_eq!(spawn(async { Ok(1) }).await?, 1);
            Ok(())
        })
        .unwrap();
}

#[test]
fn to_thread_gives_values_and_panics() {
    runtime()
        .block_on(async {
            assert_eq!(filch::to_thread(|| 6 * 7).await?, 42);
            let error = filch::to_thread(|| panic!("there")).await.unwrap_err();
            assert!(error.is_panic());
            // A closure there may use the runtime.
            let handle = filch::to_thread(Handle::try_current).await?;
            assert!(handle.is_ok());
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_closure_that_never_returns_does_not_hold_up_the_end() {
    let runtime = Runtime::builder().grace(Duration::from_millis(10)).build().unwrap();
    let (release, wait) = mpsc::channel::<()>();
    let (tell, begun) = mpsc::channel();
    runtime
        .handle()
        .spawn(async move {
            filch::to_thread(move || {
                tell.send(()).unwrap();
                let _ = wait.recv();
            })
            .await
        })
        .detach();
    begun.recv().unwrap();
    drop(runtime);
    drop(release);
}
