//! Attempts at one thing, each started while those before it may still succeed; the first that
//! does wins.
//!
//! They are the children of a group, so that none outlives the race. What they come to stands on a
//! board and is no outcome of theirs: else the first failure would end the group.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::driver::clock::Instant;
use crate::error::{Error, Outcome, Result};
use crate::scope::task_group::{TaskGroup, task_group};
use crate::scope::wait::{ReturnWhen, wait};
use crate::sys::{Arc, Mutex};
use crate::task::raw::TaskRef;

/// What [`staggered_race`] came to.
#[derive(Debug)]
pub struct Raced<T> {
    /// The number and the value of the attempt that succeeded first; `None`: none did.
    pub winner: Option<(usize, T)>,
    /// What each attempt that was started ended with, if it did not succeed: one that lost is
    /// cancelled.
    pub errors: Vec<Option<Error>>,
}

impl<T> Raced<T> {
    /// Takes the winner's value.
    ///
    /// # Errors
    /// If there is none, the [group](Error::is_group) of what the attempts failed with; if there
    /// was no attempt, an error that says so.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::{Error, staggered_race};
    ///
    /// # filch::sim::run(0, async {
    /// let fails = || async { Err::<(), _>(Error::msg("refused")) };
    /// let error = staggered_race([fails; 2], None).await?.into_result().unwrap_err();
    /// assert_eq!(error.errors().len(), 2);
    /// # Ok(())
    /// # }).unwrap();
    /// ```
    pub fn into_result(self) -> Result<T> {
        let Some((_, value)) = self.winner else {
            let errors: Vec<Error> = self.errors.into_iter().flatten().collect();
            return Err(match errors.is_empty() {
                true => Error::msg("a race without attempts"),
                false => Error::group(errors),
            });
        };
        Ok(value)
    }
}

/// Starts attempts one after the other, and gives the value of the first that succeeds.
///
/// The first one starts at once; each further one when the one before it has failed, or when
/// `delay` has passed since that one started; `None`: only when it has failed (STAG-01). As soon as
/// one succeeds no more are started, and the others are cancelled and waited for (STAG-02). This is
/// how a connection is made to the first of several addresses that answers.
///
/// Each attempt is made, and runs, in a task of its own.
///
/// # Errors
/// None of its own: what attempts fail with, panics too, stands in [`Raced::errors`]. Only a panic
/// while `attempts` is asked for the next one, or while a future is dropped, ends the race, as it
/// ends a [group](crate::task_group).
///
/// # Cancellation
/// All attempts are cancelled and waited for (STAG-03).
///
/// # Panics
/// Outside a task.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use filch::{sleep, staggered_race};
///
/// # filch::sim::run(0, async {
/// let answers = |after: u64| move || async move {
///     sleep(Duration::from_millis(after)).await;
///     Ok(after)
/// };
/// let attempts = [5000, 300, 1].map(answers);
/// let race = staggered_race(attempts, Duration::from_millis(250)).await?;
/// assert_eq!(race.winner, Some((2, 1)));
/// assert!(race.errors[0].as_ref().unwrap().is_cancelled());
/// # Ok(())
/// # }).unwrap();
/// ```
#[doc(alias("happy eyeballs", "asyncio.staggered.staggered_race"))]
pub async fn staggered_race<A, F, T>(
    attempts: impl IntoIterator<Item = A>,
    delay: impl Into<Option<Duration>>,
) -> Result<Raced<T>>
where
    A: FnOnce() -> F + Send + 'static,
    F: Future<Output: Outcome<Value = T>> + Send + 'static,
    T: Send + 'static,
{
    let board = Arc::new(Board(Mutex::new(Raced { winner: None, errors: Vec::new() })));
    let (attempts, delay) = (attempts.into_iter(), delay.into());
    let tasks = task_group(|group| start_all(group, attempts, delay, board.clone())).await?;
    Ok(board.read(&tasks))
}

