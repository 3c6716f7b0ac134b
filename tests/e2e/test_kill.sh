#!/bin/sh
# Server and clients die by SIGKILL while they train, send and store: the result is that of a run in which nobody died.
# kill_matrix.sh is the long form.
rounds=4 steps=300
. tests/e2e/kill.sh

prepare
play 16
stop_all
take_result
[ "$(wc -l <"$tmp/kills")" -ge 8 ] || fail "only $(wc -l <"$tmp/kills") deaths"
[ "$result" = "$undisturbed" ] || fail "after $(wc -l <"$tmp/kills") deaths another result"
