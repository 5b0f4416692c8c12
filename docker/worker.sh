#!/usr/bin/env bash
# A worker beside a Ray node of its own: Ray lets a driver join only where a node runs on the same host. That node has
# no CPU to offer, so that no trial comes to where the database is in reach, and is not told where it is. If one of the
# two ends, so does the other, and the container starts anew.
set -u
env -u SEQNORM_DB_FILE ray start --address="$SEQNORM_RAY_ADDRESS" --num-cpus=0 --object-store-memory=200000000 --block &
node=$!
seqnorm worker &
worker=$!

trap : TERM INT # ends the wait
wait -n "$node" "$worker"
status=$?
kill -TERM "$worker" 2>/dev/null
wait "$worker" # its driver leaves by way of the node
kill -TERM "$node" 2>/dev/null
wait "$node"
exit "$status"
