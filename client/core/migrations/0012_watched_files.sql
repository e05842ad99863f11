-- Whether a watcher took the file in, so that its rules hold for it until it is stored; not what was named by hand, whoever goes
-- on with it. Of files that were taken in before nobody knows: they are sent.
alter table files add column watched integer not null default 0;
