#!/bin/sh
# Two asynchronous runs and a synchronous one on one server and the same three daemons, side by side: the server is killed, a
# client is, one of the runs is paused meanwhile. Where a round takes all clients, whose order does not matter, each gives the
# bits that it gives alone; in the other one every round has its updates, and can be computed again from them.
. tests/e2e/lib.sh

rounds=5 steps=300
federation
configure "$tmp/server" 'federation|journal_rounds' <<YAML
journal_rounds: 100
federation: {mode: async, clients: 3, per_round: 3, rounds: $rounds, deadline_s: 2, seed: 7, optimizer: fedadam, server_lr: 0.003}
YAML
cat >"$tmp/sync.yaml" <<YAML
task: {name: text, labels: [neg, pos]}
peft: {method: bitfit}
federation: {clients: 3, per_round: 3, rounds: $rounds, deadline_s: 60, seed: 11}
local: {steps: $steps, batch_size: 8, lr: 0.002, max_length: 16, model_dropout: 0}
YAML
cat >"$tmp/stream.yaml" <<YAML
task: {name: text, labels: [neg, pos]}
federation: {mode: async, clients: 3, per_round: 2, concurrency: 3, rounds: $((2 * rounds)), deadline_s: 2, seed: 5, upload: int8}
local: {steps: $steps, batch_size: 8, lr: 0.002, max_length: 16, model_dropout: 0}
YAML

create() {
    run_command create "$1" --from "$tmp/$1.yaml" --set model="$tmp/model" >"$tmp/create.log" 2>&1 || fail "run create $1"
}

# --- each alone, one after the other ---

start_server
for k in 0 1 2; do
    enroll_client $k
    start_client $k
done
await "the asynchronous run alone" in_state default finished
async_alone=$(hash_of default)
create sync
await "the synchronous run alone" in_state sync finished
sync_alone=$(hash_of sync)
for pid in $started; do
    kill -KILL "$pid" 2>/dev/null || true
done
wait
rm -rf "$tmp/server/state/runs" "$tmp"/state-*

# --- side by side ---

create sync
create stream
start_server
for k in 0 1 2; do
    : >"$tmp/client-$k.log"
    start_client $k
    [ "$k" -ne 1 ] || doomed=$pid
done
for run in default sync stream; do
    await "a round of $run" has_rounds $run 1
done
kill -KILL "$server_pid"
wait "$server_pid" 2>/dev/null || true
run_command pause stream || fail "run pause without a server"
paused_at=$(rounds_of stream)
for run in default sync stream; do
    ! in_state $run finished || fail "$run was over before the server could be killed"
done
start_server
kill -KILL "$doomed"
wait "$doomed" 2>/dev/null || true
start_client 1
await "the end of the asynchronous run" in_state default finished
await "the end of the synchronous run" in_state sync finished
in_state stream paused || fail "the stream does not stay paused"
[ "$(rounds_of stream)" -le $((paused_at + 1)) ] || fail "a paused run goes on" # the round under way may end
run_command resume stream || fail "run resume"
await "the end of the stream" in_state stream finished
[ "$(hash_of default)" = "$async_alone" ] || fail "the asynchronous run has other bits beside the others"
[ "$(hash_of sync)" = "$sync_alone" ] || fail "the synchronous run has other bits beside the others"
round=1
while [ $round -le $((2 * rounds)) ]; do
    server_command replay --run stream --round $round >"$tmp/replay.log" 2>&1 || fail "round $round does not replay"
    grep -q "2 updates" "$tmp/replay.log" || fail "round $round has not two updates"
    round=$((round + 1))
done
trained=$(cat "$tmp"/client-?.log | grep -c "trained round=.*name=stream")
[ "$trained" -ge $((4 * rounds)) ] || fail "$((4 * rounds)) updates of $trained trainings"
kill -TERM "$server_pid"
ended "$server_pid" 0
"$server" audit verify --config "$tmp/server/server.yaml" >"$tmp/audit.log" 2>&1 || fail "audit verify"
