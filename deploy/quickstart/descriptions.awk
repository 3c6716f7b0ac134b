# The package descriptions of apt's Translation-en lists (deb822), one a line, each text once. `without`: a file of names of
# packages that are left out.

BEGIN {
    while (without && (getline name < without) > 0)
        left_out[name] = 1
}

function end_package() {
    if (text != "" && !(name in left_out) && !(text in seen)) {
        seen[text] = 1
        print text
    }
    text = ""
    described = 0
}

/^Package: / {
    end_package()
    name = $2
    next
}

/^Description-en: / {
    text = substr($0, length("Description-en: ") + 1)
    described = 1
    next
}

/^ / {
    if (described && $0 != " .")
        text = text " " substr($0, 2)
    next
}

{ described = 0 }

END { end_package() }
