#include "sim/plots.h"
#include "base/file.h"
#include "sim/child.h"
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A gnuplot string: in single quotes nothing is interpreted but the quote itself. */
static void quote(FILE *f, const char *text)
{
    fputc('\'', f);
    for (const char *c = text; *c; c++) {
        if (*c == '\'')
            fputc('\'', f);
        fputc((unsigned char)*c < ' ' ? ' ' : *c, f);
    }
    fputc('\'', f);
}

/* The mean of the picked cells at one round; false when none has scored it. */
static bool mean_at(const struct outcomes *o, const struct pick *p, uint32_t round,
                    struct point *out)
{
    double value = 0, megabytes = 0, n = 0;
    for (size_t i = 0; i < o->n; i++) {
        const struct outcome *c = &o->cell[i];
        if (c->state != CELL_DONE || !outcome_matches(p, c))
            continue;
        for (size_t k = 0; k < c->n_curve; k++) {
            if (c->curve[k].round != round || isnan(c->curve[k].value))
                continue;
            value += c->curve[k].value;
            megabytes += c->curve[k].megabytes;
            n++;
        }
    }
    *out = (struct point){.round = round, .value = value / n, .megabytes = megabytes / n};
    return n > 0;
}

static uint32_t last_round(const struct outcomes *o, const struct pick *p)
{
    uint32_t last = 0;
    for (size_t i = 0; i < o->n; i++) {
        const struct outcome *c = &o->cell[i];
        if (c->state == CELL_DONE && c->n_curve > 0 && outcome_matches(p, c) &&
            c->curve[c->n_curve - 1].round > last)
            last = c->curve[c->n_curve - 1].round;
    }
    return last;
}

/* The curve of each method as a data block $mN; `there` says which exist. */
static size_t write_curves(FILE *f, const struct outcomes *o, struct pick p, bool *there)
{
    size_t curves = 0;
    for (size_t m = 0; m < o->methods.n; m++) {
        p.method = o->methods.name[m];
        uint32_t last = last_round(o, &p);
        struct point at;
        there[m] = last > 0;
        curves += there[m];
        if (!there[m])
            continue;
        fprintf(f, "$m%zu << EOD\n", m);
        for (uint32_t r = 0; r <= last; r++)
            if (mean_at(o, &p, r, &at))
                fprintf(f, "%u %.6g %.9g\n", r, at.value, at.megabytes);
        fputs("EOD\n", f);
    }
    return curves;
}

static void write_plot(FILE *f, const struct outcomes *o, const char *path, const bool *there,
                       int column)
{
    const char *before = "plot ";
    fputs("set output ", f);
    quote(f, path);
    fprintf(f, "\nset xlabel '%s'\n%s logscale x\n",
            column == 1 ? "round" : "MB sent by all clients and the server",
            column == 1 ? "unset" : "set");
    for (size_t m = 0; m < o->methods.n; m++) {
        if (!there[m])
            continue;
        fprintf(f,
                "%s$m%zu using %d:2 with linespoints linewidth 2 pointtype 7 pointsize 0.3 title ",
                before, m, column);
        quote(f, o->methods.name[m]);
        before = ", \\\n     ";
    }
    fputs("\nset output\n", f);
}

/* Two plots of a task and variant, when it has a curve. */
static void write_task(struct sheets *b, FILE *f, const struct outcomes *o, const char *dir,
                       const struct pick *p, bool *there, struct plots *out)
{
    static const char *const kinds[] = {"rounds", "bytes"};
    const struct outcome *first = outcomes_first(o, p);
    if (!first || write_curves(f, o, *p, there) == 0)
        return;
    const char *where = *p->variant ? sheets_text(b, "%s, %s", p->task, p->variant) : p->task;
    fputs("set title ", f);
    quote(f, where);
    fputs("\nset ylabel ", f);
    quote(f, first->metric);
    fputc('\n', f);
    size_t number = out->n / 2 + 1;
    for (int k = 0; k < 2; k++) {
        const char *file = sheets_text(b, "plots/%s-%zu.svg", kinds[k], number);
        write_plot(f, o, sheets_text(b, "%s/%s", dir, file), there, k == 0 ? 1 : 3);
        out->plot[out->n++] =
            (struct plot){.title = sheets_text(b, "%s: %s over %s", where, first->metric, kinds[k]),
                          .file = file};
    }
}

