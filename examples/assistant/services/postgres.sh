#!/bin/sh
# PostgreSQL on loopback for the example, its data in a folder of its own: postgres.sh PORT
#
# PostgreSQL refuses to run as root. Where this fleet does, the server runs as the user `postgres` that the
# package made, and its data lies where that user may go.
set -eu
port=$1
bin=$(dirname "$(command -v postgres || ls /usr/lib/postgresql/*/bin/postgres | tail -n 1)")
[ -x "$bin/initdb" ] || bin=$(dirname "$(readlink -f "$bin/postgres")")
if [ "$(id -u)" = 0 ]; then
    data=/var/tmp/backstay-example-postgres-$(pwd | cksum | cut -d' ' -f1)
    as() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
    mkdir -p "$data"
    chown postgres: "$data"
else
    data=$PWD/.backstay/postgres
    as() { "$@"; }
    mkdir -p "$data"
fi
chmod 700 "$data"
[ -s "$data/PG_VERSION" ] || as "$bin/initdb" -D "$data" -U postgres --auth=trust --no-instructions >/dev/null
cd "$data"
if [ "$(id -u)" = 0 ]; then
    exec setpriv --reuid=postgres --regid=postgres --init-groups \
        "$bin/postgres" -D "$data" -p "$port" -h 127.0.0.1 -k "$data"
fi
exec "$bin/postgres" -D "$data" -p "$port" -h 127.0.0.1 -k "$data"
