/* The groups of benchmarks, and the rows that they print. A rate is set against a ceiling that was
 * measured by the same process: sgemm on the same shapes, or a copy of as many bytes. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "base/err.h"
#include <stdbool.h>

struct bench {
    bool json;
    const char *dir;              /* for models of random weights */
    const char *tokenizer, *text; /* of group text; NULL: it is left out */
};

enum bench_unit { BENCH_FLOPS, BENCH_BYTES, BENCH_TOKENS };

struct bench_row {
    const char *group, *name, *shape;
    double seconds; /* of a call */
    double work;    /* of a call, in the unit */
    enum bench_unit unit;
    double ceiling; /* work a second; 0: none */
};

/* Prints a row, with the process's peak memory so far. */
void bench_print(const struct bench *b, const struct bench_row *row);

/* Runs a piece of a group in a process of its own, so that its peak memory is its own. */
int bench_apart(int (*piece)(const struct bench *b, void *ctx, struct err *e),
                const struct bench *b, void *ctx, struct err *e) MUST_CHECK;

struct bench_group {
    const char *name, *what;
    int (*run)(const struct bench *b, struct err *e);
};
extern const struct bench_group bench_kernels, bench_training, bench_text, bench_aggregation,
    bench_krum, bench_simulation, bench_wire;

#endif
