# shellcheck shell=bash disable=SC2154
# Redis, for `scripts/services`: one server. What the nodes of a cluster have in
# common with it is here, too; the rest is in `redis_cluster.sh`. Valkey will do.
#
# The tests are given a user that may do what Windlass needs, and nothing more.
# WINDLASS_TEST_REDIS_ADMIN_URL is that of one who may do everything, for what
# happens to a server and what only an operator sees.

redis_user=windlass_test
redis_admin=windlass_admin
# The oldest version that Windlass works with; of Valkey, every one.
redis_oldest=7

# What the user of the tests may do. Commands within scripts are checked, too.
# The same is in `compose.yaml`.
redis_rights="~{windlass* &windlass* -@all \
+evalsha +eval +publish +subscribe +unsubscribe +ping +time +info +wait \
+cluster|slots +readonly +asking +client|setname +client|setinfo +hello +auth +select \
+exists +pexpire +hget +hset +hmget +hdel +hexists +hincrby +hgetall +hkeys +hlen +hscan +hstrlen +hvals \
+zadd +zrem +zcard +zrange +zrangebylex +zrevrangebylex +zremrangebyrank +zlexcount +zmscore \
+lpush +rpush +lpop +rpop +lrange +lindex"

# Nothing of an operator's settings leads a client to another server.
unset "${!REDISCLI_@}" "${!VALKEYCLI_@}"

# Sets where everything of this instance is.
redis_place() {
    redis_place=$base/redis
    [ "$instance" = main ] || redis_place+=-$instance
    redis_folder=$redis_place/server
}

# Whether REDIS_URL is of a server that was not started from here.
redis_is_given() {
    [ -n "${REDIS_URL:-}" ] || return 1
    if is_ours "$REDIS_URL" "$base"/redis{,-*}/password; then return 1; fi
    case $REDIS_URL in
    redis://* | rediss://*) return 0 ;;
    *) fail "REDIS_URL is not of a Redis server; please unset it" ;;
    esac
}

# Sets `redis_server`, `redis_cli`, and of which version the server is.
redis_find() {
    local name major minor
    redis_find_cli || return 1
    for name in redis valkey; do
        redis_server=$(command -v "$name-server") || continue
        read -r major minor < <("$redis_server" --version |
            sed -nE 's/.* v=([0-9]+)\.([0-9]+).*/\1 \2/p') || continue
        redis_version=$name-$major.$minor
        [ "$major" -lt "$redis_oldest" ] || return 0
    done
    return 1
}

redis_find_cli() { redis_cli=$(command -v redis-cli || command -v valkey-cli); }

redis_install() {
    if redis_install_quietly && redis_find; then return 0; fi
    fail "Redis $redis_oldest or newer is needed and could not be installed: please install its \
server (Debian: redis-server, redis-tools; or valkey-server, valkey-tools), or set REDIS_URL and \
WINDLASS_TEST_REDIS_CLUSTER_URL (see compose.yaml)"
}

redis_install_quietly() {
    may_install && install_quietly redis-server redis-tools openssl || return 1
    # Nor is the system's server to be started with the machine.
    if have systemctl; then $as_root systemctl disable --quiet redis-server >&2 || true; fi
}

# The folder of a server has its settings, its port, its log and its data. What
# several nodes have in common is in the folder around it.

# The process of the server in a folder, if it is running.
redis_pid() {
    local pid
    # The file may have been left behind, and its number be another's by now.
    pid=$(cat "$1/pid" 2>/dev/null)
    [ -n "$pid" ] && is_process "$pid" "$1/server.conf" && echo "$pid"
}

redis_url() {
    local folder=$1 user=$2 password=$3
    echo "redis://$user:$(cat "$folder/../$password")@127.0.0.1:$(cat "$folder/port")"
}

# That of the one who may do everything.
redis_own_url() { redis_url "$1" "$redis_admin" admin-password; }

# The same for the server of the tests, wherever it is.
redis_admin_url() {
    if redis_is_given; then
        echo "${WINDLASS_TEST_REDIS_ADMIN_URL:-$REDIS_URL}"
    else
        redis_own_url "$redis_folder"
    fi
}

