//! How far each device of a member has read its events.

use crate::store::dialect::execute;
use crate::store::{StoreError, Tx, json};

/// What is written of a device: member, name (none: that of all without one), cursor, mark.
pub(crate) type DeviceTaken = (i64, String, i64, i64);

impl Tx {
    /// Writes down that devices were there, and up to which cursor they have taken in their member's events. Of each member those stay that
    /// were seen last, at most so many.
    pub(crate) async fn see_devices(&mut self, devices: &[DeviceTaken], most: i64) -> Result<(), StoreError> {
        let devices = json(devices)?;
        execute!(
            self,
            "insert into devices (member, device, taken, taken_mark, seen_at)
             select cast(e.value ->> 0 as bigint), e.value ->> 1, cast(e.value ->> 2 as bigint),
                 cast(e.value ->> 3 as bigint), {now}
             from {rows $1} where true order by 1, 2
             on conflict (member, device) do update set
                 taken_mark = case when devices.taken < excluded.taken then excluded.taken_mark else devices.taken_mark end,
                 taken = {greatest}(devices.taken, excluded.taken), seen_at = excluded.seen_at",
            &devices
        )?;
        execute!(
            self,
            "delete from devices where member in (select cast(e.value ->> 0 as bigint) from {rows $1})
                 and (select count(*) from devices n where n.member = devices.member
                      and (n.seen_at, n.device) > (devices.seen_at, devices.device)) >= $2",
            &devices,
            most
        )?;
        Ok(())
    }
}
