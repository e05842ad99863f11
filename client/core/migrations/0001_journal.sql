-- What a client must remember across a crash. Keys are in it: the file is as secret as they are.

-- One sealed stream. It is written before the first request that names it.
create table uploads (
    id            blob    not null primary key,
    -- Server and organisation: what one of them stores means nothing to another.
    account       text    not null,
    -- The running program that works on it; see `sessions` in the home.
    session       text    not null,
    data_key      blob    not null,
    -- The sealed header, kept until every file has its result: it is sealed once only, and storage may turn out to lack it.
    header        blob,
    header_digest blob    not null,
    header_bytes  integer not null,
    engine        text    not null,
    version       text    not null,
    release       blob    not null,
    pool          text    not null,
    chunk_size    integer not null,
    chunk_count   integer not null,
    created_at    integer not null,
    not_after     integer not null,
    state         text    not null constraint uploads_state check (state in ('uploading', 'stored', 'abandoned'))
) without rowid;

create index uploads_unfinished on uploads (session) where state = 'uploading';

-- One file of an upload; or, where `reused` is 1, another file with the same content, whose result is that one's.
create table files (
    id          integer primary key,
    upload      blob    not null,
    idx         integer not null,
    reused      integer not null default 0,
    path        blob    not null,
    name        blob    not null,
    size        integer not null,
    modified_ns integer not null,
    changed_ns  integer not null,
    inode       integer not null,
    device      integer not null,
    seen_ns     integer not null,
    -- Known once it was read in full.
    sha256      blob,
    -- 0 intact, 1 to 4 void for that reason, null: not yet read in full.
    verdict     integer,
    attempt     integer not null,
    -- open: waits; done: has its result; replaced: was sent again in another upload; failed: given up, see `message`.
    state       text    not null default 'open'
                constraint files_state check (state in ('open', 'done', 'replaced', 'failed')),
    message     text
);

create unique index files_place on files (upload, idx) where reused = 0;
create index files_reused on files (upload, idx) where reused = 1;
create index files_path on files (path);
create index files_size on files (size) where verdict = 0;
create index files_content on files (sha256) where verdict = 0;
create index files_open on files (upload) where state = 'open';

-- A chunk that was read and sealed, before it is sent: what a resume must find again in the files.
create table chunks (
    upload        blob    not null,
    sequence      integer not null,
    plain_sha256  blob    not null,
    -- Of the sealed object, once storage has confirmed it.
    stored_bytes  integer,
    stored_sha256 blob,
    primary key (upload, sequence)
) without rowid;

create table results (
    id      integer primary key,
    upload  blob    not null,
    idx     integer not null,
    cursor  integer not null,
    -- What the sealed result says, else what the server says.
    outcome text    not null,
    -- Why it is not shown, if it is not to be believed.
    refusal text,
    -- The age file as it came.
    sealed  blob,
    constraint results_one_each unique (upload, idx)
);

-- How far the events of an account were read.
create table cursors (
    account text    not null primary key,
    cursor  integer not null
) without rowid;

-- The highest serial of each pool's statements that was accepted.
create table pools (
    root   blob    not null,
    pool   text    not null,
    serial integer not null,
    primary key (root, pool)
) without rowid;

-- Folders that are watched, so that `status` can tell what waits in them.
create table watches (
    session text not null,
    folder  blob not null,
    ignore  text not null,
    primary key (session, folder)
) without rowid;
