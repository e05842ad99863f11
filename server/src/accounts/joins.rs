//! One-time codes. A code may stand in a command line, a token may not: whoever redeems a code first is given the token that it grants,
//! and nobody else ever is.
//!
//! The redeemer brings random bytes of its own, and token and login code are made of these and the code. So an answer that was lost is
//! given again to the one who asks with the same bytes, and the database needs to hold neither.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use filemill_api::limits::{JOIN_CODE_SECONDS, MAX_JOIN_CODES};
use filemill_api::{
    ErrorBody, ErrorCode, JOIN_CODE_CHARACTERS, JoinAnswer, JoinRequest, LoginCode, join_code, join_code_of,
    shown_join_code,
};

use super::handle::Accounts;
use super::tokens::{add_token, token_text};
use super::types::Scope;
use crate::digest::sha256;
use crate::refusal::{bad_request, check_pool, conflict, from_store, is_hex, is_name, not_found, over_quota, shown};
use crate::retry::retried;
use crate::store::StoreError;
use crate::store::accounts::{JoinCodeRow, ListedJoinCode, NewJoinCode};

/// How long a code is good, in milliseconds.
const LIFETIME_MS: i64 = JOIN_CODE_SECONDS as i64 * 1000;
/// How long a code that is not good any more is remembered, so that whoever shows it is told why.
const REMEMBERED_MS: i64 = 24 * 3600 * 1000;
/// What tokens and login codes are made with, before the code.
const TOKEN_CONTEXT: &[u8] = b"filemill/1 join token";
const LOGIN_CONTEXT: &[u8] = b"filemill/1 join login";
/// What to do about a code that is good for nothing.
const ANOTHER: &str = "ask for another code (`filemill-server join-code create`)";

/// What a code grants: one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGrant {
    /// Name of the organisation; made when the code is redeemed, if it is new.
    pub organisation: String,
    /// Name of the user or node; made likewise.
    pub member: String,
    /// What the token may do: that of a user or of a processor.
    pub scope: Scope,
    /// The pool that a processor's token is for.
    pub pool: Option<String>,
    /// Whether that pool serves everyone, if it is new when the code is redeemed; otherwise it serves the organisation.
    pub everyone: bool,
    /// A user of the same organisation, for whom the processor is given a code to hand on.
    pub login: Option<String>,
}

/// A code at its making: the only time its text is known.
#[derive(Clone, PartialEq, Eq)]
pub struct NewCode {
    /// Names it for taking it back.
    pub id: i64,
    /// The code as it is shown.
    pub text: String,
}

/// A code as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinCodeSummary {
    /// Names it for taking it back.
    pub id: i64,
    /// Name of the organisation.
    pub organisation: String,
    /// Name of the user or node.
    pub member: String,
    /// What its token may do.
    pub scope: Scope,
    /// The pool that a processor's is for.
    pub pool: Option<String>,
    /// What has become of it.
    pub state: JoinCodeState,
}

/// What has become of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinCodeState {
    /// It is good for so many seconds more.
    Good(i64),
    /// It has given its token.
    Used,
    /// Nobody has redeemed it in time.
    Expired,
}

/// A code that may be redeemed, or was.
enum Found {
    /// It is good.
    Good(JoinCodeRow),
    /// This redeemer has redeemed it.
    Given(JoinCodeRow),
}

