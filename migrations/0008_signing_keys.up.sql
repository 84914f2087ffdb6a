-- The ring of keys that sign secrets.

create table signing_keys (
    ring text collate "C" not null,
    sealed bytea not null,
    added_at_ms bigint not null,
    retired_at_ms bigint,
    constraint signing_keys_pkey primary key (ring),
    constraint signing_keys_ring_form check (ring ~ '^[0-9A-Za-z]$'),
    constraint signing_keys_sealed_size check (octet_length(sealed) between 1 and 1024)
);

comment on table signing_keys is 'keys that sign secrets; the newest that is not retired signs, all that are not retired verify';
comment on column signing_keys.ring is 'the ring character in a signed secret, 0-9A-Za-z';
comment on column signing_keys.sealed is 'the key, wrapped by the master key where one is set';
comment on column signing_keys.added_at_ms is 'milliseconds since 1970';
comment on column signing_keys.retired_at_ms is 'milliseconds since 1970; null while in use';
