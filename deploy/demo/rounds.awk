# From `fedpet-server status --format json`, indented: a line for every committed round after round `shown`.

function value() {
    sub(/^[^:]*: /, "")
    sub(/,$/, "")
    return $0
}

BEGIN {
    format = "  %5s  %8s  %10s  %9s  %8s  %16s  %16s\n"
    if (header) {
        printf format, "round", "updates", "train loss", "held out", "seconds", "bytes up", "bytes down"
        printf format, "", "", "", "metric", "", "a client", "a client"
    }
}

function number(share, x) {
    return sprintf("%d (%+.2f %%)", x / row["updates"], 100 * (x / row["updates"] / share - 1))
}

/^  "parameter_bytes": / { bytes = value() }
/^      "(round|updates|selected|train_loss|seconds|bytes_up|bytes_down)": / {
    key = $1
    gsub(/[":]/, "", key)
    row[key] = value()
}
/^      "metrics": / { metrics = 1 }
metrics && /^        "/ {
    held_out = sprintf("%.4f", value())
}
/^      "clients": / { metrics = 0 }
/^    \}/ {
    if (row["round"] > shown)
        printf format, row["round"], row["updates"] "/" row["selected"], sprintf("%.4f", row["train_loss"]),
            held_out, sprintf("%.1f", row["seconds"]), number(bytes, row["bytes_up"]), number(bytes, row["bytes_down"])
    held_out = ""
}
