//! How the domains ask the database again, and how they tell it times.

use std::time::Duration;

use crate::store::StoreError;

/// Milliseconds, as the store counts them.
pub(crate) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

/// Runs `work` again while it meets a conflict between transactions.
pub(crate) async fn retried<T, F>(mut work: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut attempts = 0;
    loop {
        match work().await {
            Err(error) if error.is_transient() && attempts < 3 => attempts += 1,
            done => return done,
        }
    }
}
