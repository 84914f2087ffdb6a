-- The end of the change log: one row, whose lock puts the changes of all nodes into one order.

create table change_head (
    only_row boolean not null default true,
    log_id text not null default replace(gen_random_uuid()::text, '-', ''),
    position bigint not null default 0,
    last_ms bigint not null default 0,
    oldest bigint not null default 1,
    constraint change_head_pkey primary key (only_row),
    constraint change_head_one_row check (only_row),
    constraint change_head_position_range check (position >= 0 and last_ms >= 0),
    constraint change_head_oldest_range check (oldest between 1 and position + 1)
) with (fillfactor = 10);

comment on table change_head is 'one row; updated last in every change, so its lock orders commits and a rollback leaves no hole';
comment on column change_head.only_row is 'always true: there is one row';
comment on column change_head.log_id is 'random; positions of different logs are never compared';
comment on column change_head.position is 'position of the last change; 0 where there is none';
comment on column change_head.last_ms is 'instant of the last change, milliseconds since 1970; strictly rising, even where the clock is not';
comment on column change_head.oldest is 'oldest position still kept; a reader behind it must start over';

insert into change_head default values;
