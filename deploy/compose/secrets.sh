#!/bin/sh
# Makes the passwords of the stack, each once, into a volume for each who must know it. Nobody else sees
# them, and they are in no file of the repository. What is there already is kept.
set -eu
umask 077

node=65532

random() { od -An -v -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }

# The folder belongs to a user, who alone may look into it.
give() { # FOLDER USER
    [ "$(stat -c %u "$1")" = "$2" ] || { chmod 0700 "$1" && chown "$2:$2" "$1"; }
}

# Whole or not at all.
put() { # FILE USER TEXT
    rm -f "$1.new"
    printf '%s\n' "$3" >"$1.new"
    chmod 0400 "$1.new"
    chown "$2:$2" "$1.new"
    mv -f "$1.new" "$1"
}

# The password is what everything else is made from.
password() { # FILE USER
    [ -s "$1" ] || put "$1" "$2" "$(random 24)"
    cat "$1"
}

give /out/redis "$REDIS_UID"
give /out/postgres "$POSTGRES_UID"
give /out/node $node
give /out/owner $node
give /out/admin $node

redis=$(password /out/redis/password "$REDIS_UID")
postgres=$(password /out/postgres/password "$POSTGRES_UID")
postgres_node=$(password /out/postgres/node-password "$POSTGRES_UID")
password /out/postgres/superuser-password "$POSTGRES_UID" >/dev/null
hash=$(printf %s "$redis" | sha256sum | cut -d ' ' -f 1)

# Nobody but the nodes has a user in Redis, and theirs may only do what they do.
users="user default off
$(cat /tollgate.acl) #$hash"
url=${REDIS_URL:-redis://tollgate:PASSWORD@redis:6379/0}

# Where there are replicas, there are users who copy, and who make or change masters.
if [ -n "${REDIS_MASTER:-}${REDIS_CLUSTER:-}" ]; then
    failover=$(password /out/redis/failover-password "$REDIS_UID")
    failover_hash=$(printf %s "$failover" | sha256sum | cut -d ' ' -f 1)
    users="$users
user replica on #$failover_hash +psync +replconf +ping"
    replication="masteruser replica
masterauth $failover"
fi
if [ -n "${REDIS_CLUSTER:-}" ]; then
    users="$users
user cluster on #$failover_hash ~* +cluster +info +ping +select +migrate +restore-asking"
fi
if [ -n "${REDIS_MASTER:-}" ]; then
    # A master that has lost sight of both replicas decides nothing more: another may be in its place.
    replication="$replication
min-replicas-to-write 1
min-replicas-max-lag 5"
    users="$users
user sentinel on #$failover_hash allchannels +multi +slaveof +ping +exec +subscribe +config|rewrite +role +publish +info +client|setname +client|kill +script|kill"
    put /out/redis/sentinel.conf "$REDIS_UID" "port 26379
dir /data
user default off
user tollgate on #$hash allchannels -@all +auth +hello +ping +info +role +client +subscribe +unsubscribe +psubscribe +sentinel|get-master-addr-by-name +sentinel|sentinels +sentinel|masters +sentinel|master
user sentinel on #$failover_hash allchannels +@all
sentinel sentinel-user sentinel
sentinel sentinel-pass $failover
sentinel monitor tollgate $REDIS_MASTER 6379 2
sentinel auth-user tollgate sentinel
sentinel auth-pass tollgate $failover
sentinel down-after-milliseconds tollgate 5000
sentinel failover-timeout tollgate 10000
sentinel parallel-syncs tollgate 1"
fi

[ -z "${replication:-}" ] || put /out/redis/failover.conf "$REDIS_UID" "$replication"
put /out/redis/users.acl "$REDIS_UID" "$users"
put /out/node/redis-url $node "${url%%PASSWORD*}$redis${url#*PASSWORD}"
put /out/node/postgres-url $node "postgres://tollgate_node:$postgres_node@postgres:5432/tollgate"
put /out/owner/postgres-url $node "postgres://tollgate:$postgres@postgres:5432/tollgate"
put /out/postgres/pgpass "$POSTGRES_UID" "postgres:5432:tollgate:tollgate:$postgres"
[ -s /out/node/master-key ] || put /out/node/master-key $node "$(random 32)"
