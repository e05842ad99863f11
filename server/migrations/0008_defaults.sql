-- Which release of an engine those organisations use that have adopted none, where that is not the one published last.
create table defaults (
    engine text primary key,
    digest text not null
);
