//! Results and calls for help, in one order for each organisation.

use serde::Serialize;

use crate::store::dialect::{execute, read, rows};
use crate::store::{Store, StoreError, Tx, json};

/// Kind of an event that is not told any more.
const WITHDRAWN: &str = "withdrawn";
/// How many of them stay of an upload.
const WITHDRAWN_KEPT: i64 = 8;

/// An event to record, whose cursor is known.
#[derive(Clone, Debug)]
pub(crate) struct NewEvent<'a> {
    pub(crate) member: i64,
    pub(crate) cursor: i64,
    /// Random, and not 0.
    pub(crate) mark: i64,
    pub(crate) upload: i64,
    pub(crate) index: Option<u32>,
    /// The jobs of a batch.
    pub(crate) jobs: Option<&'a str>,
    pub(crate) kind: &'a str,
    pub(crate) fence: i64,
    pub(crate) body: Option<&'a [u8]>,
    pub(crate) object: Option<(u64, &'a str)>,
}

/// An event, as its reader gets it.
#[derive(Clone, Debug)]
pub(crate) struct EventRow {
    pub(crate) cursor: i64,
    /// 0 where it is from before there were marks.
    pub(crate) mark: i64,
    pub(crate) upload: String,
    pub(crate) idx: Option<i64>,
    pub(crate) jobs: Option<String>,
    pub(crate) kind: String,
    pub(crate) fence: i64,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) object_length: Option<i64>,
    pub(crate) object_sha256: Option<String>,
}

crate::store::from_row!(EventRow { cursor, mark, upload, idx, jobs, kind, fence, body, object_length, object_sha256 });

/// What is known of a place in a member's events.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The last cursor of the organisation.
    pub(crate) furthest: i64,
    /// Mark of the event that is there.
    pub(crate) mark: Option<i64>,
    /// How far the member has taken in its events, and the mark there.
    pub(crate) taken: i64,
    pub(crate) taken_mark: Option<i64>,
    /// Whether one of its devices has taken in what was there, with the mark asked about.
    pub(crate) taken_by_device: bool,
}

crate::store::from_row!(Place { furthest, mark, taken, taken_mark, taken_by_device });

/// Under which fence a result was recorded, and for which jobs: upload, first job, fence, jobs of a batch.
pub(crate) type ResultFence = (i64, i64, i64, Option<String>);

