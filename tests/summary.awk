# Counts single tests in ctest's JUnit report and prints, as its last line, "N passed, N failed[, N skipped]".
# A Criterion program counts as its tests (its "Synthesis" line, and "[SKIP]" lines); anything else as one test.

function fail(what) {
    failed++
    failures[++n_failures] = what
}

function skip(what) {
    skipped++
    skips[++n_skips] = what
}

/^\t<testcase name="/ {
    split($0, quoted, "\"")
    entry = quoted[2]
    status = quoted[8]
    reason = ""
    synthesis = 0
    failing = 0
}
/^\t\t<skipped message="SKIP_RETURN_CODE/ { status = "skip" }
{ sub(/^\t\t<system-out>/, "") }
/^\[SKIP\] / { skip(entry ": " substr($0, 8)) }
/^\[FAIL\] / { failures[++n_failures] = entry ": " substr($0, 8) }
/^skipped: / { reason = ": " substr($0, 10) }
/^\[====\] Synthesis: / {
    synthesis = 1
    for (i = 1; i < NF; i++) {
        if ($i == "Passing:")
            passed += $(i + 1)
        if ($i == "Failing:")
            failed += failing = $(i + 1)
    }
}
/^\t<\/testcase>/ {
    if (synthesis) {
        if (status != "run" && failing == 0)
            fail(entry ": the program failed outside of its tests")
    } else if (status == "run")
        passed++
    else if (status == "skip")
        skip(entry reason)
    else
        fail(entry)
    entries++
}

END {
    if (!entries)
        fail("no test was run")
    for (i = 1; i <= n_skips; i++)
        print "skipped  " skips[i]
    for (i = 1; i <= n_failures; i++)
        print "FAILED   " failures[i]
    printf "%d passed, %d failed", passed, failed
    if (skipped)
        printf ", %d skipped", skipped
    print ""
    exit failed > 0
}
