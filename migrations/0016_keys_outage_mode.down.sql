alter table keys drop column outage_mode;
