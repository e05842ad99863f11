-- The newest migration that a server must know to work with this database. What only adds to the tables leaves it as it is, so that servers of
-- the release before go on; what takes something away raises it, once no server of that release is left.
create table schema_needs (migration bigint not null);
insert into schema_needs (migration) values (10);
