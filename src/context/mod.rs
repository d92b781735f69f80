//! Context variables: values that go along with a task, and with whatever it starts.
//!
//! A [`ContextVar`] is a key (`variable`); what it is set to stands in a small sorted vector that
//! is shared by everybody who has it and copied by who writes (`values`). A [`Context`] is such a
//! vector as an object that several tasks may use (`shared`). Which one is the present one only
//! tasks know: that, and with it setting and getting, is told in `task::vars`.

mod shared;
mod values;
mod variable;

pub(crate) use shared::Turn;
pub use shared::{AlreadyEntered, Context};
pub(crate) use values::{Value, Vars, next_number};
pub use variable::ContextVar;
