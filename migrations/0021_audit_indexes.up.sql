-- The audit log is read by owner and by key, newest first.

create index audit_by_owner on audit (owner, position) where owner is not null;
create index audit_by_key on audit (key_id, position) where key_id is not null;
