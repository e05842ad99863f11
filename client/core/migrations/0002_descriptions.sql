-- What engines say of themselves, by SHA-256: results name the document that says how to show them.
create table descriptions (
    sha256   blob not null primary key,
    document text not null
) without rowid;
