#define _XOPEN_SOURCE 700 /* nftw */
#include "sim/suite_run.h"
#include "base/file.h"
#include "client/client_config.h"
#include "sim/child.h"
#include "sim/eta.h"
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { POLL_MS = 100, TREE_FDS = 16, MAX_WORDS = 16, NAME = 16 };

struct runner {
    const struct suite *suite;
    const struct suite_run_config *config;
    struct results *results;
    char program[PATH_MAX];
    enum cell_state *state; /* of each cell */
    double *seconds;
    struct job {
        struct child child;
        size_t cell;
        double bytes; /* that it is expected to take */
        char dir[PATH_MAX];
    } * job; /* config->jobs of them; child.pid 0: free */
    size_t next, busy, failed;
    bool full;        /* the memory has no room for the next cell until another ends */
    struct err first; /* failure of this call */
    struct eta eta;
};

/* --- a cell's folder --- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int remove_tree(const char *path, struct err *e)
{
    if (nftw(path, remove_one, TREE_FDS, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return err_sys(e, ERR_IO, errno, "cannot remove %s", path);
    return 0;
}

static int cell_dir(const struct runner *r, size_t cell, char out[PATH_MAX], struct err *e)
{
    char name[NAME + 7];
    snprintf(name, sizeof name, "cells/%.*s", NAME, r->suite->cell[cell].id);
    return file_join(out, PATH_MAX, r->config->dir, name, e);
}

/* --- processes --- */

/* Bytes of activations; 0: no limit. */
static size_t cell_limit(const struct suite_run_config *c)
{
    const size_t share = c->memory_limit / c->jobs;
    if (c->memory.limit || !c->memory_limit)
        return c->memory.limit;
    return share ? share : 1;
}

static int spawn_cell(struct runner *r, struct job *j, const char *experiment, struct err *e)
{
    const struct baseline *b = &r->suite->cell[j->cell].baseline;
    const size_t bytes = cell_limit(r->config);
    char log[PATH_MAX], out[PATH_MAX + 8], wire[48], memory[48];
    char limit[48], kind[48], epochs[48], clients[48];
    char *argv[MAX_WORDS] = {r->program, (char *)"run", (char *)(uintptr_t)experiment, out,
                             wire,       memory,        (char *)"--threads=1"};
    size_t n = 7;
    snprintf(out, sizeof out, "--out=%s", j->dir);
    snprintf(wire, sizeof wire, "--wire=%s", r->config->wire);
    snprintf(memory, sizeof memory, "--memory=%s", client_memory_word(r->config->memory.mode));
    if (b->kind != BASELINE_FEDERATED) {
        snprintf(kind, sizeof kind, "--baseline=%s", baseline_name(b->kind));
        snprintf(epochs, sizeof epochs, "--epochs=%u", b->epochs);
        snprintf(clients, sizeof clients, "--clients=%u", b->clients);
        argv[n++] = kind;
        argv[n++] = epochs;
        argv[n++] = clients;
        argv[4] = (char *)"--wire=none";
    }
    if (bytes) {
        snprintf(limit, sizeof limit, "--memory-limit=%zu", bytes);
        argv[n++] = limit;
    }
    if (!r->config->keep_adapters)
        argv[n++] = (char *)"--no-adapter";
    int rc = file_join(log, sizeof log, j->dir, "log", e);
    return rc ? rc : child_start(&j->child, argv, log, e);
}

static int start_cell(struct runner *r, struct job *j, size_t cell, struct err *e)
{
    char experiment[PATH_MAX];
    const char *text = r->suite->cell[cell].experiment;
    j->cell = cell;
    int rc = cell_dir(r, cell, j->dir, e);
    if (!rc)
        rc = remove_tree(j->dir, e); /* what an interrupted run has left */
    if (!rc)
        rc = file_mkdirs(j->dir, 0755, e);
    if (!rc)
        rc = file_join(experiment, sizeof experiment, j->dir, "experiment.yaml", e);
    if (!rc)
        rc = file_write(experiment, text, strlen(text), 0644, e);
    if (!rc)
        rc = spawn_cell(r, j, experiment, e);
    if (!rc)
        r->busy++;
    return rc;
}

/* The place of a cell in the list, for a person. */
static void say(struct runner *r, size_t cell, const char *what)
{
    eta_clear(&r->eta);
    fprintf(stderr, "[%zu/%zu] %s: %s\n", cell + 1, r->suite->n_cells, r->suite->cell[cell].title,
            what);
}

static int end_cell(struct runner *r, struct job *j, struct err *why, struct err *e)
{
    const struct suite_cell *c = &r->suite->cell[j->cell];
    int rc = 0;
    r->busy--;
    r->full = false;
    if (j->child.succeeded) {
        *why = (struct err){0};
        rc = results_done(r->results, c->id, j->dir, why);
    }
    if (!why->code) {
        char text[64];
        r->state[j->cell] = CELL_DONE;
        snprintf(text, sizeof text, "done in %.0f s", eta_finish(&r->eta, j->cell));
        say(r, j->cell, text);
        return 0;
    }
    rc = results_failed(r->results, c->id, why, e);
    r->state[j->cell] = CELL_FAILED;
    eta_fail(&r->eta, j->cell);
    say(r, j->cell, why->text);
    if (r->failed++ == 0)
        r->first = *why;
    return rc;
}

