#!/bin/sh
# A disk that becomes read-only in the middle of a run, as after an error, first the server's and then the clients': whoever has
# it says so, nothing is acknowledged or offered that is not stored, and when the disk can be written again the run goes on
# to the result that it would have had.
rounds=8 steps=1000
. tests/e2e/disk.sh

begin_troubled
: >"$tmp/readonly-server"
await "the server's trouble" grep -q "cannot be stored.*read-only" "$tmp/server.log"
nothing_is_committed
rm "$tmp/readonly-server"
call_clients_back
await "a round after it" has_committed $((before + 1))

: >"$tmp/readonly-client"
await "a client's trouble" grep -q "cannot write .*Read-only file system" "$tmp/client-0.log" "$tmp/client-1.log" "$tmp/client-2.log"
nothing_is_committed
rm "$tmp/readonly-client"
call_clients_back
end_as_undisturbed "a disk that is read-only for a while"
