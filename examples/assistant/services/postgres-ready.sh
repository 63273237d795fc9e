#!/bin/sh
# Does PostgreSQL on loopback take connections? postgres-ready.sh PORT
bin=$(command -v pg_isready || ls /usr/lib/postgresql/*/bin/pg_isready | tail -n 1)
exec "$bin" -q -h 127.0.0.1 -p "$1" -U postgres -d postgres
