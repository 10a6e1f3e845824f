# shellcheck shell=bash disable=SC2154
# Postgres, for `scripts/services`.
#
# The tests are given an ordinary role that owns its database, since Windlass
# needs no more. WINDLASS_TEST_ADMIN_URL is that of a superuser, for what
# happens to a server and what only an operator sees.

postgres_user=windlass_test
postgres_admin=windlass_admin
# The oldest version that Windlass works with.
postgres_oldest=13

# Sets where everything of this instance is.
postgres_place() {
    postgres_place=$base/postgres
    [ "$instance" = main ] || postgres_place+=-$instance
    postgres_data=$postgres_place/data
}

# Whether DATABASE_URL is of a server that was not started from here.
postgres_is_given() {
    [ -n "${DATABASE_URL:-}" ] || return 1
    if is_ours "$DATABASE_URL" "$base"/postgres*/password; then return 1; fi
    case $DATABASE_URL in
    postgres://* | postgresql://*) return 0 ;;
    *) fail "DATABASE_URL is not of a Postgres server; please unset it" ;;
    esac
}

# Sets `postgres_bin`: the folder of the server's programs that are on the PATH,
# as somebody may wish for that version, or else that of the newest ones.
postgres_find() {
    local folder
    postgres_major=0
    postgres_look "$(dirname "$(readlink -f "$(command -v initdb)")")" && return
    for folder in /usr/lib/postgresql/*/bin; do postgres_look "$folder" || true; done
    [ "$postgres_major" -ge "$postgres_oldest" ]
}

postgres_look() {
    local program major
    for program in initdb postgres pg_ctl psql; do
        [ -x "$1/$program" ] || return 1
    done
    major=$("$1/postgres" --version | sed -nE 's/^[^0-9]*([0-9]+).*/\1/p')
    [ "$major" -gt "$postgres_major" ] && [ "$major" -ge "$postgres_oldest" ] || return 1
    postgres_bin=$1
    postgres_major=$major
}

postgres_install() {
    if postgres_install_quietly && postgres_find; then
        choose_user
        return 0
    fi
    fail "Postgres $postgres_oldest or newer is needed and could not be installed: please install \
its server (Debian: postgresql), or set DATABASE_URL to one (see compose.yaml)"
}

# Installs the server's programs and nothing else: by itself, Debian's package
# makes a server.
postgres_install_quietly() (
    may_install || return 1
    drop_in=/etc/postgresql-common/createcluster.d/windlass.conf
    install_quietly postgresql-common || return 1
    trap '$as_root rm -f "$drop_in"' EXIT
    $as_root mkdir -p "${drop_in%/*}"
    echo 'create_main_cluster = false' | $as_root tee "$drop_in" >/dev/null
    install_quietly postgresql
)

# The process of this server, if it is running.
postgres_pid() {
    local pid
    # The file may have been left behind, and its number be another's by now.
    pid=$(sed -n 1p "$postgres_data/postmaster.pid" 2>/dev/null)
    [ -n "$pid" ] && is_process "$pid" "-D $postgres_data" && echo "$pid"
}

postgres_url() {
    local role=$1 password=$2 database=$3
    echo "postgres://$role:$(cat "$postgres_place/$password")@127.0.0.1:$(cat "$postgres_place/port")/$database"
}

postgres_urls() {
    if postgres_is_given; then
        printf 'export DATABASE_URL=%q\n' "$DATABASE_URL"
        return
    fi
    printf 'export DATABASE_URL=%q\n' "$(postgres_url $postgres_user password $postgres_user)"
    printf 'export WINDLASS_TEST_ADMIN_URL=%q\n' \
        "$(postgres_url $postgres_admin admin-password $postgres_user)"
}

# Makes the data folder, under another name until it is whole.
postgres_create() {
    local new=$postgres_place/new password
    say "making a data folder of Postgres $postgres_major in $postgres_place"
    rm -rf "$new" "$postgres_data" "$postgres_place/port"
    for password in password admin-password; do
        (umask 077 && secret >"$postgres_place/$password")
        ! is_root || chown "$server_user" "$postgres_place/$password"
    done
    local options=("--username=$postgres_admin" --pwfile="$postgres_place/admin-password"
        --auth=scram-sha-256 --encoding=UTF8 --locale=C)
    # Most servers do not sort text by its bytes, so this one had better not.
    if [[ $("$postgres_bin/initdb" --help) == *--icu-locale* ]]; then
        options+=(--locale-provider=icu --icu-locale=en-US)
    fi
    as_server "$postgres_bin/initdb" "${options[@]}" "$new" >"$postgres_place/initdb.log" 2>&1 || {
        cat "$postgres_place/initdb.log" >&2
        fail "initdb failed"
    }
    echo "include = 'windlass.conf'" >>"$new/postgresql.conf"
    : >"$new/windlass.conf"
    as_server "$postgres_bin/postgres" --single -c exit_on_error=on -D "$new" postgres \
        >"$postgres_place/initdb.log" 2>&1 <<SQL || fail "see $postgres_place/initdb.log"
create role $postgres_user login nosuperuser password '$(cat "$postgres_place/password")'
create database $postgres_user owner $postgres_user
SQL
    mv "$new" "$postgres_data"
}

