//! The clock on the wall jumps by years, and nothing happens: time is the monotonic clock's.
//!
//! `clock_gettime` is this file's own, for the whole process: what the kernel says, and for the
//! clock on the wall another year with each look. It cannot be set for real without setting it for
//! everybody on the machine. What else tells that time (`gettimeofday`, `time`) is counted.
//!
//! The monotonic clock, too, may go on by an hour between two looks, as after a suspended machine
//! that counts the time of its sleep: who has waited long enough is woken, and nobody else.
#![cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]

use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use filch::net::{TcpListener, TcpStream};
use filch::time::Instant;
use filch::{Handle, Result, Runtime, catch_cancelled};
use filch::{interval, sleep, spawn, timeout, timeout_scope, to_thread};
use libc::{c_int, clockid_t, time_t, timespec, timeval};

/// A year, and a bit.
const JUMP: i64 = 400 * 24 * 3600;

/// Looks at the clock on the wall, and at the monotonic one.
static WALL: AtomicU64 = AtomicU64::new(0);
static MONOTONIC: AtomicU64 = AtomicU64::new(0);
/// By so many seconds the monotonic clock has jumped.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// One test at a time: there is one clock.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// # Safety
/// As of the system's own.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    // SAFETY: the caller's promise is the system's.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    if result != 0 {
        return -1;
    }
    let jump = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI => jumped(),
        libc::CLOCK_MONOTONIC => {
            MONOTONIC.fetch_add(1, Ordering::Relaxed);
            AHEAD.load(Ordering::Acquire)
        }
        _ => 0,
    };
    // SAFETY: the system has written it.
    unsafe { (*time).tv_sec += jump };
    0
}

/// Forth with one look at the wall, and back with the next.
fn jumped() -> i64 {
    let looks = WALL.fetch_add(1, Ordering::Relaxed) as i64;
    if looks % 2 == 0 { JUMP } else { -JUMP }
}

/// # Safety
/// As of the system's own.
#[unsafe(no_mangle)]
unsafe extern "C" fn gettimeofday(time: *mut timeval, zone: *mut libc::c_void) -> c_int {
    // SAFETY: the caller's promise is the system's.
    let result = unsafe { libc::syscall(libc::SYS_gettimeofday, time, zone) };
    if !time.is_null() && result == 0 {
        // SAFETY: the system has written it.
        unsafe { (*time).tv_sec += jumped() };
    }
    result as c_int
}

/// # Safety
/// As of the system's own.
#[unsafe(no_mangle)]
unsafe extern "C" fn time(place: *mut time_t) -> time_t {
    // SAFETY: without a place it is returned only.
    let now = unsafe { libc::syscall(libc::SYS_time, ptr::null_mut::<time_t>()) } + jumped();
    if !place.is_null() {
        // SAFETY: the caller's promise.
        unsafe { *place = now };
    }
    now
}

/// Some of all that has to do with time, and with sockets.
async fn program() -> Result<()> {
    let start = Instant::now();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    let late =
        spawn(timeout(
            Duration::from_millis(20),
            async move { Ok(server.read(&mut [0; 8]).await?) },
        ));
    let ticks = spawn(async {
        let mut ticks = interval(Duration::from_millis(2));
        for _ in 0..5 {
            ticks.tick().await;
        }
        Ok(())
    });
    let (tell, told) = futures::channel::oneshot::channel();
    Handle::current()
        .call_later(Duration::from_millis(5), move || tell.send(Instant::now()).unwrap());
    assert!(told.await? >= start + Duration::from_millis(5));
    to_thread(|| std::thread::sleep(Duration::from_millis(1))).await?;
    ticks.await?;
    // It waits for ever if nothing but a clock that has gone back could end it.
    assert!(late.await.unwrap_err().is_timeout());
    let passed = start.elapsed();
    assert!(
        passed >= Duration::from_millis(20) && passed < Duration::from_secs(3600),
        "{passed:?}"
    );
    drop(client);
    Ok(())
}

