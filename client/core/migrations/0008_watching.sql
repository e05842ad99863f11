-- Whether temporary and system files are sent, too.
alter table watches add column temporary integer not null default 0;
-- How the folder is looked through: null as long as nobody knows, empty if rarely, else why it is every few seconds.
alter table watches add column look text;

-- The place of the same file before it grew: it is one file, of which the newest result counts.
alter table files add column former_upload blob;
alter table files add column former_idx integer;
create index files_grown on files (upload, idx) where former_upload is not null;
