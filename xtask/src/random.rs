//! Random bytes of the system, for passwords and ports.

use anyhow::{Result, anyhow};

/// `N` of them.
///
/// # Errors
///
/// When the system has none.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("the system has no random numbers: {error}"))?;
    Ok(bytes)
}
