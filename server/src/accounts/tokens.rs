//! Tokens: 32 random bytes, of which the server keeps the SHA-256.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use filemill_api::{ErrorBody, ErrorCode};

use super::handle::Accounts;
use super::types::{Caller, NewToken, Scope, TokenSummary};
use crate::digest::sha256;
use crate::refusal::{bad_request, from_store, is_name, shown};
use crate::store::{StoreError, Tx};

/// How long a caller is remembered: a revoked token works no longer than this.
const REMEMBERED: Duration = Duration::from_secs(2);
/// How long it is known after that whose a token was: it is looked up again, though not among strangers.
const KNOWN: Duration = Duration::from_secs(600);
/// How many callers are remembered.
const MOST_REMEMBERED: usize = 10_000;

/// What became of what was given along with a token that was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// One-time codes that nobody had redeemed: they were taken back.
    pub codes: u64,
    /// Tokens of those that somebody had: they are still valid.
    pub tokens: Vec<i64>,
}

/// By what the server knows a token: its SHA-256, which is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// That of a token's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(sha256(text.as_bytes()))
    }
}

impl Caller {
    /// Succeeds when the token has one of these scopes.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn require(&self, scopes: &[Scope]) -> Result<(), ErrorBody> {
        if scopes.contains(&self.scope) {
            return Ok(());
        }
        let wanted: Vec<_> = scopes.iter().map(|scope| format!("`{scope}`")).collect();
        Err(ErrorBody {
            code: ErrorCode::Forbidden,
            message: format!("a token of scope `{}` may not do this", self.scope),
            hint: Some(format!("use a token of scope {}", wanted.join(" or "))),
        })
    }

    /// The pool that the caller's processor speaks for.
    ///
    /// # Errors
    /// `forbidden`: the token is no processor's.
    pub fn processor_pool(&self) -> Result<&str, ErrorBody> {
        self.require(&[Scope::Processor])?;
        self.pool.as_deref().ok_or_else(|| ErrorBody {
            code: ErrorCode::Forbidden,
            message: "the token is for no pool".to_owned(),
            hint: Some("make another with `filemill-server token create --scope processor --pool NAME`".to_owned()),
        })
    }
}

impl Accounts {
    /// Makes a token for a member of an organisation, each of which is made when it is new. A processor's is for one pool, which
    /// need not exist yet; one that is new serves the token's organisation until its operator says otherwise.
    ///
    /// # Errors
    /// `bad_request`: a name is not 1 to 64 characters of `[A-Za-z0-9._-]`; a processor has no pool, or somebody else has one.
    pub async fn create_token(
        &self,
        organisation: &str,
        member: &str,
        scope: Scope,
        pool: Option<&str>,
    ) -> Result<NewToken, ErrorBody> {
        Self::check_token(organisation, member, scope, pool)?;
        let mut secret = [0_u8; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| ErrorBody {
            code: ErrorCode::Internal,
            message: "the operating system gave no random bytes".to_owned(),
            hint: None,
        })?;
        let text = token_text(scope, &secret);
        let hash = sha256(text.as_bytes());
        let made = async {
            let mut tx = self.store.begin().await?;
            let id = add_token(&mut tx, (organisation, member), scope.name(), (pool, false), &hash).await?;
            tx.commit().await?;
            Ok::<_, StoreError>(id)
        };
        let id = made.await.map_err(|error| from_store("create token", &error))?;
        Ok(NewToken { id, text })
    }

    /// Succeeds when a token may be made for these.
    ///
    /// # Errors
    /// As those of [`Self::create_token`], but for the database's.
    pub fn check_token(organisation: &str, member: &str, scope: Scope, pool: Option<&str>) -> Result<(), ErrorBody> {
        match (scope, pool) {
            (Scope::Processor, None) => {
                return Err(ErrorBody {
                    hint: Some("name the pool that the processor has the keys of (`--pool NAME`)".to_owned()),
                    ..bad_request("a token of scope `processor` is for one pool")
                });
            }
            (Scope::User | Scope::Operator, Some(_)) => {
                return Err(ErrorBody {
                    hint: Some("leave `--pool` out".to_owned()),
                    ..bad_request(format!("a token of scope `{scope}` is for no pool"))
                });
            }
            _ => {}
        }
        for (what, name) in [("organisation", Some(organisation)), ("member", Some(member)), ("pool", pool)] {
            if let Some(name) = name.filter(|name| !is_name(name)) {
                return Err(bad_request(format!(
                    "{what} `{}` is not 1 to 64 characters of [A-Za-z0-9._-]",
                    shown(name)
                )));
            }
        }
        Ok(())
    }

