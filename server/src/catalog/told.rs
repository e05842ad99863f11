//! What nodes told once, and this database does not have: it was restored, lost its last commits, or is a new one.

use filemill_api::Told;
use filemill_api::limits::MAX_TOLD;

use super::handle::Catalog;
use crate::refusal::is_hex;
use crate::store::StoreError;

/// Keeps what is looked at of it, and nothing else that was sent, for as long as its node waits.
pub(crate) fn shorten(mut told: Told) -> Told {
    told.descriptions.truncate(MAX_TOLD);
    told.descriptions.retain(|(digest, sha256)| is_hex(digest, 64) && is_hex(sha256, 64));
    told.descriptions.shrink_to_fit();
    told
}

/// What a node is to tell again.
pub(crate) struct Lacks {
    /// Digests of releases that it is to describe.
    pub(crate) describe: Vec<String>,
    /// What else it told once.
    pub(crate) told: Vec<String>,
}

impl Catalog {
    /// What a node of the pool is to tell again, if anything, of what was shortened.
    pub(crate) async fn lacks(&self, pool: &str, node: &str, told: &Told) -> Result<Option<Lacks>, StoreError> {
        let mut lacks = Vec::new();
        if let Some(serial) = told.statement
            && !self.core.store.has_statement(pool, i64::try_from(serial).unwrap_or(i64::MAX)).await?
        {
            lacks.push("statement".to_owned());
        }
        if told.offers > 0 && !self.core.store.has_offers(pool, node).await? {
            lacks.push("offers".to_owned());
        }
        let descriptions: Vec<_> =
            told.descriptions.iter().map(|(digest, sha256)| (digest.as_str(), sha256.as_str())).collect();
        let describe: Vec<_> = if descriptions.is_empty() {
            Vec::new()
        } else {
            self.core.store.lacking(pool, &descriptions).await?.into_iter().map(|(digest,)| digest).collect()
        };
        if lacks.is_empty() && describe.is_empty() {
            return Ok(None);
        }
        Ok(Some(Lacks { describe, told: lacks }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_of_what_is_not_looked_at() {
        let (good, long) = ("a".repeat(64), "b".repeat(10_000));
        let mut descriptions = vec![(good.clone(), good.clone()), (good.clone(), long), (String::new(), good)];
        descriptions.resize(20_000, (String::new(), String::new()));
        let told = shorten(Told { descriptions, ..Told::default() });
        assert_eq!(told.descriptions.len(), 1);
        assert!(told.descriptions.capacity() <= MAX_TOLD);
    }
}
