//! How far each device of a member has read its events.

use crate::store::dialect::execute;
use crate::store::{StoreError, Tx, json};

/// What is written of a device: member, name (none: that of all without one), cursor, mark.
pub(crate) type DeviceTaken = (i64, String, i64, i64);

impl Tx {
    /// Writes down that devices were there, and up to which cursor they have taken in their member's events; of one that reads nothing new no
    /// more often than `quiet_ms`. Of each member those stay that were seen last, at most so many.
    pub(crate) async fn see_devices(
        &mut self,
        devices: &[DeviceTaken],
        quiet_ms: i64,
        most: i64,
    ) -> Result<(), StoreError> {
        let devices = json(devices)?;
        let written = execute!(
            self,
            "insert into devices (member, device, taken, taken_mark, seen_at)
             select cast(e.value ->> 0 as bigint), e.value ->> 1, cast(e.value ->> 2 as bigint),
                 cast(e.value ->> 3 as bigint), {now}
             from {rows $1} where true order by 1, 2
             on conflict (member, device) do update set
                 taken_mark = case when devices.taken < excluded.taken then excluded.taken_mark else devices.taken_mark end,
                 taken = {greatest}(devices.taken, excluded.taken), seen_at = excluded.seen_at
             where devices.taken < excluded.taken or devices.seen_at < {now} - $2",
            &devices,
            quiet_ms
        )?;
        if written == 0 {
            return Ok(());
        }
        execute!(
            self,
            "delete from devices where (member, device) in (
                 select r.member, r.device from (
                     select d.member, d.device,
                         row_number() over (partition by d.member order by d.seen_at desc, d.device) as place
                     from devices d where d.member in (select cast(e.value ->> 0 as bigint) from {rows $1})) as r
                 where r.place > $2)",
            &devices,
            most
        )?;
        Ok(())
    }
}
