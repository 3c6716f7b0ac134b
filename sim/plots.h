/* The curves of a suite as SVG, drawn by gnuplot. */
#ifndef SIM_PLOTS_H
#define SIM_PLOTS_H

#include "base/err.h"
#include "sim/outcome.h"
#include "sim/sheet.h"
#include <stddef.h>

struct plot {
    const char *title;
    const char *file; /* "plots/rounds-1.svg", in the suite's folder */
};
struct plots {
    struct plot *plot; /* n of them, in the memory of the sheets */
    size_t n;
    const char *missing; /* why there is none, and what to do; NULL: they are there */
};

/* For each task, the metric over rounds and over bytes, one curve a method: the mean of the seeds
 * at the main table's alpha and local epochs. Writes DIR/plots/plots.gp and runs gnuplot on it.
 * Without gnuplot nothing fails: `missing` says so. ERR_IO; ERR_INTERNAL when gnuplot fails;
 * ERR_NOMEM. */
int plots_draw(struct sheets *b, const struct outcomes *o, const char *dir, struct plots *out,
               struct err *e) MUST_CHECK;

#endif
