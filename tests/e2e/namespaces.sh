# shellcheck shell=sh
# After lib.sh: the server in one network namespace, clients in another, and between them a wire (wire.c), good at first; its
# process id is in $wire_pid.
skip() {
    printf 'skipped: %s\n' "$1"
    exit 77
}

[ "$(id -u)" -eq 0 ] || skip "only root may make network namespaces"
[ -c /dev/net/tun ] || skip "there is no /dev/net/tun"
command -v ip >/dev/null || skip "there is no ip(8): install iproute2"
there=fedpet-server-$$ here=fedpet-clients-$$
leave() {
    status=$?
    ip netns del "$there" 2>/dev/null || true
    ip netns del "$here" 2>/dev/null || true
    (exit "$status")
    finish
}
trap leave EXIT
ip netns add "$there" 2>"$tmp/netns.txt" || skip "no network namespaces here: $(cat "$tmp/netns.txt")"
ip netns add "$here"

# inside NAMESPACE NAME PROGRAM: a command that runs the program there.
inside() {
    printf '#!/bin/sh\nexec ip netns exec %s "%s" "$@"\n' "$1" "$3" >"$tmp/$2"
    chmod +x "$tmp/$2"
}
inside "$there" fedpet-server "$server"
inside "$here" fedpet-client "$client"
server=$tmp/fedpet-server client=$tmp/fedpet-client

# wire SETTING...: what the wire does from now on.
wire() {
    echo "$*" >"$tmp/wire.new"
    mv "$tmp/wire.new" "$tmp/wire"
    sleep 0.2
}

: >"$tmp/wire"
start bad-wire "$bin/wire" "$there" "$here" "$tmp/wire"
wire_pid=$pid
await "the wire" grep -q ready "$tmp/bad-wire.log"
# shellcheck disable=SC2034 # for lib.sh
address=10.203.0.1
ip -n "$there" addr add $address peer 10.203.0.2 dev wire0
ip -n "$here" addr add 10.203.0.2 peer $address dev wire0
for name in "$there" "$here"; do
    ip -n "$name" link set lo up
    ip -n "$name" link set wire0 up
done