redis_urls() {
    if redis_is_given; then
        printf 'export REDIS_URL=%q\n' "$REDIS_URL"
        return
    fi
    printf 'export REDIS_URL=%q\n' "$(redis_url "$redis_folder" $redis_user password)/0"
    printf 'export WINDLASS_TEST_REDIS_ADMIN_URL=%q\n' "$(redis_own_url "$redis_folder")/0"
}

# Runs a command on the server of a URL, or those of its standard input. A
# server that was stopped does not hold this up.
redis_ask() { timeout 20 "$redis_cli" --no-auth-warning -e -u "$@"; }

redis_answers() { [ "$(redis_ask "$(redis_own_url "$1")" ping 2>/dev/null)" = PONG ]; }

# Makes a folder for servers. What another version has stored was for tests.
redis_create() {
    local place=$1 password
    say "making data folders of $redis_version in $place"
    rm -rf "$place"
    mkdir -p "$place"
    chmod 700 "$place"
    for password in password admin-password; do secret >"$place/$password"; done
}

# Writes who may do what, and tells running servers if that has changed: it ends
# the connections that they have.
#
# Nobody can log in as the default user, but it keeps its rights: by them, a server
# that reads its file at the start (`appendonly`) judges what scripts have written, and
# leaves out, without an error, what is not allowed (redis/redis#14541,
# valkey-io/valkey#3983).
redis_allow() {
    local place=$1 folder rights=$redis_rights
    # It came with this version; clients bear without.
    case $redis_version in redis-7.[01]) rights=${rights/"+client|setinfo "/} ;; esac
    cat >"$place/users.new" <<ACL