# Nothing here makes a promise of the server weaker than by default, but one, of the usual
# instance: that it survives a power loss, which no test makes. Waiting for the disk would
# be most of what its tests do. Tests that restart a server, as after a crash, have an
# instance of their own, and nothing may be lost there.
postgres_configure() {
    local socket=$postgres_place/run fsync=on
    [ "$instance" != main ] || fsync=off
    # A socket's path has room for 107 bytes, and the URLs have no need of it.
    [ $((${#socket} + 20)) -le 107 ] || socket=
    cat >"$postgres_data/windlass.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $(cat "$postgres_place/port")
unix_socket_directories = '${socket//\'/\'\'}'
fsync = $fsync
synchronous_commit = on
full_page_writes = on
autovacuum = on
max_connections = 200
shared_buffers = 256MB
max_prepared_transactions = 10
log_min_messages = warning
log_checkpoints = off
log_line_prefix = '%m [%p] %q%u '
CONF
}

postgres_launch() {
    local pid log=$postgres_place/log tries=0
    # Of one that was killed; nobody else has sockets here.
    rm -f "$postgres_place"/run/.s.PGSQL.*
    pid=$(sed -n 1p "$postgres_data/postmaster.pid" 2>/dev/null) || true
    # The server itself sees that a process is gone, but not that its number is
    # another's by now.
    if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then rm -f "$postgres_data/postmaster.pid"; fi
    # Processes of one that was killed take a moment to end.
    until as_server "$postgres_bin/pg_ctl" start --silent --wait --timeout=60 \
        --pgdata="$postgres_data" --log="$log" </dev/null >/dev/null 2>&1 8>&- 9>&-; do
        tries=$((tries + 1))
        if [ "$tries" = 10 ]; then
            tail -n 20 "$log" >&2
            fail "Postgres does not start; see $log"
        fi
        sleep 1
    done
}

postgres_answers() {
    "$postgres_bin/psql" -XAtq "$(postgres_url $postgres_admin admin-password postgres)" \
        -c 'select 1' >/dev/null 2>&1
}

postgres_start() {
    local tries=0
    mkdir -p "$postgres_place/run"
    if is_root; then chown -R "$server_user" "$postgres_place"; fi
    chmod 700 "$postgres_place"
    if ! postgres_pid >/dev/null; then
        # What another version has stored was for tests, too.
        if [ "$(cat "$postgres_data/PG_VERSION" 2>/dev/null)" != "$postgres_major" ]; then
            postgres_create
        fi
        take_port "$postgres_place/port"
        postgres_configure
        ! [ -e "$postgres_place/log" ] || mv -f "$postgres_place/log" "$postgres_place/log.old"
        postgres_launch
    fi
    # The password is this server's alone: it is the one that was meant.
    until PGCONNECT_TIMEOUT=5 postgres_answers; do
        tries=$((tries + 1))
        [ "$tries" -lt 60 ] || fail "Postgres does not answer; see $postgres_place/log"
        sleep 1
    done
}

postgres_status() {
    local pid
    if postgres_is_given; then
        echo "postgres: the one of DATABASE_URL"
    elif pid=$(postgres_pid); then
        echo "postgres: running as process $pid on port $(cat "$postgres_place/port"), in $postgres_place"
    else
        echo "postgres: not running"
        return 1
    fi
}

postgres_stop() {
    local pid
    if pid=$(postgres_pid); then end_process INT "$pid" "-D $postgres_data"; fi
}

postgres_remove() {
    postgres_stop
    rm -rf "$postgres_place"
}

postgres_restart() {
    local mode=${1:-} pid signal
    case $mode in
    fast) signal=INT ;;
    immediate) signal=QUIT ;;
    *) fail "restart postgres wants fast or immediate" ;;
    esac
    if postgres_is_given; then
        [ -n "${WINDLASS_RESTART_POSTGRES:-}" ] ||
            fail "the server of DATABASE_URL is not ours to restart; set WINDLASS_RESTART_POSTGRES"
        (cd "$root" && sh -c "$WINDLASS_RESTART_POSTGRES" restart "$mode" >&2)
        return
    fi
    postgres_find || fail "the server's programs are gone"
    lock
    pid=$(postgres_pid) || fail "Postgres is not running"
    end_process "$signal" "$pid" "-D $postgres_data"
    # On the same port: those who are connected come back.
    postgres_launch
}

# Runs a statement as the role of the tests.
postgres_run() {
    local url=${DATABASE_URL:-} psql=psql
    if postgres_find; then psql=$postgres_bin/psql; fi
    have "$psql" || fail "psql is missing; please install it (Debian: postgresql-client)"
    postgres_is_given || url=$(postgres_url $postgres_user password $postgres_user)
    "$psql" -XAtq -v ON_ERROR_STOP=1 "$url" -c "$1"
}

# The role may end its own connections: no superuser is needed.
postgres_terminate() {
    local which
    case ${1:-} in
    '') which='true order by random() limit 1 + floor(random() * 3)' ;;
    listener) which="query ~* '^\s*listen\M'" ;;
    *) fail "terminate postgres wants nothing, or listener" ;;
    esac
    postgres_run "
        with chosen as materialized (
            select pid from pg_stat_activity
            where datname = current_database() and usename = current_user
                and backend_type = 'client backend' and pid <> pg_backend_pid() and $which
        )
        select 'ended ' || count(*) filter (where pg_terminate_backend(pid)) || ' connections'
        from chosen"
}

postgres_drop() {
    [[ ${1:-} =~ ^[a-z0-9_]+$ ]] || fail "drop postgres wants the name of a schema"
    postgres_run "set client_min_messages = warning; drop schema if exists \"$1\" cascade"
}
