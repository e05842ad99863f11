-- What runs need and what nodes have, by name. A number stays in the rows of the queue, whose indexes it leads: here is what it stands for.
create table need_sets (
    id    bigint primary key,
    -- Alternatives, any of which is enough, with `|` between them; the names of each ascending, with blanks between them.
    names text not null constraint need_sets_names unique
);
-- What servers that know no names have as bits of `nodes.runs`. Later sets have multiples of 64, which such a server takes for no bit that
-- a node has.
insert into need_sets (id, names)
    with recursive contracts (n) as (select 1 union all select n + 1 from contracts where n < 30)
    select n, 'backend:component contract:' || n || '.0' from contracts;
insert into need_sets (id, names)
    with recursive contracts (n) as (select 1 union all select n + 1 from contracts where n < 30)
    select n + 32, 'backend:component contract:' || n || '.0 long_parameters' from contracts;

-- The names that a node has, as above. None: a server that knows no names has written the row, and `runs` says what it has.
alter table nodes add column abilities text;
