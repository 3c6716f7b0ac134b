#!/bin/sh
# A disk that is full in the middle of a run: nothing is acknowledged that is not stored, the server says so once, and when
# there is space again the run goes on to the result that it would have had.
rounds=4 steps=1000
. tests/e2e/disk.sh

begin_troubled
: >"$tmp/full"
await "trouble" grep -q "cannot be stored.*disk full" "$tmp/server.log"
nothing_is_committed
[ "$(grep -c "cannot be stored" "$tmp/server.log")" -le 2 ] || fail "the log tells it again and again" # of updates and of rounds
rm "$tmp/full"
call_clients_back
end_as_undisturbed "a full disk"
