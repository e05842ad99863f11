//! What the program ends with.

/// What a shell expects of a program that a signal ended.
pub(crate) const EXIT_SIGNAL: u8 = 130;
