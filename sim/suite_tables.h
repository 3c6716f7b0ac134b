/* The tables of a suite's report, in the shape of the FedPETuning paper's. */
#ifndef SIM_SUITE_TABLES_H
#define SIM_SUITE_TABLES_H

#include "sim/outcome.h"
#include "sim/sheet.h"

/* Adds every table for which there are cells: for each variant the main table, alpha, local epochs,
 * clients, labels, communication and cost; then the cells that failed. */
void suite_tables(struct sheets *b, const struct outcomes *o);

/* The second half of them (sim/suite_tables_cost.c), for suite_tables alone. */
void suite_tables_cost(struct sheets *b, const struct outcomes *o, const char *variant);

/* "68.2 ± 1.1", with "(n = 2)" unless n is as many as the others have; "" when n is 0. */
const char *suite_stat_text(struct sheets *b, const struct stat *s, size_t usual);
/* "Title", or "Title: variant". */
const char *suite_title(struct sheets *b, const char *title, const char *variant);

#endif
