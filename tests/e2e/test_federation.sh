#!/bin/sh
# The whole life of a run: init, tokens, three clients, rounds, Finish, export, evaluation and prediction.
. tests/e2e/lib.sh

rounds=5 steps=100
federation
start_server
for k in 0 1 2; do
    enroll_client $k
    start_client $k --once
    eval "client_$k=$pid"
done

# shellcheck disable=SC2154 # set by eval
for k in "$client_0" "$client_1" "$client_2"; do
    ended "$k" 0
done
await "the last round" has_committed $rounds

# What travels is what is trained, and nothing else: 4 bytes a parameter, and at most 1 KiB around them.
parameters=$(json parameters "$tmp/status.json")
for direction in up down; do
    bytes=$(json "bytes_$direction" "$tmp/status.json")
    awk -v sent="$bytes" -v n="$parameters" 'BEGIN { exit !(n > 0 && sent >= 3 * 4 * n && sent <= 3 * (4 * n + 1024)) }' ||
        fail "$bytes bytes $direction in a round of three clients with $parameters parameters"
done

server_command export --round latest --out "$tmp/adapter" >"$tmp/export.log" 2>&1 || fail "export"
for k in 0 1 2; do
    cmp "$tmp/adapter/adapter_model.safetensors" "$tmp/state-$k/default/adapter/adapter_model.safetensors" ||
        fail "client $k holds another adapter than the server"
done

"$client" eval --model "$tmp/model" --adapter "$tmp/adapter" --task text --data "$tmp/dev.jsonl" --format json \
    >"$tmp/eval.log" 2>&1 || fail "eval"
accuracy=$(json value "$tmp/eval.log")
awk -v a="$accuracy" 'BEGIN { exit !(a >= 0.9) }' || fail "accuracy $accuracy of words that tell the label"
label=$("$client" predict --model "$tmp/model" --adapter "$tmp/adapter" "the film was great") || fail "predict"
case $label in
pos*) ;;
*) fail "predicted $label for a great film" ;;
esac

# An adapter of a regression says so.
sed 's/"label": *"neg"/"label": 0.5/; s/"label": *"pos"/"label": 2.5/' "$tmp/dev.jsonl" >"$tmp/scores.jsonl"
"$client" train --set model="$tmp/model" --set "task={name: text, data: $tmp/scores.jsonl, metric: mse}" \
    --set local.max_length=16 --config /dev/null --out "$tmp/scorer" >"$tmp/train.log" 2>&1 || fail "regression"
"$client" eval --model "$tmp/model" --adapter "$tmp/scorer/adapter" --data "$tmp/scores.jsonl" >"$tmp/eval.log" 2>&1 ||
    fail "evaluation of a regression"

# An adapter belongs to its base model.
"$fixture" model "$tmp/other" 2
status=0
"$client" predict --model "$tmp/other" --adapter "$tmp/adapter" "the film was great" >"$tmp/foreign.log" 2>&1 || status=$?
[ $status -eq 5 ] || fail "an adapter for another base model gives status $status"

# A drained server ends well, and a token is good for one device.
kill -TERM "$server_pid"
ended "$server_pid" 0

# The audit log tells all of it, in an unbroken chain, and a changed line is named.
"$server" audit verify --config "$tmp/server/server.yaml" >"$tmp/audit.log" 2>&1 || fail "audit verify"
grep -q "^rounds    $rounds of the database" "$tmp/audit.log" || fail "rounds of the audit log"
"$server" audit show --config "$tmp/server/server.yaml" --format json >"$tmp/lines.log" || fail "audit show"
for event in token_made enrolled; do
    [ "$(grep -c "\"event\":\"$event\"" "$tmp/lines.log")" -eq 3 ] || fail "three lines $event"
done
place=$(grep -n '"event":"enrolled"' "$tmp/lines.log" | head -n 1 | cut -d : -f 1)
sed -i "${place}s/client-0/client-9/" "$tmp/server/state/audit.log"
status=0
"$server" audit verify --config "$tmp/server/server.yaml" >"$tmp/audit.log" 2>&1 || status=$?
[ $status -eq 4 ] || fail "a changed audit log gives status $status"
grep -q "audit.log:$place: line $place was changed" "$tmp/audit.log" || fail "line $place is not named"

# status --watch goes on until it is interrupted.
start watch "$server" status --config "$tmp/server/server.yaml" --format json --watch
await "a second look" sh -c "[ \$(wc -l <'$tmp/watch.log') -ge 2 ]"
kill -TERM "$pid"
