//! What tasks wait for besides each other.

mod promise;

pub use promise::{InvalidState, Promise};
