//! The one source of randomness.

/// Fills `bytes` from the operating system's generator.
///
/// # Panics
///
/// When the generator fails. It does not on a running system, and nothing safe could be done without it.
pub(crate) fn fill_random(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("the operating system's random generator works");
}
