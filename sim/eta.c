#include "sim/eta.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int eta_init(struct eta *t, const struct suite *s, const enum cell_state *state, double *seconds,
             unsigned jobs, struct err *e)
{
    *t = (struct eta){.suite = s,
                      .state = state,
                      .seconds = seconds,
                      .began = calloc(s->n_cells, sizeof *t->began),
                      .jobs = jobs,
                      .terminal = isatty(STDERR_FILENO)};
    return t->began ? 0 : err_set(e, ERR_NOMEM, "no memory for %zu cells", s->n_cells);
}

void eta_release(struct eta *t)
{
    free(t->began);
}

void eta_start(struct eta *t, size_t cell)
{
    t->began[cell] = now();
}

double eta_finish(struct eta *t, size_t cell)
{
    t->seconds[cell] = now() - t->began[cell];
    t->began[cell] = 0;
    return t->seconds[cell];
}

void eta_fail(struct eta *t, size_t cell)
{
    t->began[cell] = 0;
}

/* Seconds per unit of work, of cells with this method (NULL: of all); below 0: none is done. */
static double rate(const struct eta *t, const char *method)
{
    double seconds = 0, work = 0;
    for (size_t i = 0; i < t->suite->n_cells; i++) {
        const struct suite_cell *c = &t->suite->cell[i];
        if (t->state[i] != CELL_DONE || t->seconds[i] <= 0 ||
            (method && strcmp(method, c->method) != 0))
            continue;
        seconds += t->seconds[i];
        work += c->work;
    }
    return work > 0 ? seconds / work : -1;
}

/* Seconds until the end; below 0: not known. */
static double time_left(const struct eta *t)
{
    double all = rate(t, NULL), sum = 0, longest = 0, clock = now();
    if (all < 0)
        return -1;
    for (size_t i = 0; i < t->suite->n_cells; i++) {
        const struct suite_cell *c = &t->suite->cell[i];
        double own = rate(t, c->method), left = c->work * (own < 0 ? all : own);
        if (t->state[i] == CELL_DONE || (t->state[i] == CELL_FAILED && t->began[i] == 0))
            continue;
        if (t->began[i] > 0)
            left = left > clock - t->began[i] ? left - (clock - t->began[i]) : 0;
        longest = left > longest ? left : longest;
        sum += left;
    }
    return sum / t->jobs > longest ? sum / t->jobs : longest;
}

bool eta_text(const struct eta *t, char *out, size_t size)
{
    double left = time_left(t);
    if (left < 0)
        return false;
    unsigned long minutes = (unsigned long)(left / 60 + 0.5);
    if (minutes < 2)
        snprintf(out, size, "%.0f s", left);
    else if (minutes < 120)
        snprintf(out, size, "%lu min", minutes);
    else
        snprintf(out, size, "%lu h %02lu min", minutes / 60, minutes % 60);
    return true;
}

void eta_draw(struct eta *t, size_t busy)
{
    double clock = now();
    char left[32];
    size_t done = 0, failed = 0;
    if (!t->terminal || clock - t->drawn < 1)
        return;
    t->drawn = clock;
    for (size_t i = 0; i < t->suite->n_cells; i++) {
        done += t->state[i] == CELL_DONE;
        failed += t->state[i] == CELL_FAILED;
    }
    if (!eta_text(t, left, sizeof left))
        snprintf(left, sizeof left, "some time");
    fprintf(stderr, "\r\033[K%zu of %zu cells done, %zu running, %zu failed, %s left", done,
            t->suite->n_cells, busy, failed, left);
    fflush(stderr);
}

void eta_clear(const struct eta *t)
{
    if (t->terminal)
        fputs("\r\033[K", stderr);
}
