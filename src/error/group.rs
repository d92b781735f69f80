//! Several errors in one: what a task group ends with when more than one thing may have failed.
//!
//! A group of errors is an [`Error`] like any other, with others inside it, which may be groups
//! themselves. A cancellation is never a member of what a task group makes (TG-04).

use std::fmt;

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
        Error::of(Kind::Group(errors))
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
        if wanted(self) {
            return (Some(self.clone()), None);
        }
        let (mut picked, mut left) = (Vec::new(), Vec::new());
        for error in self.errors() {
            let (yes, no) = error.split_by(wanted);
            picked.extend(yes);
            left.extend(no);
        }
        if picked.is_empty() {
            return (None, Some(self.clone()));
        }
        let group = |errors: Vec<Error>| (!errors.is_empty()).then(|| Error::group(errors));
        (group(picked), group(left))
    }

    /// Returns what [`split`](Error::split) picks.
    #[doc(alias = "ExceptionGroup.subgroup")]
    pub fn subgroup(&self, wanted: impl Fn(&Error) -> bool) -> Option<Error> {
        self.split_by(&wanted).0
    }
}

/// One line: how many, and each; groups inside it in brackets.
pub(super) fn show(errors: &[Error], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match errors.len() {
        1 => f.write_str("1 error: ")?,
        number => write!(f, "{number} errors: ")?,
    }
    for (place, error) in errors.iter().enumerate() {
        if place > 0 {
            f.write_str("; ")?;
        }
        match error.is_group() {
            true => write!(f, "({error})")?,
            false => write!(f, "{error}")?,
        }
    }
    Ok(())
}
