//! Code that does what it must not: it panics in places where nobody expects it, blocks, never
//! yields, refuses to end, and drops what it holds elsewhere. The runtime goes on, and ends.
//!
//! Real threads. Nothing is timed: a promise that is broken shows as a test that hangs.
#![cfg(target_os = "linux")]

#[path = "common/leaks.rs"]
mod leaks;

use std::future::pending;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use filch::net::{TcpListener, TcpStream};
use filch::sync::{Event, Lock};
use filch::{Result, Runtime, all_tasks, catch_cancelled_any, spawn, to_thread, yield_now};
use leaks::{Before, alone};

const NAME: &str = "victim";
const FOREVER: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(1);

fn runtime(workers: usize) -> Runtime {
    let builder = Runtime::builder().workers(workers).thread_name(NAME);
    builder.grace(FOREVER).build().unwrap()
}

/// Runs what `main` makes on one worker and on three, and checks that nothing is left behind.
fn everywhere<M>(main: impl Fn() -> M)
where
    M: Future<Output = Result<()>> + Send + 'static,
{
    let _alone = alone();
    for workers in [1, 3] {
        let before = Before::now(NAME);
        let runtime = runtime(workers);
        // On a worker, where a panic that is not contained does the greatest harm.
        runtime.handle().spawn(main()).wait().unwrap();
        let works = runtime.block_on(async { spawn(async { Ok(7) }).await });
        assert_eq!(works.unwrap(), 7);
        drop(runtime);
        before.check();
    }
}

/// A waker of somebody else's.
struct Panics(AtomicUsize);

impl Panics {
    fn new() -> Arc<Self> {
        Arc::new(Panics(AtomicUsize::new(0)))
    }

    fn woken(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
        panic!("a waker that panics");
    }
}

/// A connection: our end, and the other one, which blocks.
async fn connection() -> Result<(TcpStream, std::net::TcpStream)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let theirs = std::net::TcpStream::connect(listener.local_addr()?)?;
    Ok((listener.accept().await?.0, theirs))
}

#[test]
fn a_waker_that_panics_takes_no_events_from_other_sockets() {
    use std::io::Write;
    everywhere(async || {
        let panics = Panics::new();
        let waker = Waker::from(panics.clone());
        let (bad, mut to_bad) = connection().await?;
        let (good, mut to_good) = connection().await?;
        let reader = spawn(async move { Ok(good.read(&mut [0; 8]).await?) });
        yield_now().await;
        let mut buffer = [0; 8];
        {
            let mut read = pin!(bad.read(&mut buffer));
            assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            // One batch of events holds both, where this is the only worker.
            to_bad.write_all(b"bad")?;
            to_good.write_all(b"good")?;
            assert_eq!(reader.await?, 4);
            while panics.woken() == 0 {
                yield_now().await;
            }
        }
        assert_eq!(bad.read(&mut buffer).await?, 3);
        Ok(())
    });
}

/// Polls a future once, with a waker that panics; it has to wait.
fn leave_waiting<F: Future>(future: Pin<&mut F>, waker: &Arc<Panics>) {
    assert!(poll_with(future, waker).is_pending());
}

fn poll_with<F: Future>(future: Pin<&mut F>, waker: &Arc<Panics>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(waker.clone())))
}

async fn woken(panics: &Panics, times: usize) {
    while panics.woken() < times {
        yield_now().await;
    }
}

#[test]
fn a_waker_that_panics_takes_no_timer_from_others() {
    everywhere(async || {
        // Its moment may come before it waits; then another one is tried.
        let (bad, panics) = loop {
            let (mut bad, panics) = (Box::pin(filch::sleep(MOMENT)), Panics::new());
            if poll_with(bad.as_mut(), &panics).is_pending() {
                break (bad, panics);
            }
        };
        filch::sleep(MOMENT).await;
        woken(&panics, 1).await;
        bad.await;
        Ok(())
    });
}

#[test]
fn a_waker_that_panics_takes_no_result_from_others() {
    everywhere(async || {
        let panics = Panics::new();
        let (release, released) = mpsc::channel::<()>();
        let mut closure = Box::pin(to_thread(move || released.recv().unwrap()));
        leave_waiting(closure.as_mut(), &panics);
        release.send(())?;
        woken(&panics, 1).await;
        closure.await?;
        let (release, released) = mpsc::channel::<()>();
        let mut task = Box::pin(spawn(to_thread(move || released.recv().unwrap())));
        leave_waiting(task.as_mut(), &panics);
        release.send(())?;
        woken(&panics, 2).await;
        task.await
    });
}

#[test]
fn two_wakers_that_panic_at_once_do_not_end_the_process() {
    everywhere(async || {
        let event = Arc::new(Event::new());
        let panics = Panics::new();
        let mut bad = [Box::pin(event.wait()), Box::pin(event.wait()), Box::pin(event.wait())];
        bad.iter_mut().for_each(|bad| leave_waiting(bad.as_mut(), &panics));
        let waiting = event.clone();
        let good = spawn(async move { waiting.wait().await });
        yield_now().await;
        let setting = event.clone();
        drop(spawn(async move { setting.set() }).await);
        good.await?;
        assert_eq!(panics.woken(), 3);
        Ok(())
    });
}

