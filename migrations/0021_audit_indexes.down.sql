drop index audit_by_key;
drop index audit_by_owner;
