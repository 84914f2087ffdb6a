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
give /out/admin $node

redis=$(password /out/redis/password "$REDIS_UID")
postgres=$(password /out/postgres/password "$POSTGRES_UID")
hash=$(printf %s "$redis" | sha256sum | cut -d ' ' -f 1)

# Nobody but the nodes has a user in Redis, and theirs may only do what they do.
put /out/redis/users.acl "$REDIS_UID" "user default off
$(cat /tollgate.acl) #$hash"
put /out/node/redis-url $node "redis://tollgate:$redis@redis:6379/0"
put /out/node/postgres-url $node "postgres://tollgate:$postgres@postgres:5432/tollgate"
[ -s /out/node/master-key ] || put /out/node/master-key $node "$(random 32)"
