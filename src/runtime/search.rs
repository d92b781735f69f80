//! The search for a seed that makes a program fail, and for the shortest way to say how.

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::num::ParseIntError;
use std::ops::Range;
use std::panic::Location;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Outcome, Result};
use crate::runtime::hush::Hush;
use crate::runtime::simulation::{Builder, LimitReached};
use crate::simulated::{Choice, Course, Deviation, Record, Written};
use crate::sys::Arc;

/// How many runs at most the search for a shorter schedule takes, and how many turns.
const RUNS: u64 = 10_000;
const TURNS: u64 = 2_000_000;

/// Runs a program with each of the given seeds, and panics at the first with which it fails.
///
/// The panic tells what [`search`] gives back: the seed, the error, and the shortest schedule that
/// was found. [`run`](crate::sim::run) the program with that seed, or [`replay`] the schedule, to
/// see the same failure again.
///
/// # Panics
/// If the program ends with an error, and inside a task.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// filch::sim::check(0..100, || async {
///     let task = filch::spawn(async { Ok(1) });
///     filch::timeout(Duration::from_secs(1), task).await
/// });
/// ```
#[track_caller]
pub fn check<F>(seeds: impl IntoIterator<Item = u64>, program: impl FnMut() -> F)
where
    F: Future<Output: Outcome>,
{
    Builder::new().check(seeds, program);
}

/// Runs a program with each of the given seeds, up to the first with which it fails, and says how
/// many that were.
///
/// A failure is run again, perhaps some hundred times, to find the schedule that differs least from
/// the order of arrival and still fails in the same way. So the program makes everything it uses
/// anew each time.
///
/// # Errors
/// The [`Failure`].
///
/// # Panics
/// Inside a task or a callback.
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use filch::{Result, sim, spawn};
///
/// async fn two_words() -> Result<()> {
///     let text = Arc::new(Mutex::new(String::new()));
///     let tasks = ["hello ", "world", "."].map(|word| {
///         let text = text.clone();
///         spawn(async move { text.lock().unwrap().push_str(word) })
///     });
///     for task in tasks {
///         task.await?;
///     }
///     assert!(text.lock().unwrap().ends_with('.'));
///     Ok(())
/// }
///
/// let failure = sim::search(sim::seeds(100), two_words).unwrap_err();
/// println!("{failure}"); // .. in turn 2, the third task runs before the first
/// assert_eq!(failure.schedule().deviations(), 1);
/// assert!(sim::replay(failure.schedule(), two_words()).is_err());
/// ```
#[track_caller]
pub fn search<F>(
    seeds: impl IntoIterator<Item = u64>,
    program: impl FnMut() -> F,
) -> Result<u64, Failure>
where
    F: Future<Output: Outcome>,
{
    Builder::new().search(seeds, program)
}

/// Runs a program as that schedule has it; see [`search`].
///
/// # Errors
/// As of [`run`](crate::sim::run).
///
/// # Panics
/// Inside a task or a callback.
#[track_caller]
pub fn replay<F, T>(schedule: &Schedule, main: F) -> Result<T>
where
    F: Future<Output: Outcome<Value = T>>,
{
    Builder::new().replay(schedule, main)
}

/// Returns the seeds to search: as many as are asked for, from 0, unless the environment variable
/// `FILCH_SEEDS` says otherwise.
///
/// It is a number of seeds, `1000000`, or a range, `5000000..6000000`: for runs that are long or go
/// on where the last one stopped.
///
/// # Panics
/// If the variable is neither.
pub fn seeds(count: u64) -> Range<u64> {
    let Ok(text) = std::env::var("FILCH_SEEDS") else { return 0..count };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = match text.split_once("..") {
        Some((first, end)) => number(first).zip(number(end)),
        None => number(&text).map(|count| (0, count)),
    };
    let (first, end) = range.unwrap_or_else(|| {
        panic!("FILCH_SEEDS is neither a number of seeds nor a range of them: {text:?}")
    });
    first..end
}

impl Builder {
    /// Runs a program with each of the given seeds; see [`check`].
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn check<F>(&self, seeds: impl IntoIterator<Item = u64>, program: impl FnMut() -> F)
    where
        F: Future<Output: Outcome>,
    {
        if let Err(failure) = self.search(seeds, program) {
            panic!("{failure}");
        }
    }

