//! What the reactor promises its sockets, on real ones.

use std::future::Future;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Wake, Waker};

use super::source::Source;
use super::*;
use crate::driver::Driver;
use crate::sys::{Arc, AtomicBool, Ordering, thread};

/// Counts its wakes and unparks the thread that made it.
struct Bell {
    rung: AtomicUsize,
    thread: thread::Thread,
}

impl Bell {
    fn new() -> Arc<Self> {
        Arc::new(Bell { rung: AtomicUsize::new(0), thread: thread::current() })
    }

    fn rung(&self) -> usize {
        self.rung.load(Ordering::Acquire)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, Ordering::AcqRel);
        self.thread.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Bell::new());
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// A reactor whose owners are threads of their own, until it is dropped.
struct Served {
    reactor: Arc<Reactor>,
    stop: Arc<AtomicBool>,
    owners: Vec<thread::JoinHandle<()>>,
}

impl Served {
    fn new(instances: usize) -> Self {
        let reactor = Arc::new(Reactor::new(instances).unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let serve = |instance| {
            let (reactor, stop) = (reactor.clone(), stop.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    reactor.wait(instance, None);
                }
            })
        };
        let owners = (0..instances).map(serve).collect();
        Served { reactor, stop, owners }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for (instance, owner) in self.owners.drain(..).enumerate() {
            self.reactor.notify(instance);
            owner.join().unwrap();
        }
    }
}

fn pair(reactor: &Arc<Reactor>) -> (Io<UnixStream>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Io::new(reactor.clone(), ours, Origin::Opened).unwrap(), theirs)
}

async fn read(io: &Io<UnixStream>, buffer: &mut [u8]) -> std::io::Result<usize> {
    io.run(Way::Read, |mut socket| {
        let count = socket.read(buffer)?;
        Ok(Attempt::read(count, buffer.len()))
    })
    .await
}

fn poll_once<F: Future + Unpin>(future: &mut F, bell: &Arc<Bell>) -> Poll<F::Output> {
    let waker = Waker::from(bell.clone());
    std::pin::Pin::new(future).poll(&mut Context::from_waker(&waker))
}

#[test]
fn bytes_wake_the_reader() {
    let served = Served::new(2);
    let (ours, mut theirs) = pair(&served.reactor);
    let writer = thread::spawn(move || {
        for _ in 0..1_000 {
            theirs.write_all(b"12345").unwrap();
            theirs.read_exact(&mut [0]).unwrap();
        }
    });
    for _ in 0..1_000 {
        let mut buffer = [0; 64];
        let mut count = 0;
        while count < 5 {
            count += block_on(read(&ours, &mut buffer[count..])).unwrap();
        }
        assert_eq!(&buffer[..count], b"12345");
        (&mut ours.get()).write_all(b"!").unwrap();
    }
    writer.join().unwrap();
}

#[test]
fn the_end_that_comes_with_the_last_bytes_is_not_lost() {
    let served = Served::new(1);
    for _ in 0..200 {
        let (ours, mut theirs) = pair(&served.reactor);
        theirs.write_all(b"last").unwrap();
        drop(theirs);
        let mut buffer = [0; 64];
        assert_eq!(block_on(read(&ours, &mut buffer)).unwrap(), 4);
        assert_eq!(block_on(read(&ours, &mut buffer)).unwrap(), 0);
    }
}

#[test]
fn every_waiter_of_a_direction_is_woken() {
    let reactor = Arc::new(Reactor::new(1).unwrap());
    let (ours, mut theirs) = pair(&reactor);
    let bells: Vec<_> = (0..40).map(|_| Bell::new()).collect();
    let op = |mut socket: &UnixStream| Ok(Attempt::done(socket.read(&mut [0; 8])?));
    let mut waiting: Vec<_> = bells.iter().map(|_| ours.run(Way::Read, op)).collect();
    for (future, bell) in waiting.iter_mut().zip(&bells) {
        assert!(poll_once(future, bell).is_pending());
    }
    reactor.poll(0);
    bells.iter().for_each(|bell| assert_eq!(bell.rung(), 0, "writable concerns no reader"));
    theirs.write_all(b"x").unwrap();
    reactor.poll(0);
    bells.iter().for_each(|bell| assert_eq!(bell.rung(), 1));
}

#[test]
fn a_dropped_operation_leaves_nobody_behind() {
    let reactor = Arc::new(Reactor::new(1).unwrap());
    let (ours, _theirs) = pair(&reactor);
    let op = |mut socket: &UnixStream| Ok(Attempt::done(socket.read(&mut [0; 8])?));
    let (first, second) = (Bell::new(), Bell::new());
    let mut one = ours.run(Way::Read, op);
    let mut two = ours.run(Way::Read, op);
    assert!(poll_once(&mut one, &first).is_pending());
    assert!(poll_once(&mut two, &second).is_pending());
    drop(one);
    drop(two);
    assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (1, 1));
}

