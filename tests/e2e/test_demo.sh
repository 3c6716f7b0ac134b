#!/bin/sh
# The demo, with a tiny model: real daemons and simulated, on a GLUE folder and on this machine's package descriptions; and
# interrupted: it leaves no process and no file but its output folder.
. tests/e2e/lib.sh

"$fixture" model "$tmp/model"
mkdir "$tmp/SST-2" "$tmp/scratch"
tsv() {
    "$fixture" data "$tmp/rows.jsonl" "$@"
    printf 'sentence\tlabel\n'
    sed -n 's/.*"text": *"\([^"]*\)".*"label": *"\([a-z]*\)".*/\1\t\2/p' "$tmp/rows.jsonl" | sed 's/\tneg$/\t0/; s/\tpos$/\t1/'
}
tsv 200 >"$tmp/SST-2/train.tsv"
tsv 60 1000 >"$tmp/SST-2/dev.tsv"
[ "$(wc -l <"$tmp/SST-2/dev.tsv")" -eq 61 ] || fail "the fixture's rows have another form"

demo() {
    FEDPET_BIN=$bin TMPDIR=$tmp/scratch deploy/demo/demo --model "$tmp/model" --out "$tmp/out" "$@" </dev/null
}

# finished LOG WORD: its table has all four rows, and it asked the model.
finished() {
    for row in before 'each client alone' federated 'all data in one place'; do
        grep -Eq "^  $row.* [0-9.]+ %" "$1" || fail "the demo shows no row '$row'"
    done
    grep -q "^  \"$2\": " "$1" || fail "the model was not asked"
    [ -f "$tmp/out/adapter/adapter_config.json" ] || fail "no adapter"
    clean
}

clean() {
    [ -z "$(ls "$tmp/scratch")" ] || fail "the demo left $(ls "$tmp/scratch")"
    ! pgrep -f "$tmp/scratch" >/dev/null || fail "the demo left processes: $(pgrep -af "$tmp/scratch")"
}

demo --data "$tmp/SST-2" --rounds 2 --text 'good good' >"$tmp/real.log" 2>&1 || fail "the demo with daemons"
finished "$tmp/real.log" 'good good'
[ "$(grep -Ec '^ +[12] +4/4 ' "$tmp/real.log")" -eq 2 ] || fail "two rounds of four updates were not shown"

demo --sim --data "$tmp/SST-2" --rounds 3 --text 'bad bad' >"$tmp/sim.log" 2>&1 || fail "the simulated demo"
finished "$tmp/sim.log" 'bad bad'
[ "$(grep -Ec '^ +[123] +10/10 ' "$tmp/sim.log")" -eq 3 ] || fail "three rounds of ten updates were not shown"

# In the middle of its rounds.
demo --data "$tmp/SST-2" --rounds 100000 >"$tmp/cut.log" 2>&1 &
pid=$!
started="$started $pid"
await "the first round" grep -Eq '^ +1 +4/4 ' "$tmp/cut.log"
kill -TERM "$(pgrep -P "$pid" -f demo/demo || echo "$pid")"
ended "$pid" 143
clean
[ -f "$tmp/out/experiment.yaml" ] || fail "the output folder is gone"

# What is not its own stays.
mkdir "$tmp/mine"
status=0
FEDPET_BIN=$bin deploy/demo/demo --model "$tmp/model" --out "$tmp/mine" >"$tmp/mine.log" 2>&1 || status=$?
[ "$status" -eq 2 ] || fail "the demo took a folder that is not its own: status $status"
[ -d "$tmp/mine" ] || fail "the demo removed a folder that is not its own"

# What the machine holds: not every image has package lists.
if [ -n "$(find /var/lib/apt/lists -name '*_Packages*' 2>/dev/null | head -n 1)" ]; then
    demo --rounds 1 >"$tmp/debian.log" 2>&1 || fail "the demo on package descriptions"
    finished "$tmp/debian.log" 'a puzzle in which you push coloured marbles through a maze'
fi
