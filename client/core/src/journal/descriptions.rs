//! What engines say of themselves.

use filemill_seal::Digest;

use super::Journal;
use crate::error::Error;

impl Journal {
    /// The document with this SHA-256, if it is here.
    pub(crate) async fn description(&self, sha256: &Digest) -> Result<Option<String>, Error> {
        sqlx::query_scalar("select document from descriptions where sha256 = $1")
            .bind(sha256.as_bytes().to_vec())
            .fetch_optional(&self.reader)
            .await
            .map_err(|error| self.failed(&error))
    }

    /// Keeps a document, whose SHA-256 this is.
    pub(crate) async fn keep_description(&self, sha256: Digest, document: String) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query("insert or replace into descriptions (sha256, document) values ($1, $2)")
                        .bind(sha256.as_bytes().to_vec())
                        .bind(document)
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .await
    }
}