    /// Searches with these settings; see [`search`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn search<F>(
        &self,
        seeds: impl IntoIterator<Item = u64>,
        program: impl FnMut() -> F,
    ) -> Result<u64, Failure>
    where
        F: Future<Output: Outcome>,
    {
        self.search_from(seeds, program, Location::caller())
    }

    /// As [`search`](Builder::search), for a main task that was spawned there.
    pub(super) fn search_from<F>(
        &self,
        seeds: impl IntoIterator<Item = u64>,
        mut program: impl FnMut() -> F,
        location: &'static Location<'static>,
    ) -> Result<u64, Failure>
    where
        F: Future<Output: Outcome>,
    {
        let mut runs = 0;
        for seed in seeds {
            runs += 1;
            if let Err(error) = self.run_with(Course::of_seed(seed), None, program(), location) {
                let again = |course| self.run_with(course, None, program(), location).err();
                return Err(Shrinking::new(seed, again, error).shrink());
            }
        }
        Ok(runs)
    }

    /// Replays with these settings; see [`replay`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn replay<F, T>(&self, schedule: &Schedule, main: F) -> Result<T>
    where
        F: Future<Output: Outcome<Value = T>>,
    {
        self.run_with(schedule.course(), None, main, Location::caller())
    }
}

/// The order in which the tasks of a simulated run ran.
///
/// It is the order of arrival but for some *deviations*, and everything else that is drawn is drawn
/// from the seed. Its text, such as `17 2:1 9:3`, can be parsed: a test can hold the schedule of a
/// bug that was found.
///
/// # Examples
///
/// ```
/// use filch::sim::{self, Schedule};
///
/// let schedule: Schedule = "17 2:1 9:3".parse().unwrap();
/// assert_eq!((schedule.seed(), schedule.deviations()), (17, 2));
/// sim::replay(&schedule, async { Ok(()) }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    seed: u64,
    deviations: std::sync::Arc<Vec<Deviation>>,
}

impl Schedule {
    /// Returns the seed of everything but the order of tasks.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns in how many turns something overtakes what has been ready for longer.
    pub fn deviations(&self) -> usize {
        self.deviations.len()
    }

    fn course(&self) -> Course {
        let deviations = Some(self.deviations.clone());
        Course { deviations, ..Course::of_seed(self.seed) }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seed)?;
        for Deviation { turn, choice } in &*self.deviations {
            match choice {
                Choice::Place(place) => write!(f, " {turn}:{place}")?,
                Choice::Hold => write!(f, " {turn}:hold")?,
            }
        }
        Ok(())
    }
}

/// A text that is no [`Schedule`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseScheduleError(String);

impl fmt::Display for ParseScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no seed, or no turn with a place in it", self.0)
    }
}

impl std::error::Error for ParseScheduleError {}

impl FromStr for Schedule {
    type Err = ParseScheduleError;

    fn from_str(text: &str) -> Result<Self, ParseScheduleError> {
        let mut words = text.split_whitespace();
        let first = words.next().unwrap_or_default();
        let no = |word: &str| ParseScheduleError(word.to_owned());
        let seed = first.parse().map_err(|_: ParseIntError| no(first))?;
        // Turns count from one, and each has one choice.
        let mut taken = BTreeSet::from([0]);
        let mut deviation = |word: &str| {
            let (turn, choice) = word.split_once(':')?;
            let choice = match choice {
                "hold" => Choice::Hold,
                place => Choice::Place(place.parse().ok()?),
            };
            let turn = turn.parse().ok().filter(|turn| taken.insert(*turn))?;
            Some(Deviation { turn, choice })
        };
        let deviations: Result<Vec<_>, _> =
            words.map(|word| deviation(word).ok_or_else(|| no(word))).collect();
        let mut deviations = deviations?;
        deviations.sort_by_key(|deviation| deviation.turn);
        Ok(Schedule { seed, deviations: deviations.into() })
    }
}

/// A run that failed, and the schedule closest to the order of arrival that fails like it.
///
/// Its text tells the seed, the error, who overtook whom, and the last turns.
#[derive(Debug, Clone)]
pub struct Failure {
    seed: u64,
    error: Error,
    place: Option<String>,
    schedule: Schedule,
    story: String,
}

impl Failure {
    /// Returns the seed with which the program failed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns what the program ended with.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Returns the schedule, to be [replayed](replay) or written down.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The error, and where the panic was, if it is one.
    pub(super) fn cause(&self) -> String {
        match &self.place {
            Some(place) => format!("{}\nat {place}", self.error),
            None => self.error.to_string(),
        }
    }

    /// Returns who ran when, a line for each turn that matters.
    pub fn story(&self) -> &str {
        &self.story
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "with seed {}: {}", self.seed, self.cause())?;
        write!(f, "\n{}the schedule, for `sim::replay`: \"{}\"", self.story, self.schedule)
    }
}

impl std::error::Error for Failure {}

/// Looks for fewer deviations that fail in the same way.
struct Shrinking<R> {
    seed: u64,
    again: R,
    error: Error,
    hush: Hush,
    /// Where it panics, if that is how it fails.
    place: Option<String>,
    /// So many runs may be tried.
    left: u64,
}

impl<R: FnMut(Course) -> Option<Error>> Shrinking<R> {
    fn new(seed: u64, again: R, error: Error) -> Self {
        Shrinking { seed, again, error, hush: Hush::begin(), place: None, left: 0 }
    }

