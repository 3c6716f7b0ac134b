# Reads layers.txt, then sources: reports every include that crosses the layers or brings I/O into a pure file.

function module(path,   part, n) {
    n = split(path, part, "/")
    return part[1] == "common" ? part[2] : part[1]
}

# Shell pattern to regular expression: only "*" is special.
function is_pure(path,   i) {
    for (i = 1; i <= n_pure; i++)
        if (path ~ pure[i])
            return 1
    return 0
}

FNR == NR {
    sub(/#.*/, "")
    if ($1 == "pure:")
        for (i = 2; i <= NF; i++) {
            pattern = $i
            gsub(/\./, "[.]", pattern)
            gsub(/\*/, "[^/]*", pattern)
            pure[++n_pure] = "^" pattern "$"
        }
    else if ($1 == "impure:")
        for (i = 2; i <= NF; i++)
            impure[$i] = 1
    else if (NF) {
        name = substr($1, 1, length($1) - 1)
        known[name] = 1
        allowed[name, name] = 1
        for (i = 2; i <= NF; i++)
            allowed[name, $i] = 1
    }
    next
}
/^[ \t]*#[ \t]*include[ \t]*["<]/ {
    header = $0
    sub(/^[^"<]*["<]/, "", header)
    sub(/[">].*/, "", header)
    from = module(FILENAME)
    to = module(header)
    if (to != header && (to in known) && !((from, to) in allowed))
        printf "%s:%d: %s must not include %s\n", FILENAME, FNR, from, header
    if ((header in impure) && is_pure(FILENAME))
        printf "%s:%d: <%s> brings I/O into a file that must do without\n", FILENAME, FNR, header
}
