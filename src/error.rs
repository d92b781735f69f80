//! What ends a task other than its value: error, cancellation, timeout, panic, in one small type.
//!
//! [`Error`] is one word wide and cheap to clone, because a task's error is seen by many: by the
//! one who awaits it, by callbacks, by whoever reports it. A cancellation without a message, by
//! far the most frequent kind, takes no memory at all.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};

use crate::probe;

mod group;

/// What a cancellation says: asyncio's `msg`.
pub(crate) type Message = Cow<'static, str>;

/// The result of a task.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a task ended without a value.
///
/// Any error of the world, each `std::error::Error + Send + Sync + 'static`, becomes one by `?`,
/// and a text by [`Error::msg`]; a cancellation, an expired timeout, a panic and a
/// deadlocked simulation are told apart by `is_..`. Clones share what they hold.
///
/// It does not implement [`std::error::Error`] itself (else `?` could not convert into it), but
/// converts into `Box<dyn std::error::Error + Send + Sync>` by `?`, and back by
/// [`Error::from_boxed`].
///
/// # Examples
///
/// ```
/// fn port(text: &str) -> filch::Result<u16> {
///     Ok(text.parse::<u16>()?)
/// }
///
/// let error = port("many").unwrap_err();
/// assert!(error.is::<std::num::ParseIntError>());
/// assert!(!error.is_cancelled());
/// ```
#[derive(Clone)]
#[doc(alias("Exception", "CancelledError", "TimeoutError"))]
pub struct Error(Option<Arc<Kind>>);

/// What it was made of is only looked at from then on, and a panic's payload is taken whole.
impl UnwindSafe for Error {}
/// As above.
impl RefUnwindSafe for Error {}

enum Kind {
    Cancelled(Message),
    Timeout(Elapsed, Option<Message>),
    Panic { text: String, payload: Mutex<Option<Box<dyn Any + Send>>> },
    Deadlock(String),
    Group(group::Members),
    Other(Boxed),
}

type Boxed = Box<dyn StdError + Send + Sync>;

impl Error {
    /// Makes an error of nothing but a text, which `?` does not: a text is no error.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::Error;
    ///
    /// fn half(number: u32) -> Result<u32, String> {
    ///     if number % 2 == 0 { Ok(number / 2) } else { Err(format!("{number} is odd")) }
    /// }
    ///
    /// fn quarter(number: u32) -> filch::Result<u32> {
    ///     Ok(half(half(number).map_err(Error::msg)?).map_err(Error::msg)?)
    /// }
    ///
    /// assert_eq!(quarter(6).unwrap_err().to_string(), "3 is odd");
    /// ```
    pub fn msg(text: impl Into<String>) -> Self {
        Error::from_boxed(text.into().into())
    }

    /// Makes an error of a boxed one, keeping it as it is.
    ///
    /// What was an [`Error`] before it was boxed is that very error again: a cancellation, a
    /// timeout, a group. So it is after [`io::Error::other`], also by `?`.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::Error;
    ///
    /// let group = Error::group([Error::msg("no ink")]);
    /// let boxed: Box<dyn std::error::Error + Send + Sync> = group.into();
    /// assert!(Error::from_boxed(boxed).is_group());
    /// ```
    pub fn from_boxed(error: Box<dyn StdError + Send + Sync>) -> Self {
        let error = match unwrapped(error).downcast::<Standard>() {
            Ok(standard) => return standard.0,
            Err(error) => error,
        };
        match error.downcast::<Cancelled>() {
            Ok(cancelled) => Error::cancelled(cancelled.0),
            Err(error) if error.is::<Elapsed>() => Error::timeout(None),
            Err(error) => Error::of(Kind::Other(error)),
        }
    }