    fn shrink(mut self) -> Failure {
        let (first, written) = self.recorded(Course::of_seed(self.seed));
        let mut deviations = written.deviations;
        if first.is_some_and(|other| is_alike(&self.error, &other)) {
            self.place = self.hush.place();
            // A run that fails with fewer deviations may be longer, but hardly by much.
            self.left = RUNS.min(TURNS / written.turns.max(1));
            match self.few(written.turns) {
                Some(few) => deviations = few,
                None => self.drop_what_is_not_needed(&mut deviations),
            }
            self.jump_no_further_than_needed(&mut deviations);
        }
        let schedule = Schedule { seed: self.seed, deviations: deviations.into() };
        let (last, written) = self.recorded(schedule.course());
        let error = last.unwrap_or(self.error);
        let place = if error.is_panic() { self.hush.place() } else { None };
        Failure { seed: self.seed, error, place, schedule, story: told(&written) }
    }

    fn recorded(&mut self, course: Course) -> (Option<Error>, Written) {
        let record = Arc::new(Record::new());
        let error = (self.again)(Course { record: Some(record.clone()), ..course });
        (error, record.written())
    }

    fn fails(&mut self, deviations: &[Deviation]) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let deviations = Some(deviations.to_vec().into());
        let course = Course { deviations, ..Course::of_seed(self.seed) };
        let failed = (self.again)(course).is_some_and(|other| is_alike(&self.error, &other));
        failed && (!self.error.is_panic() || self.hush.place() == self.place)
    }

    /// Tries none, all single ones, then pairs, as far as the runs last; some are kept for later.
    fn few(&mut self, turns: u64) -> Option<Vec<Deviation>> {
        let later = self.left / 2;
        self.left -= later;
        let found = self.few_of(turns);
        self.left += later;
        found
    }

    fn few_of(&mut self, turns: u64) -> Option<Vec<Deviation>> {
        if self.fails(&[]) {
            return Some(Vec::new());
        }
        let single =
            |turn| [Choice::Place(1), Choice::Hold].map(|choice| Deviation { turn, choice });
        for deviation in (1..=turns).flat_map(single) {
            if self.fails(&[deviation]) {
                return Some(vec![deviation]);
            }
        }
        for second in 2..=turns {
            for one in (1..second).flat_map(single) {
                for other in single(second) {
                    if self.fails(&[one, other]) {
                        return Some(vec![one, other]);
                    }
                }
            }
            if self.left == 0 {
                break;
            }
        }
        None
    }

    /// Leaves out more and more, in ever smaller pieces.
    fn drop_what_is_not_needed(&mut self, deviations: &mut Vec<Deviation>) {
        let mut size = deviations.len();
        while size > 0 {
            let mut start = 0;
            let mut dropped = false;
            while start < deviations.len() {
                let end = (start + size).min(deviations.len());
                let rest = [&deviations[..start], &deviations[end..]].concat();
                if self.fails(&rest) {
                    (*deviations, dropped) = (rest, true);
                } else {
                    start = end;
                }
            }
            // What seemed to be needed may have been so only beside what has gone.
            size = if size == 1 && dropped { 1 } else { size / 2 };
        }
    }

    fn jump_no_further_than_needed(&mut self, deviations: &mut [Deviation]) {
        for index in 0..deviations.len() {
            let before = deviations[index].choice;
            deviations[index].choice = Choice::Place(1);
            if before != Choice::Place(1) && !self.fails(deviations) {
                deviations[index].choice = before;
            }
        }
    }
}

/// Do two runs fail in the same way?
fn is_alike(one: &Error, other: &Error) -> bool {
    let kind = |error: &Error| {
        let ends = (error.is_panic(), error.is_cancelled(), error.is_timeout());
        (ends, error.is_deadlock(), error.is::<LimitReached>())
    };
    kind(one) == kind(other)
}

/// Who ran when, as far as it matters.
fn told(written: &Written) -> String {
    let mut text = String::new();
    let since = |at: u64| Duration::from_nanos(at);
    // Writing to a `String` cannot fail.
    let _ = match written.deviating.len() {
        0 => writeln!(text, "in the order of arrival; the last of {} turns:", written.turns),
        1 => writeln!(text, "with one deviation from the order of arrival:"),
        more => writeln!(text, "with {more} deviations from the order of arrival:"),
    };
    for turn in &written.deviating {
        let at = since(turn.at.nanoseconds());
        let _ = writeln!(text, "  turn {} ({at:?}): {}", turn.turn, turn.who);
        if let Some((overtaken, held)) = &turn.overtaken {
            let held = if *held { ", which is held up until nothing else can run" } else { "" };
            let _ = writeln!(text, "    before {overtaken}{held}");
        }
    }
    if !written.deviating.is_empty() {
        let _ = writeln!(text, "the last of {} turns:", written.turns);
    }
    for turn in &written.last {
        let at = since(turn.at.nanoseconds());
        let _ = writeln!(text, "  turn {} ({at:?}): {}", turn.turn, turn.who);
    }
    text
}
