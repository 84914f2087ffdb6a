-- How the secret before the last rotation was made: a rotation may make another kind.

alter table keys
    add column previous_kind text,
    add constraint keys_previous_kind_known check (previous_kind in ('signed', 'unsigned', 'imported')),
    add constraint keys_previous_kind_whole check (previous_kind is null or previous_phc is not null);

comment on column keys.kind is 'signed, unsigned or imported: how the secret in use is made';
comment on column keys.previous_kind is 'signed, unsigned or imported: how the secret before the last rotation was made; null for the same kind as now';
