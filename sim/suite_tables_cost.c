/* What results cost: bytes on the wire, rounds to a target, time and memory. */
#include "sim/suite_tables.h"
#include <math.h>
#include <string.h>

static const double TARGET = 0.95; /* of the centralised result */

static double up_of(const struct outcome *c)
{
    return c->up;
}

static double down_of(const struct outcome *c)
{
    return c->down;
}

static double seconds_of(const struct outcome *c)
{
    return c->seconds;
}

static double rss_of(const struct outcome *c)
{
    return c->rss / 1e6;
}

static struct pick pick_main(const struct outcomes *o, const char *variant, const char *task,
                             const char *method)
{
    return (struct pick){.variant = variant,
                         .task = task,
                         .method = method,
                         .alpha = outcomes_main_alpha(o),
                         .epochs = outcomes_main_epochs(o)};
}

static const char *bytes_text(struct sheets *b, const struct stat *s, double payload)
{
    return s->n ? sheets_text(b, "%.0f (%+.2f %%)", s->mean, 100 * (s->mean / payload - 1)) : "";
}

/* Payload of full fine-tuning on a task; NAN when the suite has none. */
static double full_payload(const struct outcomes *o, const char *variant, const char *task)
{
    for (size_t i = 0; i < o->n; i++) {
        const struct outcome *c = &o->cell[i];
        if (c->state == CELL_DONE && strcmp(c->method_name, "full") == 0 &&
            strcmp(c->task, task) == 0 && strcmp(c->variant, variant) == 0)
            return outcome_payload(c);
    }
    return NAN;
}

static void bytes_row(struct sheets *b, struct sheet *s, const struct outcomes *o,
                      const struct outcome *first, const struct pick *p)
{
    double payload = outcome_payload(first), full = full_payload(o, p->variant, p->task);
    struct stat up = outcomes_stat(o, p, up_of), down = outcomes_stat(o, p, down_of);
    sheet_row(b, s, p->method);
    sheet_set(s, 1, p->task);
    sheet_set(s, 2, sheets_text(b, "%.0f", first->trainable));
    sheet_set(s, 3, sheets_text(b, "%.0f", payload));
    sheet_set(s, 4, bytes_text(b, &up, payload));
    sheet_set(s, 5, bytes_text(b, &down, payload));
    if (!isnan(full))
        sheet_set(s, 6, sheets_text(b, "%.1f", full / payload));
}

static void bytes_table(struct sheets *b, const struct outcomes *o, const char *variant)
{
    static const char *const head[] = {"task",        "trainable",     "analytic bytes",
                                       "measured up", "measured down", "full / this"};
    struct sheet *s = sheet_add(
        b, suite_title(b, "Communication", variant),
        "Bytes of one client in one round, each way. Analytic: 4 bytes for "
        "each trainable parameter, 8 with SCAFFOLD. Measured: on the wire of the simulation, "
        "frames and messages included.",
        7, "method");
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        sheet_head(s, 1 + i, head[i]);
    for (size_t m = 0; m < o->methods.n; m++) {
        double before = -1;
        for (size_t t = 0; t < o->tasks.n; t++) {
            struct pick p = pick_main(o, variant, o->tasks.name[t], o->methods.name[m]);
            const struct outcome *first = outcomes_first(o, &p);
            if (!first || first->trainable == before) /* tasks with the same head share a row */
                continue;
            before = first->trainable;
            bytes_row(b, s, o, first, &p);
        }
    }
    sheet_drop_empty(b);
}

/* --- rounds and bytes to the target --- */

static double higher_is_better(const struct outcome *c)
{
    return strcmp(c->metric, "mse") == 0 ? NAN : c->value;
}

/* The mean of a method's centralised cells; NAN: none, or not a metric of which 95 % mean anything.
 */
static double centralised(const struct outcomes *o, const char *variant, const char *task,
                          const char *method)
{
    struct pick p = {.variant = variant,
                     .task = task,
                     .method = method,
                     .baseline = BASELINE_CENTRALIZED,
                     .alpha = NAN};
    struct stat s = outcomes_stat(o, &p, higher_is_better);
    return s.n ? s.mean : NAN;
}

/* The centralised result that the target is a share of: full fine-tuning's, else the method's
 * own. Of this variant, else of any: a setting that only a federation has makes no other
 * centralised cell. */
