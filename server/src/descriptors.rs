//! How many files and sockets the process may have open.

/// What it may have now.
#[cfg(unix)]
pub(crate) fn limit() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

/// What it may have now.
#[cfg(not(unix))]
pub(crate) fn limit() -> usize {
    usize::MAX
}

/// Raises it as far as this process may: systems begin with little, for programs that keep descriptors in bit sets.
#[cfg(unix)]
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::debug!(%error, ?current, ?maximum, "the limit of open files stays");
    }
}

/// Raises it as far as this process may.
#[cfg(not(unix))]
pub fn raise_descriptor_limit() {}
