delete from signing_keys where origin <> '';

alter table signing_keys
    drop constraint signing_keys_pkey,
    drop column origin,
    add constraint signing_keys_pkey primary key (ring);

comment on table signing_keys is 'keys that sign secrets; the newest that is not retired signs, all that are not retired verify';
