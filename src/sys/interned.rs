//! Things that are made once, and stay: the same key leads to the same thing, for everybody.
//!
//! The same in all builds, for no order between threads comes from it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What has been made so far.
pub(crate) struct Interned<K, V: 'static>(Mutex<BTreeMap<K, &'static V>>);

impl<K: Ord, V> Interned<K, V> {
    pub(crate) const fn new() -> Self {
        Interned(Mutex::new(BTreeMap::new()))
    }

    /// The thing of this key, which is made if there is none.
    pub(crate) fn get_or_make(&self, key: K, make: impl FnOnce() -> V) -> &'static V {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry(key).or_insert_with(|| Box::leak(Box::new(make())))
    }
}