    /// Revokes a token, everywhere within two seconds, and with it a one-time code that came along with it and that nobody has
    /// redeemed. None: there is no such token, or it was revoked before.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn revoke_token(&self, id: i64) -> Result<Option<Revoked>, ErrorBody> {
        let revoked = async {
            let mut tx = self.store.begin().await?;
            if !tx.revoke_token(id).await? {
                return Ok(None);
            }
            let codes = tx.delete_codes_beside(id).await?;
            let tokens = tx.tokens_beside(id).await?;
            tx.commit().await?;
            Ok::<_, StoreError>(Some(Revoked { codes, tokens }))
        };
        let revoked = revoked.await.map_err(|error| from_store("revoke token", &error))?;
        self.callers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(revoked)
    }

    /// Every token, oldest first; their texts are known to nobody.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn tokens(&self) -> Result<Vec<TokenSummary>, ErrorBody> {
        let rows = self.store.tokens().await.map_err(|error| from_store("list tokens", &error))?;
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                Some(TokenSummary {
                    id: row.id,
                    organisation: row.organisation,
                    member: row.member,
                    scope: Scope::from_name(&row.scope)?,
                    pool: row.pool,
                    created_at_ms: row.created_at,
                    revoked_at_ms: row.revoked_at,
                })
            })
            .collect())
    }

    /// Whom a token stood for when that was asked last, and whether that was a moment ago: otherwise it may have been revoked since.
    #[must_use]
    pub fn remembered(&self, text: &str) -> Option<(Caller, bool)> {
        let callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let (caller, since) = callers.get(&sha256(text.as_bytes()))?;
        let age = since.elapsed();
        (age < KNOWN).then(|| (caller.clone(), age < REMEMBERED))
    }

    /// Whom a token stands for.
    ///
    /// # Errors
    /// `unauthenticated`: there is no such token, or it was revoked.
    pub async fn authenticate(&self, text: &str) -> Result<Caller, ErrorBody> {
        self.caller_of(TokenHash::of(text)).await
    }

    /// Whom the token with this hash stands for; by what was found out within the last two seconds, if it was.
    ///
    /// # Errors
    /// As those of [`Self::authenticate`].
    pub async fn caller_of(&self, token: TokenHash) -> Result<Caller, ErrorBody> {
        let hash = token.0;
        let callers = &self.callers;
        {
            let callers = callers.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((caller, since)) = callers.get(&hash)
                && since.elapsed() < REMEMBERED
            {
                return Ok(caller.clone());
            }
        }
        let row = self.store.caller(&hash).await.map_err(|error| from_store("authenticate", &error))?;
        let caller = row.and_then(|row| {
            Some(Caller {
                organisation: row.organisation,
                organisation_name: row.organisation_name,
                member: row.member,
                member_name: row.member_name,
                scope: Scope::from_name(&row.scope)?,
                pool: row.pool,
            })
        });
        let Some(caller) = caller else {
            callers.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash);
            return Err(ErrorBody {
                code: ErrorCode::Unauthenticated,
                message: "the token is unknown or revoked".to_owned(),
                hint: Some(
                    "ask the operator for another one-time code (`filemill-server join-code create`), or another token \
                     (`filemill-server token create`)"
                        .to_owned(),
                ),
            });
        };
        let mut callers = callers.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= MOST_REMEMBERED {
            callers.retain(|_, (_, since)| since.elapsed() < KNOWN);
        }
        if callers.len() >= MOST_REMEMBERED {
            callers.clear();
        }
        callers.insert(hash, (caller.clone(), Instant::now()));
        Ok(caller)
    }
}

/// The text of a token, of 32 random bytes.
pub(super) fn token_text(scope: Scope, secret: &[u8]) -> String {
    let letter = match scope {
        Scope::User => 'u',
        Scope::Processor => 'p',
        Scope::Operator => 'o',
    };
    format!("fm_{letter}_{}", HEXLOWER.encode(secret))
}

/// Adds a token with this hash for a member of an organisation, each of which is made when it is new. A processor's pool that is new
/// serves everyone, or that organisation.
pub(super) async fn add_token(
    tx: &mut Tx,
    (organisation, member): (&str, &str),
    scope: &str,
    (pool, everyone): (Option<&str>, bool),
    hash: &[u8],
) -> Result<i64, StoreError> {
    let everyone = match pool {
        Some(pool) if everyone => !tx.knows_pool(pool).await?,
        _ => false,
    };
    let organisation = tx.ensure_organisation(organisation).await?;
    let member = tx.ensure_member(organisation, member).await?;
    let id = tx.insert_token(member, scope, pool, hash).await?;
    if let Some(pool) = pool
        && tx.begin_service(pool, everyone).await?
        && !everyone
    {
        tx.serve_owners(pool).await?;
    }
    Ok(id)
}