#[test]
fn passers_by_are_kept_once_and_do_not_pile_up() {
    let reactor = Arc::new(Reactor::new(1).unwrap());
    let (ours, _theirs) = pair(&reactor);
    let op = |mut socket: &UnixStream| Ok(Attempt::done(socket.read(&mut [0; 8])?));
    let bells: Vec<_> = (0..1_000).map(|_| Bell::new()).collect();
    for bell in &bells {
        let waker = Waker::from(bell.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(ours.poll(Way::Read, &mut cx, op).is_pending());
        assert!(ours.poll(Way::Read, &mut cx, op).is_pending());
        drop(waker);
        assert!(Arc::strong_count(bell) <= 2, "the same waker was kept twice");
    }
    assert!(bells.iter().any(|bell| bell.rung() > 0 && Arc::strong_count(bell) == 1));
}

#[test]
fn a_closed_socket_is_forgotten_and_its_place_used_again() {
    let served = Served::new(1);
    for round in 0..500_u32 {
        let (ours, mut theirs) = pair(&served.reactor);
        theirs.write_all(&round.to_ne_bytes()).unwrap();
        let mut buffer = [0; 4];
        assert_eq!(block_on(read(&ours, &mut buffer)).unwrap(), 4);
        assert_eq!(u32::from_ne_bytes(buffer), round);
        theirs.write_all(b"late").unwrap();
    }
}

#[test]
fn a_source_follows_its_task_to_another_worker() {
    let reactor = Arc::new(Reactor::new(2).unwrap());
    reactor.wait(0, Some(std::time::Duration::ZERO));
    let (ours, mut theirs) = pair(&reactor);
    reactor.wait(1, Some(std::time::Duration::ZERO));
    for _ in 1..Source::FOLLOW {
        assert_eq!(read_byte(&ours, &mut theirs, &reactor), 0, "once more may be chance");
    }
    for _ in 0..3 {
        assert_eq!(read_byte(&ours, &mut theirs, &reactor), 1, "it has left the first instance");
    }
}

#[test]
fn a_source_stays_with_the_worker_that_serves_it_more_often() {
    let reactor = Arc::new(Reactor::new(2).unwrap());
    reactor.wait(0, Some(std::time::Duration::ZERO));
    let (ours, mut theirs) = pair(&reactor);
    for turn in 0..4 * Source::FOLLOW {
        let here = usize::from(turn.is_multiple_of(3));
        thread::scope(|scope| {
            let visit = || {
                reactor.wait(here, Some(std::time::Duration::ZERO));
                read_byte(&ours, &mut theirs, &reactor)
            };
            assert_eq!(scope.spawn(visit).join().unwrap(), 0);
        });
    }
}

/// Reads a byte, for which this thread has to wait. Which instance tells of it?
fn read_byte(ours: &Io<UnixStream>, theirs: &mut UnixStream, reactor: &Arc<Reactor>) -> usize {
    let (bell, mut buffer) = (Bell::new(), [0; 8]);
    let mut future = pin!(read(ours, &mut buffer));
    assert!(poll_once(&mut future, &bell).is_pending());
    theirs.write_all(b"x").unwrap();
    let polls = |instance: &usize| {
        reactor.poll(*instance);
        bell.rung() > 0
    };
    let told = (0..2).find(polls).expect("somebody is told");
    assert!(poll_once(&mut future, &bell).is_ready());
    told
}

#[test]
fn a_move_that_fails_is_told_to_all_who_wait() {
    let reactor = Arc::new(Reactor::new(2).unwrap());
    let (ours, mut theirs) = pair(&reactor);
    let (reads, writes) = (Bell::new(), Bell::new());
    let mut buffer = [0; 8];
    let mut reader = pin!(read(&ours, &mut buffer));
    assert!(poll_once(&mut reader, &reads).is_pending());
    // Somebody else takes the socket out of its poller: the move finds that out.
    reactor.delete(0, ours.get().as_fd()).unwrap();
    reactor.wait(1, Some(std::time::Duration::ZERO));
    let full = |_: &UnixStream| Err::<Attempt<()>, _>(std::io::ErrorKind::WouldBlock.into());
    let mut writer = ours.run(Way::Write, full);
    for _ in 1..Source::FOLLOW {
        assert!(poll_once(&mut writer, &writes).is_pending());
    }
    assert!(matches!(poll_once(&mut writer, &writes), Poll::Ready(Err(_))), "it moves, and fails");
    assert_eq!(reads.rung(), 1, "the reader waits for what nobody watches");
    // Who tries again is registered anew.
    assert!(poll_once(&mut reader, &reads).is_pending());
    theirs.write_all(b"x").unwrap();
    (0..2).for_each(|instance| _ = reactor.poll(instance));
    assert_eq!(reads.rung(), 2);
    assert!(matches!(poll_once(&mut reader, &reads), Poll::Ready(Ok(1))));
}

#[test]
fn waiting_fails_when_the_reactor_closes() {
    let reactor = Arc::new(Reactor::new(1).unwrap());
    let (ours, _theirs) = pair(&reactor);
    let closer = thread::spawn({
        let reactor = reactor.clone();
        move || reactor.close()
    });
    assert!(block_on(read(&ours, &mut [0; 8])).is_err());
    closer.join().unwrap();
    assert!(block_on(read(&ours, &mut [0; 8])).is_err());
}

#[test]
fn a_socket_given_back_is_registered_no_more() {
    let reactor = Arc::new(Reactor::new(1).unwrap());
    let (ours, _theirs) = pair(&reactor);
    let socket = ours.into_inner().unwrap();
    assert!(Io::new(reactor, socket, Origin::Opened).is_ok());
}

#[test]
fn a_registered_socket_takes_at_most_128_bytes() {
    assert!(std::mem::size_of::<source::Source>() <= 128);
    assert!(std::mem::size_of::<Io<std::net::TcpStream>>() <= 24);
}

/// The promises of one instance, for each way of waiting.
macro_rules! instance_tests {
    ($name:ident, $instance:ty) => {
        mod $name {
            use std::os::fd::AsFd;
            use std::time::Duration;

            use super::*;

            #[test]
            fn a_notification_ends_the_wait_that_follows() {
                let instance = <$instance>::new().unwrap();
                for _ in 0..100 {
                    instance.notify();
                    instance.notify();
                    instance.wait(None, |_, _| {});
                }
            }

            #[test]
            fn somebody_elses_poll_does_not_swallow_a_notification() {
                each_call_ends_a_wait(<$instance>::notify);
            }

            #[test]
            fn somebody_elses_poll_does_not_swallow_a_reminder() {
                each_call_ends_a_wait(|instance| instance.remind(Duration::from_micros(10)));
            }

            #[test]
            fn a_reminder_that_is_called_off_leaves_the_next_one_alone() {
                let instance = <$instance>::new().unwrap();
                for _ in 0..100 {
                    instance.remind(Duration::from_secs(3600));
                    instance.forget();
                    instance.remind(Duration::ZERO);
                    instance.wait(None, |_, _| {});
                }
            }

            /// While two others poll the instance all the time.
            fn each_call_ends_a_wait(call: fn(&$instance)) {
                let instance = Arc::new(<$instance>::new().unwrap());
                let stop = Arc::new(AtomicBool::new(false));
                let (waits, others) = (
                    Arc::new(AtomicUsize::new(0)),
                    (0..2)
                        .map(|_| {
                            let (instance, stop) = (instance.clone(), stop.clone());
                            thread::spawn(move || {
                                while !stop.load(Ordering::Acquire) {
                                    instance.poll(|_, _| {});
                                }
                            })
                        })
                        .collect::<Vec<_>>(),
                );
                let owner = thread::spawn({
                    let (instance, stop, waits) = (instance.clone(), stop.clone(), waits.clone());
                    move || {
                        while !stop.load(Ordering::Acquire) {
                            instance.wait(None, |_, _| {});
                            waits.fetch_add(1, Ordering::AcqRel);
                        }
                    }
                });
                for _ in 0..2_000 {
                    let before = waits.load(Ordering::Acquire);
                    call(&instance);
                    while waits.load(Ordering::Acquire) == before {
                        thread::yield_now();
                    }
                }
                stop.store(true, Ordering::Release);
                others.into_iter().for_each(|other| other.join().unwrap());
                instance.notify();
                owner.join().unwrap();
            }

            #[test]
            fn what_is_ready_already_is_reported_and_nothing_after_deletion() {
                let instance = <$instance>::new().unwrap();
                let (ours, mut theirs) = UnixStream::pair().unwrap();
                theirs.write_all(b"x").unwrap();
                instance.add(ours.as_fd(), 64).unwrap();
                let mut log = Vec::new();
                instance.wait(None, |key, came| log.push((key, came.read, came.write)));
                instance.poll(|key, came| log.push((key, came.read, came.write)));
                assert_eq!(log, [(64, true, true)]);
                instance.delete(ours.as_fd()).unwrap();
                theirs.write_all(b"x").unwrap();
                instance.wait(Some(Duration::from_micros(100)), |_, _| panic!("deleted"));
            }

            #[test]
            fn a_wait_without_events_ends_at_its_limit() {
                let instance = <$instance>::new().unwrap();
                let start = crate::driver::clock::Instant::now();
                while start.elapsed() < Duration::from_micros(300) {
                    instance.wait(Some(Duration::from_micros(300)), |_, _| {});
                }
            }
        }
    };
}

instance_tests!(used_here, instance::Instance);

#[cfg(target_os = "linux")]
instance_tests!(used_elsewhere, portable::Instance);
