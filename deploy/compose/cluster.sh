#!/bin/sh
# Makes a Redis Cluster of three masters and three replicas, once, and waits until every part of it serves.
set -eu

REDISCLI_AUTH=$(cat /run/redis-secrets/failover-password)
export REDISCLI_AUTH
masters="$STORE_NETWORK.21 $STORE_NETWORK.22 $STORE_NETWORK.23"
replicas="$STORE_NETWORK.24 $STORE_NETWORK.25 $STORE_NETWORK.26"

ask() { redis-cli --user cluster --no-auth-warning "$@"; }
serves() { ask -h "$1" cluster info | grep -q '^cluster_state:ok'; }

if ! serves "$STORE_NETWORK.21"; then
    members=
    for address in $masters $replicas; do members="$members $address:6379"; done
    # One word each.
    # shellcheck disable=SC2086
    ask --cluster create $members --cluster-replicas 1 --cluster-yes
fi
for address in $masters $replicas; do
    tries=60
    until serves "$address"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "$address does not serve" >&2; exit 1; }
        sleep 1
    done
done
