#!/bin/sh
# Runs once, as the database is made: one user owns it and migrates it, another is the nodes', and gets its
# rights by deploy/postgres/node-rights.sql after each migration. The superuser is for this alone, and nobody is told
# its password.
set -eu

secrets=/run/postgres-secrets
psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<EOF
create role tollgate login nosuperuser nocreatedb nocreaterole noreplication password '$(cat $secrets/password)';
create role tollgate_node login nosuperuser nocreatedb nocreaterole noreplication password '$(cat $secrets/node-password)';
create database tollgate owner tollgate;
\connect tollgate
alter schema public owner to tollgate;
EOF