static double reference(const struct outcomes *o, const char *variant, const char *task,
                        const char *method)
{
    const char *const where[] = {variant, NULL};
    for (int w = 0; w < 2; w++) {
        for (size_t i = 0; i < o->n; i++) {
            const struct outcome *c = &o->cell[i];
            if (c->baseline != BASELINE_CENTRALIZED || strcmp(c->method_name, "full") != 0)
                continue;
            double mean = centralised(o, where[w], task, c->method);
            if (!isnan(mean))
                return mean;
        }
    }
    double own = centralised(o, variant, task, method);
    return isnan(own) ? centralised(o, NULL, task, method) : own;
}

static const struct point *reached(const struct outcome *c, double target)
{
    for (size_t i = 0; i < c->n_curve; i++)
        if (c->curve[i].round > 0 && c->curve[i].value >= target)
            return &c->curve[i];
    return NULL;
}

/* "14 rounds, 83.1 MB", of the seeds that get there. */
static const char *target_text(struct sheets *b, const struct outcomes *o, const struct pick *p,
                               double target)
{
    size_t all = 0, n = 0;
    double rounds = 0, megabytes = 0;
    for (size_t i = 0; i < o->n; i++) {
        const struct outcome *c = &o->cell[i];
        if (c->state != CELL_DONE || !outcome_matches(p, c))
            continue;
        const struct point *at = reached(c, target);
        all++;
        if (!at)
            continue;
        n++;
        rounds += at->round;
        megabytes += at->megabytes;
    }
    if (n == 0)
        return all ? "not reached" : NULL;
    return sheets_text(b, "%.3g rounds, %.3g MB%s", rounds / (double)n, megabytes / (double)n,
                       n < all ? sheets_text(b, " (%zu of %zu seeds)", n, all) : "");
}

/* A table of methods by tasks; `text` says what a cell shows, NULL: nothing. */
typedef const char *(*cell_text)(struct sheets *b, const struct outcomes *o, const char *variant,
                                 const struct pick *p);

static void methods_by_tasks(struct sheets *b, const struct outcomes *o, const char *variant,
                             const char *title, const char *note, cell_text text)
{
    struct sheet *s = sheet_add(b, suite_title(b, title, variant), note, 1 + o->tasks.n, "method");
    for (size_t t = 0; t < o->tasks.n; t++)
        sheet_head(s, 1 + t, o->tasks.name[t]);
    for (size_t m = 0; m < o->methods.n; m++) {
        bool any = false;
        for (size_t t = 0; t < o->tasks.n; t++) {
            struct pick p = pick_main(o, variant, o->tasks.name[t], o->methods.name[m]);
            const char *shown = text(b, o, variant, &p);
            if (!shown)
                continue;
            if (!any)
                sheet_row(b, s, p.method);
            any = true;
            sheet_set(s, 1 + t, shown);
        }
    }
    sheet_drop_empty(b);
}

/* --- what a cell shows --- */

static const char *cost_of_target(struct sheets *b, const struct outcomes *o, const char *variant,
                                  const struct pick *p)
{
    double goal = TARGET * reference(o, variant, p->task, p->method);
    return isnan(goal) ? NULL : target_text(b, o, p, goal);
}

static const char *time_and_memory(struct sheets *b, const struct outcomes *o, const char *variant,
                                   const struct pick *p)
{
    struct stat seconds = outcomes_stat(o, p, seconds_of), rss = outcomes_stat(o, p, rss_of);
    (void)variant;
    return seconds.n ? sheets_text(b, "%.0f s, %.0f MB", seconds.mean, rss.mean) : NULL;
}

void suite_tables_cost(struct sheets *b, const struct outcomes *o, const char *variant)
{
    bytes_table(b, o, variant);
    methods_by_tasks(b, o, variant, "Rounds and bytes to the target",
                     "Until the metric on the test set is first at 95 % of the centralised result "
                     "(of full fine-tuning where the suite has it, else of the same method). Bytes "
                     "of all clients, both ways.",
                     cost_of_target);
    methods_by_tasks(b, o, variant, "Time and memory",
                     "Wall-clock seconds of a cell on one thread, evaluation included, and the "
                     "most resident memory; mean of the seeds.",
                     time_and_memory);
}
