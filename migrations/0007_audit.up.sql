-- Who changed what. Kept longer than the change log, so it refers to nothing.

create table audit (
    position bigint not null,
    at_ms bigint not null,
    actor text not null,
    action text not null,
    key_id text collate "C",
    owner text collate "C",
    request_id text not null,
    detail jsonb not null default '{}',
    constraint audit_pkey primary key (position),
    constraint audit_position_range check (position >= 1)
);

create index audit_by_time on audit (at_ms);

comment on table audit is 'one row for each row of the change log, written in the same transaction, never updated';
comment on column audit.position is 'position of the change in the change log';
comment on column audit.at_ms is 'milliseconds since 1970, as in the change log';
comment on column audit.actor is 'key id of the caller, or a word for the command line';
comment on column audit.action is 'what was asked for, such as keys.create';
comment on column audit.request_id is 'id of the request';
comment on column audit.detail is 'which fields became what; never a secret, a hash or metadata';
