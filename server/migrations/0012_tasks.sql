-- An upload has a job for each of its files and each of its tasks: job number `task * files + file`. `uploads.files`, and whatever is
-- counted by it, counts jobs, which is the same where there is one task; `runs.lo`, `events.idx` and the masks go by job numbers.
alter table uploads add column tasks bigint not null default 1;
-- Its tasks stand in upload_tasks: they are several, or one of them has several releases.
alter table uploads add column listed boolean not null default false;

create table upload_tasks (
    upload  bigint not null,
    task    bigint not null,
    -- Which of the task's releases, in the order in which they should be tried.
    place   bigint not null,
    release text not null,
    -- What it needs, with what the upload itself needs.
    needs   bigint not null,
    primary key (upload, task, place)
);

-- The jobs that a batch of results answers, beside the one that `idx` names: outcome codes with `:` and a mask in hex, bit 0 for `idx`,
-- with blanks between them. None: that one job alone.
alter table events add column jobs text;
