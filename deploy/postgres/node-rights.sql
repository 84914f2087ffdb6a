-- The least rights that a node needs, for a role of its own.
--
-- Run it as the role that runs `tollgate migrate` and so owns the tables, in the same database, after every migration:
--
--   psql "$OWNER_URL" -f deploy/postgres/node-rights.sql
--
-- and give nodes a `postgres.url` of `tollgate_node`. Set its password first: alter role tollgate_node password '…'.
-- `tollgate bootstrap`, `keys import`, `keys export`, `signing-keys` and `log reset` do with it too; `migrate` does not.

do $$
begin
    if not exists (select from pg_roles where rolname = 'tollgate_node') then
        create role tollgate_node login nosuperuser nocreatedb nocreaterole noreplication;
    end if;
end
$$;

revoke create on schema public from public;
revoke all on all tables in schema public from tollgate_node;
grant usage on schema public to tollgate_node;

-- Records are made and changed, never deleted.
grant select, insert, update on keys, owners, signing_keys to tollgate_node;
-- The end of the change log is one row, which moves.
grant select, update on change_head to tollgate_node;
-- What has happened is never rewritten; it is cleared away when it is older than it has to be kept.
grant select, insert, delete on change_log, audit, idempotency_keys to tollgate_node;
-- Which schema this is.
grant select on _sqlx_migrations to tollgate_node;
