-- How often a folder is looked through that is often, in seconds; 0 for one that is rarely.
alter table watches add column look_every_s integer not null default 0;