impl Tx {
    /// Allots cursors: (organisation, how many) each; answers (organisation, the last one). The organisations stay
    /// locked until the transaction ends, so that the order of commits is the order of cursors.
    pub(crate) async fn allot_cursors(&mut self, counts: &[(i64, i64)]) -> Result<Vec<(i64, i64)>, StoreError> {
        Ok(rows!(
            self,
            (i64, i64),
            "with held as materialized (
                 select id from organisations where id in (select cast(e.value ->> 0 as bigint) from {rows $1})
                 order by id {lock})
             update organisations set cursor = cursor + cast(e.value ->> 1 as bigint)
             from {rows $1}
             where organisations.id = cast(e.value ->> 0 as bigint) and organisations.id in (select id from held)
             returning organisations.id, organisations.cursor",
            json(counts)?
        )?)
    }

    /// Leaves so many cursors out in every organisation.
    pub(crate) async fn skip_cursors(&mut self, count: i64) -> Result<(), StoreError> {
        execute!(self, "update organisations set cursor = cursor + $1", count)?;
        Ok(())
    }

    /// Writes down up to which cursor members have taken in their events: (member, cursor, mark).
    pub(crate) async fn take_events(&mut self, taken: &[(i64, i64, i64)]) -> Result<(), StoreError> {
        // In one order: two servers that write the same members' rows wait for each other in one direction only.
        execute!(
            self,
            "with held as materialized (
                 select id from members where id in (select cast(e.value ->> 0 as bigint) from {rows $1})
                 order by id {lock})
             update members set taken = cast(e.value ->> 1 as bigint), taken_mark = cast(e.value ->> 2 as bigint)
             from {rows $1}
             where members.id = cast(e.value ->> 0 as bigint) and members.id in (select id from held)
                 and members.taken < cast(e.value ->> 1 as bigint)",
            json(taken)?
        )?;
        Ok(())
    }

    /// Gives all events of a member new cursors, the next ones behind `cursor` and all that the organisation gave before. None of them
    /// counts as taken in. All of it is one statement: see that there are few ([`Store::has_few_events`]).
    pub(crate) async fn renumber_events(
        &mut self,
        organisation: i64,
        member: i64,
        cursor: i64,
    ) -> Result<(), StoreError> {
        // Events are recorded under this row's lock.
        let held = rows!(self, (i64,), "select cursor from organisations where id = $1 {lock}", organisation)?;
        // No event has more, so that no two meet while they are moved.
        let base = held.first().map_or(cursor, |(furthest,)| cursor.max(*furthest));
        // One after the other: moved all by as much as there were cursors, these would double each time, and run out.
        execute!(
            self,
            "update events set cursor = n.new
             from (select v.cursor as old, $2 + row_number() over (order by v.cursor) as new
                   from events v where v.member = $1) as n
             where events.member = $1 and events.cursor = n.old",
            member,
            base
        )?;
        execute!(self, "update members set taken = 0, taken_mark = null where id = $1", member)?;
        execute!(self, "update devices set taken = 0, taken_mark = null where member = $1", member)?;
        // Some may have been deleted meanwhile, so what was moved is not counted.
        execute!(
            self,
            "update organisations set cursor =
                 {greatest}($2, coalesce((select max(v.cursor) from events v where v.member = $3), 0))
             where id = $1",
            organisation,
            base,
            member
        )?;
        Ok(())
    }

    /// Records events. A second result for one job breaks the constraint `events_one_result`.
    pub(crate) async fn insert_events(&mut self, events: &[NewEvent<'_>]) -> Result<(), StoreError> {
        // All bodies travel as one parameter and are cut apart by the database: one statement, whatever the number of
        // rows, and no encoding of bytes as text.
        let mut bodies = Vec::with_capacity(events.iter().filter_map(|event| event.body).map(<[u8]>::len).sum());
        let mut rows = Vec::with_capacity(events.len());
        for event in events {
            let offset = event.body.map(|body| {
                bodies.extend_from_slice(body);
                bodies.len() - body.len() + 1
            });
            rows.push(Row(event, offset));
        }
        execute!(
            self,
            "insert into events (member, cursor, upload, idx, kind, fence, body, object_length, object_sha256, mark,
                 jobs, created_at)
             select cast(e.value ->> 0 as bigint), cast(e.value ->> 1 as bigint), cast(e.value ->> 2 as bigint),
                 cast(e.value ->> 3 as bigint), e.value ->> 4, cast(e.value ->> 5 as bigint),
                 case when (e.value ->> 6) is not null
                     then substr($2, cast(e.value ->> 6 as integer), cast(e.value ->> 7 as integer)) end,
                 cast(e.value ->> 8 as bigint), e.value ->> 9, cast(e.value ->> 10 as bigint), e.value ->> 11, {now}
             from {rows $1}",
            json(&rows)?,
            bodies
        )?;
        Ok(())
    }

    /// Takes back what was told of a whole upload, of this kind, and answers what it said. The rows of the last few stay, unseen: a
    /// reader may stand at one of them.
    pub(crate) async fn withdraw_events(
        &mut self,
        upload: i64,
        kind: &str,
    ) -> Result<Vec<(Option<Vec<u8>>,)>, StoreError> {
        let told = rows!(
            self,
            (Option<Vec<u8>>,),
            "select body from events where upload = $1 and idx is null and kind = $2",
            upload,
            kind
        )?;
        if !told.is_empty() {
            // A server of an older version would show it as a header that is missing, which does no harm.
            execute!(
                self,
                "update events set kind = $3, body = $4 where upload = $1 and idx is null and kind = $2",
                upload,
                kind,
                WITHDRAWN,
                b"[]".as_slice()
            )?;
            execute!(
                self,
                "delete from events where upload = $1 and idx is null and kind = $2 and cursor not in (
                     select w.cursor from events w where w.upload = $1 and w.idx is null and w.kind = $2
                     order by w.cursor desc limit $3)",
                upload,
                WITHDRAWN,
                WITHDRAWN_KEPT
            )?;
        }
        Ok(told)
    }

    /// Under which fences the results of jobs (upload, index) were recorded.
    pub(crate) async fn result_fences(&mut self, jobs: &[(i64, u32)]) -> Result<Vec<ResultFence>, StoreError> {
        Ok(rows!(
            self,
            ResultFence,
            "select v.upload, v.idx, v.fence, v.jobs
             from {rows $1} join events v
                 on v.upload = cast(e.value ->> 0 as bigint) and v.idx = cast(e.value ->> 1 as bigint)",
            json(jobs)?
        )?)
    }
}

