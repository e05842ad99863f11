-- What the publisher of a release read out of its component: another source than the nodes of pools, so it stands apart. It is
-- what is known of a release until nodes of a pool have described it; theirs come first for those who pinned that pool.
create table published_descriptions (
    digest      text   not null primary key,
    -- Of the document.
    sha256      text   not null,
    summary     text   not null,
    -- JSON arrays.
    media_types text   not null,
    extensions  text   not null,
    said_at     bigint not null,
    -- Up to 256 KiB, and last: SQLite reads a row from its beginning, and what lists show lies before it.
    document    text   not null
);

-- Ends of file names that an engine says it reads, a JSON array, of those descriptions that say any. Apart from `descriptions`,
-- where a new column would lie behind the document.
create table described_extensions (
    pool       text not null,
    digest     text not null,
    sha256     text not null,
    extensions text not null,
    primary key (pool, digest, sha256)
);
