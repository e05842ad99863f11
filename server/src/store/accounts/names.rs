//! Organisations, members and their tokens.

use crate::store::dialect::{execute, read, rows};
use crate::store::{Store, StoreError, Tx};

/// Whom a token stands for.
#[derive(Clone, Debug)]
pub(crate) struct CallerRow {
    pub(crate) organisation: i64,
    pub(crate) organisation_name: String,
    pub(crate) member: i64,
    pub(crate) member_name: String,
    pub(crate) scope: String,
    pub(crate) pool: Option<String>,
}

crate::store::from_row!(CallerRow { organisation, organisation_name, member, member_name, scope, pool });

/// A token as it is listed.
#[derive(Clone, Debug)]
pub(crate) struct TokenRow {
    pub(crate) id: i64,
    pub(crate) organisation: String,
    pub(crate) member: String,
    pub(crate) scope: String,
    pub(crate) pool: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) revoked_at: Option<i64>,
}

crate::store::from_row!(TokenRow { id, organisation, member, scope, pool, created_at, revoked_at });

impl Tx {
    /// The organisation of that name, made if there is none.
    pub(crate) async fn ensure_organisation(&mut self, name: &str) -> Result<i64, StoreError> {
        execute!(self, "insert into organisations (name) values ($1) on conflict (name) do nothing", name)?;
        let found = rows!(self, (i64,), "select id from organisations where name = $1", name)?;
        let id = found.first().ok_or(sqlx::Error::RowNotFound)?.0;
        execute!(self, "insert into shares (organisation) values ($1) on conflict (organisation) do nothing", id)?;
        Ok(id)
    }

    /// The organisation of that name, if there is one.
    pub(crate) async fn organisation(&mut self, name: &str) -> Result<Option<i64>, StoreError> {
        let found = rows!(self, (i64,), "select id from organisations where name = $1", name)?;
        Ok(found.first().map(|(id,)| *id))
    }

    /// The member of that name, made if there is none.
    pub(crate) async fn ensure_member(&mut self, organisation: i64, name: &str) -> Result<i64, StoreError> {
        execute!(
            self,
            "insert into members (organisation, name) values ($1, $2) on conflict (organisation, name) do nothing",
            organisation,
            name
        )?;
        let found =
            rows!(self, (i64,), "select id from members where organisation = $1 and name = $2", organisation, name)?;
        Ok(found.first().ok_or(sqlx::Error::RowNotFound)?.0)
    }

    pub(crate) async fn insert_token(
        &mut self,
        member: i64,
        scope: &str,
        pool: Option<&str>,
        hash: &[u8],
    ) -> Result<i64, StoreError> {
        let made = rows!(
            self,
            (i64,),
            "insert into tokens (member, scope, pool, hash, created_at) values ($1, $2, $3, $4, {now}) returning id",
            member,
            scope,
            pool,
            hash
        )?;
        Ok(made.first().ok_or(sqlx::Error::RowNotFound)?.0)
    }

    /// False: there is none, or it was revoked before.
    pub(crate) async fn revoke_token(&mut self, id: i64) -> Result<bool, StoreError> {
        let changed = execute!(self, "update tokens set revoked_at = {now} where id = $1 and revoked_at is null", id)?;
        Ok(changed > 0)
    }
}

impl Store {
    /// Whom the token with this hash stands for, unless it was revoked.
    pub(crate) async fn caller(&self, hash: &[u8]) -> Result<Option<CallerRow>, StoreError> {
        let found = read!(
            self,
            CallerRow,
            "select o.id as organisation, o.name as organisation_name, m.id as member, m.name as member_name, t.scope, t.pool
             from tokens t join members m on m.id = t.member join organisations o on o.id = m.organisation
             where t.hash = $1 and t.revoked_at is null",
            hash
        )?;
        Ok(found.into_iter().next())
    }

    /// Every token, oldest first.
    pub(crate) async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        Ok(read!(
            self,
            TokenRow,
            "select t.id, o.name as organisation, m.name as member, t.scope, t.pool, t.created_at, t.revoked_at
             from tokens t join members m on m.id = t.member join organisations o on o.id = m.organisation
             order by t.id"
        )?)
    }
}
