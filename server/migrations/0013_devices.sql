-- How far each device of a member has read its events. The one without a name is all those that name none, programs of release 0.1.0 among
-- them: its place is `members.taken`, which servers that know no devices write, too.
create table devices (
    member     bigint not null,
    device     text   not null,
    taken      bigint not null default 0,
    taken_mark bigint,
    -- When it asked for events last, by the database's clock.
    seen_at    bigint not null,
    primary key (member, device)
);

-- Members that have read something go on as they did, until a device of theirs says otherwise.
insert into devices (member, device, taken, taken_mark, seen_at) select id, '', taken, taken_mark, {now} from members where taken > 0;
