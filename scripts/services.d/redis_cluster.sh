# shellcheck shell=bash disable=SC2154
# A cluster of Redis, for `scripts/services`: three masters with a replica each.
# Users are those of `redis.sh`, whose functions this builds on.

redis_cluster_numbers='1 2 3 4 5 6'

# Sets where everything of this instance is.
redis_cluster_place() {
    local number
    redis_cluster_place=$base/redis_cluster
    [ "$instance" = main ] || redis_cluster_place+=-$instance
    redis_cluster_folders=()
    for number in $redis_cluster_numbers; do
        redis_cluster_folders+=("$redis_cluster_place/node$number")
    done
}

# Whether WINDLASS_TEST_REDIS_CLUSTER_URL is of one that was not started from here.
redis_cluster_is_given() {
    [ -n "${WINDLASS_TEST_REDIS_CLUSTER_URL:-}" ] || return 1
    if is_ours "$WINDLASS_TEST_REDIS_CLUSTER_URL" "$base"/redis_cluster{,-*}/password; then return 1; fi
    case $WINDLASS_TEST_REDIS_CLUSTER_URL in
    redis-cluster://* | rediss-cluster://*) return 0 ;;
    *) fail "WINDLASS_TEST_REDIS_CLUSTER_URL is not of a cluster; please unset it" ;;
    esac
}

redis_cluster_find() { redis_find; }
redis_cluster_install() { redis_install; }

redis_cluster_url() {
    local user=$1 password=$2 folder nodes=
    for folder in "${redis_cluster_folders[@]}"; do nodes+=,127.0.0.1:$(cat "$folder/port"); done
    echo "redis-cluster://$user:$(cat "$redis_cluster_place/$password")@${nodes#,}"
}

# Commas want no quoting, which those who only read this would stumble over.
redis_cluster_export() {
    local url
    printf -v url %q "$2"
    echo "export $1=${url//\\,/,}"
}

redis_cluster_urls() {
    local name=WINDLASS_TEST_REDIS_CLUSTER
    if redis_cluster_is_given; then
        redis_cluster_export ${name}_URL "$WINDLASS_TEST_REDIS_CLUSTER_URL"
        return
    fi
    redis_cluster_export ${name}_URL "$(redis_cluster_url "$redis_user" password)"
    redis_cluster_export ${name}_ADMIN_URL "$(redis_cluster_url "$redis_admin" admin-password)"
}

