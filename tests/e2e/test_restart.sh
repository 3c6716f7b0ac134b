#!/bin/sh
# A server that dies between rounds goes on from the last committed one, and a client that dies while it trains from what
# it kept: with the result of a run that never stopped. Both have something to keep: the server its optimiser's state and
# its control variate, the client its moments, its own, and what its encoding left out.
. tests/e2e/lib.sh

adapter_hash() {
    server_command export --round latest --out "$tmp/adapter-$1" >"$tmp/export.log" 2>&1 || fail "export"
    sha256sum <"$tmp/adapter-$1/adapter_model.safetensors"
}

rounds=8 steps=300
federation_more="scaffold: true, optimizer: fedadam, server_lr: 0.003, upload: topk, top_k: 0.2, download: fp16, zstd: true"
local_more="carry_optimizer: true, decay_over_run: true, proximal: 0.01"
federation
start_server
for k in 0 1 2; do
    enroll_client $k
done
# The first two clients only: the run waits for the third, and the server dies before it begins, too.
start_client 0
start_client 1
doomed=$pid
await "two clients" grep -q "client-1" "$tmp/server.log"
kill -KILL "$server_pid"
wait "$server_pid" 2>/dev/null || true
start_server
start_client 2
await "two rounds" has_committed 2
kill -KILL "$server_pid"
wait "$server_pid" 2>/dev/null || true
before=$(committed_rounds)
[ "$before" -ge 2 ] || fail "only $before rounds survived"
[ "$before" -lt $rounds ] || fail "the run was over before the server could be killed"
start_server
# Once after an update was sent, and once, most likely, while it trains.
trains() {
    [ "$(grep -c "task round=" "$tmp/client-1.log")" -gt "$(grep -c "trained round=" "$tmp/client-1.log")" ] ||
        has_committed $rounds
}
await "an update after the restart" has_committed $((before + 1))
kill -KILL "$doomed"
start_client 1
doomed=$pid
await "a training" trains
kill -KILL "$doomed"
start_client 1
await "all rounds" has_committed $rounds
interrupted=$(adapter_hash interrupted)
kill -TERM "$server_pid"
ended "$server_pid" 0

run_undisturbed $rounds
[ "$(adapter_hash straight)" = "$interrupted" ] || fail "a restart changes the result"
