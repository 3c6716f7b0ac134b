# The data of each client, and experiment.yaml: Debian's package descriptions, or --data.
# shellcheck shell=sh disable=SC2154,SC2034 # the variables of ./demo

quietly inspect "$bin/fedpet-client" inspect --model "$model" --format json
mv "$tmp/inspect.log" "$tmp/base.json"

# The mark tells a folder of ours, from the first moment on; its lock, one that is in use.
mkdir -p -- "$out"
exec 9>"$mark"
flock -n 9 || wrong "another demo writes to $out"
for name in adapter data shards local centralized federated experiment.yaml; do
    rm -rf -- "${out:?}/$name"
done
experiment=$out/experiment.yaml
if [ "$simulate" = yes ]; then
    # Many small clients, each with few sections: small batches make enough steps of little data, and where all count alike,
    # the largest, who know one section only, do not drown the others.
    clients=100 per_round=20 rounds=${rounds:-40} weighted=false batch_size=4 lr=0.001
else
    clients=4 per_round=4 rounds=${rounds:-12} weighted=true batch_size=16 lr=0.002
fi

# experiment_of TASK PARTITION
experiment_of() {
    cat >"$experiment" <<YAML
model: $(yaml "$model")
task: {$1}
peft: {method: lora, r: 8, alpha: 16, targets: [query, value, attention_output, intermediate, output]}
federation: {clients: $clients, per_round: $per_round, rounds: $rounds, $2, weighted: $weighted, seed: 42}
local: {epochs: 1, batch_size: $batch_size, lr: $lr, max_length: 32, model_dropout: 0}
YAML
}

debian_data() {
    say "1. Data: the package descriptions of this machine's apt. Which section is it?"
    # A container's image may have none.
    if [ -z "$(find /var/lib/apt/lists -name '*_Packages*' 2>/dev/null | head -n 1)" ] && [ "$(id -u)" -eq 0 ]; then
        printf '  there are no package lists: apt-get update\n'
        quietly "apt-get update" apt-get update
    fi
    quietly prepare "$bin/fedpet-sim" prepare debian --out "$out/data" --model "$model" --clients "$clients"
    test_data=$out/data/test.jsonl
    task_line="name: text, labels: $(sed -n 's/^ *labels: //p' "$out/data/experiment.yaml")"
    experiment_of "data: $(yaml "$out/data"), $task_line" "partition: column, column: owner"
    shards=$out/data/clients
    sample='a puzzle in which you push coloured marbles through a maze' sample_pair=
    printf '  %s descriptions to learn from, %s to test on; ' "$(wc -l <"$out/data/train.jsonl")" "$(wc -l <"$test_data")"
    printf 'for example:\n'
    sed -n '1p;1000p;3000p' "$out/data/train.jsonl" |
        sed 's/^{"text":"\(.*\)","label":"\([^"]*\)","owner.*/    "\1": \2/'
}

glue_data() {
    say "1. Data: $task, dealt out to $clients clients, label by label unevenly (Dirichlet, alpha 1)"
    test_data=$data
    task_line="name: $task, metric: accuracy"
    experiment_of "data: $(yaml "$data"), $task_line" "partition: dirichlet, alpha: 1.0"
    quietly partition "$bin/fedpet-sim" partition "$experiment" --out "$out/shards"
    shards=$out/shards
    rm "$shards/dev.jsonl" # is for no client: it is what all are scored on
    sample='a gorgeous, witty, seductive movie' sample_pair=
    if grep -q '"text_pair"' "$shards/client-00000.jsonl"; then
        sample='He left the house in the evening.' sample_pair='He went out.'
    fi
}

if [ -n "$data" ]; then glue_data; else debian_data; fi
printf '  clients: %s, with %s examples\n' "$clients" "$(wc -l "$shards"/*.jsonl | awk '
    $2 != "total" { if (!n++ || $1 < least) least = $1; if ($1 > most) most = $1 }
    END { print (least == most ? least : least " to " most) }')"
