# shellcheck shell=sh
# A federation whose disks make trouble (die.c), for test_disk_full.sh and test_disk_readonly.sh.
. tests/e2e/kill.sh

# A run that has begun, of programs that can be troubled.
begin_troubled() {
    prepare
    quota=0
    rm -rf "$tmp/server/state" "$tmp"/state-*
    for program in $programs; do
        : >"$tmp/$program.log"
        launch "$program" none:1
    done
    await "a round" has_committed 1
}

# nothing_is_committed: for a second, though the run is not over.
nothing_is_committed() {
    before=$(committed_rounds)
    [ "$before" -lt "$rounds" ] || fail "the run was over before the trouble began"
    sleep 1
    [ "$(committed_rounds)" -eq "$before" ] || fail "a round was committed that cannot have been stored"
}

# Told to come back later, clients do so at once when they are started anew.
call_clients_back() {
    for program in client-0 client-1 client-2; do
        read -r pid <"$tmp/$program.pid"
        kill -KILL "$pid"
        wait "$pid" 2>/dev/null || true
        launch "$program" none:1
    done
}

# The run comes to the end that it would have come to.
end_as_undisturbed() {
    await "the end of the run" grep -q "run complete" "$tmp/server.log"
    stop_all
    take_result
    [ "$result" = "$undisturbed" ] || fail "$1 changes the result"
}
