#!/bin/sh
# The result of a run with more clients than places goes to one whose link needs longer for it than a closing connection lasts:
# it gets it in one go, since the server leaves the hanging up to it.
. tests/e2e/lib.sh
. tests/e2e/namespaces.sh

rounds=1 steps=2
peft="{method: lora, r: 512, alpha: 64, targets: [query, key, value, intermediate]}"
federation
configure "$tmp/server" federation <<EOF
federation: {clients: 4, per_round: 3, rounds: $rounds, deadline_s: 60, seed: 7}
max_clients: 3
EOF
start_server
daemons=
for k in 0 1 2; do
    enroll_client $k
    start_client $k
    daemons="$daemons $pid"
done
await "the round" has_committed $rounds
for pid in $daemons; do
    kill -TERM "$pid" # it was told to come back in a minute or two
    ended "$pid" 0
done
rm "$tmp"/client-*.log
wire "rate=120000" # of bytes a second; the result has 1.2 million
start_client 1
await "the result" grep -q "saved adapter" "$tmp/client-1.log"
grep -q 'retry_after=[0-9]\{5\} text="the run is complete"' "$tmp/client-1.log" || fail "it was not told when to come back"
if grep -q "connection lost" "$tmp/client-1.log"; then
    fail "it was cut"
fi
kill -TERM "$wire_pid"
ended "$wire_pid" 0
