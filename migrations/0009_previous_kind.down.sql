alter table keys drop column previous_kind;
comment on column keys.kind is 'signed, unsigned or imported: how the secret is made';
