# A line for every round after round `shown`, with the accuracy as a bar: from rounds of `fedpet-server status --format json`,
# indented, or (jsonl = 1) from rounds.jsonl of fedpet-sim. `header`: the head of the table.

function value() {
    sub(/^[^:]*: /, "")
    sub(/,$/, "")
    return $0
}

# Of a line of JSON.
function field(key) {
    return match($0, "\"" key "\":[^,}]*") ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) : ""
}

function kilobytes(x) {
    return x == "" || x == "null" ? "" : sprintf("%.0f KB", x / 1000)
}

function line(round, updates, loss, metric, up, seconds,   bar, i) {
    for (i = 1; i <= 25 && metric != "" && i <= 25 * metric + 0.5; i++)
        bar = bar "#"
    printf format, round, updates, sprintf("%.3f", loss), metric == "" ? "" : sprintf("%.3f", metric), bar, kilobytes(up),
        sprintf("%.1f s", seconds)
}

BEGIN {
    format = "  %5s  %7s  %10s  %8s  %-25s  %9s  %7s\n"
    if (header)
        printf format, "round", "updates", "train loss", "accuracy", "0           0.5          1", "up/client", "time"
}

jsonl {
    if (field("round") + 0 > shown + 0)
        line(field("round"), field("updates") "/" field("selected"), field("train_loss"), field("value"), field("bytes_up_per_client"),
            field("seconds") - before)
    before = field("seconds")
    next
}

/^  "history": / { history = 1 }
/^  \]/ { history = 0 }
!history { next }

/^      "(round|updates|selected|train_loss|seconds|bytes_up)": / {
    key = $1
    gsub(/[":]/, "", key)
    row[key] = value()
}
/^      "metrics": / { metrics = 1 }
metrics && /^        "/ { held_out = value() }
/^      "clients": / { metrics = 0 }
/^    \}/ {
    if (row["round"] + 0 > shown + 0)
        line(row["round"], row["updates"] "/" row["selected"], row["train_loss"], held_out, row["bytes_up"] / row["updates"], row["seconds"])
    held_out = ""
}
