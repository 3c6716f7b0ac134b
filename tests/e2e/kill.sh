# shellcheck shell=sh
# A federation whose server and clients are killed, at points in time and before system calls (die.c), and started again
# by somebody patient; for test_kill.sh and kill_matrix.sh.
. tests/e2e/lib.sh

# Everything that a restart must get right takes part: state of the server's optimiser and of SCAFFOLD on both sides,
# moments that stay with the client, a schedule over all rounds, savepoints.
rounds=${rounds:-5} steps=${steps:-2500}
federation_more="scaffold: true, optimizer: fedadam, server_lr: 0.003"
local_more="carry_optimizer: true, decay_over_run: true, proximal: 0.01"
programs="server client-0 client-1 client-2"

# draw N: sets $drawn to a number from 1 to N; the same sequence for the same $random.
random=${SEED:-1}
draw() {
    random=$(((random * 1103515245 + 12345) & 2147483647))
    drawn=$((random / 65536 % $1 + 1))
}

# draw_point PROGRAM: sets $point; how far a life gets is of the order of two rounds.
draw_point() {
    draw 4
    case $1-$drawn in
    server-1) call=fdatasync most=16 ;;
    server-2) call=pwrite most=150 ;;
    server-3) call=write most=40 ;;
    server-4) call=ms most=2000 ;;
    *-1) call=fsync most=12 ;;
    *-2) call=rename most=7 ;;
    *-3) call=write most=20 ;;
    *-4) call=ms most=3000 ;;
    esac
    draw "$most"
    point=$call:$drawn
}

is_dead() {
    [ "$(cut -d ' ' -f 3 "/proc/$1/stat" 2>/dev/null || echo Z)" = Z ]
}

# make_mortal NAME PROGRAM: a command that runs the program, to die at $POINT if that is set.
make_mortal() {
    cat >"$tmp/$1" <<EOF
#!/bin/sh
if [ -n "\${POINT:-}" ]; then
    export FEDPET_DIE="\$POINT" LD_PRELOAD="$bin/libdie.so" FEDPET_FULL="$tmp/full" FEDPET_READONLY="$tmp/readonly-${1#mortal-}"
    export ASAN_OPTIONS="\${ASAN_OPTIONS:+\$ASAN_OPTIONS:}verify_asan_link_order=0"
fi
exec "$2" "\$@"
EOF
    chmod +x "$tmp/$1"
}
make_mortal mortal-server "$server"
make_mortal mortal-client "$client"
server=$tmp/mortal-server client=$tmp/mortal-client

# launch PROGRAM [POINT]: starts it, to die there.
launch() {
    echo "${2:-never}" >"$tmp/$1.point"
    export POINT="${2:-}"
    case $1 in
    server) start server "$server" serve --config "$tmp/server/server.yaml" ;;
    *) start_client "${1#client-}" --set checkpoint_s=1 ;;
    esac
    unset POINT
    echo "$pid" >"$tmp/$1.pid"
}

# The run of a federation from an empty state to its end, with up to $1 deaths; each is a line of $tmp/kills.
play() {
    quota=$1
    rm -rf "$tmp/server/state" "$tmp"/state-*
    for program in $programs; do
        : >"$tmp/$program.log"
        draw_point "$program"
        if [ "$quota" -gt 0 ]; then launch "$program" "$point"; else launch "$program"; fi
    done
    tries=0
    until grep -q "run complete" "$tmp/server.log"; do
        tries=$((tries + 1))
        [ $tries -lt 3000 ] || fail "the run does not come to its end"
        for program in $programs; do
            revive "$program"
        done
        sleep 0.1
    done
}

# Starts a program again if it is dead, which it must be by SIGKILL.
revive() {
    read -r pid <"$tmp/$1.pid"
    is_dead "$pid" || return 0
    ended "$pid" 137
    read -r point <"$tmp/$1.point"
    echo "${1%%-*} ${point%%:*}" >>"$tmp/kills"
    quota=$((quota - 1))
    draw_point "$1"
    if [ "$quota" -gt 0 ]; then launch "$1" "$point"; else launch "$1"; fi
}

stop_all() {
    for program in $programs; do
        read -r pid <"$tmp/$program.pid"
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    started=
}

# What the run gave, in $result: every round with every client's update once, and as its journal says.
take_result() {
    has_committed "$rounds" || fail "rounds are missing"
    updates=$(tr ',{}' '[\n*]' <"$tmp/status.json" | grep -c '"update_id"') || true
    [ "$updates" -eq $((3 * rounds)) ] || fail "$updates updates in $rounds rounds of three clients"
    for round in $rounds $((rounds - 1)); do
        server_command replay --round "$round" >"$tmp/replay.log" 2>&1 || fail "the replay of round $round"
    done
    rm -rf "$tmp/adapter"
    server_command export --round latest --out "$tmp/adapter" >"$tmp/export.log" 2>&1 || fail "export"
    result=$(sha256sum <"$tmp/adapter/adapter_model.safetensors" | cut -d ' ' -f 1)
}

# A federation with papers for all, and what it gives when nobody dies, in $undisturbed.
prepare() {
    federation
    start_server
    for k in 0 1 2; do
        enroll_client $k
    done
    kill -TERM "$server_pid"
    ended "$server_pid" 0
    play 0
    stop_all
    take_result
    export undisturbed="$result"
    : >"$tmp/kills"
}
