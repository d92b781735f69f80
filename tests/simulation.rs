//! A simulation repeats, jumps over time in which nothing happens, and says who waits for what when
//! nothing can happen any more.

mod common;

use std::cell::RefCell;
use std::future::pending;
use std::sync::{Arc, mpsc};
use std::thread;

use common::{Boom, Log, ms, seconds};
use filch::net::{TcpListener, TcpStream};
use filch::sync::Event;
use filch::time::Instant;
use filch::{Result, TaskBuilder, sim, sleep, spawn, to_thread, yield_now};

#[test]
fn program_that_can_neither_run_nor_wait_says_who_waits_for_what() {
    let stuck = sim::run(0, async {
        let inner = TaskBuilder::new().name("inner").spawn(pending::<()>());
        let outer = TaskBuilder::new().name("outer").spawn(inner);
        sleep(seconds(1)).await;
        outer.await
    });
    let error = stuck.unwrap_err();
    assert!(error.is_deadlock());
    assert!(!error.is_cancelled() && !error.is_timeout() && !error.is_panic());
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines[0], "deadlock: no task can run and no timer is left");
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[1].ends_with("awaits outer"), "{text}");
    assert!(lines[2].starts_with("inner (tests/simulation.rs:"), "{text}");
    assert!(lines[2].ends_with("awaits something that nobody will wake"), "{text}");
    assert!(lines[3].starts_with("outer (tests/simulation.rs:"), "{text}");
    assert!(lines[3].ends_with("awaits inner"), "{text}");
}

#[test]
fn tasks_of_a_deadlock_run_their_clean_up() {
    let log = Log::new();
    let guard = log.on_drop("dropped");
    let stuck = sim::run(0, async move {
        let task = spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        task.await
    });
    assert!(stuck.unwrap_err().is_deadlock());
    assert_eq!(log.lines(), ["dropped"]);
}

#[test]
fn a_century_passes_at_once() {
    let main = async {
        let start = Instant::now();
        sleep(seconds(100 * 365 * 24 * 3600)).await;
        Ok(start.elapsed())
    };
    assert_eq!(sim::run(0, main).unwrap(), seconds(100 * 365 * 24 * 3600));
}

#[test]
fn every_simulation_begins_at_the_same_moment() {
    let begin = || sim::run(0, async { Ok(Instant::now()) }).unwrap();
    assert_eq!(begin(), begin());
}