/// Starts attempts until one has succeeded, or all have ended.
async fn start_all<A, F, T>(
    group: TaskGroup,
    attempts: impl Iterator<Item = A>,
    delay: Option<Duration>,
    board: Arc<Board<T>>,
) -> Result<Vec<TaskRef>>
where
    A: FnOnce() -> F + Send + 'static,
    F: Future<Output: Outcome<Value = T>> + Send + 'static,
    T: Send + 'static,
{
    let mut attempts = attempts.fuse().peekable();
    let mut tasks: Vec<TaskRef> = Vec::new();
    let mut next_at = None;
    while !board.is_won() {
        let failed = tasks.last().is_none_or(TaskRef::is_finished);
        let late = next_at.is_some_and(|at| Instant::now() >= at);
        if (failed || late)
            && let Some(attempt) = attempts.next()
        {
            tasks.push(group.spawn(run(attempt, Board::add(&board))).task_ref());
            next_at = delay.map(|delay| Instant::now() + delay);
        }
        let running: Vec<&TaskRef> = tasks.iter().filter(|task| !task.is_finished()).collect();
        if running.is_empty() {
            match attempts.peek() {
                Some(_) => continue,
                None => break,
            }
        }
        let until = next_at.filter(|_| attempts.peek().is_some());
        let limit = until.map(|at| at.duration_since(Instant::now()));
        wait(running, ReturnWhen::FirstCompleted).timeout(limit).await;
    }
    for task in tasks.iter().filter(|task| !task.is_finished()) {
        task.cancel();
    }
    Ok(tasks)
}

/// One attempt. Only its cancellation is an outcome of its task.
async fn run<A, F, T>(attempt: A, place: Place<T>) -> Result<()>
where
    A: FnOnce() -> F,
    F: Future<Output: Outcome<Value = T>>,
{
    let made = async move { attempt().await.into_result() };
    match (Contained { future: made }).await {
        Err(error) if error.is_cancelled() => Err(error),
        ended => {
            place.note(ended);
            Ok(())
        }
    }
}

/// What the attempts came to.
struct Board<T>(Mutex<Raced<T>>);

impl<T> Board<T> {
    /// One more attempt.
    fn add(this: &Arc<Self>) -> Place<T> {
        let mut raced = this.0.lock();
        raced.errors.push(None);
        Place { number: raced.errors.len() - 1, board: this.clone() }
    }

    fn is_won(&self) -> bool {
        self.0.lock().winner.is_some()
    }

    /// All have ended, as `tasks`.
    fn read(&self, tasks: &[TaskRef]) -> Raced<T> {
        let mut raced = self.0.lock();
        let (winner, mut errors) = (raced.winner.take(), std::mem::take(&mut raced.errors));
        drop(raced);
        let won = winner.as_ref().map(|(number, _)| *number);
        for (number, task) in tasks.iter().enumerate().filter(|(number, _)| Some(*number) != won) {
            errors[number] = errors[number].take().or_else(|| task.error());
        }
        Raced { winner, errors }
    }
}

/// Where an attempt notes down what it came to.
struct Place<T> {
    number: usize,
    board: Arc<Board<T>>,
}

impl<T> Place<T> {
    fn note(&self, ended: Result<T>) {
        let mut raced = self.board.0.lock();
        let late = match ended {
            Ok(value) if raced.winner.is_none() => {
                raced.winner = Some((self.number, value));
                None
            }
            // It was asked to end, and swallowed that.
            Ok(value) => Some(value),
            Err(error) => {
                raced.errors[self.number] = Some(error);
                None
            }
        };
        drop(raced);
        drop(late);
    }
}

pin_project! {
    /// A future whose panic is its error.
    struct Contained<F> {
        #[pin]
        future: F,
    }
}

impl<T, F: Future<Output = Result<T>>> Future for Contained<F> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let future = self.project().future;
        let polled = catch_unwind(AssertUnwindSafe(|| future.poll(context)));
        polled.unwrap_or_else(|payload| Poll::Ready(Err(Error::panic(payload))))
    }
}