/// An event's JSON row: where its body begins in the joined bodies, from 1.
struct Row<'a>(&'a NewEvent<'a>, Option<usize>);

impl Serialize for Row<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(event, offset) = self;
        (
            event.member,
            event.cursor,
            event.upload,
            event.index,
            event.kind,
            event.fence,
            offset,
            event.body.map(<[u8]>::len),
            event.object.map(|(length, _)| length),
            event.object.map(|(_, sha256)| sha256),
            event.mark,
            event.jobs,
        )
            .serialize(serializer)
    }
}

impl Store {
    /// A member's events after a cursor, at most so many, until their results have so many bytes; none only at the end.
    pub(crate) async fn events(
        &self,
        member: i64,
        after: i64,
        (limit, bytes): (i64, i64),
    ) -> Result<Vec<EventRow>, StoreError> {
        Ok(read!(
            self,
            EventRow,
            "select p.cursor, coalesce(p.mark, 0) as mark, u.id as upload, p.idx, p.jobs, p.kind, p.fence, p.body,
                 p.object_length, p.object_sha256
             from (select q.*,
                       sum(coalesce(length(q.body), 0)) over (order by q.cursor) - coalesce(length(q.body), 0) as before
                   from (select cursor, mark, upload, idx, jobs, kind, fence, body, object_length, object_sha256 from events
                         where member = $1 and cursor > $2 and kind <> 'withdrawn'
                         order by cursor limit $3) as q) as p
             join uploads u on u.number = p.upload
             where p.before < $4
             order by p.cursor",
            member,
            after,
            limit,
            bytes
        )?)
    }

    /// Whether a member has at most so many events, whose results have at most so many bytes.
    pub(crate) async fn has_few_events(&self, member: i64, (most, bytes): (i64, i64)) -> Result<bool, StoreError> {
        let found = read!(
            self,
            (i64, i64),
            "select count(*), coalesce(sum(v.bytes), 0)
             from (select length(body) as bytes from events where member = $1 limit $2) as v",
            member,
            most + 1
        )?;
        Ok(found.first().is_none_or(|(count, sum)| *count <= most && *sum <= bytes))
    }

    /// What there is at a member's cursor, and whether a device has taken in an event with that mark there; nothing if there is no such member.
    pub(crate) async fn place(&self, member: i64, cursor: i64, mark: i64) -> Result<Option<Place>, StoreError> {
        let found = read!(
            self,
            Place,
            "select o.cursor as furthest, m.taken, m.taken_mark,
                 exists (select 1 from devices d where d.member = m.id and d.taken = $2 and d.taken_mark = $3)
                     as taken_by_device,
                 (select coalesce(v.mark, 0) from events v where v.member = m.id and v.cursor = $2) as mark
             from members m join organisations o on o.id = m.organisation
             where m.id = $1",
            member,
            cursor,
            mark
        )?;
        Ok(found.into_iter().next())
    }

    /// How far the events of these organisations go: (organisation, last cursor).
    pub(crate) async fn cursors(&self, organisations: &[(i64,)]) -> Result<Vec<(i64, i64)>, StoreError> {
        Ok(read!(
            self,
            (i64, i64),
            "select id, cursor from organisations
             where id in (select cast(e.value ->> 0 as bigint) from {rows $1})",
            json(organisations)?
        )?)
    }
}