    /// Tells whether this is a cancellation: of the task itself, or of one it awaited.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.kind(), None | Some(Kind::Cancelled(_)))
    }

    /// Tells whether this is an expired timeout.
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind(), Some(Kind::Timeout(..)))
    }

    /// Tells whether this is a panic.
    pub fn is_panic(&self) -> bool {
        matches!(self.kind(), Some(Kind::Panic { .. }))
    }

    /// Tells whether this is the report of a simulation that could neither run nor wait.
    pub fn is_deadlock(&self) -> bool {
        matches!(self.kind(), Some(Kind::Deadlock(_)))
    }

    /// Tells whether this was made of an `E`.
    pub fn is<E: StdError + 'static>(&self) -> bool {
        self.downcast_ref::<E>().is_some()
    }

    /// Returns the `E` it was made of.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        match self.kind() {
            Some(Kind::Other(error)) => error.downcast_ref(),
            Some(Kind::Timeout(elapsed, _)) => (elapsed as &dyn Any).downcast_ref(),
            _ => None,
        }
    }

    /// Returns what was said with the cancellation, if this is one and something was said.
    ///
    /// For a timeout, it is the message of the cancellation that the timeout was made of.
    pub fn cancel_message(&self) -> Option<&str> {
        match self.kind() {
            Some(Kind::Cancelled(message) | Kind::Timeout(_, Some(message))) => Some(message),
            _ => None,
        }
    }

    /// Returns the error beneath, if there is one.
    pub fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.kind() {
            Some(Kind::Other(error)) => error.source(),
            _ => None,
        }
    }

    /// Goes on with the panic that ended the task, on this thread.
    ///
    /// # Errors
    /// Gives the error back if it is no panic, or if the panic was already resumed elsewhere.
    pub fn resume_panic(self) -> std::result::Result<std::convert::Infallible, Self> {
        if let Some(Kind::Panic { payload, .. }) = self.kind() {
            let payload = payload.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(payload) = payload {
                std::panic::resume_unwind(payload);
            }
        }
        Err(self)
    }

    pub(crate) fn cancelled(message: Option<Message>) -> Self {
        Error(message.map(|message| Arc::new(Kind::Cancelled(message))))
    }

    pub(crate) fn timeout(message: Option<Message>) -> Self {
        Error::of(Kind::Timeout(Elapsed(()), message))
    }

    pub(crate) fn panic(payload: Box<dyn Any + Send>) -> Self {
        let text = probe::panic_text(&*payload).to_owned();
        Error::of(Kind::Panic { text, payload: Mutex::new(Some(payload)) })
    }

    pub(crate) fn deadlock(report: String) -> Self {
        Error::of(Kind::Deadlock(report))
    }

    /// The message of the cancellation that this is, to be taken over.
    pub(crate) fn into_message(self) -> Option<Message> {
        match self.kind() {
            Some(Kind::Cancelled(message)) => Some(message.clone()),
            _ => None,
        }
    }

    fn of(kind: Kind) -> Self {
        Error(Some(Arc::new(kind)))
    }

    fn kind(&self) -> Option<&Kind> {
        self.0.as_deref()
    }
}

/// What `?` makes an [`Error`] of: each `std::error::Error + Send + Sync + 'static`. It is there
/// for what the compiler says of what is none.
#[diagnostic::on_unimplemented(
    label = "no `std::error::Error`; of a text, `.map_err(filch::Error::msg)` makes one"
)]
pub trait IntoError: StdError + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<E: StdError + Send + Sync + 'static> IntoError for E {}

impl<E: IntoError> From<E> for Error {
    fn from(error: E) -> Self {
        Error::from_boxed(Box::new(error))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            None => Cancelled(None).fmt(f),
            Some(Kind::Cancelled(message)) => write!(f, "cancelled: {message}"),
            Some(Kind::Timeout(elapsed, _)) => elapsed.fmt(f),
            Some(Kind::Panic { text, .. }) => write!(f, "panicked: {text}"),
            Some(Kind::Deadlock(report)) => f.write_str(report),
            Some(Kind::Group(errors)) => group::show(errors, f),
            Some(Kind::Other(error)) => error.fmt(f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Some(Kind::Other(error)) => error.fmt(f),
            _ => write!(f, "Error({self})"),
        }
    }
}

