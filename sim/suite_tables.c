#include "sim/suite_tables.h"
#include "sim/published.h"
#include <math.h>
#include <string.h>

#define PLUS_MINUS "\xc2\xb1" /* U+00B1 */

const char *suite_stat_text(struct sheets *b, const struct stat *s, size_t usual)
{
    const char *odd = s->n != usual ? sheets_text(b, " (n = %zu)", s->n) : "";
    if (s->n == 0)
        return "";
    return s->n == 1 ? sheets_text(b, "%.1f%s", s->mean, odd)
                     : sheets_text(b, "%.1f " PLUS_MINUS " %.1f%s", s->mean, s->sd, odd);
}

const char *suite_title(struct sheets *b, const char *title, const char *variant)
{
    return *variant ? sheets_text(b, "%s: %s", title, variant) : title;
}

static const char *task_head(struct sheets *b, const struct outcomes *o, const char *variant,
                             const char *task)
{
    for (size_t i = 0; i < o->n; i++) {
        const struct outcome *c = &o->cell[i];
        if (c->state == CELL_DONE && strcmp(c->task, task) == 0 && strcmp(c->variant, variant) == 0)
            return sheets_text(b, "%s, %s", task, c->metric);
    }
    return task;
}

/* A sheet with a column a task after the first ones. */
static struct sheet *task_sheet(struct sheets *b, const struct outcomes *o, const char *variant,
                                const char *title, const char *note, const char *corner,
                                size_t extra)
{
    struct sheet *s =
        sheet_add(b, suite_title(b, title, variant), note, 1 + o->tasks.n + extra, corner);
    for (size_t t = 0; t < o->tasks.n; t++)
        sheet_head(s, 1 + t, task_head(b, o, variant, o->tasks.name[t]));
    return s;
}

/* How many seeds most of the cells have: the most that any group of them has. */
static size_t usual_n(const struct outcomes *o, const char *variant)
{
    size_t most = 1;
    for (size_t i = 0; i < o->n; i++) {
        const struct outcome *c = &o->cell[i];
        const struct pick p = {.variant = variant,
                               .task = c->task,
                               .method = c->method,
                               .baseline = c->baseline,
                               .alpha = c->alpha,
                               .epochs = c->epochs};
        size_t n = outcomes_stat(o, &p, outcome_value).n;
        most = n > most ? n : most;
    }
    return most;
}

/* --- the main table --- */

/* A row of a method: one column a task, then mean and share of full fine-tuning where every task
 * has a value. */
static void main_row(struct sheets *b, struct sheet *s, const struct outcomes *o, struct pick p,
                     size_t usual, double *mean)
{
    double sum = 0;
    size_t filled = 0;
    for (size_t t = 0; t < o->tasks.n; t++) {
        p.task = o->tasks.name[t];
        struct stat v = outcomes_stat(o, &p, outcome_value);
        if (v.n > 0 && filled == 0)
            sheet_row(b, s,
                      p.baseline == BASELINE_FEDERATED
                          ? p.method
                          : sheets_text(b, "%s, %s", p.method, baseline_name(p.baseline)));
        if (v.n == 0)
            continue;
        filled++;
        sum += v.mean;
        sheet_set(s, 1 + t, suite_stat_text(b, &v, usual));
    }
    *mean = filled == o->tasks.n ? sum / (double)filled : NAN;
    if (!isnan(*mean))
        sheet_set(s, 1 + o->tasks.n, sheets_text(b, "%.1f", *mean));
}

/* The method of an experiment file that a row of the table stands for. */
static const char *method_name(const struct outcomes *o, const char *method)
{
    for (size_t i = 0; i < o->n; i++)
        if (o->cell[i].state == CELL_DONE && strcmp(o->cell[i].method, method) == 0)
            return o->cell[i].method_name;
    return method;
}

static const char *task_name(const struct outcomes *o, const char *task)
{
    for (size_t i = 0; i < o->n; i++)
        if (o->cell[i].state == CELL_DONE && strcmp(o->cell[i].task, task) == 0)
            return o->cell[i].task_name;
    return task;
}

