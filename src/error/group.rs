//! Several errors in one: what a task group ends with when more than one thing may have failed.
//!
//! A group of errors is an [`Error`] like any other, with others inside it, which may be groups
//! themselves. A cancellation is never a member of what a task group makes (TG-04).

use std::fmt;
use std::iter::Enumerate;
use std::ops::Deref;
use std::slice;
use std::sync::Arc;

use crate::error::{Error, Kind};

impl Error {
    /// Makes one error of several: `ExceptionGroup`.
    ///
    /// # Panics
    /// If there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::Error;
    ///
    /// let error = Error::group([Error::msg("no paper"), Error::msg("no ink")]);
    /// assert_eq!(error.errors().len(), 2);
    /// assert_eq!(error.to_string(), "2 errors: no paper; no ink");
    /// ```
    #[doc(alias("ExceptionGroup", "BaseExceptionGroup"))]
    pub fn group(errors: impl IntoIterator<Item = Error>) -> Error {
        let errors: Box<[Error]> = errors.into_iter().collect();
        assert!(!errors.is_empty(), "a group of errors has at least one");
        Error::of(Kind::Group(Members(errors)))
    }

    /// Returns the errors that this one is made of; empty if it is not a group.
    #[doc(alias = "exceptions")]
    pub fn errors(&self) -> &[Error] {
        match self.kind() {
            Some(Kind::Group(errors)) => errors,
            _ => &[],
        }
    }

    /// Tells whether this is a group of errors, as task groups end with.
    pub fn is_group(&self) -> bool {
        !self.errors().is_empty()
    }

    /// Parts the errors that `wanted` picks from the others: `except*`.
    ///
    /// `wanted` is asked about this error first; if it is a group and not wanted as a whole, about
    /// its members, and so on. What is picked, and what is left, keeps its place in groups of the
    /// same shape. `None`: nothing is on that side.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::Error;
    /// use std::num::ParseIntError;
    ///
    /// let parse = "x".parse::<u8>().unwrap_err();
    /// let error = Error::group([Error::msg("no ink"), parse.into()]);
    /// let (parsing, rest) = error.split(Error::is::<ParseIntError>);
    /// assert!(parsing.unwrap().errors()[0].is::<ParseIntError>());
    /// assert_eq!(rest.unwrap().errors().len(), 1);
    /// ```
    #[doc(alias("except*", "ExceptionGroup.split"))]
    pub fn split(&self, wanted: impl Fn(&Error) -> bool) -> (Option<Error>, Option<Error>) {
        self.split_by(&wanted)
    }

    fn split_by(&self, wanted: &dyn Fn(&Error) -> bool) -> (Option<Error>, Option<Error>) {
        // As if this were the one member of a group.
        let mut parted = Parted::new(self, slice::from_ref(self));
        let mut above = Vec::new();
        loop {
            match parted.rest.next() {
                Some(error) if wanted(error) => parted.picked.push(error.clone()),
                Some(error) if error.is_group() => {
                    above.push(std::mem::replace(&mut parted, Parted::new(error, error.errors())));
                }
                Some(error) => parted.left.push(error.clone()),
                None => match above.pop() {
                    Some(group) => std::mem::replace(&mut parted, group).give(&mut parted),
                    None => return (parted.picked.pop(), parted.left.pop()),
                },
            }
        }
    }

    /// Returns what [`split`](Error::split) picks.
    #[doc(alias = "ExceptionGroup.subgroup")]
    pub fn subgroup(&self, wanted: impl Fn(&Error) -> bool) -> Option<Error> {
        self.split_by(&wanted).0
    }
}

/// The errors of a group. Groups may be nested without end, one for each task group, so nothing
/// that goes through them does so by recursion.
pub(super) struct Members(Box<[Error]>);

impl Deref for Members {
    type Target = [Error];

    fn deref(&self) -> &[Error] {
        &self.0
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        let mut last = std::mem::take(&mut self.0).into_vec();
        last.reverse();
        while let Some(Error(error)) = last.pop() {
            if let Some(Kind::Group(mut inner)) = error.and_then(Arc::into_inner) {
                last.extend(std::mem::take(&mut inner.0).into_iter().rev());
            }
        }
    }
}

/// A group that is being parted.
struct Parted<'a> {
    whole: &'a Error,
    rest: slice::Iter<'a, Error>,
    picked: Vec<Error>,
    left: Vec<Error>,
}

impl<'a> Parted<'a> {
    fn new(whole: &'a Error, errors: &'a [Error]) -> Self {
        Parted { whole, rest: errors.iter(), picked: Vec::new(), left: Vec::new() }
    }

    /// Gives both parts to the group that it is a member of.
    fn give(self, above: &mut Parted<'_>) {
        if self.picked.is_empty() {
            above.left.push(self.whole.clone());
            return;
        }
        above.picked.push(Error::group(self.picked));
        if !self.left.is_empty() {
            above.left.push(Error::group(self.left));
        }
    }
}

/// One line: how many, and each; groups inside it in brackets.
pub(super) fn show(errors: &[Error], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut open = vec![begin(errors, f)?];
    while let Some(group) = open.last_mut() {
        let Some((place, error)) = group.next() else {
            open.pop();
            f.write_str(if open.is_empty() { "" } else { ")" })?;
            continue;
        };
        if place > 0 {
            f.write_str("; ")?;
        }
        match error.errors() {
            [] => write!(f, "{error}")?,
            inner => {
                f.write_str("(")?;
                open.push(begin(inner, f)?);
            }
        }
    }
    Ok(())
}

fn begin<'a>(
    errors: &'a [Error],
    f: &mut fmt::Formatter<'_>,
) -> Result<Enumerate<slice::Iter<'a, Error>>, fmt::Error> {
    match errors.len() {
        1 => f.write_str("1 error: ")?,
        number => write!(f, "{number} errors: ")?,
    }
    Ok(errors.iter().enumerate())
}
