-- Format of the sealed header, which decides that of the results. All that was sent before has format 1.
alter table uploads add column format integer not null default 1;

-- The releases that each task allows: a JSON array of arrays of digests. Null where there is one task, for `release`. From here on `idx` of
-- `results` and `unfetched` is a job's number, task × files + file: with one task the file's index, as before.
alter table uploads add column tasks text;

-- Batches of results as they came: all of one is opened at once.
create table batches (
    id      integer primary key,
    upload  blob    not null,
    -- How many results it has.
    members integer not null,
    sealed  blob    not null
);

-- The batch that a result came in; it is in `sealed` by itself, too, once it was kept as a file, so that it is the same file each time.
alter table results add column batch integer;

-- Made once, so that the server can tell what this home has read from what another device has.
create table device (
    seed text not null
);
insert into device (seed) values (lower(hex(randomblob(16))));
