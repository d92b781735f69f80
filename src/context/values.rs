//! The values of a context: one word, a sorted vector behind it, copied by who writes.
//!
//! Programs have few variables, and set them seldom: for those a vector beats every tree. A task
//! for which nothing was ever set has a null pointer, and copying that is all that a spawn does.
//!
//! Changing never drops a value: who changes gets the former one, to drop it where foreign code
//! may run.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::shared::Context;

/// What a variable is set to.
pub(crate) type Value = Arc<dyn Any + Send + Sync>;

/// Draws a number that no other variable, and no other place where values stand, has.
pub(crate) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A task's, a callback's or a thread's values, or the context that it shares with others.
#[derive(Clone, Default)]
pub(crate) struct Vars(Option<Arc<Kept>>);

enum Kept {
    /// Sorted by variable.
    Own(Vec<(u64, Value)>),
    Shared(Context),
}

impl Vars {
    pub(crate) const EMPTY: Vars = Vars(None);

    /// Uses a context as it is, along with others.
    pub(crate) fn shared(context: Context) -> Self {
        Vars(Some(Arc::new(Kept::Shared(context))))
    }

    /// Nothing was ever set: dropping it does nothing.
    #[inline]
    pub(crate) fn is_unset(&self) -> bool {
        self.0.is_none()
    }

    /// The context that is used along with others, if it is so.
    #[inline]
    pub(crate) fn as_shared(&self) -> Option<&Context> {
        match self.0.as_deref()? {
            Kept::Shared(context) => Some(context),
            Kept::Own(_) => None,
        }
    }

    /// Takes a copy that nobody else changes (CTX-06).
    #[inline]
    pub(crate) fn copy(&self) -> Vars {
        match self.as_shared() {
            Some(context) => context.vars(),
            None => self.clone(),
        }
    }

    /// The shared context, or one made of these values.
    pub(crate) fn into_context(self) -> Context {
        match self.as_shared() {
            Some(context) => context.clone(),
            None => Context::of(self),
        }
    }

    pub(crate) fn get(&self, variable: u64) -> Option<Value> {
        match self.0.as_deref()? {
            Kept::Own(values) => {
                let place = values.binary_search_by_key(&variable, |(key, _)| *key).ok()?;
                Some(values[place].1.clone())
            }
            Kept::Shared(context) => context.vars().get(variable),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self.0.as_deref() {
            None => 0,
            Some(Kept::Own(values)) => values.len(),
            Some(Kept::Shared(context)) => context.vars().len(),
        }
    }

    /// As these, but for one variable; and what that was set to. Not for shared ones.
    pub(super) fn changed(&self, variable: u64, value: Option<Value>) -> (Vars, Option<Value>) {
        let mut values = match self.0.as_deref() {
            Some(Kept::Own(values)) => values.clone(),
            _ => Vec::new(),
        };
        let place = values.binary_search_by_key(&variable, |(key, _)| *key);
        let former = match (place, value) {
            (Ok(place), Some(value)) => Some(std::mem::replace(&mut values[place].1, value)),
            (Ok(place), None) => Some(values.remove(place).1),
            (Err(place), Some(value)) => {
                values.insert(place, (variable, value));
                None
            }
            (Err(_), None) => None,
        };
        let kept = (!values.is_empty()).then(|| Arc::new(Kept::Own(values)));
        (Vars(kept), former)
    }

    /// Sets or unsets a variable through `put`, which exchanges what it is given for these values;
    /// or in the shared context. Gives what the variable was set to.
    pub(crate) fn set(
        &self,
        variable: u64,
        value: Option<Value>,
        put: impl FnOnce(Vars) -> Vars,
    ) -> Option<Value> {
        if let Some(context) = self.as_shared() {
            return context.set(variable, value);
        }
        let (changed, former) = self.changed(variable, value);
        // What these values hold stays alive in the changed ones and in `former`.
        drop(put(changed));
        former
    }
}

impl fmt::Debug for Vars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vars").field("variables", &self.len()).finish()
    }
}