#[test]
fn a_task_that_is_let_go_while_a_panic_unwinds_wakes_whoever_awaited_it() {
    everywhere(async || {
        let panics = Panics::new();
        let known = panics.clone();
        let unwinding = spawn(async move {
            let mut task = Box::pin(spawn(pending::<()>()));
            leave_waiting(task.as_mut(), &known);
            panic!("a second panic would end the process");
        });
        assert!(unwinding.await.unwrap_err().is_panic());
        assert_eq!(panics.woken(), 1);
        Ok(())
    });
}

// ---- panics at the end of a task -------------------------------------------------------------

struct PanicsOnDrop(Arc<AtomicUsize>);

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
        panic!("a destructor that panics");
    }
}

#[test]
fn a_destructor_that_panics_ends_its_task_and_nothing_else() {
    everywhere(async || {
        let drops = Arc::new(AtomicUsize::new(0));
        let bomb = || PanicsOnDrop(drops.clone());
        let (ends, waits, never_begins) = (bomb(), bomb(), bomb());
        let ending = spawn(async move {
            let _bomb = ends;
            Ok(())
        });
        assert!(ending.await.unwrap_err().is_panic());
        let waiting = spawn(async move {
            let _bomb = waits;
            pending::<()>().await;
        });
        yield_now().await;
        waiting.cancel();
        assert!(waiting.await.is_err());
        let unbegun = spawn(async move {
            let _bomb = never_begins;
        });
        unbegun.cancel();
        assert!(unbegun.await.is_err());
        while drops.load(Ordering::Acquire) < 3 {
            yield_now().await;
        }
        assert_eq!(all_tasks().len(), 1);
        Ok(())
    });
}

#[test]
fn a_done_callback_that_panics_keeps_nothing_from_the_others() {
    everywhere(async || {
        let calls = Arc::new(AtomicUsize::new(0));
        let task = spawn(async { Ok(5) });
        for number in 0..4 {
            let calls = calls.clone();
            task.task_ref().add_done_callback(move |_| {
                calls.fetch_add(1, Ordering::AcqRel);
                assert!(number % 2 == 1, "a done-callback that panics");
            });
        }
        assert_eq!(task.await?, 5);
        while calls.load(Ordering::Acquire) < 4 {
            yield_now().await;
        }
        Ok(())
    });
}

#[test]
fn handlers_that_panic_close_their_connections_and_no_others() {
    use std::io::Read;
    everywhere(async || {
        for _ in 0..20 {
            let (bad, mut to_bad) = connection().await?;
            let (good, mut to_good) = connection().await?;
            let handler = spawn(async move {
                yield_now().await;
                let _held = bad;
                panic!("a handler that panics");
            });
            assert!(handler.await.unwrap_err().is_panic());
            assert_eq!(to_bad.read(&mut [0])?, 0, "closed");
            good.write_all(b"!").await?;
            assert_eq!(to_good.read(&mut [0; 8])?, 1);
        }
        Ok(())
    });
}

// ---- tasks that keep a worker ----------------------------------------------------------------

/// Echoes go through while `keep` keeps one of the workers, until it is told to end.
fn keeps_a_worker(keep: impl FnOnce(Arc<AtomicBool>, mpsc::Sender<()>) + Send + 'static) {
    let _alone = alone();
    let before = Before::now(NAME);
    let runtime = runtime(2);
    let (begun, begins) = mpsc::channel();
    let end = Arc::new(AtomicBool::new(false));
    let told = end.clone();
    let (ours, theirs) = runtime.block_on(connection()).unwrap();
    let echo = runtime.handle().spawn(async move {
        let mut byte = [0];
        while ours.read(&mut byte).await? == 1 {
            ours.write_all(&byte).await?;
        }
        Ok(())
    });
    exchange(&theirs);
    let keeper = runtime.handle().spawn(async move { keep(told, begun) });
    begins.recv().unwrap();
    (0..100).for_each(|_| exchange(&theirs));
    end.store(true, Ordering::Release);
    keeper.wait().unwrap();
    drop(theirs);
    echo.wait().unwrap();
    drop(runtime);
    before.check();
}

fn exchange(mut stream: &std::net::TcpStream) {
    use std::io::{Read, Write};
    let mut byte = [7];
    stream.write_all(&byte).unwrap();
    stream.read_exact(&mut byte).unwrap();
}

#[test]
fn a_task_that_blocks_its_worker_blocks_nobody_else() {
    keeps_a_worker(|end, begun| {
        begun.send(()).unwrap();
        while !end.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(1));
        }
    });
}

#[test]
fn a_task_that_never_yields_blocks_nobody_else() {
    keeps_a_worker(|end, begun| {
        begun.send(()).unwrap();
        while !end.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
    });
}