#[test]
fn sleeps_that_end_at_one_moment_end_in_the_order_they_began() {
    let log = Log::new();
    let main = async {
        let tasks: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .map(|name| {
                let seen = log.clone();
                spawn(async move {
                    sleep(ms(5)).await;
                    seen.add(name);
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        Ok(())
    };
    sim::run(0, main).unwrap();
    assert_eq!(log.lines(), ["a", "b", "c"]);
}

#[test]
fn value_of_main_comes_out_and_what_is_left_is_cancelled() -> Result<()> {
    let log = Log::new();
    let seen = log.clone();
    let value = sim::run(0, async move {
        spawn(async move {
            if filch::catch_cancelled(pending::<()>()).await.is_err() {
                sleep(seconds(1)).await;
                seen.add("cleaned up");
            }
        })
        .detach();
        sleep(ms(1)).await;
        Ok(42)
    })?;
    assert_eq!(value, 42);
    assert_eq!(log.lines(), ["cleaned up"]);
    Ok(())
}

/// What three clients of one server see on a bad network, and when.
fn trace(seed: u64) -> Vec<String> {
    let log = Log::new();
    let seen = log.clone();
    let main = async move {
        let begin = Instant::now();
        sim::host("server").spawn(serve()).detach();
        let clients = ["a", "b", "c"].map(|name| {
            let log = seen.clone();
            sim::host(name).spawn(async move {
                let stream = TcpStream::connect("server:80").await?;
                log.add(format!("{name} {:?} {:?}", stream.local_addr()?, begin.elapsed()));
                for byte in 0..20 {
                    stream.write_all(&[byte; 100]).await?;
                    let count = stream.read(&mut [0; 100]).await?;
                    let number = to_thread(move || count + 1).await? - 1;
                    log.add(format!("{name} {byte} {number} {:?}", begin.elapsed()));
                }
                Ok(())
            })
        });
        for client in clients {
            client.await?;
        }
        Ok(())
    };
    sim::Builder::new().seed(seed).loss(0.1).run(main).unwrap();
    log.lines()
}

async fn serve() -> Result<()> {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        spawn(async move { Ok(futures::io::copy(&stream, &mut &stream).await?) }).detach();
    }
}

#[test]
fn a_seed_repeats_its_run_and_others_differ() {
    let traces: Vec<_> = (0..10).map(trace).collect();
    for (seed, first) in (0..).zip(&traces) {
        assert_eq!(first.len(), 63);
        assert_eq!(*first, trace(seed));
    }
    let mut different = traces.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), traces.len());
}

#[test]
#[should_panic(expected = "with seed 4: the order was swapped")]
fn a_check_names_the_seed_that_fails() {
    let mut runs = 0;
    sim::check(0.., || {
        let fails = runs == 4;
        runs += 1;
        async move { if fails { Err(Boom("the order was swapped").into()) } else { Ok(()) } }
    });
}

#[test]
fn a_run_that_will_not_end_can_be_limited() {
    let spinning = async {
        loop {
            yield_now().await;
        }
        #[expect(unreachable_code, reason = "it says what the block would end with")]
        Ok(())
    };
    let error = sim::Builder::new().turn_limit(1000).run(spinning).unwrap_err();
    assert!(error.is::<sim::LimitReached>());
    let text = error.to_string();
    assert!(text.starts_with("the simulation has reached its limit\n  main ("), "{text}");
    assert!(text.ends_with(") could run"), "{text}");

    let log = Log::new();
    let guard = log.on_drop("dropped");
    let waiting = async {
        let _guard = guard;
        TaskBuilder::new().name("other").spawn(pending::<()>()).detach();
        loop {
            sleep(seconds(1)).await;
        }
        #[expect(unreachable_code, reason = "it says what the block would end with")]
        Ok(())
    };
    let error = sim::Builder::new().time_limit(seconds(60)).run(waiting).unwrap_err();
    assert!(error.is::<sim::LimitReached>() && !error.is_deadlock());
    assert!(error.to_string().contains("other (tests/simulation.rs"));
    assert_eq!(log.lines(), ["dropped"]);
    // Just in time is in time.
    let sleeping = async { sleep(seconds(60)).await };
    sim::Builder::new().time_limit(seconds(60)).run(sleeping).unwrap();
}

#[test]
#[should_panic(expected = "this is no simulation")]
fn real_threads_have_no_simulated_hosts() {
    let error = filch::run(async {
        sim::host("server");
        Ok(())
    });
    let _ = error.unwrap_err().resume_panic();
}

#[test]
#[should_panic(expected = "no simulated host is named sevrer")]
fn a_name_that_is_mistyped_is_noticed() {
    let error = sim::run(0, async {
        sim::host("server");
        sim::net().partition("main", "sevrer");
        Ok(())
    });
    let _ = error.unwrap_err().resume_panic();
}

#[test]
fn a_simulation_may_run_while_its_thread_ends() {
    struct Last(mpsc::Sender<Result<u32>>);
    impl Drop for Last {
        fn drop(&mut self) {
            let program = async {
                let event = Arc::new(Event::new());
                let other = event.clone();
                let waits = spawn(async move { other.wait().await });
                sleep(seconds(1)).await;
                event.set();
                waits.await?;
                Ok(1)
            };
            let _ = self.0.send(sim::run(0, program));
        }
    }
    thread_local! {
        static KEPT: RefCell<Option<Last>> = const { RefCell::new(None) };
    }
    let (tell, told) = mpsc::channel();
    let keeps = || {
        KEPT.set(Some(Last(tell)));
        // What simulations keep for a thread is younger than that, and goes before it.
        common::simulate(async {
            sleep(seconds(1)).await;
            Ok(())
        });
    };
    thread::spawn(keeps).join().unwrap();
    assert_eq!(told.recv().unwrap().unwrap(), 1);
}