# Sets `redis_cluster_nodes`: the URLs of all nodes of the cluster of the tests,
# wherever it is, or of its masters.
redis_cluster_find_nodes() {
    local role=$1 url before node nodes known
    redis_find_cli || fail "redis-cli is missing; please install it (Debian: redis-tools)"
    if redis_cluster_is_given; then
        url=${WINDLASS_TEST_REDIS_CLUSTER_ADMIN_URL:-$WINDLASS_TEST_REDIS_CLUSTER_URL}
    else
        url=$(redis_cluster_url "$redis_admin" admin-password)
    fi
    before=${url%%-cluster://*}://
    url=${url#*://}
    url=${url%%[/?]*}
    if [[ $url == *@* ]]; then before+=${url%@*}@; fi
    IFS=, read -ra nodes <<<"${url##*@}"
    for node in "${nodes[@]}"; do
        known=$(redis_ask "$before$node" cluster nodes 2>/dev/null) || continue
        mapfile -t redis_cluster_nodes < <(awk -v before="$before" -v role="$role" '
            $3 ~ role && $3 !~ /(^|,)(fail|noaddr)(,|$)/ { sub(/@.*/, "", $2); print before $2 }
        ' <<<"$known")
        return
    done
    fail "no node of the cluster answers"
}

# How a node sees the cluster, and itself in it.
redis_cluster_view() {
    redis_ask "$(redis_own_url "$1")" 2>/dev/null \
        <<<$'cluster myid\ncluster info\ninfo replication\ncluster nodes' | tr -d '\r'
}

# Who has which slots, of a view of a node that finds nothing amiss.
redis_cluster_map() {
    awk '
        $1 == "cluster_state:ok" { works = 1 }
        $1 == "role:master" || $1 == "master_link_status:up" { linked = 1 }
        length($1) == 40 && NF >= 8 {
            if ($3 ~ /(^|,)(fail|handshake|noaddr)/ || $8 != "connected" && $3 !~ /myself/) amiss = 1
            line = $1 " " $4
            # Without those that are on their way.
            for (i = 9; i <= NF; i++) if ($i !~ /^\[/) line = line " " $i
            print line | "sort"
            nodes++
        }
        END { close("sort"); exit !(works && linked && !amiss && nodes == 6) }
    '
}

redis_cluster_agrees() {
    local folder map first=
    for folder in "${redis_cluster_folders[@]}"; do
        map=$(redis_cluster_view "$folder" | redis_cluster_map) || return 1
        [ "$map" = "${first:=$map}" ] || return 1
    done
}

# Waits until every node says that the cluster works, all agree on who has what,
# and every replica is in sync.
redis_cluster_await() {
    for _ in $(seq 300); do
        ! redis_cluster_agrees || return 0
        sleep 0.1
    done
    fail "the cluster does not come to work; see the logs in $redis_cluster_place"
}

# What redis-cli does to a cluster by itself, and says at length.
redis_cluster_manage() {
    local url
    url=$(redis_own_url "${redis_cluster_folders[0]}")
    "$redis_cli" --no-auth-warning -u "$url" --cluster "$@" \
        </dev/null >"$redis_cluster_place/manage.log" 2>&1
}

# Makes one cluster of nodes that know nothing yet.
redis_cluster_join() {
    local folder nodes=()
    for folder in "${redis_cluster_folders[@]}"; do
        nodes+=("127.0.0.1:$(cat "$folder/port")")
    done
    redis_cluster_manage create "${nodes[@]}" --cluster-replicas 1 --cluster-yes || {
        tail -n 20 "$redis_cluster_place/manage.log" >&2
        fail "the cluster could not be made"
    }
}

redis_cluster_configure() {
    local folder=$1
    mkdir -p "$folder"
    take_port "$folder/bus-port"
    redis_configure "$folder" "cluster-enabled yes
cluster-config-file nodes.conf
cluster-node-timeout 2000
cluster-require-full-coverage yes
cluster-announce-ip 127.0.0.1
cluster-port $(cat "$folder/bus-port")
masteruser $redis_admin
masterauth $(cat "$redis_cluster_place/admin-password")
# A replica that comes back need not wait for others that might.
repl-diskless-sync-delay 0"
}

# Whether what is stored is of this version, and nothing is missing.
redis_cluster_is_whole() {
    local folder
    [ "$(cat "$redis_cluster_place/version" 2>/dev/null)" = "$redis_version" ] || return 1
    for folder in "${redis_cluster_folders[@]}"; do [ -s "$folder/nodes.conf" ] || return 1; done
}

redis_cluster_start() {
    local folder running='' made='' launched=()
    for folder in "${redis_cluster_folders[@]}"; do
        if redis_pid "$folder" >/dev/null; then running=yes; fi
    done
    # One that was given up half way is made anew, too.
    if ! [ -s "$redis_cluster_place/version" ] || { [ -z "$running" ] && ! redis_cluster_is_whole; }; then
        redis_end KILL "${redis_cluster_folders[@]}"
        redis_create "$redis_cluster_place"
        made=yes
    fi
    for folder in "${redis_cluster_folders[@]}"; do
        if ! redis_pid "$folder" >/dev/null; then
            redis_cluster_configure "$folder"
            redis_keep_log "$folder"
            launched+=("$folder")
        fi
    done
    redis_allow "$redis_cluster_place"
    if [ "${#launched[@]}" -gt 0 ]; then
        for folder in "${launched[@]}"; do redis_launch "$folder"; done
        for folder in "${launched[@]}"; do redis_await "$folder"; done
    fi
    if [ -n "$made" ]; then
        redis_cluster_join
        echo "$redis_version" >"$redis_cluster_place/version"
    fi
    redis_cluster_await
}

redis_cluster_status() {
    local folder pid nodes='' status=0
    if redis_cluster_is_given; then
        echo "redis_cluster: the one of WINDLASS_TEST_REDIS_CLUSTER_URL"
        return
    fi
    for folder in "${redis_cluster_folders[@]}"; do
        if pid=$(redis_pid "$folder"); then
            nodes+=", process $pid on port $(cat "$folder/port")"
        else
            nodes+=", none for ${folder##*/}"
            status=1
        fi
    done
    if [[ $nodes == *process* ]]; then
        echo "redis_cluster: running as${nodes#,}, in $redis_cluster_place"
    else
        echo "redis_cluster: not running"
    fi
    return "$status"
}

redis_cluster_stop() { redis_end TERM "${redis_cluster_folders[@]}"; }

redis_cluster_remove() {
    redis_cluster_stop
    rm -rf "$redis_cluster_place"
}

# Sees to it that the cluster is ours, is running, and is left alone by others.
redis_cluster_seize() {
    local folder
    ! redis_cluster_is_given || fail "the cluster of WINDLASS_TEST_REDIS_CLUSTER_URL is not ours to harm"
    redis_find || fail "the server's programs are gone"
    lock
    for folder in "${redis_cluster_folders[@]}"; do
        ! redis_pid "$folder" >/dev/null || return 0
    done
    fail "the cluster is not running"
}

redis_cluster_restart() {
    local mode=${1:-} number=${2:-} folder folders signal
    signal=$(redis_signal redis_cluster "$mode")
    folders=("${redis_cluster_folders[@]}")
    if [ -n "$number" ]; then
        [[ " $redis_cluster_numbers " == *" $number "* ]] ||
            fail "restart redis_cluster wants one of these nodes, or none: $redis_cluster_numbers"
        folders=("$redis_cluster_place/node$number")
    fi
    redis_cluster_seize
    redis_end "$signal" "${folders[@]}"
    for folder in "${folders[@]}"; do redis_launch "$folder"; done
    for folder in "${folders[@]}"; do redis_await "$folder"; done
    redis_cluster_await
}

# Whether all nodes but one have seen the slots of a master go to its replica.
redis_cluster_has_moved_from() {
    local killed=$1 id=$2 folder
    for folder in "${redis_cluster_folders[@]}"; do
        [ "$folder" != "$killed" ] || continue
        redis_cluster_view "$folder" | awk -v id="$id" '
            $1 == "cluster_state:ok" { works = 1 }
            $1 == id && NF == 8 { moved = 1 }
            END { exit !(works && moved) }
        ' || return 1
    done
}

redis_cluster_failover() {
    local killed='' view='' number id moved=''
    [ "$*" = kill ] || fail "failover redis_cluster wants kill"
    redis_cluster_seize
    # Now there is a replica of each master.
    redis_cluster_await
    for number in $(shuf -e $redis_cluster_numbers); do
        killed=$redis_cluster_place/node$number
        view=$(redis_cluster_view "$killed")
        ! grep -q '^role:master' <<<"$view" || break
    done
    id=$(head -n 1 <<<"$view")
    redis_end KILL "$killed"
    for _ in $(seq 300); do
        if redis_cluster_has_moved_from "$killed" "$id"; then
            moved=yes
            break
        fi
        sleep 0.1
    done
    redis_launch "$killed"
    redis_await "$killed"
    [ -n "$moved" ] || fail "no replica has taken over from node $number"
    redis_cluster_await
    echo "node $number was killed; its replica has taken over"
}

# Moves slots from one master to another, both at random.
redis_cluster_reshard() {
    local count=${1:-} from='' to=''
    [[ $count =~ ^[1-9][0-9]{0,3}$ ]] || fail "reshard redis_cluster wants a number of slots"
    redis_cluster_seize
    redis_cluster_await
    # Nobody gives away the last of its slots: it would become a replica.
    read -r from to < <(redis_cluster_view "${redis_cluster_folders[0]}" | awk '
        $3 ~ /master/ && NF >= 9 {
            slots = 0
            for (i = 9; i <= NF; i++) { split($i "-" $i, ends, "-"); slots += ends[2] - ends[1] + 1 }
            print $1, slots
        }
    ' | shuf | awk -v count="$count" '
        from == "" && $2 > count { from = $1; next }
        { to = $1 }
        END { print from, to }
    ')
    [ -n "$to" ] || fail "no master has more than $count slots"
    redis_cluster_move "$from" "$to" "$count" || {
        # One that was interrupted leaves slots that are on their way.
        redis_cluster_manage fix "$(redis_cluster_any)" --cluster-yes || true
        redis_cluster_await
        redis_cluster_move "$from" "$to" "$count"
    } || {
        tail -n 20 "$redis_cluster_place/manage.log" >&2
        fail "the slots could not be moved"
    }
    redis_cluster_await
    echo "moved $count slots"
}

redis_cluster_any() { echo "127.0.0.1:$(cat "${redis_cluster_folders[0]}/port")"; }

redis_cluster_move() {
    redis_cluster_manage reshard "$(redis_cluster_any)" \
        --cluster-from "$1" --cluster-to "$2" --cluster-slots "$3" --cluster-yes
}

redis_cluster_terminate() {
    local user=$redis_user
    if redis_cluster_is_given; then user=$(redis_user_of "$WINDLASS_TEST_REDIS_CLUSTER_URL"); fi
    # Those that wait for notices may do so at a replica.
    redis_cluster_find_nodes .
    redis_terminate_on redis_cluster "${1:-}" "$user" "${redis_cluster_nodes[@]}"
}

redis_cluster_drop() {
    redis_cluster_find_nodes master
    redis_drop_from redis_cluster "${1:-}" "${redis_cluster_nodes[@]}"
}