static void main_table(struct sheets *b, const struct outcomes *o, const char *variant)
{
    double alpha = outcomes_main_alpha(o), full = NAN, mean;
    size_t usual = usual_n(o, variant);
    const char *note = sheets_text(
        b,
        "Value of the metric in points on the test set, mean and standard deviation of %zu "
        "seed%s; alpha %g, %u local epoch%s. Local: the mean over clients' own models.",
        usual, usual == 1 ? "" : "s", alpha, outcomes_main_epochs(o),
        outcomes_main_epochs(o) == 1 ? "" : "s");
    struct sheet *s = task_sheet(b, o, variant, "Results", note, "method", 2);
    sheet_head(s, 1 + o->tasks.n, "mean");
    sheet_head(s, 2 + o->tasks.n, "% of full");
    for (int k = BASELINE_FEDERATED; k <= BASELINE_LOCAL; k++) {
        struct pick p = {.variant = variant,
                         .baseline = (enum baseline_kind)k,
                         .alpha = alpha,
                         .epochs = outcomes_main_epochs(o)};
        full = NAN;
        for (int pass = 0; pass < 2; pass++) { /* full fine-tuning first, for the others' share */
            for (size_t m = 0; m < o->methods.n; m++) {
                bool is_full = strcmp(method_name(o, o->methods.name[m]), "full") == 0;
                if (is_full != (pass == 0))
                    continue;
                p.method = o->methods.name[m];
                size_t rows = s ? s->rows : 0;
                main_row(b, s, o, p, usual, &mean);
                if (is_full && isnan(full))
                    full = mean;
                if (s && s->rows > rows && !isnan(mean) && full > 0)
                    sheet_set(s, 2 + o->tasks.n, sheets_text(b, "%.1f", 100 * mean / full));
            }
        }
    }
    sheet_drop_empty(b);
}

/* --- alpha and local epochs --- */

static const char *published_text(struct sheets *b, const struct published *p)
{
    return p->sd < 0 ? sheets_text(b, "%.1f", p->mean)
                     : sheets_text(b, "%.1f " PLUS_MINUS " %.1f", p->mean, p->sd);
}

/* One row for each value of alpha or of local epochs; `published`: the paper's figures in our
 * rows. */
static void sweep_row(struct sheets *b, struct sheet *s, const struct outcomes *o,
                      const struct pick *pick, const char *label, bool published, size_t usual)
{
    bool any = false;
    for (size_t t = 0; t < o->tasks.n; t++) {
        struct pick p = *pick;
        struct published known;
        p.task = o->tasks.name[t];
        struct stat v = outcomes_stat(o, &p, outcome_value);
        if (v.n == 0 ||
            (published && !published_find(method_name(o, p.method), task_name(o, p.task), p.alpha,
                                          p.epochs, &known)))
            continue;
        if (!any)
            sheet_row(b, s, label);
        any = true;
        sheet_set(s, 1 + t, published ? published_text(b, &known) : suite_stat_text(b, &v, usual));
    }
}

enum sweep { SWEEP_MAIN, SWEEP_ALPHA, SWEEP_EPOCHS };

static void sweep_rows(struct sheets *b, struct sheet *s, const struct outcomes *o,
                       const char *variant, enum sweep sweep, bool published)
{
    size_t usual = usual_n(o, variant);
    size_t values = sweep == SWEEP_ALPHA ? o->n_alpha : sweep == SWEEP_EPOCHS ? o->n_epochs : 1;
    for (size_t m = 0; m < o->methods.n; m++) {
        for (size_t i = 0; i < values; i++) {
            struct pick p = {.variant = variant,
                             .method = o->methods.name[m],
                             .alpha = sweep == SWEEP_ALPHA ? o->alpha[i] : outcomes_main_alpha(o),
                             .epochs =
                                 sweep == SWEEP_EPOCHS ? o->epochs[i] : outcomes_main_epochs(o)};
            const char *label =
                sweep == SWEEP_ALPHA    ? sheets_text(b, "%s, alpha %g", p.method, p.alpha)
                : sweep == SWEEP_EPOCHS ? sheets_text(b, "%s, %u", p.method, p.epochs)
                                        : p.method;
            sweep_row(b, s, o, &p, label, published, usual);
        }
    }
}

static void sweep_tables(struct sheets *b, const struct outcomes *o, const char *variant,
                         enum sweep sweep)
{
    static const struct {
        const char *title, *published, *corner, *note;
    } words[] = {
        {"", "Published: results", "method", ""},
        {"Heterogeneity", "Published: heterogeneity", "method, alpha",
         "Federated; the smaller alpha, the more the clients' labels differ. Otherwise as in the "
         "table of results."},
        {"Local epochs", "Published: local epochs", "method, epochs",
         "Federated, by epochs of a client in a round. Otherwise as in the table of results."},
    };
    if ((sweep == SWEEP_ALPHA && o->n_alpha < 2) || (sweep == SWEEP_EPOCHS && o->n_epochs < 2))
        return;
    if (sweep != SWEEP_MAIN) {
        struct sheet *s = task_sheet(b, o, variant, words[sweep].title, words[sweep].note,
                                     words[sweep].corner, 0);
        sweep_rows(b, s, o, variant, sweep, false);
        sheet_drop_empty(b);
    }
    struct sheet *s = task_sheet(b, o, variant, words[sweep].published,
                                 "RoBERTa-base, another model, 100 rounds of 10 of 100 clients, "
                                 "five seeds (Zhang et al. 2023): for the shape, not the level.",
                                 words[sweep].corner, 0);
    sweep_rows(b, s, o, variant, sweep, true);
    sheet_drop_empty(b);
}

