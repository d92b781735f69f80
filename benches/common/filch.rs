//! filch: until it runs on threads, tokio's current answers stand in.
pub(crate) type Filch = super::Tokio;
