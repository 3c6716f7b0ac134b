#!/bin/sh
# The model of the quick start: small enough for a repository, whole, and trained: it guesses words of texts that it has not
# read far better than its own architecture with random weights does.
. tests/e2e/lib.sh

model=deploy/quickstart/model
bytes=$(wc -c <"$model/model.safetensors")
[ "$bytes" -le 12000000 ] || fail "$bytes bytes are more than the repository wants to hold"

cat >"$tmp/text.txt" <<EOF
this is a library for reading and writing image files in several formats, with tools for the command line
the first half of the film is slow, but the actors are good and the ending is one of the best i have seen
a small game in which you have to find the way out of a maze before your time is over
the package contains the header files and static libraries that you need to build programs
i did not like the story at all, the characters are boring and the music is too loud
a graphical program to edit, sort and convert music files, written in python
EOF

# loss MODEL: on words of some of these texts that are masked, always the same ones.
loss() {
    rm -rf "$tmp/out"
    "$client" pretrain --model "$1" --data "$tmp/text.txt" --document line --hold-out 2 --out "$tmp/out" --format json \
        --set local.steps=1 --set local.lr=0 --set local.max_length=64 >"$tmp/summary.json" 2>"$tmp/pretrain.log" || fail "scoring $1"
    sed -n 's/^ *"loss": \([0-9.]*\).*/\1/p' "$tmp/summary.json" | tail -n 1
}

"$client" pretrain --config deploy/quickstart/config.json --tokenizer $model --data "$tmp/text.txt" --document line --hold-out 0 \
    --out "$tmp/random" --set local.steps=1 --set local.lr=0 --set local.max_length=64 >"$tmp/random.log" 2>&1 || fail "random weights"
trained=$(loss $model) random=$(loss "$tmp/random")
awk -v trained="$trained" -v random="$random" 'BEGIN { exit !(random > 8 && trained > 0 && trained < 6) }' ||
    fail "loss $trained; with random weights $random"
