//! A context variable: the key under which every context may keep a value of its own.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use super::values::next_number;

/// A variable that has a value of its own in each [`Context`](crate::Context), and so in each task.
///
/// A task begins with a copy of what its spawner sees, and what it sets is seen by itself alone,
/// and by the tasks, callbacks and threads that it starts from then on (CTX-01, CTX-03). Awaiting
/// changes nothing (CTX-04), nor does moving to another worker (CTX-12).
///
/// Mostly it is a static, and [`context_var!`](crate::context_var) declares it. Values are shared,
/// not copied, between contexts; [`get`](ContextVar::get) clones.
///
/// # Examples
///
/// ```
/// filch::context_var! {
///     /// Who asks.
///     static REQUEST: u64 = 0;
/// }
///
/// filch::sim::run(0, async {
///     REQUEST.set(7);
///     let task = filch::spawn(async {
///         assert_eq!(REQUEST.get(), Some(7));
///         REQUEST.set(8);
///     });
///     task.await?;
///     assert_eq!(REQUEST.get(), Some(7));
///     Ok(())
/// })
/// .unwrap();
/// ```
#[doc(alias("contextvars.ContextVar", "task_local"))]
pub struct ContextVar<T> {
    /// 0: not drawn yet.
    number: AtomicU64,
    name: &'static str,
    default: Option<fn() -> T>,
    kind: PhantomData<fn() -> T>,
}

impl<T> ContextVar<T> {
    /// Makes a variable without a default.
    pub const fn new(name: &'static str) -> Self {
        ContextVar { number: AtomicU64::new(0), name, default: None, kind: PhantomData }
    }

    /// Makes a variable that is `default()` wherever it is not set.
    pub const fn with_default(name: &'static str, default: fn() -> T) -> Self {
        let default = Some(default);
        ContextVar { number: AtomicU64::new(0), name, default, kind: PhantomData }
    }

    /// Returns its name, for people.
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn default(&self) -> Option<T> {
        self.default.map(|default| default())
    }

    /// What tells it from all others.
    pub(crate) fn number(&self) -> u64 {
        let known = self.number.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        let drawn = next_number();
        let (won, lost) = (Ordering::Relaxed, Ordering::Relaxed);
        self.number.compare_exchange(0, drawn, won, lost).map_or_else(|known| known, |_| drawn)
    }
}

impl<T> fmt::Debug for ContextVar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextVar").field("name", &self.name).finish()
    }
}

/// Declares [context variables](crate::ContextVar), each with a default or without.
///
/// # Examples
///
/// ```
/// filch::context_var! {
///     /// Unset until somebody sets it.
///     pub static USER: String;
///     /// Three, until somebody sets it.
///     static RETRIES: u32 = 3;
/// }
///
/// assert_eq!(USER.get(), None);
/// assert_eq!(RETRIES.get(), Some(3));
/// ```
#[macro_export]
#[doc(alias = "task_local")]
macro_rules! context_var {
    ($($(#[$meta:meta])* $vis:vis static $name:ident: $type:ty $(= $default:expr)?;)*) => {$(
        $(#[$meta])*
        $vis static $name: $crate::ContextVar<$type> =
            $crate::context_var!(@make $name $(, $default)?);
    )*};
    (@make $name:ident) => {
        $crate::ContextVar::new(stringify!($name))
    };
    (@make $name:ident, $default:expr) => {
        $crate::ContextVar::with_default(stringify!($name), || $default)
    };
}
