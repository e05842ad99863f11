-- The mark of the event at the cursor; null if the server gave none.
alter table cursors add column mark text;

-- Results that could not be fetched or checked when their event came, though the cursor went on: they are asked for again.
create table unfetched (
    upload   blob    not null,
    idx      integer not null,
    account  text    not null,
    -- Of its event.
    cursor   integer not null,
    -- What the server says of the job.
    outcome  text    not null,
    -- Why it could not be fetched, the last time.
    reason   text    not null,
    attempts integer not null default 0,
    primary key (upload, idx)
) without rowid;
