/* The trainer itself: workers and their tapes, and how these keep to a limit. */
#include "base/log.h"
#include "base/size.h"
#include "client/client_config.h"
#include "client/train.h"
#include "client/trainer_state.h"
#include <cblas.h>
#include <stdlib.h>

/* --- workers -------------------------------------------------------------------------------- */

static void close_workers(struct trainer *t)
{
    t->peak = trainer_peak_bytes(t);
    crew_close(t->crew);
    for (unsigned i = 0; t->tape && i < t->threads; i++)
        tape_close(t->tape[i]);
    free(t->tape);
}

/* So many workers, with tapes of their own that share the limit. */
static int open_workers(struct trainer *t, unsigned threads, struct err *e)
{
    const size_t limit = t->memory.limit, cap = limit > threads ? limit / threads : limit;
    t->tape = calloc(threads, sizeof *t->tape);
    if (!t->tape)
        return err_set(e, ERR_NOMEM, "out of memory");
    t->threads = threads;
    int rc = crew_open(&t->crew, threads, e);
    for (unsigned i = 0; !rc && i < threads; i++) {
        rc = tape_open(&t->tape[i], cap, e);
        if (!rc && t->recompute)
            tape_recompute(t->tape[i]);
        if (!rc && t->memory.mode == MEMORY_HALF)
            tape_halve(t->tape[i]);
    }
    return rc;
}

