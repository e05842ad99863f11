//! What this home is told apart by.

use super::Journal;
use crate::error::Error;

impl Journal {
    /// What this home was given once, 32 hex digits; `None` if the journal has lost it.
    pub(crate) async fn device_seed(&self) -> Result<Option<String>, Error> {
        let seed: Option<String> = sqlx::query_scalar("select seed from device limit 1")
            .fetch_optional(&self.reader)
            .await
            .map_err(|error| self.failed(&error))?;
        let is_seed = |seed: &String| seed.len() == 32 && seed.bytes().all(|byte| byte.is_ascii_hexdigit());
        Ok(seed.filter(is_seed))
    }
}
