-- Whose turn it is, is decided when work is leased (src/rules/turns.rs): a run has to say whose it is, and its place is one
-- among its member's own runs. An older server that works beside this one leaves `member` at 0, which is taken for one more
-- member of no organisation until it is gone; its own columns (`shares.tail`, `progress`) stay.

alter table runs add column member bigint not null default 0;
-- How often its chunks, or the header, were not where they were said to be.
alter table runs add column missed bigint not null default 0;
-- It rests until then, whatever is stored meanwhile (state 0). By the database's clock; one too far ahead is over.
alter table runs add column due_at bigint;

update runs set
    member = coalesce((select u.member from uploads u where u.number = runs.upload), 0),
    vstart = case when vstart > 0 then upload else 0 end;

-- Not beside the new ones: after an ANALYZE in a quiet moment PostgreSQL takes either for as good, and goes through everybody's
-- runs to find one member's. An older server makes do with the new ones.
drop index runs_ready;
drop index runs_partial;
-- By `needs` first: what no node can run is in nobody's way.
create index runs_ready_turns on runs (pool, needs, member, vstart, id) where state = 2;
create index runs_partial_turns on runs (pool, needs, member, vstart, id) where state = 1;
create index runs_due on runs (due_at) where state = 0 and due_at is not null;