int trainer_open(struct trainer **out, unsigned threads, const struct memory *memory, struct err *e)
{
    struct trainer *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(e, ERR_NOMEM, "out of memory");
    /* Threads work on micro-batches; OpenBLAS must not start its own beneath them. */
    openblas_set_num_threads(1);
    if (memory)
        t->memory = *memory;
    t->most = threads;
    int rc = open_workers(t, threads, e);
    if (rc) {
        trainer_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

void trainer_close(struct trainer *t)
{
    if (!t)
        return;
    close_workers(t);
    free(t);
}

void trainer_trim(struct trainer *t)
{
    for (unsigned i = 0; i < t->threads; i++)
        tape_trim(t->tape[i]);
}

size_t trainer_peak_bytes(const struct trainer *t)
{
    size_t sum = 0;
    for (unsigned i = 0; t->tape && i < t->threads; i++)
        sum += t->tape[i] ? tape_peak_bytes(t->tape[i]) : 0;
    return sum > t->peak ? sum : t->peak;
}

/* --- what they need ------------------------------------------------------------------------- */

int trainer_gauge_open(struct gauge *g, const struct trainer *t, struct err *e)
{
    *g = (struct gauge){0};
    int rc = tape_open(&g->kept, 0, e);
    if (!rc)
        rc = tape_open(&g->recomputed, 0, e);
    if (rc) {
        trainer_gauge_close(g);
        return rc;
    }
    tape_recompute(g->recomputed);
    if (t->memory.mode == MEMORY_HALF)
        tape_halve(g->kept);
    tape_measure(g->kept);
    tape_measure(g->recomputed);
    return 0;
}

void trainer_gauge_close(struct gauge *g)
{
    tape_close(g->kept);
    tape_close(g->recomputed);
    *g = (struct gauge){0};
}

int trainer_gauge_add(struct gauge *g, bool training, void (*step)(struct tape *t, void *arg),
                      void *arg, struct err *e)
{
    const struct rng any = rng_stream(0, 0, 0, RNG_DROPOUT);
    int rc = tape_run(g->kept, training, any, step, arg, e);
    if (!rc && training)
        rc = tape_run(g->recomputed, training, any, step, arg, e);
    return rc;
}

int trainer_gauge_forward(struct gauge *g, void (*step)(struct tape *t, void *arg), void *job,
                          size_t n, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++) {
        struct micro_batch m = {job, i};
        rc = trainer_gauge_add(g, false, step, &m, e);
    }
    return rc;
}

/* --- within the limit ----------------------------------------------------------------------- */

bool trainer_gauges(const struct trainer *t)
{
    return t->memory.limit > 0 || t->memory.mode == MEMORY_MIN;
}

/* So many workers, of tapes with `need` bytes each, fit into the limit. */
static unsigned bears(const struct trainer *t, size_t need)
{
    const size_t n = t->memory.limit && need ? t->memory.limit / need : t->most;
    return n < t->most ? (unsigned)n : t->most;
}

static int use_workers(struct trainer *t, unsigned threads, bool recompute, struct err *e)
{
    struct trainer fresh = {.memory = t->memory, .most = t->most, .recompute = recompute};
    if (threads == t->threads && recompute == t->recompute)
        return 0;
    int rc = open_workers(&fresh, threads, e);
    if (rc) {
        close_workers(&fresh);
        return rc;
    }
    close_workers(t);
    fresh.peak = t->peak;
    *t = fresh;
    if (t->memory.limit)
        log_info("within the memory limit threads=%u of=%u layers=%s", threads, t->most,
                 recompute ? "recomputed" : "kept");
    return 0;
}

/* In whole MiB, rounded up. */
static const char *least_text(size_t bytes, char out[SIZE_TEXT])
{
    const size_t mib = 1 << 20;
    return size_text((bytes + mib - 1) / mib * mib, out);
}

static bool recomputes(enum memory_mode mode)
{
    return mode == MEMORY_AUTO || mode == MEMORY_MIN;
}

/* kept: what a tape needs for the modes that never recompute; least: for the others. */
static int refuse(const struct trainer *t, size_t kept, size_t least, struct err *e)
{
    char limit[SIZE_TEXT], need[SIZE_TEXT], less[SIZE_TEXT];
    size_text(t->memory.limit, limit);
    least_text(least, less);
    if (!recomputes(t->memory.mode) && least < kept)
        return err_set(e, ERR_NOMEM,
                       "the memory limit is %s, and `memory: %s` needs %s at least: raise the "
                       "limit, or take `memory: auto`, which needs %s",
                       limit, client_memory_word(t->memory.mode), least_text(kept, need), less);
    return err_set(e, ERR_NOMEM,
                   "the memory limit is %s, and this model needs %s at least for these texts: "
                   "raise the limit, or lower local.max_length",
                   limit, less);
}

int trainer_plan(struct trainer *t, const struct gauge *g, struct err *e)
{
    if (!g)
        return use_workers(t, t->most, false, e);
    const size_t kept = tape_peak_bytes(g->kept), again = tape_peak_bytes(g->recomputed);
    const enum memory_mode mode = t->memory.mode;
    /* Where only the head is trained, or one layer, there is nothing to gain. Else a second forward
     * pass takes half as long as the first and backward together: so many more threads must work.
     */
    const bool pays = 2 * bears(t, again) > 3 * bears(t, kept);
    const bool recompute = again < kept && (mode == MEMORY_MIN || (mode == MEMORY_AUTO && pays));
    const size_t need = recompute ? again : kept;
    if (bears(t, need) == 0)
        return refuse(t, kept, again < kept ? again : kept, e);
    return use_workers(t, bears(t, need), recompute, e);
}

static int plan_forward(struct trainer *t, const struct gauge *g, struct err *e)
{
    const size_t need = tape_peak_bytes(g->kept);
    const unsigned n = bears(t, need);
    if (n == 0)
        return refuse(t, need, need, e);
    return use_workers(t, n < t->threads ? n : t->threads, t->recompute, e);
}

int trainer_plan_forward(struct trainer *t,
                         int (*measure)(void *job, struct gauge *g, struct err *e), void *job,
                         struct err *e)
{
    struct gauge g;
    int rc = trainer_gauge_open(&g, t, e);
    if (rc)
        return rc;
    rc = measure(job, &g, e);
    if (!rc)
        rc = plan_forward(t, &g, e);
    trainer_gauge_close(&g);
    return rc;
}