/* --- clients and labels --- */

static double worst_of(const struct outcome *c)
{
    return c->worst;
}

static double tenth_of(const struct outcome *c)
{
    return c->tenth;
}

static double mean_of(const struct outcome *c)
{
    return c->mean;
}

static const char *clients_text(struct sheets *b, const struct outcomes *o, const struct pick *p)
{
    struct stat worst = outcomes_stat(o, p, worst_of), tenth = outcomes_stat(o, p, tenth_of),
                mean = outcomes_stat(o, p, mean_of);
    return worst.n ? sheets_text(b, "%.1f / %.1f / %.1f", worst.mean, tenth.mean, mean.mean) : NULL;
}

/* "entailment 71.3, not_entailment 64.0": recall, mean over seeds. */
static const char *labels_text(struct sheets *b, const struct outcomes *o, const struct pick *p)
{
    const struct outcome *first = outcomes_first(o, p);
    const json_t *labels = first ? json_object_get(first->summary, "labels") : NULL;
    const char *text = NULL;
    for (size_t l = 0; l < json_array_size(labels); l++) {
        double sum = 0;
        size_t n = 0;
        for (size_t i = 0; i < o->n; i++) {
            if (o->cell[i].state != CELL_DONE || !outcome_matches(p, &o->cell[i]))
                continue;
            const json_t *one = json_array_get(json_object_get(o->cell[i].summary, "labels"), l);
            sum += json_number_value(json_object_get(one, "recall"));
            n++;
        }
        const char *name = json_string_value(json_object_get(json_array_get(labels, l), "label"));
        text = sheets_text(b, "%s%s%s %.1f", text ? text : "", text ? ", " : "", name ? name : "?",
                           100 * sum / (double)n);
    }
    return text;
}

/* A sheet of texts by method, baseline and alpha. */
static void detail_table(struct sheets *b, const struct outcomes *o, const char *variant,
                         const char *title, const char *note,
                         const char *(*text)(struct sheets *b, const struct outcomes *o,
                                             const struct pick *p))
{
    struct sheet *s = task_sheet(b, o, variant, title, note, "method, alpha", 0);
    for (size_t m = 0; m < o->methods.n; m++) {
        for (size_t a = 0; a < o->n_alpha; a++) {
            bool any = false;
            for (size_t t = 0; t < o->tasks.n; t++) {
                const struct pick p = {.variant = variant,
                                       .task = o->tasks.name[t],
                                       .method = o->methods.name[m],
                                       .alpha = o->alpha[a],
                                       .epochs = outcomes_main_epochs(o)};
                const char *cell = text(b, o, &p);
                if (!cell)
                    continue;
                if (!any)
                    sheet_row(b, s, sheets_text(b, "%s, %g", p.method, p.alpha));
                any = true;
                sheet_set(s, 1 + t, cell);
            }
        }
    }
    sheet_drop_empty(b);
}

/* --- all --- */

static void failures(struct sheets *b, const struct outcomes *o)
{
    struct sheet *s = sheet_add(b, "Cells without a result", "", 2, "cell");
    sheet_head(s, 1, "why");
    for (size_t i = 0; i < o->n; i++) {
        if (o->cell[i].state == CELL_DONE)
            continue;
        sheet_row(b, s, o->cell[i].title);
        sheet_set(s, 1, o->cell[i].state == CELL_FAILED ? o->cell[i].error : "not run yet");
    }
    sheet_drop_empty(b);
}

void suite_tables(struct sheets *b, const struct outcomes *o)
{
    for (size_t v = 0; v < o->variants.n; v++) {
        const char *variant = o->variants.name[v];
        main_table(b, o, variant);
        sweep_tables(b, o, variant, SWEEP_MAIN);
        sweep_tables(b, o, variant, SWEEP_ALPHA);
        sweep_tables(b, o, variant, SWEEP_EPOCHS);
        suite_tables_cost(b, o, variant);
        detail_table(b, o, variant, "Clients",
                     "Accuracy over each client's share of the test set, which is mixed as its "
                     "training examples are: worst client / 10th percentile / mean, in points.",
                     clients_text);
        detail_table(b, o, variant, "Labels",
                     "Recall of each label on the test set, in points, mean over seeds: a method "
                     "that has collapsed knows one label only.",
                     labels_text);
    }
    failures(b, o);
}