static int write_script(struct sheets *b, const struct outcomes *o, const char *dir, FILE *f,
                        struct plots *out, struct err *e)
{
    bool *there = calloc(o->methods.n + 1, sizeof *there);
    out->plot = arena_calloc(&b->mem, 2 * o->variants.n * o->tasks.n + 1, sizeof *out->plot);
    if (!there || !out->plot) {
        free(there);
        return err_set(e, ERR_NOMEM, "no memory for the plots");
    }
    fputs("set terminal svg size 760,420 noenhanced font 'sans-serif,13' background 'white'\n"
          "set grid\nset key outside right top\nset format x '%g'\n",
          f);
    for (size_t v = 0; v < o->variants.n; v++) {
        for (size_t t = 0; t < o->tasks.n; t++) {
            const struct pick p = {.variant = o->variants.name[v],
                                   .task = o->tasks.name[t],
                                   .alpha = outcomes_main_alpha(o),
                                   .epochs = outcomes_main_epochs(o)};
            write_task(b, f, o, dir, &p, there, out);
        }
    }
    free(there);
    return 0;
}

static bool find_program(const char *name, char out[PATH_MAX])
{
    const char *path = getenv("PATH");
    for (const char *p = path ? path : "/usr/bin:/bin"; p; p = strchr(p, ':')) {
        p += *p == ':';
        int n = snprintf(out, PATH_MAX, "%.*s/%s", (int)strcspn(p, ":"), p, name);
        if (n < PATH_MAX && access(out, X_OK) == 0)
            return true;
    }
    return false;
}

static int run_gnuplot(const char *dir, const char *script, const char *text, size_t len,
                       struct err *e)
{
    char program[PATH_MAX], log[PATH_MAX];
    char *argv[] = {program, (char *)(uintptr_t)script, NULL};
    int rc = file_write(script, text, len, 0644, e);
    if (!rc)
        rc = file_join(log, sizeof log, dir, "plots/gnuplot.log", e);
    if (!rc && !find_program("gnuplot", program))
        rc = err_set(e, ERR_INTERNAL, "gnuplot has gone");
    return rc ? rc : child_run(argv, log, NULL, 0, e);
}

int plots_draw(struct sheets *b, const struct outcomes *o, const char *dir, struct plots *out,
               struct err *e)
{
    char whole[PATH_MAX], script[PATH_MAX], folder[PATH_MAX], program[PATH_MAX], *text = NULL;
    size_t len = 0;
    *out = (struct plots){0};
    if (!find_program("gnuplot", program)) {
        out->missing = "No plots: gnuplot is not installed (apt-get install gnuplot-nox).";
        return 0;
    }
    if (!realpath(dir, whole))
        return err_sys(e, ERR_IO, errno, "%s", dir);
    int rc = file_join(folder, sizeof folder, whole, "plots", e);
    if (!rc)
        rc = file_mkdirs(folder, 0755, e);
    if (!rc)
        rc = file_join(script, sizeof script, folder, "plots.gp", e);
    if (rc)
        return rc;
    FILE *f = open_memstream(&text, &len);
    rc = f ? write_script(b, o, whole, f, out, e) : err_set(e, ERR_NOMEM, "no memory for plots");
    if (f && fclose(f) != 0 && !rc)
        rc = err_set(e, ERR_NOMEM, "no memory for the plots");
    if (!rc && out->n == 0)
        out->missing = "No plots: no federated cell is done.";
    else if (!rc)
        rc = run_gnuplot(whole, script, text, len, e);
    free(text);
    return rc;
}
