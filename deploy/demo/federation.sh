# Rounds for real: a server and four enrolled daemons, mutual TLS on the loopback. Leaves $out/adapter, $up (bytes sent up by
# all clients) and $parameters.
# shellcheck shell=sh disable=SC2154,SC2034 # the variables of ./demo and data.sh

say "2. Server: its own certificate authority; a port for enrolment, one for clients with a certificate"
quietly init "$bin/fedpet-server" init "$tmp/server" --host 127.0.0.1
config=$tmp/server/server.yaml
sed -i -E '/^(listen|enroll|peft|federation|local):/d' "$config"
cat >>"$config" <<YAML
listen: 127.0.0.1:0
enroll: 127.0.0.1:0
allow_root: true
model: $(yaml "$model")
task: {$task_line}
federation: {clients: $clients, per_round: $per_round, rounds: $rounds, seed: 42}
YAML
grep -E '^(peft|local):' "$experiment" >>"$config"
start server "$bin/fedpet-server" serve --config "$config"
server_pid=$pid

# Asks the server how it is, for value_of.
ask() {
    "$bin/fedpet-server" status --config "$config" --format json >"$tmp/status.json" 2>"$tmp/status.log"
}

port=''
until [ -n "$port" ]; do
    kill -0 "$server_pid" 2>/dev/null || failed "the server ended" "$tmp/server.log"
    sleep 0.2
    ask && port=$(value_of port "$tmp/status.json")
done
enroll_port=$(value_of enroll_port "$tmp/status.json")
printf '  listens on ports %s and %s\n' "$enroll_port" "$port"

say "3. Clients: each makes a key, gets a certificate for a one-time token, and starts as a daemon"
client_pids=
for shard in "$shards"/*.jsonl; do
    name=$(basename "$shard" .jsonl)
    token=$("$bin/fedpet-server" token --config "$config" --name "$name")
    quietly "enroll-$name" "$bin/fedpet-client" enroll --server "127.0.0.1:$enroll_port" --token "$token" --identity "$tmp/$name"
    cat >"$tmp/$name.yaml" <<YAML
server: 127.0.0.1:$port
identity: $(yaml "$tmp/$name")
model: $(yaml "$model")
data: $(yaml "$shard")
state: $(yaml "$tmp/$name-state")
threads: $(((cores + clients - 1) / clients))
validation: 0.1
YAML
    start "$name" "$bin/fedpet-client" run --config "$tmp/$name.yaml" --once
    client_pids="$client_pids $name:$pid"
    printf '  %s: %s examples, which never leave it\n' "$name" "$(wc -l <"$shard")"
done

ask
parameters=$(value_of parameters "$tmp/status.json")
say "4. Rounds: only $parameters tuned parameters travel, of $(value_of parameters "$tmp/base.json"); accuracy on what the clients hold back, before each round"
awk -f "$here/rounds.awk" -v header=1 </dev/null
shown=0
since=$(date +%s)
while [ "$shown" -lt "$rounds" ]; do
    kill -0 "$server_pid" 2>/dev/null || failed "the server ended" "$tmp/server.log"
    for client in $client_pids; do
        # A client may be done a moment before the last round is shown.
        kill -0 "${client#*:}" 2>/dev/null || grep -q ': finished ' "$tmp/${client%:*}.log" ||
            failed "client ${client%:*} ended" "$tmp/${client%:*}.log"
    done
    ask || failed "the server does not tell its state" "$tmp/status.log"
    bar_end
    awk -f "$here/rounds.awk" -v shown="$shown" "$tmp/status.json"
    shown=$(value_of 'done' "$tmp/status.json")
    [ "$shown" -ge "$rounds" ] || { bar "$shown" "$rounds" "$since" "$(value_of now "$tmp/status.json")" && sleep 0.5; }
done
up=$(sed -n 's/^      "bytes_up": \([0-9]*\),*$/\1/p' "$tmp/status.json" | awk '{ n += $1 } END { printf "%d", n }')
quietly export "$bin/fedpet-server" export --config "$config" --out "$out/adapter"
# The machine is free for what follows.
kill -TERM "$server_pid"
