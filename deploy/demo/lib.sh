# What the parts of the demo share: processes that end with it, headings, a progress bar.
# shellcheck shell=sh disable=SC2154,SC2034 # the variables of ./demo

begun=$(date +%s)
cores=$(getconf _NPROCESSORS_ONLN)
tmp=$(mktemp -d)
started=
terminal=no
[ -t 1 ] && terminal=yes

finish() {
    status=$?
    trap - EXIT
    trap '' INT TERM HUP
    for pid in $started; do
        kill -TERM "$pid" 2>/dev/null || true
    done
    # Who trains stops at its next step; nobody outlives the demo.
    for pid in $started; do
        timeout 10 tail --pid="$pid" --sleep-interval=0.1 -f /dev/null || kill -KILL "$pid" 2>/dev/null || true
    done
    rm -rf "$tmp"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# start NAME COMMAND...: in the background, with its output in NAME.log; $pid is its number.
start() {
    log=$tmp/$1.log
    shift
    "$@" >"$log" 2>&1 &
    pid=$!
    started="$started $pid"
}

# failed WHAT LOG
failed() {
    bar_end
    printf 'demo: %s; its last words:\n' "$1" >&2
    tail -n 5 "$2" >&2
    exit 1
}

# quietly NAME COMMAND...: its output is shown only if it fails.
quietly() {
    log=$tmp/$1.log
    shift
    "$@" >"$log" 2>&1 || failed "$(basename "$log" .log)" "$log"
}

say() {
    if [ "$terminal" = yes ]; then printf '\n\033[1m%s\033[0m\n' "$1"; else printf '\n%s\n' "$1"; fi
}

# bar DONE OF SINCE TEXT: on a terminal, in the present line; SINCE: when it began, in seconds.
bar() {
    [ "$terminal" = yes ] || return 0
    awk -v n="$1" -v of="$2" -v passed=$(($(date +%s) - $3)) -v text="$4" 'BEGIN {
        width = 30
        full = int(width * n / of)
        for (i = 0; i < width; i++)
            line = line (i < full ? "=" : i == full ? ">" : " ")
        left = n > 0 ? sprintf(", about %d s left", passed * (of - n) / n + 0.5) : ""
        printf "\r\033[K  [%s] %d of %d%s  %s", line, n, of, left, text
    }'
}

bar_end() {
    [ "$terminal" = no ] || printf '\r\033[K'
}

# kb BYTES
kb() {
    awk -v n="$1" 'BEGIN { if (n < 1e6) printf "%.0f KB", n / 1e3; else printf "%.1f MB", n / 1e6 }'
}

# value_of KEY FILE: the first value of KEY in indented JSON.
value_of() {
    sed -n "s/^ *\"$1\": \"\{0,1\}\([^\"]*[^\",]\)\"\{0,1\},\{0,1\}$/\1/p" "$2" | head -n 1
}

# yaml TEXT: as a quoted scalar.
yaml() {
    printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"
}
