#!/bin/sh
# Bad input: one line on stderr that names the file or field at fault, the documented exit status, and no crash.
. tests/e2e/lib.sh

usage=2 config=3 data=4 model=5 io=6 net=7 tls=8 refused=9 state=12
cases=0 wrong=0

# expect STATUS PATTERN COMMAND...: PATTERN is an extended regular expression for the line.
expect() {
    expected=$1 pattern=$2
    shift 2
    cases=$((cases + 1))
    status=0
    "$@" >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
    grep -vE '^[0-9TZ:-]+ fedpet-[a-z]+ (info|warn|debug): ' "$tmp/err" >"$tmp/line" || true
    if [ $status -ne "$expected" ] || [ "$(wc -l <"$tmp/line")" -ne 1 ] || ! grep -Eq "$pattern" "$tmp/line"; then
        wrong=$((wrong + 1))
        printf 'FAILED: %s\n  status %s, expected %s and one line like /%s/, but stderr says:\n' \
            "$*" "$status" "$expected" "$pattern" >&2
        sed 's/^/  | /' "$tmp/err" >&2
    fi
}

# A copy of the good model under a new name, in $copy.
copy_model() {
    copy=$tmp/$1
    cp -r "$tmp/model" "$copy"
}

models() {
    "$fixture" model "$tmp/model"
    inspect="$client inspect --model"
    # shellcheck disable=SC2086 # a command in words
    {
        expect $io "absent" $inspect "$tmp/absent"

        copy_model truncated
        head -c 5000 "$tmp/model/model.safetensors" >"$copy/model.safetensors"
        expect $model "truncated/model.safetensors" $inspect "$copy"

        copy_model lying
        printf '\377\377\377\377\377\377\377\177' | dd of="$copy/model.safetensors" conv=notrunc status=none
        expect $model "lying/model.safetensors.*header" $inspect "$copy"

        copy_model offsets
        LC_ALL=C sed -i 's/"data_offsets":\[0,/"data_offsets":[9,/' "$copy/model.safetensors"
        expect $model "offsets/model.safetensors.*tensor" $inspect "$copy"

        for fault in missing extra shape; do
            "$fixture" model "$tmp/$fault" 1 $fault
        done
        expect $model "missing/model.safetensors.*layer.0.intermediate.dense.weight.*missing" $inspect "$tmp/missing"
        expect $model "extra/model.safetensors.*encoder.novel.weight.*unknown" $inspect "$tmp/extra"
        expect $model "shape/model.safetensors.*layer.0.intermediate.dense.weight.*64, 32" $inspect "$tmp/shape"

        copy_model type
        sed -i 's/"model_type": "bert"/"model_type": "mamba"/' "$copy/config.json"
        expect $model "type/config.json.*model_type.*mamba.*bert" $inspect "$copy"

        copy_model activation
        sed -i 's/"hidden_act": "gelu"/"hidden_act": "swiglu"/' "$copy/config.json"
        expect $model "activation/config.json.*hidden_act.*swiglu" $inspect "$copy"

        "$client" quantize --model "$tmp/model" --out "$tmp/int8" >"$tmp/out"
        expect $io "int8: exists already" "$client" quantize --model "$tmp/model" --out "$tmp/int8"
        expect $model "int8: is int8 already" "$client" quantize --model "$tmp/int8" --out "$tmp/twice"
        expect $usage "model" "$client" quantize --out "$tmp/twice"
        sed -i 's/"num_bits": 8/"num_bits": 4/' "$tmp/int8/config.json"
        expect $model "int8/config.json.*num_bits is 4, not 8.*fedpet-client quantize" $inspect "$tmp/int8"
        sed -i 's/quantization_config/other_config/' "$tmp/int8/config.json"
        expect $model "int8/model.safetensors.*weight_packed.*no quantization_config" $inspect "$tmp/int8"

        copy_model json
        printf '{"model_type": "bert",' >"$copy/config.json"
        expect $model "json/config.json.*JSON" $inspect "$copy"
    }

    copy_model tokenizer
    printf '{"model": {"type": "WordPiece", "vocab": {' >"$copy/tokenizer.json"
    expect $model "tokenizer/tokenizer.json" "$client" tokenize --model "$copy"
    copy_model unigram
    printf '{"model": {"type": "Unigram", "vocab": []}}' >"$copy/tokenizer.json"
    expect $model "unigram/tokenizer.json.*Unigram" "$client" tokenize --model "$copy"
}

