//! What waits for the clock: sleeps and intervals.
//!
//! A sleep is an `Alarm` and a moment, and knows nothing of cancellation: dropped, it is gone
//! from the runtime's timers. The alarm may go off on another thread between a look at it and the
//! exchange of its waker, so a poll exchanges first and looks afterwards.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use pin_project_lite::pin_project;

pub use crate::driver::clock::Instant;
use crate::runtime::alarm::Alarm;
use crate::task::reasons;

/// Waits until `time` has passed since this call.
///
/// The time begins when `sleep` is called, not when it is first polled. A sleep of zero lets
/// everything that is ready run before it goes on, once, like [`yield_now`](crate::yield_now);
/// a sleep of [`Duration::MAX`] never ends. It wakes no earlier than asked for, and on a machine
/// that is not overloaded well under a millisecond later.
///
/// # Cancellation
/// Has no effect on anything else; its timer is removed.
///
/// # Panics
/// If it has to wait and is polled outside a runtime, after the end of the one where it waited, if
/// it did; or by a thread that its runtime has left behind.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use filch::time::{Instant, sleep};
///
/// filch::sim::run(0, async {
///     let start = Instant::now();
///     sleep(Duration::from_secs(3600)).await;
///     assert_eq!(start.elapsed(), Duration::from_secs(3600));
/// })
/// .unwrap();
/// ```
#[doc(alias = "asyncio.sleep")]
pub fn sleep(time: Duration) -> Sleep {
    let stage = if time.is_zero() { Stage::Yield } else { Stage::Wait };
    Sleep { alarm: Alarm::new(), at: Instant::now() + time, stage }
}

/// Waits until `at` has come.
///
/// If it has come already, everything that is ready runs first, once, as for a [`sleep`] of zero.
///
/// # Cancellation
/// Has no effect on anything else; its timer is removed.
///
/// # Panics
/// As for [`sleep`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use filch::time::{Instant, sleep_until};
///
/// filch::sim::run(0, async {
///     let noon = Instant::now() + Duration::from_secs(60);
///     sleep_until(noon).await;
///     assert_eq!(Instant::now(), noon);
/// })
/// .unwrap();
/// ```
#[doc(alias = "loop.call_at")]
pub fn sleep_until(at: Instant) -> Sleep {
    Sleep { alarm: Alarm::new(), at, stage: Stage::for_moment(at) }
}

pin_project! {
    /// The future of [`sleep`] and [`sleep_until`].
    ///
    /// Polled again after its end, it is ready again. It may be polled by different tasks in
    /// turn: the last one is woken. It waits in the runtime in which it was polled last; the end
    /// of that one wakes it, and then it goes on in another, or panics outside of any.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct Sleep {
        #[pin]
        alarm: Alarm,
        at: Instant,
        stage: Stage,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The moment had come before the sleep began: the next poll yields.
    Yield,
    /// The alarm decides.
    Wait,
    /// It has yielded.
    Over,
}

impl Stage {
    fn for_moment(at: Instant) -> Self {
        if at <= Instant::now() { Stage::Yield } else { Stage::Wait }
    }
}

impl Sleep {
    /// Returns the moment at which this sleep ends.
    pub fn deadline(&self) -> Instant {
        self.at
    }

    /// Returns whether the moment has come and been noticed: whether a poll would be ready.
    pub fn is_elapsed(&self) -> bool {
        match self.stage {
            Stage::Yield => false,
            Stage::Wait => self.alarm.has_come(),
            Stage::Over => true,
        }
    }

