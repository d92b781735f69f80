//! How many descriptors this process may open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to `needed`, if it is lower and the system allows it.
pub(crate) fn allow_descriptors(needed: u64) -> filch::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if maximum.is_some_and(|maximum| maximum < needed) {
        let text = format!("{needed} descriptors are needed, {} allowed", maximum.unwrap_or(0));
        return Err(filch::Error::msg(text));
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })?)
}