# Without the libraries that only some commands use (broken ones are found first), only these commands fail.
libraries() {
    mkdir "$tmp/broken"
    grep -aoE 'lib(archive|curl)\.so\.[0-9]+' "$client" | while read -r name; do
        : >"$tmp/broken/$name"
    done
    emulated=${QEMU_SET_ENV-} # as ./dev arm64 sets it: programs of another processor get this variable from there
    without="env LD_LIBRARY_PATH=$tmp/broken QEMU_SET_ENV=LD_LIBRARY_PATH=$tmp/broken:${emulated#LD_LIBRARY_PATH=}"
    learn="$without $client train-tokenizer --out $tmp/learnt --data"
    printf 'the film is good\n' >"$tmp/plain.txt"
    gzip -k "$tmp/plain.txt"
    # shellcheck disable=SC2086 # a command in words
    {
        expect $io "plain.txt.gz is compressed.*libarchive.so.*apt-get install libarchive" $learn "$tmp/plain.txt.gz"
        $learn "$tmp/plain.txt" >"$tmp/out" 2>&1 || fail "plain text without libarchive"
        expect $io "libcurl.so.*apt-get install libcurl" $without "$client" fetch model some/model
    }
}

# experiment DATA: what `train` then works on.
experiment() {
    cat >"$tmp/experiment.yaml" <<EOF
model: $tmp/model
task: {name: text, data: $1, labels: [neg, pos]}
local: {batch_size: 8, max_length: 16, steps: 1}
EOF
}

# shellcheck disable=SC2120 # its arguments come through `expect`
train() {
    rm -rf "$tmp/trained"
    "$client" train --config "$tmp/experiment.yaml" --out "$tmp/trained" "$@"
}

data_sets() {
    "$fixture" data "$tmp/good.jsonl" 16
    experiment "$tmp/absent.jsonl"
    expect $io "absent.jsonl" train

    experiment "$tmp/bad.jsonl"
    { cat "$tmp/good.jsonl" && printf '{"text": "the film\n'; } >"$tmp/bad.jsonl"
    expect $data "bad.jsonl:17" train
    { cat "$tmp/good.jsonl" && printf '{"text": "the film", "label": "meh"}\n'; } >"$tmp/bad.jsonl"
    expect $data "bad.jsonl:17.*meh" train
    { cat "$tmp/good.jsonl" && printf '{"words": "the film", "label": "pos"}\n'; } >"$tmp/bad.jsonl"
    expect $data "bad.jsonl:17.*text" train
    { cat "$tmp/good.jsonl" && printf '{"text": "the \377 film", "label": "pos"}\n'; } >"$tmp/bad.jsonl"
    expect $data "bad.jsonl:17.*(UTF-8|decode byte)" train
    : >"$tmp/bad.jsonl"
    expect $data "bad.jsonl.*empty" train
}

configurations() {
    experiment "$tmp/good.jsonl"
    # shellcheck disable=SC2119
    train >"$tmp/train.log" 2>&1 || fail "training on good data"
    expect $config "local.lr_rate.*unknown|unknown.*local.lr_rate" train --set local.lr_rate=1
    expect $config "peft.r.*1024" train --set peft.r=0
    expect $config "peft.method.*lora" train --set peft.method=magic
    expect $usage "bogus" train --bogus
    expect $usage "memory most.*auto, min, fast or half" train --memory most
    expect $usage "trian.*train" "$client" trian
    printf 'peft: {rank: 4}\n' >>"$tmp/experiment.yaml"
    expect $config "experiment.yaml:4.*rank" train
    printf 'model: [\n' >"$tmp/experiment.yaml"
    expect $config "experiment.yaml:" train
    expect $io "nothing.yaml" "$client" train --config "$tmp/nothing.yaml" --out "$tmp/trained"
}

# Training into a file system of 8 KiB, in a namespace of its own; where the kernel forbids that, under a limit on
# the size of files.
train_on_full_disk() {
    set -- "$tmp/full" "$client" train --config "$tmp/experiment.yaml" --out "$tmp/full/out"
    if unshare --user --map-root-user --mount true 2>/dev/null; then
        # shellcheck disable=SC2016 # expanded by the inner shell
        unshare --user --map-root-user --mount sh -c 'mount -t tmpfs -o size=8k none "$0" && exec "$@"' "$@"
    else
        # shellcheck disable=SC2016
        sh -c 'trap "" XFSZ; ulimit -f 8; exec "$@"' "$@"
    fi
}

disk_full() {
    experiment "$tmp/good.jsonl"
    mkdir "$tmp/full"
    expect $io "full/.*(space|too large)" train_on_full_disk
}

