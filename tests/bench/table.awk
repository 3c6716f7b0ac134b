# Lines "SHAPE,LENGTHS,THREADS who=... KEY=VALUE..." to a table of medians: a row for each memory mode, with the ratios to the
# peer's line.

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
    name = $1
    who = ""
    for (i = 2; i <= NF; i++) {
        split($i, pair, "=")
        if (pair[1] == "memory")
            who = pair[2]
        else if ($i == "who=pytorch")
            who = "peer"
    }
    if (!(name in seen)) {
        seen[name] = 1
        names[++n_names] = name
    }
    for (i = 2; i <= NF; i++) {
        split($i, pair, "=")
        values[name, who, pair[1]] = values[name, who, pair[1]] " " pair[2]
    }
}

END {
    row = "%-32s %10s %10s %9s %9s %10s %9s %9s %9s %9s\n"
    printf "\n" row, "shape,lengths,threads,memory", "ms/step", "tokens/s", "of sgemm", "peak MiB", "peer ms", "peer MiB",
        "speed-up", "by CPU", "memory"
    for (k = 1; k <= n_names; k++)
        for (mode = 1; mode <= 2; mode++) {
            name = names[k]
            us = mode == 1 ? "fast" : "min"
            if ((name, us, "ms_per_step") in values)
                printf row, name "," us, of(us, "ms_per_step"), of(us, "tokens_per_s"),
                    sprintf("%.0f %%", 100 * of(us, "sgemm_share")), of(us, "peak_mib"), of("peer", "ms_per_step"),
                    of("peer", "peak_mib"), sprintf("%.2f", of(us, "tokens_per_s") / of("peer", "tokens_per_s")),
                    sprintf("%.2f", of(us, "tokens_per_cpu_s") / of("peer", "tokens_per_cpu_s")),
                    sprintf("%.2f", of(us, "peak_mib") / of("peer", "peak_mib"))
        }
}
