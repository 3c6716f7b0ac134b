#!/bin/sh
# A disk that is full in the middle of a run: nothing is acknowledged that is not stored, the server says so once, and when
# there is space again the run goes on to the result that it would have had.
rounds=4 steps=300
. tests/e2e/kill.sh

prepare
quota=0
rm -rf "$tmp/server/state" "$tmp"/state-*
for program in $programs; do
    : >"$tmp/$program.log"
    launch "$program" none:1
done
await "a round" has_committed 1
: >"$tmp/full"
await "trouble" grep -q "cannot be stored" "$tmp/server.log"
before=$(committed_rounds)
[ "$before" -lt "$rounds" ] || fail "the run was over before the disk was full"
sleep 1
[ "$(committed_rounds)" -eq "$before" ] || fail "a round was committed without space"
[ "$(grep -c "cannot be stored" "$tmp/server.log")" -le 2 ] || fail "the log tells it again and again" # of updates and of rounds
rm "$tmp/full"
# Told to come back in a minute, they do so at once when they are started anew.
for program in client-0 client-1 client-2; do
    read -r pid <"$tmp/$program.pid"
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
    launch "$program"
done
await "the end of the run" grep -q "run complete" "$tmp/server.log"
stop_all
take_result
[ "$result" = "$undisturbed" ] || fail "a full disk changes the result"
