-- One text for both databases. The words in braces are the dialect (src/store/dialect.rs): {id} an integer primary key
-- that the database counts, {bytes} a byte string. Every integer is a bigint, so that both drivers decode the same
-- type. Applied migrations are never edited: expand, move, contract.
--
-- The tables of the queue (uploads, runs, chunks, events) carry no foreign keys: PostgreSQL checks one by locking the
-- row it refers to, per row that is written, and that lock would come in another order than the rules take theirs.

create table organisations (
    id     {id},
    name   text not null constraint organisations_name unique,
    -- The last event's cursor. Advanced under this row's lock by the transaction that writes the event: the order of
    -- commits is the order of cursors. A sequence would let a reader pass a row that commits late.
    cursor bigint not null default 0
);

-- Whose turn it is. Apart from `organisations`, so that announcing work does not wait for results being recorded.
create table shares (
    organisation bigint primary key,
    weight       bigint not null default 1,
    -- Virtual time at which the organisation's last announced work ends.
    tail         bigint not null default 0
);

-- One row: the virtual time that leasing has reached, as far as its servers told (a few times a second).
create table progress (
    id     bigint primary key,
    served bigint not null
);
insert into progress (id, served) values (1, 0);

create table members (
    id           {id},
    organisation bigint not null references organisations (id),
    name         text not null,
    -- The cursor up to which the member has taken its events in. Results beyond it are kept longer.
    taken        bigint not null default 0,
    constraint members_name unique (organisation, name)
);

create table tokens (
    id         {id},
    member     bigint not null references members (id),
    scope      text not null,
    -- The pool that a processor's token speaks for.
    pool       text,
    -- SHA-256 of the token's text: it is random enough to need no salt and no stretching.
    hash       {bytes} not null constraint tokens_hash unique,
    created_at bigint not null,
    revoked_at bigint,
    constraint tokens_pool check ((scope = 'processor') = (pool is not null))
);

create table releases (
    number     {id},
    digest     text not null constraint releases_digest unique,
    engine     text not null,
    version    text not null,
    contract   bigint not null,
    -- What a node must have to run it, as the number of a bit: contract + 32 * backend (0: component).
    needs      bigint not null,
    length     bigint not null,
    created_at bigint not null
);

create table adoptions (
    organisation bigint not null references organisations (id),
    engine       text not null,
    digest       text not null,
    primary key (organisation, engine)
);

create table pools (
    name       text not null,
    serial     bigint not null,
    statement  text not null,
    signature  text not null,
    created_at bigint not null,
    primary key (name, serial)
);

-- What engines say of themselves, by release and by the pool whose node passed it on: claims, of which none shuts out another.
-- A document is passed on byte for byte, because results name its SHA-256; the other columns are what a list of releases
-- shows of it.
create table descriptions (
    pool        text not null,
    digest      text not null,
    -- Of the document.
    sha256      text not null,
    version     text not null,
    summary     text not null,
    -- A JSON array.
    media_types text not null,
    -- When somebody last said it; later than any other of the same pool and release that was said before.
    said_at     bigint not null,
    -- Up to 256 KiB, and last: SQLite reads a row from its beginning, and what lists show lies before it.
    document    text not null,
    primary key (pool, digest, sha256)
);
create index descriptions_newest on descriptions (pool, digest, said_at);
create index descriptions_digest on descriptions (digest, said_at);

-- Components that nodes of a pool brought themselves. What is said of one does not change once it is stored.
create table components (
    pool     text not null,
    digest   text not null,
    contract bigint not null,
    needs    bigint not null,
    length   bigint not null,
    stored   boolean not null default false,
    -- Nobody has offered it for long: the object is being deleted.
    doomed   boolean not null default false,
    -- When somebody last offered it.
    used_at  bigint not null,
    -- When storage was last seen to hold it.
    seen_at  bigint not null default 0,
    primary key (pool, digest)
);
create index components_seen on components (seen_at) where stored;
create index components_used on components (used_at) where not doomed;
create index components_doomed on components (digest) where doomed;

-- Which node offers which of them under which name.
create table offers (
    pool   text not null,
    node   text not null,
    name   text not null,
    digest text not null,
    since  bigint not null,
    primary key (pool, node, name)
);
create index offers_digest on offers (pool, digest);

