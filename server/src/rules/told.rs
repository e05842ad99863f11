//! What nodes told once, and this database does not have: it was restored, lost its last commits, or is a new one.

use filemill_api::Told;
use filemill_api::limits::MAX_TOLD;

use super::refusal::is_hex;
use super::{Core, Leased};
use crate::store::StoreError;

impl Core {
    /// What a node of the pool is to tell again, if anything.
    pub(super) async fn lacks(&self, pool: &str, node: &str, told: &Told) -> Result<Option<Leased>, StoreError> {
        let mut lacks = Vec::new();
        if let Some(serial) = told.statement
            && !self.store.has_statement(pool, i64::try_from(serial).unwrap_or(i64::MAX)).await?
        {
            lacks.push("statement".to_owned());
        }
        if told.offers > 0 && !self.store.has_offers(pool, node).await? {
            lacks.push("offers".to_owned());
        }
        let descriptions: Vec<_> = told
            .descriptions
            .iter()
            .take(MAX_TOLD)
            .filter(|(digest, sha256)| is_hex(digest, 64) && is_hex(sha256, 64))
            .map(|(digest, sha256)| (digest.as_str(), sha256.as_str()))
            .collect();
        let describe: Vec<_> = if descriptions.is_empty() {
            Vec::new()
        } else {
            self.store.lacking(pool, &descriptions).await?.into_iter().map(|(digest,)| digest).collect()
        };
        if lacks.is_empty() && describe.is_empty() {
            return Ok(None);
        }
        Ok(Some(Leased { uploads: Vec::new(), lease_ms: self.lease_ms(), describe, lacks }))
    }
}
