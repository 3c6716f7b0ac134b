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

demo --data "$tmp/SST-2" --rounds 11 --text 'good good' >"$tmp/real.log" 2>&1 || fail "the demo with daemons"
finished "$tmp/real.log" 'good good'
[ "$(grep -c 'which never leave it' "$tmp/real.log")" -eq 4 ] || fail "there are not four clients"
[ "$(grep -Ec '^ +[0-9]+ +4/4 ' "$tmp/real.log")" -eq 11 ] || fail "eleven rounds of four updates were not shown"

demo --sim --data "$tmp/SST-2" --rounds 12 --text 'bad bad' >"$tmp/sim.log" 2>&1 || fail "the simulated demo"
finished "$tmp/sim.log" 'bad bad'
[ "$(grep -Ec '^ +[0-9]+ +20/20 ' "$tmp/sim.log")" -eq 12 ] || fail "twelve rounds of twenty updates were not shown"

# In the middle of its rounds.
TMPDIR=$tmp/scratch start cut env FEDPET_BIN="$bin" deploy/demo/demo --model "$tmp/model" --out "$tmp/out" --data "$tmp/SST-2" --rounds 100000
await "the first round" grep -Eq '^ +1 +4/4 ' "$tmp/cut.log"
kill -TERM "$pid"
ended "$pid" 143
clean
[ -f "$tmp/out/experiment.yaml" ] || fail "the output folder is gone"

# refused OPTION...: by its words alone, and nothing is touched.
refused() {
    status=0
    demo "$@" >"$tmp/refused.log" 2>&1 || status=$?
    [ "$status" -eq 2 ] || fail "demo $* ends with status $status"
}
mkdir -p "$tmp/mine/model" "$tmp/it's \"odd\", #1: x"
touch "$tmp/mine/experiment.yaml"
refused --out "$tmp/mine"
[ -f "$tmp/mine/experiment.yaml" ] || fail "the demo took a folder that is not its own"
cp -r "$tmp/model" "$tmp/out/merged"
refused --model "$tmp/out/merged"
refused --rounds 08
touch "$tmp/out/mine"
cp -r "$tmp/SST-2" "$tmp/it's \"odd\", #1: x"
demo --data "$tmp/it's \"odd\", #1: x/SST-2" --rounds 1 --text '-5 out of 10' >"$tmp/odd.log" 2>&1 || fail "odd names of folders"
finished "$tmp/odd.log" '-5 out of 10'
[ -f "$tmp/out/mine" ] || fail "the demo removed what it did not make"

# What the machine holds: not every image has package lists.
if [ -n "$(find /var/lib/apt/lists -name '*_Packages*' 2>/dev/null | head -n 1)" ]; then
    demo --rounds 1 >"$tmp/debian.log" 2>&1 || fail "the demo on package descriptions"
    finished "$tmp/debian.log" 'a puzzle in which you push coloured marbles through a maze'
fi
