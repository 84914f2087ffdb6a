-- Changes that are made once, however often they are asked for.

create table idempotency_keys (
    name bytea primary key constraint idempotency_keys_name_form check (octet_length(name) = 32),
    request bytea not null constraint idempotency_keys_request_form check (octet_length(request) = 32),
    key_id text collate "C" not null references keys (key_id) on delete cascade,
    at_ms bigint not null
);

create index idempotency_keys_at_ms on idempotency_keys (at_ms);
create index idempotency_keys_key_id on idempotency_keys (key_id);

comment on table idempotency_keys is 'changes of the last day that callers have named by an Idempotency-Key; older ones are cleared away with later changes';
comment on column idempotency_keys.name is 'SHA-256 over the caller''s key id and the text of his Idempotency-Key';
comment on column idempotency_keys.request is 'SHA-256 over what was asked for: another request under the same name is refused';
comment on column idempotency_keys.key_id is 'the key that was made or changed';
comment on column idempotency_keys.at_ms is 'when, in milliseconds since 1970, by the change log';
