drop function key_limit_names_good(json);
drop function rate_limit_good(json);
drop function limit_name_id(text);
drop function rate_limit_fields_good(json, text[]);
drop function json_word(json);
drop function json_whole_number_within(json, bigint);
