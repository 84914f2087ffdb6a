-- Signing keys that were brought along with imported keys, beside those of this store.

alter table signing_keys
    add column origin text collate "C" not null default '',
    add constraint signing_keys_origin_form check (origin ~ '^[0-9A-Za-z-]{0,64}$'),
    drop constraint signing_keys_pkey,
    add constraint signing_keys_pkey primary key (ring, origin);

comment on table signing_keys is 'keys that sign secrets; the newest of this store that is not retired signs, all that are not retired verify';
comment on column signing_keys.origin is 'empty for a key of this store; else the id of the change log of the store that it was brought from: it verifies, and never signs';
