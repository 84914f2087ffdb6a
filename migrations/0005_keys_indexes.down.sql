drop index keys_admins;
drop index keys_by_status;
drop index keys_by_owner;
