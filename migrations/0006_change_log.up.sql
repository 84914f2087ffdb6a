-- What changed, in order of commits, for nodes to follow.

create table change_log (
    position bigint not null,
    at_ms bigint not null,
    kind text not null,
    key_id text collate "C",
    owner text collate "C",
    request_id text not null,
    constraint change_log_pkey primary key (position),
    constraint change_log_position_range check (position >= 1),
    constraint change_log_kind_known check (kind in ('created', 'updated', 'rotated', 'revoked', 'owner_updated')),
    constraint change_log_subject check (case when kind = 'owner_updated' then key_id is null and owner is not null else key_id is not null end)
);

create index change_log_by_time on change_log (at_ms);

comment on table change_log is 'every change of a key or of an owner''s limit; written in the transaction of the change, never updated';
comment on column change_log.position is '1, 2, 3 ... without a hole, in order of commits';
comment on column change_log.at_ms is 'milliseconds since 1970, strictly rising with the position';
comment on column change_log.kind is 'created, updated, rotated, revoked or owner_updated';
comment on column change_log.key_id is 'the key that changed; null for an owner''s change';
comment on column change_log.owner is 'the key''s owner, or the owner that changed';
comment on column change_log.request_id is 'id of the request that made the change';
