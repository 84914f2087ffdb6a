-- Keys without a limit of their own, which a guard rail asks for every few seconds: few, or none.

create index keys_unlimited on keys (key_id) where rate_limit is null and status = 'active';
