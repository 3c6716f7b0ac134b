# Rounds by fedpet-sim: a virtual client for each maintainer, every byte through TLS. Leaves $out/adapter, $up (bytes sent
# up by all clients) and $parameters.
# shellcheck shell=sh disable=SC2154,SC2034 # the variables of ./demo and data.sh

say "2. Rounds: $per_round of $clients maintainers train in each; accuracy on the test set after it"
start simulation "$bin/fedpet-sim" run "$experiment" --wire tls --out "$out/federated"
sim_pid=$pid
awk -f "$here/rounds.awk" -v header=1 </dev/null
shown=0
since=$(date +%s)
lines=$out/federated/rounds.jsonl
while [ "$shown" -lt "$rounds" ]; do
    kill -0 "$sim_pid" 2>/dev/null || [ -f "$out/federated/summary.json" ] || failed "the simulation ended" "$tmp/simulation.log"
    done_now=$([ ! -f "$lines" ] || grep -c '}$' "$lines" || true)
    if [ "${done_now:-0}" -gt "$shown" ]; then
        bar_end
        head -n "$done_now" "$lines" | awk -f "$here/rounds.awk" -v jsonl=1 -v shown="$shown"
        shown=$done_now
    fi
    [ "$shown" -ge "$rounds" ] || { bar "$shown" "$rounds" "$since" "" && sleep 0.5; }
done
wait "$sim_pid" || failed "the simulation failed" "$tmp/simulation.log"
parameters=$(value_of parameters "$out/federated/summary.json")
up=$(sed -n 's/.*"updates":\([0-9]*\),.*"bytes_up_per_client":\([0-9.]*\),.*/\1 \2/p' "$lines" | awk '{ n += $1 * $2 } END { printf "%d", n }')
mv "$out/federated/adapter" "$out/adapter"
