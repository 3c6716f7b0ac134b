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
    cmp "$tmp/adapter/adapter_model.safetensors" "$tmp/state-$k/adapter/adapter_model.safetensors" ||
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
