#!/bin/sh
# A suite of experiments: cells that fail, and a suite that is killed at any moment, take no result with them; what was
# done is not done again; baselines and the federation come out of one file.
. tests/e2e/lib.sh

"$fixture" model "$tmp/model"
mkdir "$tmp/data"
"$fixture" data "$tmp/data/train.jsonl" 120
"$fixture" data "$tmp/data/dev.jsonl" 40 1000

cat >"$tmp/base.yaml" <<EOF
model: model
task: {name: text, data: data, labels: [neg, pos]}
federation: {clients: 6, per_round: 3, rounds: 150}
local: {steps: 20, batch_size: 4, lr: 0.005, max_length: 16, model_dropout: 0}
EOF

cat >"$tmp/suite.yaml" <<EOF
base: base.yaml
grid:
  peft:
    lora: {peft: {method: lora, r: 2}}
    head: {peft.method: head}
    broken: {peft.method: nonesuch}
  baseline: {federated: {}, centralized: {epochs: 2}, local: {epochs: 1, clients: 2}}
  federation.seed: [1, 2]
exclude:
  - {peft: [head, broken], baseline: [centralized, local]}
  - {peft: broken, federation.seed: 2}
EOF

suite() {
    "$sim" suite "$tmp/suite.yaml" --out "$tmp/out" --jobs 2 "$@"
}

# cells STATE: how many the list says are in it.
cells() {
    suite --dry-run 2>/dev/null | grep -c "^$1 " || true
}

# has_done N: the running suite has said so of at least N cells.
has_done() {
    [ "$(grep -c 'done in' "$tmp/suite.log")" -ge "$1" ]
}

[ "$(cells 'to do')" -eq 9 ] || fail "the grid has other than 9 cells"

# Stopped with cells running, twice: by SIGKILL and by SIGTERM.
start suite "$sim" suite "$tmp/suite.yaml" --out "$tmp/out" --jobs 2
await "two cells" has_done 2
kill -KILL "$pid"
wait "$pid" 2>/dev/null || true
[ "$(cells 'done')" -ge 2 ] || fail "results were lost"
[ "$(cells 'to do')" -ge 2 ] || fail "the suite was over before it could be killed"

: >"$tmp/suite.log"
start suite "$sim" suite "$tmp/suite.yaml" --out "$tmp/out" --jobs 2
await "one more cell" has_done 1
status=0
suite >"$tmp/second.log" 2>&1 || status=$?
[ "$status" -eq 12 ] || fail "a second suite in the same folder: exit status $status"
kill -TERM "$pid"
ended "$pid" 12
grep -q "goes on where it stopped" "$tmp/suite.log" || fail "no word of how to go on"

# The third time it goes to its end; the broken cell is reported, and the others are there.
before=$(cells 'done')
status=0
suite >"$tmp/suite.log" 2>&1 || status=$?
[ "$status" -eq 3 ] || fail "exit status $status instead of 3, of the cell that failed"
grep -q 'peft=broken.*nonesuch' "$tmp/suite.log" || fail "no word of why the cell failed"
[ "$(grep -c 'done in' "$tmp/suite.log")" -eq $((8 - before)) ] || fail "cells that were done were run again"
[ "$(cells 'done')" -eq 8 ] || fail "not all cells are done"
[ "$(cells failed)" -eq 1 ] || fail "no cell failed"
[ -z "$(find "$tmp/out/cells" -name adapter)" ] || fail "adapters were kept unasked"

# A cell has the result of the same experiment by itself.
id=$(suite --dry-run 2>/dev/null | sed -n 's/^done *\([0-9a-f]*\) *peft=lora baseline=federated seed=2$/\1/p')
"$sim" run "$tmp/base.yaml" --out "$tmp/alone" --threads 2 --set peft.method=lora --set peft.r=2 \
    --set federation.seed=2 >"$tmp/alone.log" 2>&1 || fail "the cell's experiment by itself"
[ "$(json adapter_sha256 "$tmp/alone/summary.json")" = "$(json adapter_sha256 "$tmp/out/cells/$id/summary.json")" ] ||
    fail "a cell differs from the same experiment by itself"

"$sim" report "$tmp/out" --format json >"$tmp/report.json" 2>"$tmp/report.log" || fail "report"
grep -q '"client_models": *{' "$tmp/report.json" || fail "the local baseline has no models of clients"
grep -q '^| lora, centralized | ' "$tmp/out/report.md" || fail "the report lacks the centralised baseline"
grep -q 'nonesuch' "$tmp/out/report.html" || fail "the report lacks the failure"

# Cells run together, unless the memory has no room for more than one.
cat >"$tmp/small.yaml" <<EOF
base: base.yaml
grid:
  peft: {head: {peft.method: head}}
  federation.seed: [1, 2, 3]
EOF

# most_at_once OUT [OPTION...]: runs small.yaml; $most is how many of its cells were seen at a time.
most_at_once() {
    out=$1
    shift
    start "$out" "$sim" suite "$tmp/small.yaml" --out "$tmp/$out" --jobs 2 "$@"
    most=0
    until grep -q '^3 cells done\|^fedpet-sim:' "$tmp/$out.log"; do
        n=$(wc -w <"/proc/$pid/task/$pid/children" || true)
        [ "${n:-0}" -le "$most" ] || most=$n
        sleep 0.02
    done
    ended "$pid" 0
}
most_at_once free
[ "$most" -eq 2 ] || fail "$most cells at a time instead of 2"
most_at_once limited --memory-limit 12M
[ "$most" -eq 1 ] || fail "$most cells at a time where there is memory for one"

# What a cell's training keeps to is the cell's own mode and limit, and changes no result.
cat >"$tmp/tuned.yaml" <<EOF
base: base.yaml
grid:
  peft: {lora: {peft: {method: lora, r: 2}}}
  federation.seed: [2]
EOF
tuned="suite $tmp/tuned.yaml --out $tmp/tuned --jobs 1"
status=0
# shellcheck disable=SC2086 # words on purpose
"$sim" $tuned --cell-memory-limit 1K >"$tmp/tuned.log" 2>&1 || status=$?
[ "$status" -eq 11 ] || fail "exit status $status instead of 11, of a cell beyond its limit"
grep -q 'the memory limit is 1K, and' "$tmp/tuned.log" || fail "no word of a cell's limit"

# cell_has WORD: the command line of the cell that runs has this word.
cell_has() {
    child=$(cat "/proc/$pid/task/$pid/children")
    [ -n "$child" ] && tr '\0' '\n' <"/proc/${child% }/cmdline" | grep -qx -- "$1"
}
# shellcheck disable=SC2086
start tuned "$sim" $tuned --memory min --cell-memory-limit 64M
await "a cell with the suite's mode" cell_has --memory=min
ended "$pid" 0
[ "$(json adapter_sha256 "$tmp/alone/summary.json")" = "$(json adapter_sha256 "$tmp"/tuned/cells/*/summary.json)" ] ||
    fail "a cell's memory changed its result"
