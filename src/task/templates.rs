//! What all tasks have in common that are spawned at one place with one type of future: the
//! functions that know the type, and the place. Each is made once, when the first such task is
//! spawned, and stays: there are as many as a program has places that spawn. So a task needs one
//! word for both.
//!
//! A thread keeps those it has used of late, each where its addresses lead; the list of all comes
//! with a lock, and is asked once for each thread and template, or more often where two are in
//! each other's way.

use std::cell::Cell;
use std::panic::Location;
use std::ptr;

use crate::sys::interned::Interned;
use crate::sys::thread_local;
use crate::task::raw::Vtable;

pub(super) struct Template {
    pub(super) vtable: Vtable,
    pub(super) location: &'static Location<'static>,
    /// Where the table was copied from.
    original: &'static Vtable,
}

/// How many a thread keeps.
const NEAR: usize = 64;

thread_local! {
    static USED: [Cell<Option<&'static Template>>; NEAR] =
        const { [const { Cell::new(None) }; NEAR] };
}

static ALL: Interned<(usize, usize), Template> = Interned::new();

impl Template {
    /// The template of tasks with these functions that are spawned at this place.
    #[inline]
    pub(super) fn of(
        vtable: &'static Vtable,
        location: &'static Location<'static>,
    ) -> &'static Template {
        let (functions, place) = (ptr::from_ref(vtable).addr(), ptr::from_ref(location).addr());
        // Tables and places lie side by side, a few words each.
        let index = ((functions / 64) ^ (place / 8)) % NEAR;
        USED.with(|used| match used[index].get() {
            Some(near) if ptr::eq(near.original, vtable) && ptr::eq(near.location, location) => {
                near
            }
            _ => {
                let template = Template::among_all((functions, place), vtable, location);
                used[index].set(Some(template));
                template
            }
        })
    }

    #[cold]
    fn among_all(
        addresses: (usize, usize),
        vtable: &'static Vtable,
        location: &'static Location<'static>,
    ) -> &'static Template {
        ALL.get_or_make(addresses, || Template { vtable: *vtable, location, original: vtable })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sys::thread;
    use crate::task::raw::Table;

    fn here() -> &'static Location<'static> {
        Location::caller()
    }

    #[test]
    fn each_pair_has_one_template_on_all_threads() {
        let tables =
            [Table::<std::future::Ready<()>>::VTABLE, Table::<std::future::Pending<()>>::VTABLE];
        let places = [Location::caller(), here()];
        let all = move || {
            let mut found = Vec::new();
            for table in tables {
                for place in places {
                    let template = Template::of(table, place);
                    assert!(ptr::eq(template.location, place));
                    assert!(ptr::fn_addr_eq(template.vtable.poll, table.poll));
                    found.push(ptr::from_ref(template).addr());
                }
            }
            found
        };
        let first = all();
        assert_eq!(first, all());
        assert_eq!(first, thread::spawn(all).join().unwrap());
    }
}
