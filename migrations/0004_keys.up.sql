-- API keys. No secret is here, only Argon2 hashes.

create function scopes_good(scopes text[]) returns boolean
    language sql immutable strict parallel safe
    return case
        when cardinality(scopes) = 0 then true
        when array_ndims(scopes) <> 1 or cardinality(scopes) > 32 then false
        else (
            select bool_and(coalesce(scope ~ '^[a-z0-9][a-z0-9._:-]{0,63}$', false)) and count(distinct scope) = count(*)
            from unnest(scopes) as scope
        )
    end;

comment on function scopes_good(text[]) is 'true for a flat list of at most 32 different scopes';

create table keys (
    key_id text collate "C" not null,
    owner text collate "C",
    name text not null,
    kind text not null,
    secret_phc text not null,
    previous_phc text,
    previous_until_ms bigint,
    scopes text[] not null default '{}',
    rate_limit json,
    status text not null default 'active',
    expires_at_ms bigint,
    created_at_ms bigint not null,
    revoked_at_ms bigint,
    revoke_reason text,
    metadata json not null default '{}',
    generation bigint not null,
    last_used_at_ms bigint,
    constraint keys_pkey primary key (key_id),
    constraint keys_key_id_form check (
        case when starts_with(key_id, 'tk_') then key_id ~ '^tk_[0-7][0-9a-hjkmnp-tv-z]{25}$' else key_id ~ '^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$' end
    ),
    constraint keys_owner_fkey foreign key (owner) references owners (owner),
    constraint keys_name_length check (char_length(name) between 1 and 128),
    constraint keys_kind_known check (kind in ('signed', 'unsigned', 'imported')),
    constraint keys_secret_form check (secret_phc like '$argon2%' and octet_length(secret_phc) <= 1024),
    constraint keys_previous_form check (previous_phc like '$argon2%' and octet_length(previous_phc) <= 1024),
    constraint keys_previous_whole check ((previous_phc is null) = (previous_until_ms is null)),
    constraint keys_scopes_good check (scopes_good(scopes)),
    constraint keys_owned_scopes check (owner is null or not 'owners:write' = any (scopes)),
    constraint keys_rate_limit_good check (rate_limit is null or rate_limit_good(rate_limit)),
    constraint keys_rate_limit_names check (rate_limit is null or not rate_limit_good(rate_limit) or key_limit_names_good(rate_limit)),
    constraint keys_status_known check (status in ('active', 'suspended', 'revoked')),
    constraint keys_revoked_whole check ((status = 'revoked') = (revoked_at_ms is not null)),
    constraint keys_revoke_reason_form check (revoke_reason is null or (revoked_at_ms is not null and char_length(revoke_reason) <= 256)),
    constraint keys_metadata_form check (json_typeof(metadata) = 'object' and octet_length(metadata::text) <= 4096),
    constraint keys_generation_range check (generation >= 1)
) with (fillfactor = 80);

comment on table keys is 'API keys and their rules; changed only together with change_head, change_log and audit';
comment on column keys.key_id is 'tk_ and a ULID in lower case, whose instant is that of its row in the change log; an import may keep [A-Za-z0-9][A-Za-z0-9._-]{0,63}';
comment on column keys.owner is 'tenant that holds the key; set at creation, never changed; null for a key of operators';
comment on column keys.name is '1 to 128 printable characters';
comment on column keys.kind is 'signed, unsigned or imported: how the secret is made';
comment on column keys.secret_phc is 'Argon2 hash of the secret in use, PHC string';
comment on column keys.previous_phc is 'Argon2 hash of the secret before the last rotation, while it is good';
comment on column keys.previous_until_ms is 'until when the previous secret is good (not at that instant), milliseconds since 1970';
comment on column keys.scopes is 'what the key may do, [a-z0-9][a-z0-9._:-]{0,63} each, none twice; owners:write only without an owner';
comment on column keys.rate_limit is 'as written on the wire; null for unlimited; a single limit named key is one object; no limit is named owner or owner.…';
comment on column keys.status is 'active, suspended or revoked; expired is told by expires_at_ms, revoked is final';
comment on column keys.expires_at_ms is 'when the key ends (not good at that instant), milliseconds since 1970; null for never';
comment on column keys.created_at_ms is 'instant of the row of its creation in the change log, milliseconds since 1970';
comment on column keys.revoked_at_ms is 'when it was revoked, milliseconds since 1970; set if and only if status is revoked';
comment on column keys.revoke_reason is 'why it was revoked, at most 256 characters';
comment on column keys.metadata is 'an object of at most 4 KiB as text; json and not jsonb, so that its size and text are those that were sent';
comment on column keys.generation is 'change-log position of the last change';
comment on column keys.last_used_at_ms is 'last use within a minute or so, milliseconds since 1970; no change in the sense of the log';
