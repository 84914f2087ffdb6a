-- What decides on a key while Redis cannot.

alter table keys add column outage_mode text collate "C";
alter table keys add constraint keys_outage_mode_known check (outage_mode in ('local', 'open', 'closed')) not valid;
alter table keys validate constraint keys_outage_mode_known;

comment on column keys.outage_mode is 'local, open or closed; null for that of the deployment; set by operators alone';
