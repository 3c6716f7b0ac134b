/* Speed and memory, from single kernels to whole steps, and of what a server does with updates.
 *
 *   bench_suite --scratch DIR [--json] [--tokenizer DIR --text FILE] [GROUP...]
 *
 * DIR gets models of random weights. One line a measurement: a table, or JSON lines.
 * docs/performance.md explains them. */
#include "bench.h"
#include "nn/kernels.h"
#include <cblas.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct bench_group *const groups[] = {
    &bench_kernels, &bench_training,   &bench_text, &bench_aggregation,
    &bench_krum,    &bench_simulation, &bench_wire};
enum { GROUPS = sizeof groups / sizeof *groups };

/* --- printing -------------------------------------------------------------------------------- */

static const struct {
    const char *json, *table;
    double scale;
} units[] = {
    [BENCH_FLOPS] = {"flops", "GFLOP/s", 1e-9},
    [BENCH_BYTES] = {"bytes", "GB/s", 1e-9},
    [BENCH_TOKENS] = {"tokens", "ktoken/s", 1e-3},
};

static double peak_mib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024;
}

void bench_print(const struct bench *b, const struct bench_row *r)
{
    double rate = r->work / r->seconds;
    if (b->json) {
        printf("{\"group\":\"%s\",\"name\":\"%s\",\"shape\":\"%s\",\"seconds\":%.6g,\"%s\":%.6g,"
               "\"per_second\":%.5g,\"ceiling\":%.5g,\"peak_mib\":%.1f,\"kernels\":\"%s\"}\n",
               r->group, r->name, r->shape, r->seconds, units[r->unit].json, r->work, rate,
               r->ceiling, peak_mib(), kernels_in_use());
    } else {
        char share[16] = "";
        if (r->ceiling > 0)
            snprintf(share, sizeof share, "%.0f %%", 100 * rate / r->ceiling);
        printf("%-9s %-22s %-24s %11.3f %9.1f %-8s %7s %9.0f\n", r->group, r->name, r->shape,
               r->seconds * 1e3, rate * units[r->unit].scale, units[r->unit].table, share,
               peak_mib());
    }
    fflush(stdout);
}

static void print_heading(void)
{
    printf("kernels: %s\n%-9s %-22s %-24s %11s %9s %-8s %7s %9s\n", kernels_in_use(), "group",
           "what", "shape", "ms", "rate", "", "share", "peak MiB");
    fflush(stdout);
}

/* --- running --------------------------------------------------------------------------------- */

int bench_apart(int (*piece)(const struct bench *b, void *ctx, struct err *e),
                const struct bench *b, void *ctx, struct err *e)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct err own = {0};
        int rc = piece(b, ctx, &own);
        if (rc)
            fprintf(stderr, "bench_suite: %s\n", own.text);
        _exit(rc);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return err_set(e, ERR_INTERNAL, "a piece of the benchmark died");
    return WEXITSTATUS(status) ? err_set(e, WEXITSTATUS(status), "a piece of the benchmark failed")
                               : 0;
}

static int run_group(const struct bench *b, const char *name, struct err *e)
{
    for (int i = 0; i < GROUPS; i++)
        if (strcmp(groups[i]->name, name) == 0)
            return groups[i]->run(b, e);
    return err_set(e, ERR_USAGE,
                   "there is no group %s; there are kernels, training, text, "
                   "aggregation, krum, simulation, wire",
                   name);
}

/* Takes the options; returns the index of the first argument, or 0. */
static int parse(struct bench *b, int argc, char **argv)
{
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        const char **to = strcmp(argv[at], "--scratch") == 0     ? &b->dir
                          : strcmp(argv[at], "--tokenizer") == 0 ? &b->tokenizer
                          : strcmp(argv[at], "--text") == 0      ? &b->text
                                                                 : NULL;
        if (to && at + 1 < argc)
            *to = argv[++at];
        else if (!to && strcmp(argv[at], "--json") == 0)
            b->json = true;
        else
            return 0;
    }
    return b->dir ? at : 0;
}

static int run(int argc, char **argv, struct err *e)
{
    struct bench b = {0};
    int at = parse(&b, argc, argv), rc = 0;
    if (at == 0)
        return err_set(e, ERR_USAGE,
                       "use: bench_suite --scratch DIR [--json] [--tokenizer DIR --text FILE] "
                       "[GROUP...]");
    if (!b.json)
        print_heading();
    for (int i = 0; !rc && at == argc && i < GROUPS; i++)
        rc = groups[i]->run(&b, e);
    for (; !rc && at < argc; at++)
        rc = run_group(&b, argv[at], e);
    return rc;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    kernels_choose(argv);
    openblas_set_num_threads(1);
    int rc = run(argc, argv, &e);
    if (rc)
        fprintf(stderr, "bench_suite: %s\n", e.text);
    return rc;
}
