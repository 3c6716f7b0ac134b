/* The report of a suite: DIR/report.md, and DIR/report.html, one page that needs nothing else. */
#ifndef SIM_SUITE_REPORT_H
#define SIM_SUITE_REPORT_H

#include "base/err.h"
#include <stdbool.h>

/* Reads DIR/results.sqlite and writes the report; prints it to stdout as JSON when json, else where
 * it is. Errors of outcomes_open and plots_draw; ERR_IO; ERR_NOMEM. */
int suite_report(const char *dir, bool json, struct err *e) MUST_CHECK;

#endif
