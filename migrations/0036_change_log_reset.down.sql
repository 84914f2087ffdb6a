update change_log set kind = 'updated' where kind = 'reset';

alter table change_log drop constraint change_log_kind_known;
alter table change_log add constraint change_log_kind_known
    check (kind in ('created', 'updated', 'rotated', 'revoked', 'owner_updated')) not valid;
alter table change_log validate constraint change_log_kind_known;

comment on column change_log.kind is 'created, updated, rotated, revoked or owner_updated';
