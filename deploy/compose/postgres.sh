#!/bin/sh
# Runs once, as the database is made: the nodes' user owns their database and is no superuser. The superuser is
# for this alone, and nobody is told its password.
set -eu

psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<EOF
create role tollgate login nosuperuser nocreatedb nocreaterole noreplication password '$(cat /run/postgres-secrets/password)';
create database tollgate owner tollgate;
EOF
