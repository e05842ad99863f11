//! Random numbers, which tell one life of a database from another.

use crate::store::StoreError;

/// So many numbers from 1 to 2^63 - 1.
pub(crate) fn numbers(count: usize) -> Result<Vec<i64>, StoreError> {
    let mut bytes = vec![0; count * 8];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| sqlx::Error::Protocol("the operating system gave no random bytes".to_owned()))?;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | i64::from(*byte));
    Ok(bytes.chunks(8).map(|bytes| (number(bytes) & i64::MAX).max(1)).collect())
}
