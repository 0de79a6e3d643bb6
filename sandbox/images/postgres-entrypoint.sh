#!/bin/bash
# Starts PostgreSQL as the official image does, by the same variables (hub.docker.com/_/postgres):
# POSTGRES_PASSWORD, POSTGRES_USER, POSTGRES_DB, POSTGRES_INITDB_ARGS, POSTGRES_HOST_AUTH_METHOD, PGDATA,
# each of the first four also as a file (POSTGRES_PASSWORD_FILE), and /docker-entrypoint-initdb.d.
set -Eeuo pipefail

SOCKETS=/var/run/postgresql
SCRIPTS=/docker-entrypoint-initdb.d

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# The value of a variable, or of the file that <variable>_FILE names; a default otherwise.
setting() {
    local name="$1" file="$1_FILE"
    if [ -n "${!name:-}" ] && [ -n "${!file:-}" ]; then
        fail "$name and $file are both set; set one"
    fi
    if [ -n "${!file:-}" ]; then
        printf -v "$name" '%s' "$(< "${!file}")"
    elif [ -z "${!name:-}" ]; then
        printf -v "$name" '%s' "${2:-}"
    fi
    unset "$file"
    export "${name?}"
}

as_postgres() {
    exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
}

prepare_folders() {
    mkdir -p "$PGDATA" "$SOCKETS"
    chmod 0700 "$PGDATA" || true
    chmod 3775 "$SOCKETS" || true
    if [ "$(id -u)" = 0 ]; then
        find "$PGDATA" "$SOCKETS" \! -user postgres -exec chown postgres:postgres {} +
    fi
}

sql() {
    psql --set=ON_ERROR_STOP=1 --no-psqlrc --no-password --quiet --username="$POSTGRES_USER" "$@"
}

run_scripts() {
    local script
    for script in "$SCRIPTS"/*; do
        case "$script" in
            *.sh) if [ -x "$script" ]; then "$script"; else . "$script"; fi ;;
            *.sql) sql --dbname="$POSTGRES_DB" --file="$script" ;;
            *.sql.gz) gunzip --stdout "$script" | sql --dbname="$POSTGRES_DB" ;;
            *.sql.xz) xzcat "$script" | sql --dbname="$POSTGRES_DB" ;;
        esac
    done
}

initialise() {
    local method="${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}"
    if [ -z "$POSTGRES_PASSWORD" ] && [ "$method" != trust ]; then
        fail "the database is empty and POSTGRES_PASSWORD is not set (or set POSTGRES_HOST_AUTH_METHOD=trust)"
    fi
    local arguments=()
    if [ -n "$POSTGRES_INITDB_ARGS" ]; then
        read -r -a arguments <<< "$POSTGRES_INITDB_ARGS"
    fi
    initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") "${arguments[@]}"
    printf '\nhost all all all %s\n' "$method" >> "$PGDATA/pg_hba.conf"
    # Only over the socket, so that nobody meets a database that isn't ready.
    PGUSER="$POSTGRES_USER" pg_ctl --wait start -o "$(printf '%q ' "${@:2}" -c listen_addresses= -p 5432)"
    export PGPASSWORD="$POSTGRES_PASSWORD"
    if [ "$POSTGRES_DB" != postgres ]; then
        sql --dbname=postgres --set=name="$POSTGRES_DB" <<< 'CREATE DATABASE :"name";'
    fi
    run_scripts
    PGUSER="$POSTGRES_USER" pg_ctl --mode=fast --wait stop
    unset PGPASSWORD
}

if [ "${1:-postgres}" = "${1#-}" ]; then
    [ $# -gt 0 ] || set -- postgres
else
    set -- postgres "$@"
fi

serves() {
    local argument
    [ "$1" = postgres ] || return 1
    for argument in "$@"; do
        case "$argument" in -\? | --help | -V | --version | -C | --describe-config) return 1 ;; esac
    done
}

if serves "$@"; then
    prepare_folders
    if [ "$(id -u)" = 0 ]; then
        as_postgres "$0" "$@"
    fi
    setting POSTGRES_PASSWORD
    setting POSTGRES_USER postgres
    setting POSTGRES_DB "$POSTGRES_USER"
    setting POSTGRES_INITDB_ARGS
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        initialise "$@"
    fi
fi

exec "$@"