/// An [`Error`] where the standard trait is asked for.
struct Standard(Error);

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Standard {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

impl From<Error> for Boxed {
    fn from(error: Error) -> Self {
        Box::new(Standard(error))
    }
}

impl From<Error> for Box<dyn StdError> {
    fn from(error: Error) -> Self {
        Box::new(Standard(error))
    }
}

/// Takes what [`io::Error::other`] has put around an error of ours away. Around another it stays,
/// and so does a kind that somebody has chosen.
fn unwrapped(mut error: Boxed) -> Boxed {
    for _ in 0..error.downcast_ref().map_or(0, layers) {
        let layer = error.downcast::<io::Error>().ok().and_then(|layer| layer.into_inner());
        error = layer.expect("it was an `io::Error` with another inside");
    }
    error
}

/// How many are around an error of ours: none, if there is no such error.
fn layers(mut outer: &io::Error) -> usize {
    for depth in 1.. {
        let Some(inner) = outer.get_ref().filter(|_| outer.kind() == io::ErrorKind::Other) else {
            break;
        };
        match inner.downcast_ref::<io::Error>() {
            Some(next) => outer = next,
            None if inner.is::<Standard>() => return depth,
            None if inner.is::<Cancelled>() || inner.is::<Elapsed>() => return depth,
            None => break,
        }
    }
    0
}

/// A cancellation that was caught by [`catch_cancelled`](crate::catch_cancelled).
///
/// Only the runtime makes them. Let it go on with [`raise`](Cancelled::raise), or return it as an
/// error: `?` turns it into an [`Error`], which every cancel scope and the task itself treat as
/// the cancellation it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a cancellation that is caught and dropped is swallowed: say so with `drop`"]
#[doc(alias = "CancelledError")]
pub struct Cancelled(Option<Message>);

impl Cancelled {
    pub(crate) fn new(message: Option<Message>) -> Self {
        Cancelled(message)
    }

    /// Returns what was said with the request, if anything was.
    pub fn message(&self) -> Option<&str> {
        self.0.as_deref()
    }

    pub(crate) fn into_message(self) -> Option<Message> {
        self.0
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("cancelled"),
            Some(message) => write!(f, "cancelled: {message}"),
        }
    }
}

impl StdError for Cancelled {}

/// A timeout expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "TimeoutError")]
pub struct Elapsed(());

impl Elapsed {
    pub(crate) fn new() -> Self {
        Elapsed(())
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl StdError for Elapsed {}

/// What a task may be made of: futures of [`Result<T>`], of `()` and of `!`.
///
/// The error type is concrete, so that `spawn(async { Ok(42) })` and bodies that use `?` need no
/// annotation.
#[diagnostic::on_unimplemented(
    message = "a task's future must end with `filch::Result<T>`, `()` or `!`, not `{Self}`",
    note = "wrap a plain value: `async {{ Ok(future.await) }}`",
    note = "convert another error: `async {{ Ok(future.await?) }}`",
    note = "`timeout_any` and `catch_cancelled_any` take a future with any output"
)]
pub trait Outcome: sealed::Sealed {
    /// What the task yields when it ends well.
    type Value;

    /// What a task of this kind is called, before its number.
    #[doc(hidden)]
    const KIND: &'static str = "Task";

    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Value>;

    /// Tells a cancellation that comes as an error from everything else.
    #[doc(hidden)]
    fn split_cancelled(self) -> Result<Self, Cancelled>
    where
        Self: Sized,
    {
        Ok(self)
    }
}

mod sealed {
    pub trait Sealed {}

    pub trait Returns {
        type Output;
    }
}

/// What ends a [`Promise`](crate::Promise), which keeps its value elsewhere.
pub(crate) struct Promised;

impl sealed::Sealed for Promised {}
impl Outcome for Promised {
    type Value = ();

    const KIND: &'static str = "Promise";

    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

/// `!`, named on stable Rust as what a function that never returns gives back.
type Never = <fn() -> ! as sealed::Returns>::Output;

impl<T> sealed::Returns for fn() -> T {
    type Output = T;
}

impl<T> sealed::Sealed for Result<T> {}
impl<T> Outcome for Result<T> {
    type Value = T;

    fn into_result(self) -> Result<T> {
        self
    }

    fn split_cancelled(self) -> Result<Self, Cancelled> {
        match self {
            Err(error) if error.is_cancelled() => Err(Cancelled(error.into_message())),
            other => Ok(other),
        }
    }
}

impl sealed::Sealed for () {}
impl Outcome for () {
    type Value = ();

    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl sealed::Sealed for Never {}
impl Outcome for Never {
    type Value = std::convert::Infallible;

    fn into_result(self) -> Result<Self::Value> {
        self
    }
}
