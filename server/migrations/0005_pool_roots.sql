-- The key that signs a pool's statements: named by the operator, or of whoever published first where that counts. Of a pool that has
-- a root, only statements that it signed are kept and passed on.
create table pool_roots (
    pool     text primary key,
    -- An Ed25519 public key, hex.
    root     text not null,
    named_at bigint not null
);

-- Said by pools without a root before there were roots: nothing that is said without a signature pushes it out.
alter table pools add column standing boolean not null default false;
update pools set standing = true;
