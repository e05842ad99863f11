-- What servers know of time, apart from what the database's clock says: that one may jump. One row.
create table clocks (
    id         bigint primary key,
    -- Milliseconds that servers have seen pass, on their monotonic clocks, counted on from when this table was made. It stands
    -- still while no server runs, and whether a node is present is told by it (`nodes.seen_at`).
    steady     bigint not null,
    -- The database's clock when it was last looked at; by a machine that had then been running since this start of it, for so
    -- long, sleep included.
    wall       bigint not null,
    boot       text not null,
    uptime     bigint not null,
    -- By this time is decided what was kept for long enough. It lies behind the clock on the wall by the gaps that nothing
    -- explains: a JSON array of [milliseconds, milliseconds that still have to pass until it counts], the oldest first.
    deletable  bigint not null,
    gaps       text not null
);
insert into clocks (id, steady, wall, boot, uptime, deletable, gaps) values (1, {now}, {now}, '', 0, {now}, '[]');