    /// Makes this sleep end at `at` instead, whether it has ended or not.
    ///
    /// It must be polled again, as after its creation.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use filch::time::{Instant, sleep};
    ///
    /// filch::sim::run(0, async {
    ///     let start = Instant::now();
    ///     let mut pause = std::pin::pin!(sleep(Duration::from_secs(1)));
    ///     pause.as_mut().reset(start + Duration::from_secs(5));
    ///     pause.await;
    ///     assert_eq!(start.elapsed(), Duration::from_secs(5));
    /// })
    /// .unwrap();
    /// ```
    #[doc(alias("asyncio.Timeout.reschedule"))]
    pub fn reset(self: Pin<&mut Self>, at: Instant) {
        let this = self.project();
        this.alarm.disarm();
        *this.at = at;
        *this.stage = Stage::for_moment(at);
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        match *this.stage {
            Stage::Over => return Poll::Ready(()),
            Stage::Yield => {
                *this.stage = Stage::Over;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Stage::Wait => {}
        }
        this.alarm.as_mut().keep(*this.at, context.waker());
        // It may have gone off before the exchange, and woken somebody else.
        if this.alarm.fired() {
            return Poll::Ready(());
        }
        reasons::note_somewhere("the end of a sleep");
        Poll::Pending
    }
}

/// Makes ticks that are `period` apart, the first one at once.
///
/// What becomes of ticks that nobody was there to take is for [`Interval::set_missed`] to say;
/// at first they come in a [burst](Missed::Burst).
///
/// # Panics
/// If the period is zero.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use filch::time::{Instant, interval};
///
/// filch::sim::run(0, async {
///     let start = Instant::now();
///     let mut seconds = interval(Duration::from_secs(1));
///     assert_eq!(seconds.tick().await, start);
///     assert_eq!(seconds.tick().await, start + Duration::from_secs(1));
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "the period of an interval is zero: use `yield_now` to yield");
    let next = Instant::now();
    Interval { sleep: Box::pin(sleep_until(next)), next, period, missed: Missed::Burst }
}

/// A source of ticks, made by [`interval`].
///
/// As a stream it gives the moments at which they are due, and never ends.
#[derive(Debug)]
pub struct Interval {
    sleep: Pin<Box<Sleep>>,
    /// When the next tick is due.
    next: Instant,
    period: Duration,
    missed: Missed,
}

/// When the next tick is due after one that was taken late.
///
/// Say ticks are due at 0, 10, 20, 30, .. and the one of 10 is taken at 25, because the task was
/// busy until then. Then the ticks that follow are taken
///
/// | policy  | at                            |
/// |---------|-------------------------------|
/// | `Burst` | 25 (that of 20), 30, 40, 50   |
/// | `Delay` | 35, 45, 55                    |
/// | `Skip`  | 30, 40, 50                    |
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Missed {
    /// One period after the late one was *due*: no tick is lost, what was missed comes at once.
    #[default]
    Burst,
    /// One period after the late one was *taken*: two ticks are never less than a period apart,
    /// and every delay, however small, moves all that follow.
    Delay,
    /// At the next multiple of the period that is still to come: the rhythm stays, what was
    /// missed is lost.
    Skip,
}

impl Interval {
    /// Waits for the next tick and returns the moment at which it was due.
    ///
    /// A tick that is due already is taken at once, without a yield.
    ///
    /// # Cancellation
    /// Takes no tick: the next call waits for the same one.
    ///
    /// # Panics
    /// If it has to wait outside a runtime.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|context| self.poll_tick(context)).await
    }

    /// Takes the next tick if it is due, or has the task woken when it is: [`tick`](Interval::tick)
    /// for futures written by hand.
    ///
    /// # Panics
    /// As for [`tick`](Interval::tick).
    pub fn poll_tick(&mut self, context: &mut Context<'_>) -> Poll<Instant> {
        let mut now = Instant::now();
        if now < self.next {
            if self.sleep.deadline() != self.next {
                self.sleep.as_mut().reset(self.next);
            }
            ready!(self.sleep.as_mut().poll(context));
            now = Instant::now();
        }
        let due = self.next;
        self.next = self.missed.after(due, now, self.period);
        Poll::Ready(due)
    }

    /// Makes the next tick due one period from now.
    pub fn reset(&mut self) {
        self.next = Instant::now() + self.period;
    }

    /// Returns the time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Returns what becomes of missed ticks.
    pub fn missed(&self) -> Missed {
        self.missed
    }

    /// Decides what becomes of missed ticks from now on.
    pub fn set_missed(&mut self, missed: Missed) {
        self.missed = missed;
    }
}

impl Stream for Interval {
    type Item = Instant;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.get_mut().poll_tick(context).map(Some)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl Missed {
    /// When the tick after the one of `due`, taken at `now`, is due.
    fn after(self, due: Instant, now: Instant, period: Duration) -> Instant {
        match self {
            Missed::Burst => due + period,
            Missed::Delay => now + period,
            Missed::Skip => {
                let late = (now - due).as_nanos() % period.as_nanos();
                // Two instants are never further apart than a `u64` of nanoseconds.
                now - Duration::from_nanos(late as u64) + period
            }
        }
    }
}