static int poll_jobs(struct runner *r, struct err *e)
{
    int rc = 0;
    for (unsigned i = 0; !rc && i < r->config->jobs; i++) {
        struct job *j = &r->job[i];
        struct err why = {0};
        if (j->child.pid && !child_alive(&j->child, &why))
            rc = end_cell(r, j, &why, e);
    }
    return rc;
}

/* Whether the next cell fits beside those that run: by what cells like it have taken, and alone
 * where there was none. */
static int find_room(struct runner *r, struct job *j, struct err *e)
{
    const struct suite_cell *c = &r->suite->cell[r->next];
    double limit = (double)r->config->memory_limit, sum = 0;
    if (limit == 0)
        return 0;
    int rc = results_memory(r->results, c->method, c->baseline.kind, &j->bytes, e);
    if (j->bytes == 0)
        j->bytes = limit;
    for (unsigned i = 0; i < r->config->jobs; i++)
        sum += r->job[i].child.pid ? r->job[i].bytes : 0;
    r->full = r->busy > 0 && sum + j->bytes > limit;
    return rc;
}

static int fill_jobs(struct runner *r, struct err *e)
{
    int rc = 0;
    for (unsigned i = 0; !rc && !r->full && i < r->config->jobs; i++) {
        while (r->next < r->suite->n_cells && r->state[r->next] == CELL_DONE)
            r->next++;
        if (r->job[i].child.pid || r->next == r->suite->n_cells)
            continue;
        rc = find_room(r, &r->job[i], e);
        if (rc || r->full)
            return rc;
        rc = start_cell(r, &r->job[i], r->next, e);
        if (!rc)
            eta_start(&r->eta, r->next++);
    }
    return rc;
}

static int run_all(struct runner *r, struct err *e)
{
    struct timespec nap = {.tv_nsec = POLL_MS * 1000000L};
    for (;;) {
        if (r->config->cancel && atomic_load(r->config->cancel))
            return err_set(e, ERR_STATE, "interrupted; the same command goes on where it stopped");
        int rc = fill_jobs(r, e);
        if (rc || r->busy == 0)
            return rc;
        nanosleep(&nap, NULL);
        rc = poll_jobs(r, e);
        if (rc)
            return rc;
        eta_draw(&r->eta, r->busy);
    }
}

/* --- all of them --- */

static void release(struct runner *r)
{
    for (unsigned i = 0; r->job && i < r->config->jobs; i++)
        child_stop(&r->job[i].child, 1);
    eta_release(&r->eta);
    free(r->job);
    free(r->state);
    free(r->seconds);
}

static int prepare(struct runner *r, struct err *e)
{
    size_t n = r->suite->n_cells;
    r->state = calloc(n, sizeof *r->state);
    r->seconds = calloc(n, sizeof *r->seconds);
    r->job = calloc(r->config->jobs, sizeof *r->job);
    int rc =
        r->state && r->seconds && r->job ? 0 : err_set(e, ERR_NOMEM, "no memory for %zu cells", n);
    if (!rc)
        rc = results_states(r->results, r->suite, r->state, r->seconds, e);
    if (!rc)
        rc = eta_init(&r->eta, r->suite, r->state, r->seconds, r->config->jobs, e);
    return rc;
}

/* A cell that has failed before is one to do. */
static void forget_failure(struct runner *r, size_t cell)
{
    if (r->state[cell] == CELL_FAILED)
        r->state[cell] = CELL_WAITING;
}

int suite_run(const struct suite *s, struct results *results, const struct suite_run_config *c,
              struct err *e)
{
    struct runner r = {.suite = s, .config = c, .results = results};
    int rc = child_program("fedpet-sim", r.program, sizeof r.program, e);
    if (!rc)
        rc = prepare(&r, e);
    for (size_t i = 0; !rc && i < s->n_cells; i++)
        forget_failure(&r, i);
    if (!rc)
        rc = run_all(&r, e);
    if (!rc && r.failed)
        rc = err_set(e, r.first.code, "%zu of %zu cells failed; the first: %s", r.failed,
                     s->n_cells, r.first.text);
    release(&r);
    return rc;
}

int suite_print(const struct suite *s, struct results *results, unsigned jobs, struct err *e)
{
    static const char *const words[] = {"to do", "done", "failed"};
    struct suite_run_config c = {.jobs = jobs};
    struct runner r = {.suite = s, .config = &c, .results = results};
    size_t left = 0;
    char when[32];
    int rc = prepare(&r, e);
    for (size_t i = 0; !rc && i < s->n_cells; i++) {
        left += r.state[i] != CELL_DONE;
        printf("%-6s  %.*s  %s\n", words[r.state[i]], NAME, s->cell[i].id, s->cell[i].title);
        forget_failure(&r, i);
    }
    if (!rc && eta_text(&r.eta, when, sizeof when))
        printf("%zu of %zu cells to do, about %s with %u at a time\n", left, s->n_cells, when,
               jobs);
    else if (!rc)
        printf("%zu of %zu cells to do; how long is known when the first is done\n", left,
               s->n_cells);
    release(&r);
    return rc;
}
