-- A code that the redeemer of another was given, and which that was: what gave a token that is revoked takes it along.
alter table join_codes add column given_by bigint references join_codes (id) on delete set null;
