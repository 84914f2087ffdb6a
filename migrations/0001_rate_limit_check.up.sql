-- What the API says of a rate limit, said again by the database: one object {burst, per_seconds},
-- or a list of one to four with a name each. The functions read json and not jsonb, because jsonb
-- forgets duplicate fields and takes 1e3 for 1000, both of which the API refuses.

create function json_whole_number_within(value json, greatest_allowed bigint) returns boolean
    language sql immutable strict parallel safe
    return case when value::text ~ '^[1-9][0-9]{0,9}$' then value::text::bigint <= greatest_allowed else false end;

comment on function json_whole_number_within(json, bigint) is
    'true for a JSON number written as a whole number from 1 to the bound: no sign, no point, no exponent';

create function json_word(value json) returns boolean
    language sql immutable strict parallel safe
    return case when json_typeof(value) = 'string' then (value #>> '{}') ~ '^[a-z0-9][a-z0-9._:-]{0,63}$' else false end;

comment on function json_word(json) is 'true for a JSON string of the form of owners, scopes and limit names';

create function rate_limit_fields_good(fields json, field_names text[]) returns boolean
    language sql immutable strict parallel safe
    return case when json_typeof(fields) = 'object' then (
        select coalesce(array_agg(field.key order by field.key collate "C") = field_names, false)
            and coalesce(bool_and(
                case field.key
                    when 'burst' then json_whole_number_within(field.value, 1000000000)
                    when 'per_seconds' then json_whole_number_within(field.value, 2678400)
                    when 'name' then json_word(field.value)
                    else false
                end), false)
        from json_each(fields) as field
    ) else false end;

comment on function rate_limit_fields_good(json, text[]) is
    'true for an object that has exactly these fields, in order of their names, each once and in its range';

create function limit_name_id(name text) returns bigint
    language plpgsql immutable strict parallel safe
    as $$
declare
    hash bigint := 2166136261;
begin
    for place in 1 .. char_length(name) loop
        hash := ((hash # ascii(substr(name, place, 1))) * 16777619) & 4294967295;
    end loop;
    return hash;
end
$$;

comment on function limit_name_id(text) is
    'FNV-1a, 32 bits: what a limit goes by in the state of its bucket, so two limits of one list must not share it';

create function rate_limit_good(rate_limit json) returns boolean
    language sql immutable strict parallel safe
    return case json_typeof(rate_limit)
        when 'object' then rate_limit_fields_good(rate_limit, array['burst', 'per_seconds'])
        when 'array' then case
            when json_array_length(rate_limit) not between 1 and 4 then false
            when (
                select bool_and(rate_limit_fields_good(element.value, array['burst', 'name', 'per_seconds']))
                from json_array_elements(rate_limit) as element
            ) then (
                select count(distinct limit_name_id(element.value ->> 'name')) = count(*)
                from json_array_elements(rate_limit) as element
            )
            else false
        end
        else false
    end;

comment on function rate_limit_good(json) is 'the one rule for rate limits of keys and owners, equal to the API''s';

create function key_limit_names_good(rate_limit json) returns boolean
    language sql immutable strict parallel safe
    return case when json_typeof(rate_limit) = 'array' then not exists (
        select from json_array_elements(rate_limit) as element
        where element.value ->> 'name' = 'owner' or starts_with(element.value ->> 'name', 'owner.')
    ) else true end;

comment on function key_limit_names_good(json) is
    'true where no limit of a key has a name that answers give to the limits of its owner: owner, owner.…';
