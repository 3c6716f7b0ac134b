#!/bin/sh
# Two runs with different methods on one server and the same four daemons, side by side: paused, resumed, the server killed
# in the middle. Each gives the bits that it gives alone. Then a run that no client can take part in, and one that is stopped.
. tests/e2e/lib.sh

rounds=4 steps=600
federation
configure "$tmp/server" 'federation' <<YAML
federation: {clients: 4, per_round: 3, rounds: $rounds, deadline_s: 60, seed: 7, optimizer: fedadam, server_lr: 0.003}
YAML
"$fixture" data "$tmp/client-3.jsonl" 40 120
cat >"$tmp/second.yaml" <<YAML
task: {name: text, labels: [neg, pos]}
peft: {method: bitfit}
federation: {clients: 4, per_round: 4, rounds: $rounds, deadline_s: 60, seed: 11, scaffold: true, upload: topk, top_k: 0.2}
local: {steps: $steps, batch_size: 8, lr: 0.002, max_length: 16, model_dropout: 0, carry_optimizer: true}
YAML

# in_turn K: no task is trained before one that came earlier, of whatever run.
in_turn() {
    awk 'function name() { match($0, / name=[a-z]+/); return substr($0, RSTART, RLENGTH) }
        / task round=/ { queue[came++] = name() }
        / trained round=/ { if (name() != queue[done++]) exit wrong = 1 }
        END { exit wrong || done == 0 }' "$tmp/client-$1.log"
}

start_clients() {
    for k in 0 1 2 3; do
        : >"$tmp/client-$k.log"
        start_client $k
        eval "client_$k=\$pid"
    done
}

# shellcheck disable=SC2154 # set by eval
stop_all() {
    kill -KILL "$server_pid" "$client_0" "$client_1" "$client_2" "$client_3" 2>/dev/null || true
    wait "$server_pid" "$client_0" "$client_1" "$client_2" "$client_3" 2>/dev/null || true
}

afresh() {
    rm -rf "$tmp/server/state" "$tmp"/state-*
}

# --- each alone ---

start_server
for k in 0 1 2 3; do
    enroll_client $k
done
start_clients
await "the first run alone" in_state default finished
first_alone=$(hash_of default)
stop_all

afresh
cp "$tmp/server/server.yaml" "$tmp/with-default.yaml"
configure "$tmp/server" 'model|task' </dev/null
status=0
"$server" serve --config "$tmp/server/server.yaml" >"$tmp/none.log" 2>&1 || status=$?
[ $status -eq 3 ] || fail "a server without a run gives status $status"
grep -q "run create" "$tmp/none.log" || fail "a server without a run does not say how to make one"
run_command create second --from "$tmp/second.yaml" --set model="$tmp/model" >"$tmp/create.log" 2>&1 || fail "run create"
start_server
start_clients
await "the second run alone" in_state second finished
second_alone=$(hash_of second)
[ "$first_alone" != "$second_alone" ] || fail "two methods give the same adapter"
stop_all

# --- side by side ---

afresh
cp "$tmp/with-default.yaml" "$tmp/server/server.yaml"
start_server
start_clients
await "a round of the first" has_rounds default 1
run_command create second --from "$tmp/second.yaml" --paused >"$tmp/create.log" 2>&1 || fail "run create beside a server"
in_state second paused || fail "it is not paused"
run_command resume second || fail "run resume"
run_command watch second --format json >"$tmp/watch.log" &
watching=$!
started="$started $watching"
await "two rounds of the second" has_rounds second 2
for k in 0 1 2 3; do
    in_turn $k || fail "client $k does not train in the order in which tasks came"
done
kill -KILL "$server_pid"
wait "$server_pid" 2>/dev/null || true
run_command pause second || fail "run pause without a server"
before=$(rounds_of second)
[ "$before" -lt $rounds ] || fail "the second run was over before the server could be killed"
start_server
kill -KILL "$client_2"
wait "$client_2" 2>/dev/null || true
start_client 2
client_2=$pid
await "the end of the first" in_state default finished
in_state second paused || fail "the second run does not stay paused"
[ "$(rounds_of second)" -le $((before + 1)) ] || fail "a paused run goes on" # the round under way may end
run_command resume second || fail "run resume"
await "the end of the second" in_state second finished
ended "$watching" 0
[ "$(grep -c '"name":"second"' "$tmp/watch.log")" -eq $rounds ] || fail "watch shows other rounds"
run_command show second >"$tmp/show.log" || fail "run show"
grep -q "^state     finished" "$tmp/show.log" || fail "run show does not say that it is finished"
grep -q "method: bitfit" "$tmp/show.log" || fail "run show does not show the specification"
server_command status | grep -q "^second .*finished" || fail "status does not list the second run"
[ "$(hash_of default)" = "$first_alone" ] || fail "the first run has other bits beside the second"
[ "$(hash_of second)" = "$second_alone" ] || fail "the second run has other bits beside the first"
for name in default second; do
    server_command replay --run $name >"$tmp/replay.log" 2>&1 || fail "replay of $name"
    await "the adapter of $name" test -d "$tmp/state-1/$name/adapter/."
done

# --- nobody can take part; stopped ---

"$fixture" model "$tmp/other" 2
run_command create foreign --from "$tmp/second.yaml" --set model="$tmp/other" >"$tmp/create.log" 2>&1 || fail "run create"
# shellcheck disable=SC2317 # by await
cannot() {
    server_command status --run foreign | grep -q "client-$1 cannot take part: model"
}
for k in 0 1 2 3; do
    await "client $k to say that it has another model" cannot $k
done
run_command stop foreign || fail "run stop"
await "the end of the foreign run" in_state foreign stopped
status=0
run_command resume foreign >"$tmp/resume.log" 2>&1 || status=$?
[ $status -eq 12 ] || fail "resuming a stopped run gives status $status"
for k in 0 1 2 3; do
    eval "kill -0 \$client_$k" || fail "client $k ended with a run that it could not take part in"
done
kill -TERM "$server_pid"
ended "$server_pid" 0
"$server" audit verify --config "$tmp/server/server.yaml" >"$tmp/audit.log" 2>&1 || fail "audit verify"
grep -q "^rounds    $((2 * rounds)) of the database" "$tmp/audit.log" || fail "rounds of the audit log"
"$server" audit show --config "$tmp/server/server.yaml" --run second --format json >"$tmp/lines.log" || fail "audit show"
for event in run_created run_paused run_resumed run_finished; do
    grep -q "\"event\":\"$event\"" "$tmp/lines.log" || fail "no line $event"
done
grep -q '"name":"default"' "$tmp/lines.log" && fail "lines of another run"
exit 0
