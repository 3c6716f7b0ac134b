#!/bin/sh
# What the federation is compared with, and its best round: from one experiment file, by the programs themselves.
. tests/e2e/lib.sh

"$fixture" model "$tmp/model"
mkdir "$tmp/data"
"$fixture" data "$tmp/data/train.jsonl" 400
"$fixture" data "$tmp/data/valid.jsonl" 80 3000
"$fixture" data "$tmp/data/dev.jsonl" 40 1000

cat >"$tmp/e.yaml" <<EOF
model: model
task: {name: text, data: data, labels: [neg, pos]}
federation: {clients: 10, per_round: 4, rounds: 12, evaluate_every: 2}
local: {batch_size: 4, lr: 0.02, max_length: 16, model_dropout: 0}
EOF

# run NAME OPTION...: an experiment of its own.
run() {
    name=$1
    shift
    "$sim" run "$tmp/e.yaml" --out "$tmp/$name" "$@" >"$tmp/$name.log" 2>&1 || fail "$name"
}

# value KEY NAME
value() {
    json "$1" "$tmp/$2/summary.json"
}

# The round of rounds.jsonl with the highest validation value, the first of equals, and its parameters' hash.
best_round() {
    sed -n 's/.*"round":\([0-9]*\),.*"valid":\([0-9.]*\),.*"adapter_sha256":"\([0-9a-f]*\)".*/\2 \1 \3/p' \
        "$tmp/$1/rounds.jsonl" | awk '$1 > best || NR == 1 { best = $1; round = $2; hash = $3 } END { print round, hash }'
}

run last
[ "$(value result_round last)" -eq 12 ] || fail "without federation.best the result is the last round's"
[ "$(grep -c '"value":null' "$tmp/last/rounds.jsonl")" -eq 6 ] || fail "evaluate_every: 2 leaves out every other round"

run best --set federation.best=true
[ "$(value result_round best) $(value adapter_sha256 best)" = "$(best_round best)" ] ||
    fail "the result is not the best round's: $(best_round best)"
[ "$(value rounds best)" -eq 12 ] || fail "without patience all rounds are done"

run impatient --set federation.best=true --set federation.patience=2 --wire tls --threads 2
[ "$(value rounds impatient)" -lt 12 ] || fail "patience did not end the run"
[ "$(value result_round impatient) $(value adapter_sha256 impatient)" = "$(best_round impatient)" ] ||
    fail "an early end lost the best round"

run centralized --baseline centralized
[ "$(value rounds centralized)" -eq 5 ] || fail "12 rounds of 4 of 10 clients are 5 passes, not $(value rounds centralized)"
run fewer --baseline centralized --epochs 2 --set federation.best=true --set federation.evaluate_every=1 --threads 2
[ "$(value result_round fewer) $(value adapter_sha256 fewer)" = "$(best_round fewer)" ] ||
    fail "the centralised result is not the best epoch's"
"$client" train --config "$tmp/e.yaml" --set local.epochs=5 --out "$tmp/train" >"$tmp/train.log" 2>&1 || fail "train"
[ "$(value adapter_sha256 train)" = "$(value adapter_sha256 centralized)" ] ||
    fail "the centralised baseline differs from fedpet-client train"

run alone --baseline local --clients 3
[ "$(wc -l <"$tmp/alone/rounds.jsonl")" -eq 3 ] || fail "one line a client"
mean=$(sed 's/.*"value":\([0-9.]*\),.*/\1/' "$tmp/alone/rounds.jsonl" | awk '{ sum += $1 } END { printf "%.6f", sum / NR }')
[ "$(printf '%.6f' "$(value value alone)")" = "$mean" ] || fail "the value is the clients' mean, $mean"
[ ! -e "$tmp/alone/adapter" ] || fail "many models, but one adapter"

status=0
"$sim" run "$tmp/e.yaml" --out "$tmp/x" --baseline local --wire tls >"$tmp/x.log" 2>&1 || status=$?
[ "$status" -eq 2 ] || fail "a baseline with a wire: exit status $status"
status=0
rm "$tmp/data/valid.jsonl"
"$sim" run "$tmp/e.yaml" --out "$tmp/x" --set federation.best=true >"$tmp/x.log" 2>&1 || status=$?
[ "$status" -eq 3 ] || fail "the best round without a validation set: exit status $status"
