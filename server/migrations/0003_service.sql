-- Which organisations a pool serves: those named here, or everyone. Of a pool that has no row (an older server made its first
-- token), those that its processors' tokens are of.

create table pool_service (
    pool     text primary key,
    everyone boolean not null
);

create table pool_organisations (
    pool         text not null,
    organisation bigint not null references organisations (id),
    primary key (pool, organisation)
);
create index pool_organisations_organisation on pool_organisations (organisation);

-- Pools that are there go on as they were.
insert into pool_service (pool, everyone)
    select name, true from pools union select pool, true from tokens where pool is not null
    union select pool, true from uploads;