-- A node's id is its own choice: nodes of two pools may have the same.
create table nodes (
    pool    text not null,
    id      text not null,
    -- Bit n: it runs what needs n.
    runs    bigint not null,
    seen_at bigint not null,
    primary key (pool, id)
);

create table uploads (
    -- Short name of the upload in the other tables, and the upper bits of its runs' ids.
    number        {id},
    id            text not null constraint uploads_id unique,
    organisation  bigint not null,
    member        bigint not null,
    release       text not null,
    pool          text not null,
    needs         bigint not null,
    header_length bigint not null,
    header_sha256 text not null,
    header_stored boolean not null default false,
    files         bigint not null,
    chunks        bigint not null,
    -- SHA-256 over the announced ranges, to tell a repeated opening from another one.
    ranges_sha256 text not null,
    -- Chunks stored; and how many of them lead without a gap.
    stored        bigint not null default 0,
    prefix        bigint not null default 0,
    -- Chunks below were stored once: a job that waits for one of them waits for it to be sent again.
    missing_below bigint not null default 0,
    done          bigint not null default 0,
    cancelled     boolean not null default false,
    created_at    bigint not null,
    touched_at    bigint not null,
    -- Every job has its result: the objects are doomed.
    finished_at   bigint,
    -- The objects are gone, and so are the rows of the chunks.
    emptied       boolean not null default false
);
create index uploads_unfinished on uploads (member, number) where finished_at is null;
create index uploads_doomed on uploads (number) where finished_at is not null and not emptied;
create index uploads_release on uploads (release) where finished_at is null;
create index uploads_kept on uploads (finished_at) where finished_at is not null;

create table chunks (
    upload   bigint not null,
    sequence bigint not null,
    length   bigint not null,
    sha256   text not null,
    primary key (upload, sequence)
);

-- Objects of chunks that were stored again with another content.
create table replaced (
    upload   bigint not null,
    sequence bigint not null,
    sha256   text not null,
    due      bigint not null,
    primary key (upload, sequence, sha256)
);
create index replaced_due on replaced (due);

-- Up to 64 neighbouring jobs of one upload. A row with several lies in one chunk; only a job alone spans chunks.
--
-- The id is `upload << 16 | lo`, where `lo` is the file index of the row's first job when it was cut. Rows are split
-- and never joined, and the job a row is named after stays in it until it is done, so no id comes twice; and whoever
-- knows a run knows its upload and its jobs' indexes, even when the row is gone.
create table runs (
    id           bigint primary key,
    upload       bigint not null,
    organisation bigint not null,
    pool         text not null,
    needs        bigint not null,
    -- Its jobs are the files from `lo` to before `hi`, without those whose bit (0 for `lo`) is in `gone`: they
    -- are done, or were cut into another row.
    hi           bigint not null,
    gone         bigint not null default 0,
    -- Jobs that the holder is about to run, or runs.
    started      bigint not null default 0,
    first_chunk  bigint not null,
    last_chunk   bigint not null,
    -- 0 waiting for chunks, 1 partial (begun, not complete), 2 ready, 3 leased.
    state        bigint not null default 0,
    -- Stalled once: not leased again before it is complete.
    patient      boolean not null default false,
    -- A node died while it ran this one job: nothing is leased beside it.
    alone        boolean not null default false,
    deaths       bigint not null default 0,
    -- The uploader cancelled it while it was leased.
    cancelled    boolean not null default false,
    -- Its place in the order of turns; 0: it has none yet.
    vstart       bigint not null default 0,
    fence        bigint not null default 0,
    attempt      bigint not null default 0,
    lease_until  bigint,
    holder       text,
    per_mille    bigint not null default 0
);
create index runs_ready on runs (pool, vstart, id) where state = 2;
create index runs_partial on runs (pool, vstart, id) where state = 1;
create index runs_waiting on runs (upload, first_chunk) where state < 2;
create index runs_leased on runs (lease_until) where state = 3;

create table events (
    member        bigint not null,
    cursor        bigint not null,
    upload        bigint not null,
    -- File index of a result; null for what concerns the whole upload.
    idx           bigint,
    -- An outcome code, or `chunks_missing`.
    kind          text not null,
    fence         bigint not null,
    -- The sealed result, or the sequence numbers of missing chunks.
    body          {bytes},
    object_length bigint,
    object_sha256 text,
    created_at    bigint not null,
    primary key (member, cursor)
);
-- Each job yields one visible result.
create unique index events_one_result on events (upload, idx);
