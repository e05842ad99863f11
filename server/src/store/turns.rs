//! Whose turn it is: virtual times.

use super::dialect::{execute, rows};
use super::{StoreError, Tx, json};

/// One unit of cost at weight 1, in virtual time.
const SCALE: i64 = 1000;

impl Tx {
    /// Adds work (organisation, cost) behind what each organisation has announced, though never before `served`.
    /// Answers (organisation, where the work begins, virtual time for one unit of cost).
    pub(crate) async fn take_turns(
        &mut self,
        costs: &[(i64, i64)],
        served: i64,
    ) -> Result<Vec<(i64, i64, i64)>, StoreError> {
        Ok(rows!(
            self,
            (i64, i64, i64),
            "with held as materialized (
                 select organisation from shares
                 where organisation in (select cast(e.value ->> 0 as bigint) from {rows $1})
                 order by organisation {lock})
             update shares set tail = {greatest}(tail, $2, (select served from progress), 1)
                 + cast(e.value ->> 1 as bigint) * ($3 / weight)
             from {rows $1}
             where shares.organisation = cast(e.value ->> 0 as bigint)
                 and shares.organisation in (select organisation from held)
             returning organisation, tail, $3 / weight",
            json(costs)?,
            served,
            SCALE
        )?
        .into_iter()
        .map(|(organisation, tail, unit)| {
            let cost = costs.iter().find(|(o, _)| *o == organisation).map_or(0, |(_, cost)| *cost);
            (organisation, tail - cost * unit, unit)
        })
        .collect())
    }

    /// Takes announced work (organisation, cost) back: it was cancelled.
    pub(crate) async fn return_turns(&mut self, costs: &[(i64, i64)], served: i64) -> Result<(), StoreError> {
        execute!(
            self,
            "with held as materialized (
                 select organisation from shares
                 where organisation in (select cast(e.value ->> 0 as bigint) from {rows $1})
                 order by organisation {lock})
             update shares set tail = {greatest}(tail - cast(e.value ->> 1 as bigint) * ($3 / weight), $2,
                 (select served from progress))
             from {rows $1}
             where shares.organisation = cast(e.value ->> 0 as bigint)
                 and shares.organisation in (select organisation from held)",
            json(costs)?,
            served,
            SCALE
        )?;
        Ok(())
    }

    /// Tells how far leasing has come.
    pub(crate) async fn tell_served(&mut self, served: i64) -> Result<(), StoreError> {
        execute!(self, "update progress set served = $1 where id = 1 and served < $1", served)?;
        Ok(())
    }
}
