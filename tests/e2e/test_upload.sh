#!/bin/sh
# Updates of several parts, over a link that is cut after every 700,000 bytes, which none of them gets through from its
# start: they arrive, with the bits of a run over a good link, for their own bytes and at most a part more for each cut; also when the daemon is killed between two parts, and
# when the server is, which has to have that one update anew. And the same bits on every wire of fedpet-sim.
. tests/e2e/lib.sh

adapter_hash() {
    server_command export --round latest --out "$tmp/adapter-$1" >"$tmp/export.log" 2>&1 || fail "export"
    sha256sum <"$tmp/adapter-$1/adapter_model.safetensors"
}

rounds=2 steps=5
peft="{method: lora, r: 1024, alpha: 64, targets: [query, key, value, intermediate]}"

# start_distant_client: client 2, behind the bad link.
start_distant_client() {
    good_port=$port port=$link_port client_more="log: {level: debug}"
    start_client 2
    port=$good_port client_more=
}

# has_begun N: it has sent the first part of the first round's update N times.
has_begun() {
    [ "$(grep -c "sent part round=1 offset=0 bytes=524288" "$tmp/client-2.log")" = "$1" ]
}

# A federation of which client 2 is behind a bad link.
begin_with_a_bad_link() {
    federation
    start_server
    for k in 0 1 2; do
        enroll_client $k
    done
    start_client 0
    start_client 1
    link_port=$("$fixture" port)
    start link "$fixture" cut "$link_port" "$port" 700000
    await "the bad link" grep -q listening "$tmp/link.log"
    start_distant_client
    distant=$pid
}

has_cut() {
    [ "$(grep -c cut "$tmp/link.log")" -ge "$1" ]
}

# check_bytes UPDATES CUTS: what went up behind the bad link is that many updates and little else, for all those cuts.
check_bytes() {
    parameters=$(json parameters "$tmp/status.json")
    kill -TERM "$distant"
    await "the last connection" grep -q "^up [0-9]*$" "$tmp/link.log"
    sleep 0.2
    awk -v update=$((4 * parameters)) -v updates="$1" -v least="$2" '
        /^up/ { sent += $2; cuts += $3 == "cut" }
        END {
            printf "%d bytes up, at most %d updates of %d bytes, %d connections, %d cuts\n", sent, updates, update, NR - 1, cuts
            part = 524288; around = 8192 # of a connection: the handshake, and what is around parts
            exit cuts < least || sent > updates * update + cuts * part + NR * around
        }' "$tmp/link.log" >"$tmp/bytes.log" || fail "too many bytes"
    cat "$tmp/bytes.log"
}

begin_with_a_bad_link
await "all rounds" has_committed $rounds
bad=$(adapter_hash bad)
has_begun 1 || fail "a new connection does not go on where the last one was cut"
check_bytes $rounds $((2 * rounds))

run_undisturbed $rounds
[ "$(adapter_hash good)" = "$bad" ] || fail "a bad link changes the result"

end_everything
begin_with_a_bad_link
await "the first cut" has_cut 1
kill -KILL "$distant"
start_distant_client
distant=$pid
await "the second cut" has_cut 2
has_begun 1 || fail "a daemon's new life does not go on where the last one was"
kill -KILL "$server_pid"
wait "$server_pid" 2>/dev/null || true
[ "$(committed_rounds)" = 0 ] || fail "the round was over before the server could be killed"
start_server
await "all rounds after two deaths" has_committed $rounds
[ "$(adapter_hash deaths)" = "$bad" ] || fail "deaths between parts change the result"
has_begun 2 || fail "a server that was killed has what it should not, or lost it twice"
check_bytes $((rounds + 1)) $((2 * rounds + 1))

mkdir "$tmp/data"
"$fixture" data "$tmp/data/train.jsonl" 60
"$fixture" data "$tmp/data/dev.jsonl" 20 1000
cat >"$tmp/experiment.yaml" <<EOF
model: $tmp/model
task: {name: text, data: $tmp/data, labels: [neg, pos]}
peft: $peft
federation: {clients: 3, per_round: 2, rounds: 2, seed: 7, scaffold: true, upload: fp16}
local: {steps: 3, batch_size: 8, lr: 0.001, max_length: 16, model_dropout: 0}
EOF
for wire in none proto tls process; do
    "$sim" run "$tmp/experiment.yaml" --out "$tmp/sim-$wire" --wire $wire >"$tmp/sim-$wire.log" 2>&1 ||
        fail "fedpet-sim --wire $wire"
    hash=$(json adapter_sha256 "$tmp/sim-$wire/summary.json")
    [ "${first:=$hash}" = "$hash" ] || fail "--wire $wire changes the result"
done
