-- Tenants. A row is made with the first key of an owner, or by setting its limit.

create table owners (
    owner text collate "C" not null,
    rate_limit json,
    generation bigint not null default 0,
    constraint owners_pkey primary key (owner),
    constraint owners_owner_form check (owner ~ '^[a-z0-9][a-z0-9._:-]{0,63}$'),
    constraint owners_rate_limit_good check (rate_limit is null or rate_limit_good(rate_limit)),
    constraint owners_generation_range check (generation >= 0)
);

comment on table owners is 'tenants that hold keys';
comment on column owners.owner is '[a-z0-9][a-z0-9._:-]{0,63}';
comment on column owners.rate_limit is 'limit over all keys of the owner, as written on the wire; null for none; a single limit named owner is one object';
comment on column owners.generation is 'change-log position of the last change of the limit; 0 where there was none';
