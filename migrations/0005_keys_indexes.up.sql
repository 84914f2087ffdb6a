-- Pages of an owner's keys; pages of keys in one state and the stream of usable key ids; and the
-- question whether an administrator exists, which is asked while the change head is locked.

create index keys_by_owner on keys (owner, key_id);
create index keys_by_status on keys (status, key_id) include (expires_at_ms);
create index keys_admins on keys (key_id) where owner is null and 'admin' = any (scopes);
