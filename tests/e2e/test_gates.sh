#!/bin/sh
# A device that goes on battery while it trains, and whose daemon rests then, and is killed: the server says what it waits for,
# and the result is that of a run that nobody disturbed.
. tests/e2e/lib.sh

adapter_hash() {
    server_command export --round latest --out "$tmp/adapter-$1" >"$tmp/export.log" 2>&1 || fail "export"
    sha256sum <"$tmp/adapter-$1/adapter_model.safetensors"
}

# power ONLINE STATUS: of a laptop whose files are below $tmp/device.
power() {
    supply=$tmp/device/sys/class/power_supply
    mkdir -p "$supply/AC" "$supply/BAT0"
    echo Mains >"$supply/AC/type"
    echo Battery >"$supply/BAT0/type"
    echo "$1" >"$supply/AC/online"
    echo "$2" >"$supply/BAT0/status"
}

# said COUNT TEXT: so often in the log of the client with gates.
said() {
    [ "$(grep -c "$2" "$tmp/client-1.log")" -ge "$1" ]
}

status_says() {
    server_command status | grep -q "$1"
}

# status_is_silent_about TEXT: there is a status, and it does not have it.
status_is_silent_about() {
    server_command status >"$tmp/status" && ! grep -q "$1" "$tmp/status"
}

# start_gated SHARE: rests make a training of half a second long enough to be disturbed.
start_gated() {
    client_more="cpu_share: $1
gates: {ac_power: true, settle_s: 0, root: $tmp/device}
rest_after_s: 1
log: {level: debug}"
    start_client 1
    client_more=
}

rounds=2 steps=3000
local_more="carry_optimizer: true"
federation
power 0 Discharging
start_server
for k in 0 1 2; do
    enroll_client $k
done
start_client 0
start_client 2
start_gated 0.05
gated=$pid
await "a pause" said 1 "training waits"
await "the reason" status_says "client-1 (paused: on battery)"
await "a rest before the training" said 1 "at rest"
power 1 Charging
await "the end of the pause" said 1 "training may go on"
await "a status that says so" status_is_silent_about "paused"
power 0 Discharging
await "another pause" said 2 "training waits"
said 1 "trained round=1" && fail "the first round was over before the device went on battery"
await "the reason again" status_says "client-1 (paused: on battery)"
await "a rest in the middle of it" said 2 "at rest"
kill -KILL "$gated"
start_gated 0.5
await "a pause of the new daemon" said 3 "training waits"
power 1 Charging
await "the end of the run" has_committed $rounds
said 1 "goes on from its savepoint" || fail "no pause came in the middle of a training"
interrupted=$(adapter_hash interrupted)

# Nor has a daemon anything to do whose server is away from the start.
kill -TERM "$pid" "$server_pid"
ended "$pid" 0
ended "$server_pid" 0
rests=$(grep -c "at rest" "$tmp/client-1.log")
start_gated 0.5
await "a rest without a server" said $((rests + 1)) "at rest"

run_undisturbed $rounds
[ "$(adapter_hash straight)" = "$interrupted" ] || fail "a pause changes the result"
