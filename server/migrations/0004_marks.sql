-- A cursor is a number and a mark, random for each event: a database that was restored, or lost its last commits, gives numbers again,
-- marks never. Null: the event is from before there were marks, which counts as 0.
alter table events add column mark bigint;

-- The mark of the event at `taken`, whose row may be gone.
alter table members add column taken_mark bigint;

-- Results that their reader could not fetch, though it has read on: they are kept as if they had not been read. Without foreign keys, as
-- all tables of the queue.
create table unfetched (
    upload   bigint not null,
    idx      bigint not null,
    member   bigint not null,
    asked_at bigint not null,
    primary key (upload, idx)
);
create index unfetched_member on unfetched (member);