#[test]
fn the_clock_on_the_wall_is_never_looked_at() {
    let _alone = alone();
    let [first, second] = [(); 2].map(|()| SystemTime::now());
    let apart = first.max(second).duration_since(first.min(second)).unwrap();
    assert!(apart > Duration::from_secs(JUMP as u64), "the clock on the wall does not jump");
    let (wall, monotonic) = (&WALL, &MONOTONIC);
    let [looked, before] = [wall, monotonic].map(|count| count.load(Ordering::Acquire));
    filch::run(program()).unwrap();
    assert_eq!(wall.load(Ordering::Acquire), looked, "looks at the clock on the wall");
    assert!(monotonic.load(Ordering::Acquire) > before, "the time has been told by nobody");
}

#[test]
fn when_time_has_passed_unseen_all_whose_time_it_was_are_woken_once() {
    const HOUR: Duration = Duration::from_secs(3600);
    let _alone = alone();
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let sleeper = |minutes: u32| {
        let log = log.clone();
        runtime.handle().spawn(async move {
            let start = Instant::now();
            sleep(Duration::from_secs(60) * minutes).await;
            log.lock().unwrap().push(minutes);
            assert!(start.elapsed() >= HOUR);
        })
    };
    let sleepers: Vec<_> = [30, 10, 50, 20, 40].map(sleeper).into();
    let beyond = sleeper(3 * 60);
    // They have all begun to wait when a task behind them has run.
    runtime.handle().spawn(async {}).wait().unwrap();
    AHEAD.fetch_add(HOUR.as_secs() as i64, Ordering::AcqRel);
    // Who looks at the clock next sees it; a machine that wakes up has something to do.
    runtime.handle().spawn(async {}).wait().unwrap();
    sleepers.into_iter().for_each(|sleeper| sleeper.wait().unwrap());
    log.lock().unwrap().sort();
    assert_eq!(*log.lock().unwrap(), [10, 20, 30, 40, 50]);
    assert!(!beyond.is_finished());
    beyond.cancel();
    assert!(beyond.wait().unwrap_err().is_cancelled());
}

#[test]
fn a_deadline_that_was_put_off_is_the_one_that_counts() {
    const HOUR: Duration = Duration::from_secs(3600);
    let _alone = alone();
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let timed = runtime.handle().spawn(timeout_scope(HOUR / 2, move |deadline| async move {
        let put_off = Instant::now() + HOUR * 3 / 2;
        deadline.reschedule(put_off)?;
        tell.send((deadline, put_off))?;
        std::future::pending::<Result<()>>().await
    }));
    let (deadline, put_off) = told.recv().unwrap();
    let an_hour_passes = || {
        AHEAD.fetch_add(HOUR.as_secs() as i64, Ordering::AcqRel);
        // The first looks at the clock, so whoever that wakes has run before the second.
        (0..2).for_each(|_| runtime.handle().spawn(async {}).wait().unwrap());
    };
    an_hour_passes();
    assert!(!timed.is_finished() && !deadline.expired());
    assert_eq!(deadline.when(), Some(put_off));
    an_hour_passes();
    assert!(timed.wait().unwrap_err().is_timeout());
}

#[test]
fn a_machine_that_stands_still_takes_no_time_from_those_who_clean_up() {
    const HOUR: Duration = Duration::from_secs(3600);
    let _alone = alone();
    let runtime = Runtime::builder().workers(1).grace(HOUR).build().unwrap();
    let cleaned = Arc::new(AtomicU64::new(0));
    let (tell, told) = std::sync::mpsc::channel();
    for first in [true, false] {
        let (cleaned, tell) = (cleaned.clone(), tell.clone());
        let task = runtime.handle().spawn(async move {
            tell.send(())?;
            _ = catch_cancelled(std::future::pending::<()>()).await;
            if first {
                AHEAD.fetch_add(2 * HOUR.as_secs() as i64, Ordering::AcqRel);
            } else {
                // Who waits for both hears of the end of the first, and looks at the clock.
                sleep(Duration::from_millis(20)).await;
            }
            cleaned.fetch_add(1, Ordering::AcqRel);
            Ok(())
        });
        task.detach();
    }
    (0..2).for_each(|_| told.recv().unwrap());
    drop(runtime);
    assert_eq!(cleaned.load(Ordering::Acquire), 2);
}