user default off ~* &* +@all
user $redis_admin on >$(cat "$place/admin-password") ~* &* +@all
user $redis_user on >$(cat "$place/password") $rights
ACL
    ! cmp -s "$place/users.new" "$place/users.acl" || return 0
    mv "$place/users.new" "$place/users.acl"
    if is_root; then chown "$server_user" "$place/users.acl"; fi
    for folder in "$place"/*/; do
        folder=${folder%/}
        if redis_pid "$folder" >/dev/null; then
            redis_ask "$(redis_own_url "$folder")" acl load >/dev/null || {
                rm -f "$place/users.acl"
                fail "these rights are not accepted: $rights"
            }
        fi
    done
}

# Writes the settings of a server: those of the tests, which say what an
# operator has to set, and any others. Paths are relative to its folder.
redis_configure() {
    local folder=$1
    mkdir -p "$folder"
    take_port "$folder/port"
    cat >"$folder/server.conf" <<CONF
bind 127.0.0.1
protected-mode yes
port $(cat "$folder/port")
daemonize no
# The command line tells whose a process is.
set-proc-title no
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
aclfile ../users.acl
${2:-}
CONF
    if is_root; then chown -R "$server_user" "$folder/.."; fi
}

redis_keep_log() { ! [ -e "$1/log" ] || mv -f "$1/log" "$1/log.old"; }

# Starts a server, without waiting for it.
redis_launch() {
    rm -f "$1/pid"
    # shellcheck disable=SC2016
    as_server setsid --fork sh -c 'echo $$ >"$0/pid" && exec "$@"' "$1" \
        "$redis_server" "$1/server.conf" --dir "$1" </dev/null >>"$1/log" 2>&1 8>&- 9>&-
}

# Waits until a server answers. The password is this server's alone: it is the
# one that was meant.
redis_await() {
    local tries=0
    until redis_answers "$1"; do
        tries=$((tries + 1))
        if [ "$tries" = 1200 ] || { [ -s "$1/pid" ] && ! redis_pid "$1" >/dev/null; }; then
            tail -n 20 "$1/log" >&2
            fail "Redis does not start; see $1/log"
        fi
        sleep 0.05
    done
}

redis_start() {
    if ! redis_pid "$redis_folder" >/dev/null; then
        if [ "$(cat "$redis_place/version" 2>/dev/null)" != "$redis_version" ]; then
            redis_create "$redis_place"
            echo "$redis_version" >"$redis_place/version"
        fi
        redis_configure "$redis_folder"
        redis_keep_log "$redis_folder"
        redis_allow "$redis_place"
        redis_launch "$redis_folder"
    fi
    redis_await "$redis_folder"
    redis_allow "$redis_place"
}

redis_status() {
    local pid
    if redis_is_given; then
        echo "redis: the one of REDIS_URL"
    elif pid=$(redis_pid "$redis_folder"); then
        echo "redis: running as process $pid on port $(cat "$redis_folder/port"), in $redis_place"
    else
        echo "redis: not running"
        return 1
    fi
}

# Ends the servers in some folders, all at once. TERM is what `shutdown` does.
redis_end() {
    local signal=$1 folder pid pids=()
    shift
    for folder in "$@"; do
        pid=$(redis_pid "$folder") || pid=
        pids+=("$pid")
        [ -z "$pid" ] || kill -s "$signal" "$pid" 2>/dev/null || true
    done
    for folder in "$@"; do
        pid=${pids[0]}
        pids=("${pids[@]:1}")
        [ -z "$pid" ] || end_process "$signal" "$pid" "$folder/server.conf"
    done
}

redis_stop() { redis_end TERM "$redis_folder"; }

redis_remove() {
    redis_stop
    rm -rf "$redis_place"
}

redis_signal() {
    case ${2:-} in
    fast) echo TERM ;;
    immediate) echo KILL ;;
    *) fail "restart $1 wants fast or immediate" ;;
    esac
}

redis_restart() {
    local mode=${1:-} signal
    signal=$(redis_signal redis "$mode")
    if redis_is_given; then
        [ -n "${WINDLASS_RESTART_REDIS:-}" ] ||
            fail "the server of REDIS_URL is not ours to restart; set WINDLASS_RESTART_REDIS"
        (cd "$root" && sh -c "$WINDLASS_RESTART_REDIS" restart "$mode" >&2)
        return
    fi
    redis_find || fail "the server's programs are gone"
    lock
    redis_pid "$redis_folder" >/dev/null || fail "Redis is not running"
    redis_end "$signal" "$redis_folder"
    # On the same port: those who are connected come back.
    redis_launch "$redis_folder"
    redis_await "$redis_folder"
}

# Ends the connections that the tests have to some servers, told by their URLs.
redis_terminate_on() {
    local service=$1 which=$2 user=$3 url ended=0
    shift 3
    case $which in
    '') which=normal ;;
    pubsub) ;;
    *) fail "terminate $service wants nothing, or pubsub" ;;
    esac
    for url in "$@"; do
        ended=$((ended + $(redis_ask "$url" client kill type "$which" user "$user")))
    done
    echo "ended $ended connections"
}

# The user that a URL is of.
redis_user_of() {
    local login=${1#*://}
    [[ $login == *@* ]] || login=
    login=${login%%[:@]*}
    echo "${login:-default}"
}

redis_terminate() {
    local user=$redis_user url
    redis_find_cli || fail "redis-cli is missing; please install it (Debian: redis-tools)"
    if redis_is_given; then user=$(redis_user_of "$REDIS_URL"); fi
    url=$(redis_admin_url)
    redis_terminate_on redis "${1:-}" "$user" "$url"
}

# Removes every key that begins with `{` and a prefix from some servers. It is
# done by a script, since names may have any bytes in them, a piece at a time.
redis_drop_from() {
    local service=$1 prefix=$2 url cursor removed=0 answer script
    shift 2
    [[ $prefix =~ ^[A-Za-z0-9_:.-]+$ ]] || fail "drop $service wants the prefix of some keys"
    script='local found = redis.call("SCAN", ARGV[1], "MATCH", ARGV[2], "COUNT", 10000)
        for _, key in ipairs(found[2]) do redis.call("UNLINK", key) end
        return found[1] .. " " .. #found[2]'
    for url in "$@"; do
        cursor=0
        while :; do
            answer=$(redis_ask "$url" eval "$script" 0 "$cursor" "{$prefix*")
            cursor=${answer% *}
            removed=$((removed + ${answer#* }))
            [ "$cursor" != 0 ] || break
        done
    done
    echo "removed $removed keys"
}

redis_drop() {
    local url
    redis_find_cli || fail "redis-cli is missing; please install it (Debian: redis-tools)"
    url=$(redis_admin_url)
    redis_drop_from redis "${1:-}" "$url"
}
