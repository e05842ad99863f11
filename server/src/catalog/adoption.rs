//! Which release of an engine organisations use: what each has adopted, and what is used by those that have adopted none.

use filemill_api::ErrorBody;

use super::handle::Catalog;
use crate::refusal::{bad_request, from_store, is_hex, is_name, not_found, shown};
use crate::store::catalog::ReleaseRow;
use crate::store::{StoreError, Tx};

/// Adds a release. It becomes what is used by whoever has adopted none of its engine's, unless what they use has a higher version:
/// that would take an engine back by a slip. False: it was added before.
pub(super) async fn choose_default(tx: &mut Tx, release: &ReleaseRow) -> Result<bool, StoreError> {
    let before = default_of(tx, &release.engine).await?;
    let new = tx.insert_release(release).await?;
    if new {
        let stays = before.filter(|before| is_lower(&release.version, &before.version));
        tx.set_default(&release.engine, stays.as_ref().map(|stays| stays.digest.as_str())).await?;
    }
    Ok(new)
}

/// What is used by those that have adopted no release of the engine.
async fn default_of(tx: &mut Tx, engine: &str) -> Result<Option<ReleaseRow>, StoreError> {
    let (releases, chosen) = (tx.releases_of(engine).await?, tx.default_of(engine).await?);
    let place = releases.iter().position(|release| Some(&release.digest) == chosen.as_ref()).unwrap_or(0);
    Ok(releases.into_iter().nth(place))
}

/// Whether the first is a lower version than the second. Of what is no version nobody knows.
fn is_lower(one: &str, other: &str) -> bool {
    match (semver::Version::parse(one), semver::Version::parse(other)) {
        (Ok(one), Ok(other)) => one.cmp_precedence(&other).is_lt(),
        _ => false,
    }
}

impl Catalog {
    /// Makes an organisation use a release of an engine, by name and version, from now on; without an organisation: all that have
    /// adopted none, those too that are made later, until a version is published that is not lower. Of several builds of one
    /// version it is the one published last. Gives its digest.
    ///
    /// # Errors
    /// `not_found`: there is no such release, or no such organisation.
    pub async fn use_release(
        &self,
        engine: &str,
        version: &str,
        organisation: Option<&str>,
    ) -> Result<String, ErrorBody> {
        let used = async {
            let mut tx = self.core.store.begin().await?;
            let releases = tx.releases_of(engine).await?;
            let Some(release) = releases.into_iter().find(|release| release.version == version) else {
                return Ok(Err(not_found(
                    format!("there is no release `{}` `{}`", shown(engine), shown(version)),
                    "`filemill-server release list` names them",
                )));
            };
            match organisation {
                None => tx.set_default(engine, Some(&release.digest)).await?,
                Some(name) => match tx.organisation(name).await? {
                    Some(organisation) => tx.adopt(organisation, engine, &release.digest).await?,
                    None => {
                        return Ok(Err(not_found(
                            format!("there is no organisation `{}`", shown(name)),
                            "make a token for one of its members first",
                        )));
                    }
                },
            }
            tx.commit().await?;
            Ok::<_, StoreError>(Ok(release.digest))
        };
        used.await.map_err(|error| from_store("use release", &error))?
    }

    /// Makes an organisation, which is made when it is new, use this release of its engine from now on.
    ///
    /// # Errors
    /// `bad_request`, `not_found`.
    pub async fn adopt(&self, organisation: &str, digest: &str) -> Result<(), ErrorBody> {
        if !is_name(organisation) {
            return Err(bad_request(format!("organisation `{}` is not a name", shown(organisation))));
        }
        let adopted = async {
            if !is_hex(digest, 64) {
                return Ok(false);
            }
            let mut tx = self.core.store.begin().await?;
            let Some(release) = tx.release(digest).await? else {
                return Ok(false);
            };
            let organisation = tx.ensure_organisation(organisation).await?;
            tx.adopt(organisation, &release.engine, digest).await?;
            tx.commit().await?;
            Ok::<_, StoreError>(true)
        };
        if adopted.await.map_err(|error| from_store("adopt release", &error))? {
            return Ok(());
        }
        Err(not_found(format!("there is no release `{}`", shown(digest)), "add it first"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_lower_by_its_numbers_and_what_is_no_version_is_not() {
        assert!(is_lower("0.9.0", "0.10.0") && is_lower("1.0.0-rc.1", "1.0.0"));
        for (one, other) in [("0.10.0", "0.9.0"), ("1.0.0", "1.0.0"), ("1.0.0+a", "1.0.0+b"), ("new", "2.0.0")] {
            assert!(!is_lower(one, other), "{one}, {other}");
        }
    }
}
