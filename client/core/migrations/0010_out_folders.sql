-- Folders that results were kept in: results of results help nobody, whichever program keeps them there.
create table out_folders (
    path blob primary key
) without rowid;
