#include "measure.h"
#include "nn/blas.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

double measure_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double measure_least(void (*call)(void *ctx), void *ctx)
{
    double least = 1e300, begin = measure_now(), before = begin;
    for (int calls = 0; calls < 3 || before - begin < 0.2; calls++) {
        call(ctx);
        double after = measure_now();
        least = after - before < least ? after - before : least;
        before = after;
    }
    return least;
}

struct copy {
    char *from, *to;
    size_t n;
};

static void copy(void *ctx)
{
    const struct copy *c = ctx;
    memcpy(c->to, c->from, c->n);
    __asm__ volatile("" : : "r"(c->to) : "memory"); /* the copy is wanted */
}

double measure_copy(double bytes)
{
    struct copy c = {.n = (size_t)(bytes / 2)};
    c.from = calloc(1, c.n);
    c.to = calloc(1, c.n);
    if (c.from)
        memset(c.from, 1, c.n); /* else all its pages are the one of zeros */
    double rate = c.from && c.to ? bytes / measure_least(copy, &c) : 0;
    free(c.from);
    free(c.to);
    return rate;
}

struct gemm {
    float *x, *w, *y;
    int rows, out, in;
};

static void gemm(void *ctx)
{
    const struct gemm *g = ctx;
    blas_gemm(BLAS_AS_IS, BLAS_TRANSPOSED, g->rows, g->out, g->in, 1, g->x, g->in, g->w, g->in, 0,
              g->y, g->out);
}

double measure_gemm(int rows, int out, int in)
{
    struct gemm g = {.rows = rows, .out = out, .in = in};
    size_t m = (size_t)rows, n = (size_t)out, k = (size_t)in;
    g.x = calloc(m * k, sizeof *g.x);
    g.w = calloc(n * k, sizeof *g.w);
    g.y = calloc(m * n, sizeof *g.y);
    double flops = 2.0 * rows * out * in;
    double rate = g.x && g.w && g.y ? flops / measure_least(gemm, &g) : 0;
    free(g.x);
    free(g.w);
    free(g.y);
    return rate;
}
