-- Tells an owner whose limit was set from one that has keys alone: the generation does not, once the
-- log was reset.

alter table owners add column ruled boolean not null default false;
update owners set ruled = true where generation > 0;

comment on column owners.ruled is 'whether somebody has set rate_limit, to no limit perhaps';
