-- Engine parameters of uploads, by SHA-256 of their JSON text. What was sent with one set of them is no answer for another, and a
-- file that is sent again keeps its own.
create table parameters (
    sha256 blob not null primary key,
    json   text not null,
    -- What is set, a JSON array: the text may be long.
    names  text not null
);

-- Null: none were given.
alter table uploads add column parameters blob;
