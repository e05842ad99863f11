-- One-time codes, each of which is good for one token. Names and not rows: an organisation or a member is made when its code is redeemed,
-- so that a code that nobody used leaves nothing behind.
create table join_codes (
    id           {id},
    -- SHA-256 of the code's characters: it is random enough to need no salt and no stretching.
    hash         {bytes} not null constraint join_codes_hash unique,
    organisation text not null,
    member       text not null,
    scope        text not null,
    pool         text,
    -- Whether that pool serves everyone, if it is new.
    everyone     boolean not null,
    -- For whom a processor is given a code to hand on.
    login        text,
    created_at   bigint not null,
    expires_at   bigint not null,
    -- SHA-256 of the bytes by which the one who redeemed it is known again, when that was, and the token that was made.
    redeemer     {bytes},
    redeemed_at  bigint,
    token        bigint references tokens (id),
    constraint join_codes_scope check (scope in ('user', 'processor')),
    constraint join_codes_pool check ((scope = 'processor') = (pool is not null)),
    constraint join_codes_login check (login is null or scope = 'processor'),
    constraint join_codes_redeemed check ((redeemer is null) = (redeemed_at is null))
);
