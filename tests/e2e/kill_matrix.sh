#!/bin/sh
# kill_matrix.sh [POINTS]: runs with server and clients killed some twenty times each, until that many deaths (default 200)
# are survived; then a table of where they died. Stops at the first run whose result is not the undisturbed one's. SEED
# chooses the points, FEDPET_BIN the programs.
steps=${steps:-10000} # a training of more than a second, so that there are savepoints to go on from
. tests/e2e/kill.sh

points=${1:-200} runs=0 began=$(date +%s)
prepare
while [ "$(wc -l <"$tmp/kills")" -lt "$points" ]; do
    play 24
    stop_all
    take_result
    runs=$((runs + 1))
    printf 'run %d: %d deaths so far, adapter %.16s\n' $runs "$(wc -l <"$tmp/kills")" "$result" >&2
    [ "$result" = "$undisturbed" ] || fail "another result than the undisturbed $undisturbed"
    cat "$tmp"/client-*.log >>"$tmp/all-clients"
    grep -h "round goes on" "$tmp/server.log" >>"$tmp/all-server" || true
done

echo "| program | killed | deaths |"
echo "|---|---|---|"
sort "$tmp/kills" | uniq -c | while read -r n program call; do
    case $call in
    ms) when="at a random moment" ;;
    write) when="before a write to a socket or file" ;;
    *) when="before \`$call\`" ;;
    esac
    echo "| $program | $when | $n |"
done
printf '\n%d deaths in %d runs of %d rounds, %d s; every run gave the adapter %.16s\n' \
    "$(wc -l <"$tmp/kills")" $runs "$rounds" $(($(date +%s) - began)) "$undisturbed"
printf 'rounds that a restarted server went on with in the middle: %d, with %d stored updates\n' \
    "$(wc -l <"$tmp/all-server")" "$(sed 's/.*updates=//' "$tmp/all-server" | awk '{ n += $1 } END { print n + 0 }')"
printf 'trainings that went on from a savepoint: %d\n' "$(grep -c "goes on from its savepoint" "$tmp/all-clients")"
