//! Which organisations a pool serves.

use crate::store::dialect::{execute, read, rows};
use crate::store::{Store, StoreError, Tx};

impl Tx {
    /// Writes down that a pool serves everyone, or nobody yet, unless that is known of it. False: it is known.
    pub(crate) async fn begin_service(&mut self, pool: &str, everyone: bool) -> Result<bool, StoreError> {
        let made = execute!(
            self,
            "insert into pool_service (pool, everyone) values ($1, $2) on conflict (pool) do nothing",
            pool,
            everyone
        )?;
        Ok(made > 0)
    }

    /// The pool serves the organisations of its processors' tokens, too.
    pub(crate) async fn serve_owners(&mut self, pool: &str) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into pool_organisations (pool, organisation)
             select distinct t.pool, m.organisation from tokens t join members m on m.id = t.member
             where t.pool = $1 and t.revoked_at is null
             on conflict (pool, organisation) do nothing",
            pool
        )?;
        Ok(())
    }

    /// The pool serves everyone, or nobody until organisations are added.
    pub(crate) async fn set_service(&mut self, pool: &str, everyone: bool) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into pool_service (pool, everyone) values ($1, $2)
             on conflict (pool) do update set everyone = excluded.everyone",
            pool,
            everyone
        )?;
        execute!(self, "delete from pool_organisations where pool = $1", pool)?;
        Ok(())
    }

    /// The pool serves this organisation, too. False: there is none of that name.
    pub(crate) async fn serve_organisation(&mut self, pool: &str, organisation: &str) -> Result<bool, StoreError> {
        let made = execute!(
            self,
            "insert into pool_organisations (pool, organisation) select $1, id from organisations where name = $2",
            pool,
            organisation
        )?;
        Ok(made > 0)
    }

    /// Whether there is anything of that pool.
    pub(crate) async fn knows_pool(&mut self, pool: &str) -> Result<bool, StoreError> {
        let found = rows!(
            self,
            (String,),
            "select pool from pool_service where pool = $1 union select name from pools where name = $1
             union select pool from tokens where pool = $1",
            pool
        )?;
        Ok(!found.is_empty())
    }
}

impl Store {
    /// Whether a pool has published itself and serves the organisation, and if so, whether it serves everyone.
    pub(crate) async fn serves(&self, pool: &str, organisation: i64) -> Result<Option<bool>, StoreError> {
        let found = read!(
            self,
            (i64,),
            "select case when exists (select 1 from pool_service s where s.pool = p.name and s.everyone)
                 then cast(1 as bigint) else cast(0 as bigint) end
             from pools p
             where p.name = $1 and (
                 exists (select 1 from pool_service s where s.pool = p.name and s.everyone)
                 or exists (select 1 from pool_organisations o where o.pool = p.name and o.organisation = $2)
                 or (not exists (select 1 from pool_service s where s.pool = p.name)
                     and exists (select 1 from tokens t join members m on m.id = t.member
                         where t.pool = p.name and t.revoked_at is null and m.organisation = $2)))
             limit 1",
            pool,
            organisation
        )?;
        Ok(found.first().map(|(everyone,)| *everyone != 0))
    }

    /// The pools that have published themselves and serve the organisation.
    pub(crate) async fn pools_serving(&self, organisation: i64) -> Result<Vec<(String,)>, StoreError> {
        Ok(read!(
            self,
            (String,),
            "select distinct p.name from pools p
             where exists (select 1 from pool_service s where s.pool = p.name and s.everyone)
                 or exists (select 1 from pool_organisations o where o.pool = p.name and o.organisation = $1)
                 or (not exists (select 1 from pool_service s where s.pool = p.name)
                     and exists (select 1 from tokens t join members m on m.id = t.member
                         where t.pool = p.name and t.revoked_at is null and m.organisation = $1))
             order by 1",
            organisation
        )?)
    }

    /// Every pool, whether it serves everyone, and otherwise each organisation that it serves on a row of its own, or none.
    pub(crate) async fn services(&self) -> Result<Vec<(String, bool, Option<String>)>, StoreError> {
        Ok(read!(
            self,
            (String, bool, Option<String>),
            "select n.pool, coalesce(s.everyone, false), o.name
             from (select pool from pool_service union select name from pools
                   union select pool from tokens where pool is not null) as n
             left join pool_service s on s.pool = n.pool
             left join (select po.pool, po.organisation from pool_organisations po
                        union select t.pool, m.organisation from tokens t join members m on m.id = t.member
                        where t.pool is not null and t.revoked_at is null
                            and not exists (select 1 from pool_service x where x.pool = t.pool)) as w
                 on w.pool = n.pool and not coalesce(s.everyone, false)
             left join organisations o on o.id = w.organisation
             order by n.pool, o.name"
        )?)
    }
}
