# What the federation was worth: beside each client alone and all data in one place, in bytes, and by asking the model.
# shellcheck shell=sh disable=SC2154,SC2034 # the variables of ./demo, data.sh, and federation.sh or simulation.sh

say "What was it worth? The same data and settings again, each client alone; and all data in one place"
since=$(date +%s)
# Each client's model is scored on the whole test set: of many clients some are enough.
alone=$((clients < 10 ? clients : 10))
threads=$(((cores + 1) / 2))
set -- "$bin/fedpet-sim" run "$experiment" --no-adapter --threads "$threads"
start local "$@" --baseline local --clients "$alone" --out "$out/local"
local_pid=$pid
start centralized "$@" --baseline centralized --out "$out/centralized"
centralized_pid=$pid
units=$((alone + (rounds * per_round + clients - 1) / clients))
while kill -0 "$local_pid" 2>/dev/null || kill -0 "$centralized_pid" 2>/dev/null; do
    n=$(cat "$out/local/rounds.jsonl" "$out/centralized/rounds.jsonl" 2>/dev/null | wc -l)
    bar "$n" "$((n > units ? n : units))" "$since" ""
    sleep 0.5
done
bar_end
wait "$local_pid" || failed "the clients alone" "$tmp/local.log"
wait "$centralized_pid" || failed "all data in one place" "$tmp/centralized.log"

quietly eval "$bin/fedpet-client" eval --model "$model" --adapter "$out/adapter" --data "$test_data" ${data:+--task "$task"} --format json
federated=$(value_of value "$tmp/eval.log")

row() {
    awk -v what="$1" -v value="$2" 'BEGIN {
        for (i = 1; i <= 40 * value + 0.5; i++)
            bar = bar "#"
        printf "  %-34s %6.1f %%  %s\n", what, 100 * value, bar
    }'
}

printf '\n  %-34s %8s\n' "on the test set" "accuracy"
row "before" "$(value_of value_before "$out/centralized/summary.json")"
row "each client alone (mean of $alone)" "$(value_of value "$out/local/summary.json")"
row "federated" "$federated"
row "all data in one place" "$(value_of value "$out/centralized/summary.json")"

whole=$((4 * $(value_of parameters "$tmp/base.json") * rounds * per_round))
printf '\n  sent up by all clients: %s; with full fine-tuning it would have been %s, %s times as much\n' \
    "$(kb "$up")" "$(kb "$whole")" "$((whole / up))"

say "Ask it"
if [ -z "$text" ] && [ -z "$sample_pair" ] && [ -t 0 ] && [ "$terminal" = yes ]; then
    printf '  a text (empty: %s): ' "$sample"
    read -r text || true
fi
[ -z "$text" ] || sample_pair=
[ -n "$text" ] || text=$sample
printf '  "%s"%s: ' "$text" "${sample_pair:+, \"$sample_pair\"}"
"$bin/fedpet-client" predict --model "$model" --adapter "$out/adapter" -- "$text" ${sample_pair:+"$sample_pair"}

printf '\nThe adapter, a Hugging Face PEFT folder, is in %s. All of this took %s s. Ask again:\n' "$out/adapter" \
    "$(($(date +%s) - begun))"
printf '  "%s" predict --model "%s" --adapter "%s" "some text"\n' "$bin/fedpet-client" "$model" "$out/adapter"
