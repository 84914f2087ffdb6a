drop table keys;
drop function scopes_good(text[]);
