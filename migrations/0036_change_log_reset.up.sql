-- A reset of a key's buckets says so in the log, so that whoever reads it can make it good.

alter table change_log drop constraint change_log_kind_known;
alter table change_log add constraint change_log_kind_known
    check (kind in ('created', 'updated', 'rotated', 'revoked', 'reset', 'owner_updated')) not valid;
alter table change_log validate constraint change_log_kind_known;

comment on column change_log.kind is 'created, updated, rotated, revoked, reset or owner_updated';
