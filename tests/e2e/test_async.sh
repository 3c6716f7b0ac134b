#!/bin/sh
# Asynchronous rounds with real programs: the server dies, a client dies, all rounds are done, and each can be computed
# again from its updates.
. tests/e2e/lib.sh

rounds=12 steps=150
federation
configure "$tmp/server" 'federation|journal_rounds' <<EOF
journal_rounds: 100
federation: {mode: async, clients: 3, per_round: 2, concurrency: 3, rounds: $rounds, deadline_s: 60, seed: 7, optimizer: fedadam, server_lr: 0.003, upload: int8, zstd: true}
EOF
start_server
for k in 0 1 2; do
    enroll_client $k
    start_client $k
done
doomed=$pid
await "three rounds" has_committed 3
kill -KILL "$server_pid"
wait "$server_pid" 2>/dev/null || true
before=$(committed_rounds)
[ "$before" -lt $rounds ] || fail "the run was over before the server could be killed"
start_server
await "a round after the restart" has_committed $((before + 1))
kill -KILL "$doomed"
start_client 2
await "all rounds" has_committed $rounds
round=1
while [ $round -le $rounds ]; do
    server_command replay --round $round >"$tmp/replay.log" 2>&1 || fail "round $round does not replay"
    grep -q "2 updates" "$tmp/replay.log" || fail "round $round has not two updates"
    round=$((round + 1))
done
kill -TERM "$server_pid"
ended "$server_pid" 0