impl std::fmt::Debug for NewCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewCode").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Accounts {
    /// Makes a code that is good for ten minutes by the database's clock.
    ///
    /// # Errors
    /// `bad_request`: a name is not 1 to 64 characters of `[A-Za-z0-9._-]`, a processor has no pool, or somebody else has one, the scope is
    /// an operator's, or a user's code has a login; `over_quota`: [`MAX_JOIN_CODES`] are good already.
    pub async fn create_join_code(&self, grant: &JoinGrant) -> Result<NewCode, ErrorBody> {
        grant.check()?;
        let mut random = [0; JOIN_CODE_CHARACTERS];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| ErrorBody {
            code: ErrorCode::Internal,
            message: "the operating system gave no random bytes".to_owned(),
            hint: None,
        })?;
        let code = join_code_of(&random);
        let hash = sha256(code.as_bytes());
        let made = retried(|| async {
            let mut tx = self.store.begin().await?;
            tx.forget_join_codes(REMEMBERED_MS, LIFETIME_MS).await?;
            if tx.good_join_codes(LIFETIME_MS).await? >= MAX_JOIN_CODES as i64 {
                return Ok(None);
            }
            let id = tx.insert_join_code(&grant.row(&hash)).await?;
            tx.commit().await?;
            Ok::<_, StoreError>(Some(id))
        });
        let id = made.await.map_err(|error| from_store("create join code", &error))?.ok_or_else(|| ErrorBody {
            hint: Some(
                "wait until one of them is over, or take one back (`filemill-server join-code revoke`)".to_owned(),
            ),
            ..over_quota(format!("{MAX_JOIN_CODES} one-time codes are good already, which is the most"))
        })?;
        Ok(NewCode { id, text: shown_join_code(&code) })
    }

    /// Gives the token that a code grants to whoever shows it first, and again to the same redeemer for ten minutes.
    ///
    /// # Errors
    /// `bad_request`: the request is malformed; `not_found`: there is no such code, or it is over; `conflict`: another has used it, its token
    /// was revoked, or it is for another scope or another pool: then it stays good.
    pub async fn redeem_join_code(&self, request: &JoinRequest) -> Result<JoinAnswer, ErrorBody> {
        let code = join_code(&request.code).ok_or_else(|| ErrorBody {
            hint: Some("it has 28 letters and digits, in groups of four with hyphens between them".to_owned()),
            ..bad_request("that is not a one-time code")
        })?;
        let mut secret = [0; 32];
        if !is_hex(&request.redeemer, 64) || HEXLOWER.decode_mut(request.redeemer.as_bytes(), &mut secret).is_err() {
            return Err(bad_request("`redeemer` is not 64 lower-case hex characters"));
        }
        check_pool(request.pool.as_deref())?;
        let redeemer = Redeemer { hash: sha256(&secret), key: hmac::Key::new(hmac::HMAC_SHA256, &secret), code };
        // Twice, where another redeemer comes in between.
        for _ in 0..2 {
            match self.found(&redeemer, request).await? {
                Found::Given(row) => return Ok(redeemer.answer(row)),
                Found::Good(row) => {
                    let redeemed = retried(|| self.give(&redeemer, &row)).await;
                    if let Some(token) = redeemed.map_err(|error| from_store("redeem join code", &error))? {
                        tracing::info!(
                            organisation = row.organisation,
                            member = row.member,
                            scope = row.scope,
                            pool = row.pool,
                            token,
                            "a one-time code was redeemed"
                        );
                        return Ok(redeemer.answer(row));
                    }
                }
            }
        }
        Err(used())
    }

    /// Looks the code up. This is all that a wrong one costs.
    async fn found(&self, redeemer: &Redeemer, request: &JoinRequest) -> Result<Found, ErrorBody> {
        let row = self.store.join_code(&sha256(redeemer.code.as_bytes())).await;
        let row = row.map_err(|error| from_store("look up join code", &error))?;
        let row = row.ok_or_else(|| not_found("there is no such one-time code", ANOTHER))?;
        if let (Some(by), Some(redeemed_ms)) = (&row.redeemer, row.redeemed_ms) {
            if *by != redeemer.hash || !(0..LIFETIME_MS).contains(&redeemed_ms) {
                return Err(used());
            }
            if row.is_revoked {
                return Err(conflict("the token that this one-time code gave was revoked", ANOTHER));
            }
            return Ok(Found::Given(row));
        }
        if !(1..=LIFETIME_MS).contains(&row.left_ms) {
            return Err(not_found("the one-time code has expired", ANOTHER));
        }
        // Whoever knows the code may know what it is for, and has slipped.
        if row.scope != request.scope {
            return Err(conflict(
                format!("the one-time code is for a {}, not for a {}", row.scope, shown(&request.scope)),
                "a processor's is for `filemill-processor join`, a user's for `filemill login`; this one is still good",
            ));
        }
        if let (Some(own), Some(pool)) = (&request.pool, &row.pool)
            && own != pool
        {
            return Err(conflict(
                format!("the one-time code is for pool `{pool}`, and this processor has the keys of pool `{own}`"),
                "give the processor another folder (`--dir`), or make a code with `--pool`; this one is still good",
            ));
        }
        Ok(Found::Good(row))
    }

    /// Makes the code this redeemer's, and its token. Nothing: another was first, or it has just expired.
    async fn give(&self, redeemer: &Redeemer, row: &JoinCodeRow) -> Result<Option<i64>, StoreError> {
        let mut tx = self.store.begin().await?;
        if !tx.redeem_join_code(row.id, &redeemer.hash, LIFETIME_MS).await? {
            return Ok(None);
        }
        let hash = sha256(redeemer.token(row).as_bytes());
        let token = add_token(
            &mut tx,
            (&row.organisation, &row.member),
            &row.scope,
            (row.pool.as_deref(), row.everyone),
            &hash,
        )
        .await?;
        tx.set_join_code_token(row.id, token).await?;
        if let Some(login) = &row.login {
            let hash = sha256(redeemer.login_code().as_bytes());
            let grant = NewJoinCode {
                hash: &hash,
                organisation: &row.organisation,
                member: login,
                scope: Scope::User.name(),
                pool: None,
                everyone: false,
                login: None,
                lifetime_ms: LIFETIME_MS,
                given_by: Some(row.id),
            };
            tx.insert_join_code(&grant).await?;
        }
        tx.commit().await?;
        Ok(Some(token))
    }

    /// Every code that is remembered, oldest first; their texts are known to nobody.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn join_codes(&self) -> Result<Vec<JoinCodeSummary>, ErrorBody> {
        let rows = self.store.join_codes().await.map_err(|error| from_store("list join codes", &error))?;
        let summary = |row: ListedJoinCode| {
            let state = match row.left_ms {
                _ if row.is_redeemed => JoinCodeState::Used,
                left if (1..=LIFETIME_MS).contains(&left) => JoinCodeState::Good((left + 999) / 1000),
                _ => JoinCodeState::Expired,
            };
            let scope = Scope::from_name(&row.scope)?;
            let (organisation, member, pool) = (row.organisation, row.member, row.pool);
            Some(JoinCodeSummary { id: row.id, organisation, member, scope, pool, state })
        };
        Ok(rows.into_iter().filter_map(summary).collect())
    }

    /// Takes a code back that nobody has redeemed. False: there is none.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn revoke_join_code(&self, id: i64) -> Result<bool, ErrorBody> {
        let revoked = async {
            let mut tx = self.store.begin().await?;
            let revoked = tx.delete_join_code(id).await?;
            tx.commit().await?;
            Ok::<_, StoreError>(revoked)
        };
        revoked.await.map_err(|error| from_store("revoke join code", &error))
    }

    /// Whether a processor of whatever pool has a valid token.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn has_processor(&self) -> Result<bool, ErrorBody> {
        // Where a server looks that has just started, on the one connection that it has.
        let found = async { self.store.begin().await?.has_processor().await };
        found.await.map_err(|error: StoreError| from_store("look for processors", &error))
    }
}

