#!/bin/sh
# Certificates change under a running federation: clients renew theirs, the server its own, a new CA takes the old one's
# place; and no connection is lost and no bit of the result changes. Then a client is revoked.
. tests/e2e/lib.sh

adapter_hash() {
    server_command export --round latest --out "$tmp/adapter-$1" >"$tmp/export.log" 2>&1 || fail "export"
    sha256sum <"$tmp/adapter-$1/adapter_model.safetensors"
}

# renewals N: so many certificates of clients have been renewed.
renewals() {
    [ "$(grep -c "certificate renewed client=" "$tmp/server.log")" -ge "$1" ]
}

# loaded N: the server has read its certificates anew so many times.
loaded() {
    [ "$(grep -c "certificates reloaded" "$tmp/server.log")" -ge "$1" ]
}

# ca roll, ca retire.
ca() {
    "$server" ca "$1" --config "$tmp/server/server.yaml"
}

returned() {
    [ "$(grep -c "client connected" "$tmp/server.log")" -ge 6 ]
}

# refuses WORD COMMAND...: fails, saying so.
refuses() {
    word=$1
    shift
    if "$@" >"$tmp/refusal.log" 2>&1; then
        fail "$* did not fail"
    fi
    grep -q -- "$word" "$tmp/refusal.log" || fail "$* does not say $word"
}

rounds=10 steps=1500
federation
if [ "$(id -u)" -eq 0 ]; then
    refuses "root" server_command serve --set allow_root=false
fi
start_server
enroll_client 3 # never online
for k in 0 1 2; do
    # Made so long ago that it is time for another.
    "$fixture" identity "$tmp/server/ca.pem" "$tmp/server/ca.key" "$tmp/identity-$k" "client-$k" 300
    cp "$tmp/identity-$k/cert.pem" "$tmp/old-$k.pem"
    start_client $k
    eval "client_$k=\$pid"
done
await "three renewals" renewals 3
await "a round" has_committed 1
for k in 0 1 2; do
    cmp -s "$tmp/identity-$k/cert.pem" "$tmp/old-$k.pem" && fail "client $k still has its old certificate"
    [ "$(stat -c %a "$tmp/identity-$k/key.pem")" = 600 ] || fail "a key is readable by others"
done

server_command renew || fail "renew"
await "the server's new certificate" loaded 1

refuses "no old one" ca retire
cp "$tmp/server/ca.pem" "$tmp/old-ca.pem"
ca roll || fail "ca roll"
await "both CAs" loaded 2
await "renewals under the new CA" renewals 6
refuses "retire the old one" ca roll
refuses "client-3" server_command renew
server_command revoke client-3 || fail "revoke an absent client"
refuses "renew it first" ca retire
server_command renew || fail "renew under the new CA"
ca retire || fail "ca retire"
await "the new CA alone" loaded 5
[ "$(grep -c BEGIN "$tmp/server/ca.pem")" -eq 1 ] || fail "the old CA is still there"
cmp -s "$tmp/server/ca.pem" "$tmp/old-ca.pem" && fail "the CA is still the old one"

# Those who came by a certificate of the old CA are sent to come back by that of the new; and until then nothing of this
# had cost a connection.
await "the return of all" returned
sed '/cut off/,$d' "$tmp/server.log" | grep -q "connection lost\|client left" && fail "a connection was lost"
grep -q "connection lost" "$tmp/server.log" && fail "a connection was lost"
[ "$(grep -c "certificate renewed" "$tmp/server.log")" -eq 6 ] || fail "a certificate was renewed for nothing"
[ "$(committed_rounds)" -lt $rounds ] || fail "the run was over before the certificates had changed"
kill -KILL "$client_1"
start_client 1
client_1=$pid
await "all rounds" has_committed $rounds
disturbed=$(adapter_hash disturbed)

server_command clients >"$tmp/clients.txt"
grep -q "^client-3 .* revoked" "$tmp/clients.txt" || fail "clients does not show the revoked one"
[ "$(grep -c "old CA" "$tmp/clients.txt")" -ge 3 ] || fail "clients does not show the certificates of the old CA"
"$server" audit verify --config "$tmp/server/server.yaml" >/dev/null || fail "audit verify"

# One certificate by its number; then a client, while it is connected. A restart forgets neither.
serial=$(grep "^client-0 .* good " "$tmp/clients.txt" | awk '{print $NF}')
server_command revoke "$serial" || fail "revoke by serial number"
await "the first cut" grep -q "cut off client=client-0 .*revoked" "$tmp/server.log"
server_command revoke client-2 || fail "revoke"
await "the second cut" grep -q "cut off client=client-2 .*revoked" "$tmp/server.log"
refuses "nobody" server_command revoke nobody
grep -q "cut off client=client-1 .*revoked" "$tmp/server.log" && fail "a client was cut off that had not been revoked"
kill -TERM "$server_pid"
ended "$server_pid" 0
start_server
for k in 0 2; do
    eval "kill -KILL \$client_$k"
    start_client $k
    ended "$pid" 8
done
start_client 1
await "the other client" grep -q "client connected client=client-1" "$tmp/server.log"
enroll_again=$tmp/identity-2.old
mv "$tmp/identity-2" "$enroll_again"
enroll_client 2
start_client 2
await "the client that enrolled again" grep -q "client connected client=client-2" "$tmp/server.log"
kill -TERM "$server_pid"
ended "$server_pid" 0

run_undisturbed $rounds
[ "$(adapter_hash undisturbed)" = "$disturbed" ] || fail "new certificates change the result"
