# Lines "SHAPE LENGTHS who=... KEY=VALUE..." to a table of medians, a row for each memory mode; a peer's line comes with the
# ratio to it.

function median(list,   x, n, i, j, t) {
    n = split(list, x, " ")
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && x[j - 1] + 0 > x[j] + 0; j--) {
            t = x[j]
            x[j] = x[j - 1]
            x[j - 1] = t
        }
    return n % 2 ? x[(n + 1) / 2] : (x[n / 2] + x[n / 2 + 1]) / 2
}

function of(who, key) {
    return median(values[name, who, key])
}

{
    name = $1 " " $2
    if (!(name in seen)) {
        seen[name] = 1
        names[++n_names] = name
    }
    split($3, who, "=")
    if ($0 ~ / memory=min( |$)/)
        who[2] = "fedpet-min"
    peers = peers || who[2] == "pytorch"
    for (i = 4; i <= NF; i++) {
        split($i, pair, "=")
        values[name, who[2], pair[1]] = values[name, who[2], pair[1]] " " pair[2]
    }
}

END {
    row = "%-24s %10s %10s %9s %9s"
    printf "\n" row, "shape, lengths", "ms/step", "tokens/s", "of sgemm", "peak MiB"
    if (peers)
        printf " %10s %9s %9s %9s", "peer ms", "peer MiB", "speed-up", "memory"
    print ""
    for (k = 1; k <= n_names; k++)
        for (mode = 0; mode < 2; mode++) {
            name = names[k]
            us = mode ? "fedpet-min" : "fedpet"
            printf row, name ", " (mode ? "min" : "fast"), of(us, "ms_per_step"), of(us, "tokens_per_s"),
                sprintf("%.0f %%", 100 * of(us, "sgemm_share")), of(us, "peak_mib")
            if (peers)
                printf " %10s %9s %9.2f %9.2f", of("pytorch", "ms_per_step"), of("pytorch", "peak_mib"),
                    of(us, "tokens_per_s") / of("pytorch", "tokens_per_s"),
                    of(us, "peak_mib") / of("pytorch", "peak_mib")
            print ""
        }
}