impl JoinGrant {
    /// Succeeds when a code may be made for this.
    ///
    /// # Errors
    /// As those of [`Accounts::create_join_code`], but for its number and the database's.
    pub fn check(&self) -> Result<(), ErrorBody> {
        Accounts::check_token(&self.organisation, &self.member, self.scope, self.pool.as_deref())?;
        if self.scope == Scope::Operator {
            return Err(bad_request("a one-time code is for a user or a processor, not for an operator"));
        }
        match &self.login {
            Some(_) if self.scope != Scope::Processor => {
                Err(bad_request("only a processor's one-time code comes with one for a user"))
            }
            Some(name) if !is_name(name) => {
                Err(bad_request(format!("member `{}` is not 1 to 64 characters of [A-Za-z0-9._-]", shown(name))))
            }
            _ => Ok(()),
        }
    }

    fn row<'a>(&'a self, hash: &'a [u8]) -> NewJoinCode<'a> {
        NewJoinCode {
            hash,
            organisation: &self.organisation,
            member: &self.member,
            scope: self.scope.name(),
            pool: self.pool.as_deref(),
            everyone: self.everyone,
            login: self.login.as_deref(),
            lifetime_ms: LIFETIME_MS,
            given_by: None,
        }
    }
}

/// Somebody who shows a code.
struct Redeemer {
    /// By which it is known again.
    hash: [u8; 32],
    /// Its own bytes.
    key: hmac::Key,
    code: String,
}

impl Redeemer {
    /// The token that the code gives this redeemer.
    fn token(&self, row: &JoinCodeRow) -> String {
        token_text(Scope::from_name(&row.scope).unwrap_or(Scope::User), self.bytes(TOKEN_CONTEXT).as_ref())
    }

    /// The code that goes along for a user.
    fn login_code(&self) -> String {
        let bytes = self.bytes(LOGIN_CONTEXT);
        let mut random = [0; JOIN_CODE_CHARACTERS];
        random.copy_from_slice(&bytes.as_ref()[..JOIN_CODE_CHARACTERS]);
        join_code_of(&random)
    }

    /// 32 bytes that follow from the code and the redeemer's own, for this use alone.
    fn bytes(&self, context: &[u8]) -> hmac::Tag {
        hmac::sign(&self.key, &[context, self.code.as_bytes()].concat())
    }

    fn answer(&self, row: JoinCodeRow) -> JoinAnswer {
        let left_ms = LIFETIME_MS - row.redeemed_ms.unwrap_or(0);
        let login = row.login.as_ref().map(|user| LoginCode {
            code: shown_join_code(&self.login_code()),
            user: user.clone(),
            expires_in_s: u32::try_from(left_ms / 1000).unwrap_or(0),
        });
        let token = self.token(&row);
        let JoinCodeRow { organisation, member: user, scope, pool, .. } = row;
        JoinAnswer { token, organisation, user, scope, pool, login }
    }
}

fn used() -> ErrorBody {
    conflict(
        "the one-time code has been used",
        "ask for another code; if it was not you who used it, the operator finds and revokes its token with \
         `filemill-server token list` and `token revoke`",
    )
}
