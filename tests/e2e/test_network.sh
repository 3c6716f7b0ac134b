#!/bin/sh
# A real server and real daemons in two network namespaces, with a bad wire between them (wire.c): packets are lost, late,
# doubled, overtaken and damaged, the line is slow, cut, and dumb in one direction; and the result is the same as without.
# FEDPET_NETWORK=long plays more rounds on a worse wire, and cuts it for longer than a connection survives.
. tests/e2e/lib.sh
. tests/e2e/namespaces.sh

if [ "${FEDPET_NETWORK:-}" = long ]; then
    rounds=60 bad="loss=10 delay=60 jitter=80 duplicate=5 reorder=15 corrupt=4 rate=60000" cut=150
else
    rounds=10 bad="loss=4 delay=10 jitter=15 duplicate=3 reorder=8 corrupt=2 rate=400000" cut=1
fi
steps=20
federation
start_server
for k in 0 1 2; do
    enroll_client $k
done
wire "$bad"
for k in 0 1 2; do
    start_client $k
done

await "a round" has_committed 1
wire "a=0 b=0" # cut
before=$(committed_rounds)
sleep $cut
[ "$(committed_rounds)" -le $((before + 1)) ] || fail "rounds go on without a wire"
wire "$bad"
await "a round after the cut" has_committed $((before + 2))
wire "b=0 $bad" # the server's words come through, the clients' do not
sleep $cut
wire "$bad"
await "a round after the half-open wire" has_committed $((before + 4))
wire "a=0 $bad" # and the other way round
sleep $cut
wire "$bad"
if [ $cut -gt 100 ]; then
    grep -q "connection lost" "$tmp/server.log" || fail "a cut of $cut s did not end a connection"
fi
await "all rounds" has_committed $rounds

adapter_hash() {
    server_command export --round latest --out "$tmp/adapter-$1" >"$tmp/export.log" 2>&1 || fail "export"
    sha256sum <"$tmp/adapter-$1/adapter_model.safetensors"
}
disturbed=$(adapter_hash disturbed)
kill -TERM "$wire_pid"
ended "$wire_pid" 0
fate=$(tail -n 1 "$tmp/bad-wire.log")
for what in lost doubled overtaken damaged cut; do
    case $fate in
    *"$what 0"*) fail "no packet was $what: $fate" ;;
    esac
done

# The same on loopback.
server=$bin/fedpet-server client=$bin/fedpet-client address=127.0.0.1
run_undisturbed $rounds
[ "$(adapter_hash undisturbed)" = "$disturbed" ] || fail "a bad network changes the result"
printf '%s rounds; %s\n' "$rounds" "$fate"