#[test]
fn tasks_that_refuse_to_end_are_dropped_with_all_they_hold() {
    let _alone = alone();
    let before = Before::now(NAME);
    let runtime =
        Runtime::builder().workers(2).thread_name(NAME).grace(Duration::ZERO).build().unwrap();
    let main = async {
        let mut held = Vec::new();
        for _ in 0..10 {
            let (ours, theirs) = connection().await?;
            held.push(theirs);
            spawn(async move {
                loop {
                    _ = catch_cancelled_any(ours.read(&mut [0; 8])).await;
                }
                #[allow(unreachable_code)]
                Ok(())
            })
            .detach();
        }
        yield_now().await;
        Ok(held)
    };
    let held = runtime.block_on(main).unwrap();
    drop(runtime);
    drop(held);
    before.check();
}

// ---- things that end in another place --------------------------------------------------------

#[test]
fn what_is_dropped_on_another_thread_is_gone() {
    everywhere(async || {
        for round in 0..20 {
            let (ours, theirs) = connection().await?;
            let ours = Arc::new(ours);
            let reading = ours.clone();
            let reader = spawn(async move { Ok(reading.read(&mut [0; 8]).await?) });
            yield_now().await;
            let lock = Arc::new(Lock::new(()));
            let guard = lock.lock_owned().await;
            let asleep = spawn(filch::sleep(FOREVER));
            let asleep_ref = asleep.task_ref();
            let everything = move || {
                asleep.cancel();
                drop((ours, guard, asleep, theirs));
            };
            if round % 2 == 0 {
                thread::spawn(everything).join().unwrap();
            } else {
                to_thread(everything).await?;
            }
            assert_eq!(reader.await?, 0, "the peer is closed");
            drop(lock.lock().await);
            while !asleep_ref.is_finished() {
                yield_now().await;
            }
        }
        Ok(())
    });
}

#[test]
fn a_socket_that_outlives_its_runtime_keeps_nothing_when_it_goes() {
    let _alone = alone();
    let before = Before::now(NAME);
    let runtime = runtime(2);
    let connection = runtime.block_on(connection()).unwrap();
    drop(runtime);
    before.check_threads();
    drop(connection);
    before.check();
}

// ---- a runtime that ends in an odd place -----------------------------------------------------

/// What a runtime is busy with when it is dropped. Gives the task that must have been cancelled.
fn busy(runtime: &Runtime) -> filch::Task<()> {
    let (begun, begins) = mpsc::channel();
    let task = runtime.handle().spawn(async move {
        let (ours, _theirs) = connection().await?;
        let closure = to_thread(|| 1).await?;
        assert_eq!(closure, 1);
        begun.send(())?;
        ours.read(&mut [0; 8]).await?;
        Ok(())
    });
    begins.recv().unwrap();
    task
}

fn dropped(drop_it: impl FnOnce(Runtime)) {
    let _alone = alone();
    let before = Before::now(NAME);
    let runtime = runtime(2);
    let task = busy(&runtime);
    drop_it(runtime);
    assert!(task.wait().unwrap_err().is_cancelled());
    before.check();
}

#[test]
fn a_runtime_is_dropped_by_a_plain_thread() {
    dropped(|runtime| thread::spawn(move || drop(runtime)).join().unwrap());
}

#[test]
fn a_runtime_is_dropped_by_a_closure_of_its_own() {
    dropped(|runtime| {
        let handle = runtime.handle();
        drop(handle.spawn(to_thread(move || drop(runtime))).wait());
    });
}

#[test]
fn a_runtime_is_dropped_by_a_task_of_its_own() {
    dropped(|runtime| {
        let handle = runtime.handle();
        let dropper = handle.spawn(async move {
            drop(runtime);
            pending::<()>().await;
        });
        assert!(dropper.wait().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_runtime_is_dropped_by_a_task_and_by_a_closure_of_another() {
    dropped(|runtime| filch::run(async move { drop(runtime) }).unwrap());
    dropped(|runtime| filch::run(to_thread(move || drop(runtime))).unwrap());
}

#[test]
fn a_runtime_is_dropped_while_its_thread_unwinds() {
    dropped(|runtime| {
        let panics = move || {
            let _runtime = runtime;
            panic!("a thread that panics");
        };
        assert!(thread::spawn(panics).join().is_err());
    });
}

// ---- other processes -------------------------------------------------------------------------

/// The descriptors that a child process finds open.
fn inherited() -> std::io::Result<String> {
    let output = std::process::Command::new("ls").arg("/proc/self/fd").output()?;
    assert!(output.status.success());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_child_process_inherits_no_descriptor() {
    let without = {
        let _alone = alone();
        inherited().unwrap()
    };
    everywhere(move || {
        let without = without.clone();
        async move {
            let _connection = connection().await?;
            assert_eq!(inherited()?, without, "of a task");
            assert_eq!(to_thread(inherited).await??, without, "of a thread");
            Ok(())
        }
    });
}
