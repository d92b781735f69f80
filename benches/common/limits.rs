//! How many sockets this process may have.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors that are no sockets of a workload.
const OTHERS: usize = 500;

/// How many connections fit with both ends in this process, once the limit is as high as it may be.
pub(crate) fn most_connections() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Who may not raise it keeps what there is.
    let _ = setrlimit(Resource::Nofile, limit);
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(OTHERS) / 2
}
