//! One-time codes.

use crate::store::dialect::{execute, read, rows};
use crate::store::{Store, StoreError, Tx};

/// What a code is made with.
#[derive(Clone, Debug)]
pub(crate) struct NewJoinCode<'a> {
    pub(crate) hash: &'a [u8],
    pub(crate) organisation: &'a str,
    pub(crate) member: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) pool: Option<&'a str>,
    pub(crate) everyone: bool,
    pub(crate) login: Option<&'a str>,
    pub(crate) lifetime_ms: i64,
    /// The code whose redeemer is given this one.
    pub(crate) given_by: Option<i64>,
}

/// A code as it is redeemed.
#[derive(Clone, Debug)]
pub(crate) struct JoinCodeRow {
    pub(crate) id: i64,
    pub(crate) organisation: String,
    pub(crate) member: String,
    pub(crate) scope: String,
    pub(crate) pool: Option<String>,
    pub(crate) everyone: bool,
    pub(crate) login: Option<String>,
    /// How long it is still good, in milliseconds by the database's clock.
    pub(crate) left_ms: i64,
    pub(crate) redeemer: Option<Vec<u8>>,
    /// How long ago it was redeemed, in milliseconds by the database's clock.
    pub(crate) redeemed_ms: Option<i64>,
    /// Whether the token that it gave was revoked since.
    pub(crate) is_revoked: bool,
}

crate::store::from_row!(JoinCodeRow {
    id,
    organisation,
    member,
    scope,
    pool,
    everyone,
    login,
    left_ms,
    redeemer,
    redeemed_ms,
    is_revoked
});

/// A code as it is listed.
#[derive(Clone, Debug)]
pub(crate) struct ListedJoinCode {
    pub(crate) id: i64,
    pub(crate) organisation: String,
    pub(crate) member: String,
    pub(crate) scope: String,
    pub(crate) pool: Option<String>,
    pub(crate) left_ms: i64,
    pub(crate) is_redeemed: bool,
}

crate::store::from_row!(ListedJoinCode { id, organisation, member, scope, pool, left_ms, is_redeemed });

impl Tx {
    /// Adds a code, and answers its number.
    pub(crate) async fn insert_join_code(&mut self, code: &NewJoinCode<'_>) -> Result<i64, StoreError> {
        let made = rows!(
            self,
            (i64,),
            "insert into join_codes (hash, organisation, member, scope, pool, everyone, login, given_by, created_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, $9, {now}, {now} + $8) returning id",
            code.hash,
            code.organisation,
            code.member,
            code.scope,
            code.pool,
            code.everyone,
            code.login,
            code.lifetime_ms,
            code.given_by
        )?;
        Ok(made.first().ok_or(sqlx::Error::RowNotFound)?.0)
    }

    /// How many codes are still good. One that would be for longer than codes are was made by another clock, and is not.
    pub(crate) async fn good_join_codes(&mut self, lifetime_ms: i64) -> Result<i64, StoreError> {
        let found = rows!(
            self,
            (i64,),
            "select count(*) from join_codes where redeemer is null and expires_at > {now} and expires_at <= {now} + $1",
            lifetime_ms
        )?;
        Ok(found.first().map_or(0, |(count,)| *count))
    }

    /// Forgets codes that have not been good for so long, and those that will not be for so long: another clock made them.
    pub(crate) async fn forget_join_codes(&mut self, after_ms: i64, lifetime_ms: i64) -> Result<u64, StoreError> {
        Ok(execute!(
            self,
            "delete from join_codes where expires_at < {now} - $1 or expires_at > {now} + $1 + $2",
            after_ms,
            lifetime_ms
        )?)
    }

    /// Makes a code its redeemer's, if it is nobody's yet and still good. A code that is good for longer than codes are was made by
    /// another clock, and is not.
    pub(crate) async fn redeem_join_code(
        &mut self,
        id: i64,
        redeemer: &[u8],
        lifetime_ms: i64,
    ) -> Result<bool, StoreError> {
        let changed = execute!(
            self,
            "update join_codes set redeemer = $2, redeemed_at = {now}
             where id = $1 and redeemer is null and expires_at > {now} and expires_at <= {now} + $3",
            id,
            redeemer,
            lifetime_ms
        )?;
        Ok(changed > 0)
    }

    /// Notes which token a code gave.
    pub(crate) async fn set_join_code_token(&mut self, id: i64, token: i64) -> Result<(), StoreError> {
        execute!(self, "update join_codes set token = $2 where id = $1", id, token)?;
        Ok(())
    }

    /// Takes back what the code that gave this token gave beside it, as far as nobody has redeemed that.
    pub(crate) async fn delete_codes_beside(&mut self, token: i64) -> Result<u64, StoreError> {
        Ok(execute!(
            self,
            "delete from join_codes where redeemer is null and given_by in (select id from join_codes where token = $1)",
            token
        )?)
    }

    /// The tokens that came of what the code that gave this token gave beside it, and that are valid.
    pub(crate) async fn tokens_beside(&mut self, token: i64) -> Result<Vec<i64>, StoreError> {
        let found = rows!(
            self,
            (i64,),
            "select t.id from join_codes c join tokens t on t.id = c.token
             where t.revoked_at is null and c.given_by in (select id from join_codes where token = $1) order by t.id",
            token
        )?;
        Ok(found.into_iter().map(|(id,)| id).collect())
    }

    /// Whether a processor's token is valid, of whatever pool.
    pub(crate) async fn has_processor(&mut self) -> Result<bool, StoreError> {
        let found =
            rows!(self, (i64,), "select id from tokens where scope = 'processor' and revoked_at is null limit 1")?;
        Ok(!found.is_empty())
    }

    /// Takes a code back that nobody has redeemed. False: there is none.
    pub(crate) async fn delete_join_code(&mut self, id: i64) -> Result<bool, StoreError> {
        Ok(execute!(self, "delete from join_codes where id = $1 and redeemer is null", id)? > 0)
    }
}

impl Store {
    /// The code with this hash.
    pub(crate) async fn join_code(&self, hash: &[u8]) -> Result<Option<JoinCodeRow>, StoreError> {
        let found = read!(
            self,
            JoinCodeRow,
            "select c.id, c.organisation, c.member, c.scope, c.pool, c.everyone, c.login, c.expires_at - {now} as left_ms, c.redeemer,
                    {now} - c.redeemed_at as redeemed_ms, t.revoked_at is not null as is_revoked
             from join_codes c left join tokens t on t.id = c.token where c.hash = $1",
            hash
        )?;
        Ok(found.into_iter().next())
    }

    /// Every code that is known, oldest first.
    pub(crate) async fn join_codes(&self) -> Result<Vec<ListedJoinCode>, StoreError> {
        Ok(read!(
            self,
            ListedJoinCode,
            "select id, organisation, member, scope, pool, expires_at - {now} as left_ms, redeemer is not null as is_redeemed
             from join_codes order by id"
        )?)
    }
}
