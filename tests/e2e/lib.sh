# shellcheck shell=sh
# Common ground of the end-to-end tests: a scratch folder, real programs on loopback, waiting, and saying what went
# wrong. Whatever happens, no process and no file stays behind.
set -eu

bin=$(CDPATH='' cd -- "${FEDPET_BIN:-build/release}" && pwd)
server=$bin/fedpet-server client=$bin/fedpet-client sim=$bin/fedpet-sim fixture=$bin/fixture
export server client sim fixture

tmp=$(mktemp -d)
started=

finish() {
    status=$?
    trap - EXIT
    for pid in $started; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    wait
    rm -rf "$tmp"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# What the programs said last, then the failure.
fail() {
    for log in "$tmp"/*.log; do
        if [ -f "$log" ]; then
            printf -- '--- %s\n' "${log##*/}" >&2
            tail -n 20 "$log" >&2
        fi
    done
    printf 'FAILED: %s\n' "$1" >&2
    exit 1
}

# start NAME COMMAND...: in the background, with its output in NAME.log; its process id in $pid.
start() {
    log=$tmp/$1.log
    shift
    "$@" >>"$log" 2>&1 &
    pid=$!
    started="$started $pid"
}

# Seconds: more than anything here needs, unless a processor is emulated.
patience=${FEDPET_PATIENCE:-60}

# await WHAT COMMAND...: until the command succeeds.
await() {
    what=$1
    shift
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt $((10 * patience)) ] || fail "waited $patience s in vain for $what"
        sleep 0.1
    done
}

# ended PID STATUS: waits for the end of a process that `start` made, and checks its exit status.
ended() {
    status=0
    wait "$1" || status=$?
    [ "$status" -eq "$2" ] || fail "exit status $status instead of $2"
}

# json KEY FILE: the first value of a scalar key.
json() {
    tr ',{}' '[\n*]' <"$2" | sed -n "s/^[[:space:]]*\"$1\"[[:space:]]*:[[:space:]]*\"\{0,1\}\([^\"]*\)\"\{0,1\}[[:space:]]*$/\1/p" | head -n 1
}

# configure DIR KEY...: replaces top-level keys of the server.yaml that `init` made by the lines on stdin.
configure() {
    sed -i -E "/^($2):/d" "$1/server.yaml"
    cat >>"$1/server.yaml"
}

# Where the server is.
address=127.0.0.1

# A federation of three clients, with a method in $peft, further settings in $local_more and $federation_more, over a tiny model and made-up sentences, in $tmp: not yet started.
federation() {
    "$fixture" model "$tmp/model"
    port=$("$fixture" port)
    enroll_port=$("$fixture" port)
    "$server" init "$tmp/server" --host "$address" >"$tmp/init.log" 2>&1 || fail "init"
    configure "$tmp/server" "listen|enroll|federation|local${peft:+|peft}" <<EOF
listen: $address:$port
enroll: $address:$enroll_port
allow_root: true
model: $tmp/model
task: {name: text, labels: [neg, pos]}
federation: {clients: 3, per_round: 3, rounds: ${rounds:-3}, deadline_s: $patience, seed: 7${federation_more:+, $federation_more}}
local: {steps: ${steps:-20}, batch_size: 8, lr: 0.005, max_length: 16, model_dropout: 0${local_more:+, $local_more}}
${peft:+peft: $peft}
EOF
    for k in 0 1 2; do
        "$fixture" data "$tmp/client-$k.jsonl" 40 $((k * 40))
    done
    "$fixture" data "$tmp/dev.jsonl" 40 1000
}

# server_command COMMAND [OPTION...]: with the federation's configuration.
server_command() {
    command=$1
    shift
    "$server" "$command" --config "$tmp/server/server.yaml" "$@"
}

# Returns when it listens; its process id is in $server_pid.
start_server() {
    : >"$tmp/server.log"
    start server "$server" serve --config "$tmp/server/server.yaml"
    export server_pid="$pid"
    await "the server's ports" grep -q "listening" "$tmp/server.log"
}

# enroll_client K: with a fresh token.
enroll_client() {
    token=$(server_command token --name "client-$1")
    "$client" enroll --server "$address:$enroll_port" --token "$token" --identity "$tmp/identity-$1" \
        >"$tmp/enroll-$1.log" 2>&1 || fail "client $1 could not enrol"
}

# start_client K [OPTION...]: a daemon, with further lines of its configuration in $client_more; its process id in $pid.
start_client() {
    k=$1
    shift
    cat >"$tmp/client-$k.yaml" <<EOF
server: $address:$port
identity: $tmp/identity-$k
model: $tmp/model
data: $tmp/client-$k.jsonl
state: $tmp/state-$k
threads: 1
${client_more:-}
EOF
    start "client-$k" "$client" run --config "$tmp/client-$k.yaml" "$@"
}

# How many rounds are durable; the whole status is then in status.json.
committed_rounds() {
    server_command status --format json >"$tmp/status.json" 2>/dev/null && json 'done' "$tmp/status.json"
}

# has_committed N: at least N rounds.
has_committed() {
    n=$(committed_rounds) && [ "${n:-0}" -ge "$1" ]
}

# --- several runs

# run_command COMMAND NAME [OPTION...]
run_command() {
    command=$1
    shift
    "$server" run "$command" --config "$tmp/server/server.yaml" "$@"
}

# state_of NAME: the word in `run list`.
state_of() {
    run_command list 2>/dev/null | awk -v name="$1" '$1 == name { print $2 }'
}

# in_state NAME STATE
in_state() {
    [ "$(state_of "$1")" = "$2" ]
}

# rounds_of NAME
rounds_of() {
    run_command list | awk -v name="$1" '$1 == name { sub("/.*", "", $3); print $3 }'
}

# has_rounds NAME N: at least N of them.
has_rounds() {
    [ "$(rounds_of "$1")" -ge "$2" ]
}

# hash_of NAME: of the run's last adapter.
hash_of() {
    rm -rf "$tmp/exported"
    server_command export --run "$1" --round latest --as fedpet --out "$tmp/exported" >"$tmp/export.log" 2>&1 ||
        fail "export of $1"
    sha256sum <"$tmp/exported/adapter_model.safetensors"
}

# --- again from the start

# Ends all programs, and forgets what they had.
end_everything() {
    for pid in $started; do
        kill -TERM "$pid" 2>/dev/null || true
    done
    rm -rf "$tmp/server" "$tmp"/identity-* "$tmp"/state-* "$tmp"/*.log
}

# run_undisturbed N: ends everything, and runs the same settings from the start in another server, until N rounds.
run_undisturbed() {
    end_everything
    federation
    start_server
    for k in 0 1 2; do
        enroll_client $k
        start_client $k
    done
    await "all rounds again" has_committed "$1"
}
