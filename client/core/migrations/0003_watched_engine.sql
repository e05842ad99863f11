-- The engine that was asked for; null if none was: `status` tells which files no engine can be chosen for.
alter table watches add column engine text;
