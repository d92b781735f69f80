//! The texts of a queue's errors.

use std::fmt;

use crate::sync::queue::{DoneTooOften, PutError, TryGetError, TryPutError};

const SHUT_DOWN: &str = "queue is shut down";

impl fmt::Display for DoneTooOften {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("more items were reported as done than had been put")
    }
}

impl std::error::Error for DoneTooOften {}

impl<T> PutError<T> {
    /// Returns the item that was not taken.
    pub fn into_item(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PutError(..)")
    }
}

impl<T> fmt::Display for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHUT_DOWN)
    }
}

impl<T> std::error::Error for PutError<T> {}

impl<T> TryPutError<T> {
    /// Returns the item that was not taken.
    pub fn into_item(self) -> T {
        match self {
            TryPutError::Full(item) | TryPutError::Shutdown(item) => item,
        }
    }

    /// Returns whether there was no room.
    pub fn is_full(&self) -> bool {
        matches!(self, TryPutError::Full(_))
    }
}

impl<T> fmt::Debug for TryPutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() { "Full(..)" } else { "Shutdown(..)" })
    }
}

impl<T> fmt::Display for TryPutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() { "queue is full" } else { SHUT_DOWN })
    }
}

impl<T> std::error::Error for TryPutError<T> {}

impl fmt::Display for TryGetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryGetError::Empty => "queue is empty",
            TryGetError::Shutdown => SHUT_DOWN,
        })
    }
}

impl std::error::Error for TryGetError {}