peers() {
    federation
    expect $config "local.max_length.*65.*64 tokens" server_command serve --set local.max_length=65
    expect $config "task.metric.*bleu" server_command serve --set task.metric=bleu
    expect $config "task.labels.*neg.*twice" server_command serve --set "task.labels=[neg, neg]"
    expect $config "listen is missing" server_command serve --set listen=
    expect $config "enroll is missing" server_command serve --set enroll=
    start_server
    enroll_client 0
    devices=127.0.0.1:$enroll_port
    enrol="$client enroll --server"

    token=$(server_command token --name client-1)
    # shellcheck disable=SC2086 # a command in words
    {
        expect $io "identity-0" $enrol "$devices" --token "$token" --identity "$tmp/identity-0"
        wrong_secret=$(printf '%s' "$token" | sed 's/\.[^.]*\./.AAAAAAAAAAAAAAAAAAAAAA./')
        expect $refused "token" $enrol "$devices" --token "$wrong_secret" --identity "$tmp/identity-9"
        wrong_ca=$(printf '%s' "$token" | sed 's/[^.]*$/0000000000000000000000000000000000000000000000000000000000000000/')
        expect $tls "CA|certificate" $enrol "$devices" --token "$wrong_ca" --identity "$tmp/identity-9"
        expect $tls "token" $enrol "$devices" --token nonsense --identity "$tmp/identity-9"
        $enrol "$devices" --token "$token" --identity "$tmp/identity-1" >"$tmp/enroll-1.log" 2>&1 || fail "a good token"
        expect $refused "token" $enrol "$devices" --token "$token" --identity "$tmp/identity-2"
        expect $net "127.0.0.1:1" $enrol "127.0.0.1:1" --token "$token" --identity "$tmp/identity-9"
    }
    [ ! -e "$tmp/identity-9" ] || fail "a refused enrolment leaves files behind"

    expect $state "state.*another" server_command serve
    expect $net "$port.*in use" server_command serve --set state="$tmp/elsewhere"
}

# Runs beside the configuration's own, next to the running server.
runs() {
    printf 'task: {name: text, labels: [neg, pos]}\n' >"$tmp/run.yaml"
    run="$server run"
    # shellcheck disable=SC2086 # a command in words
    {
        mkdir "$tmp/no-model"
        echo "{}" >"$tmp/no-model/config.json"
        make="$run create more --config $tmp/server/server.yaml --from $tmp/run.yaml"
        expect $usage "serve" $run
        expect $usage "serve" $run --config "$tmp/server/server.yaml"
        expect $usage "Upper.*a-z" $run create Upper --config "$tmp/server/server.yaml" --from "$tmp/run.yaml"
        expect $usage "from" $run create more --config "$tmp/server/server.yaml"
        expect $config "listen" $make --set listen=x
        expect $config "task.labels.*neg.*twice" $make --set "task.labels=[neg, neg]"
        expect $config "federation.quorum" $make --set federation.quorum=200
        expect $config "peft.method.*lora" $make --set peft.method=magic
        expect $io "model.*nowhere" $make --set model="$tmp/nowhere"
        expect $model "config.json" $make --set model="$tmp/no-model"
        for word in show pause resume stop watch; do
            expect $usage "more.*default" $run $word more --config "$tmp/server/server.yaml"
        done
        expect $usage "more.*default" server_command export --run more --out "$tmp/none"
        expect $usage "more.*default" server_command replay --run more
        expect $usage "more.*default" server_command status --run more
    }
    [ "$("$server" run list --config "$tmp/server/server.yaml" | wc -l)" -eq 2 ] || fail "a refused run is listed"
    [ ! -e "$tmp/server/state/runs/more" ] || fail "a refused run leaves a folder"
}

# Clients with the wrong papers are turned away, and told so.
certificates() {
    start_client 0
    good=$pid
    await "the good client" grep -q "connected client=client-0" "$tmp/server.log"

    mv "$tmp/identity-0" "$tmp/identity-good"
    expect $io "identity-0" run_client_0
    "$fixture" identity "$tmp/server/ca.pem" "$tmp/server/ca.key" "$tmp/identity-0" client-0 730
    expect $tls "expired" run_client_0
    rm -rf "$tmp/identity-0"

    "$server" init "$tmp/foreign" --host 127.0.0.1 >"$tmp/init.log" 2>&1
    "$fixture" identity "$tmp/foreign/ca.pem" "$tmp/foreign/ca.key" "$tmp/identity-0" client-0 0
    cp "$tmp/identity-good/ca.pem" "$tmp/identity-0/ca.pem"
    expect $tls "certificate" run_client_0
    kill -TERM "$good"
    ended "$good" 0
}

run_client_0() {
    "$client" run --config "$tmp/client-0.yaml" --once
}

models
libraries
data_sets
configurations
disk_full
peers
runs
certificates
printf '%s cases, %s wrong\n' "$cases" "$wrong"
[ "$wrong" -eq 0 ]
