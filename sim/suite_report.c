#include "sim/suite_report.h"
#include "base/file.h"
#include "model/jsonfile.h"
#include "sim/outcome.h"
#include "sim/plots.h"
#include "sim/suite_tables.h"
#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SVG_MAX_BYTES = 16 << 20 };

struct suite_page {
    const char *dir;
    struct outcomes outcomes;
    struct sheets sheets;
    struct plots plots;
};

/* What the suite is, in one paragraph. */
static const char *overview(struct suite_page *p)
{
    const struct outcomes *o = &p->outcomes;
    size_t done = 0, failed = 0;
    double seconds = 0;
    const char *model = NULL;
    bool several = false;
    for (size_t i = 0; i < o->n; i++) {
        const struct outcome *c = &o->cell[i];
        done += c->state == CELL_DONE;
        failed += c->state == CELL_FAILED;
        seconds += isnan(c->seconds) ? 0 : c->seconds;
        const char *name = json_string_value(json_object_get(c->summary, "model"));
        const char *slash = name ? strrchr(name, '/') : NULL;
        name = slash ? slash + 1 : name;
        several |= name && model && strcmp(name, model) != 0;
        model = name ? name : model;
    }
    const struct outcome *first = &o->cell[0];
    return sheets_text(
        &p->sheets,
        "%zu of %zu cells are done, %zu failed. %s%s; %u clients, %u a round, %u rounds "
        "in the first cell. %.1f hours of one thread.",
        done, o->n, failed,
        several ? "Several models, one is " : "Model: ", model ? model : "none yet", first->clients,
        first->per_round, first->rounds, seconds / 3600);
}

/* --- Markdown --- */

static int write_markdown(struct suite_page *p, FILE *out, struct err *e)
{
    (void)e;
    fputs("# Results of the suite\n\n", out);
    sheet_write_markdown(out, overview(p));
    fputs("\n\n", out);
    sheets_markdown(&p->sheets, out);
    fputs("## Plots\n\n", out);
    if (p->plots.missing) {
        sheet_write_markdown(out, p->plots.missing);
        fputs("\n", out);
    }
    for (size_t i = 0; !p->plots.missing && i < p->plots.n; i++) {
        fputs("![", out);
        sheet_write_markdown(out, p->plots.plot[i].title);
        fprintf(out, "](%s)\n", p->plots.plot[i].file);
    }
    return 0;
}

/* --- HTML --- */

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
    "<meta name=\"viewport\" content=\"width=device-width\"/>\n"
    "<title>fedpet: results of the suite</title>\n<style>\n"
    "body { font: 16px/1.5 sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; "
    "color: #222; background: #fff }\n"
    ".wide { overflow-x: auto }\n"
    "table { border-collapse: collapse; font-size: 0.9rem }\n"
    "th, td { padding: 0.2rem 0.8rem; border-bottom: 1px solid #ddd; text-align: right; "
    "white-space: nowrap }\n"
    "th:first-child { text-align: left }\n"
    "thead th { border-bottom: 2px solid #888 }\n"
    "p { color: #555; max-width: 50rem }\n"
    "img { max-width: 100% }\n"
    "</style>\n</head>\n<body>\n<h1>Results of the suite</h1>\n";

/* As an image of its own document: what is in one plot cannot clash with another. */
static int write_image(const struct suite_page *p, const struct plot *plot, FILE *out,
                       struct err *e)
{
    char path[PATH_MAX], *svg;
    size_t len;
    int rc = file_join(path, sizeof path, p->dir, plot->file, e);
    if (!rc)
        rc = file_read(path, SVG_MAX_BYTES, &svg, &len, e);
    if (rc)
        return rc;
    fputs("<img alt=\"", out);
    sheet_write_html(out, plot->title);
    fputs("\" src=\"data:image/svg+xml,", out);
    for (size_t i = 0; i < len; i++)
        fprintf(out, isalnum((unsigned char)svg[i]) ? "%c" : "%%%02X", (unsigned char)svg[i]);
    fputs("\"/>\n", out);
    free(svg);
    return rc;
}

static int write_html(struct suite_page *p, FILE *out, struct err *e)
{
    int rc = 0;
    fputs(head, out);
    fputs("<p>", out);
    sheet_write_html(out, overview(p));
    fputs("</p>\n", out);
    sheets_html(&p->sheets, out);
    fputs("<section>\n<h2>Plots</h2>\n", out);
    if (p->plots.missing) {
        fputs("<p>", out);
        sheet_write_html(out, p->plots.missing);
        fputs("</p>\n", out);
    }
    for (size_t i = 0; !rc && !p->plots.missing && i < p->plots.n; i++)
        rc = write_image(p, &p->plots.plot[i], out, e);
    fputs("</section>\n</body>\n</html>\n", out);
    return rc;
}

/* --- files --- */

static int write_file(struct suite_page *p, const char *name,
                      int (*write)(struct suite_page *p, FILE *out, struct err *e), struct err *e)
{
    char path[PATH_MAX], *text = NULL;
    size_t len = 0;
    int rc = file_join(path, sizeof path, p->dir, name, e);
    if (rc)
        return rc;
    FILE *f = open_memstream(&text, &len);
    rc = f ? write(p, f, e) : err_set(e, ERR_NOMEM, "no memory for the report");
    if (f && fclose(f) != 0 && !rc)
        rc = err_set(e, ERR_NOMEM, "no memory for the report");
    if (!rc && p->sheets.full)
        rc = err_set(e, ERR_NOMEM, "no memory for the report's tables");
    if (!rc)
        rc = file_write(path, text, len, 0644, e);
    free(text);
    return rc;
}

static json_t *cell_json(const struct outcome *c)
{
    static const char *const states[] = {"to do", "done", "failed"};
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:f, s:i, s:I, s:s, s:O?}", "title", c->title,
                     "task", c->task, "method", c->method, "variant", c->variant, "baseline",
                     baseline_name(c->baseline), "state", states[c->state], "alpha", c->alpha,
                     "local_epochs", (int)c->epochs, "seed", (json_int_t)c->seed, "error", c->error,
                     "summary", (json_t *)(uintptr_t)c->summary);
}

static int print_json(const struct suite_page *p, struct err *e)
{
    json_t *cells = json_array();
    for (size_t i = 0; i < p->outcomes.n; i++)
        json_array_append_new(cells, cell_json(&p->outcomes.cell[i]));
    json_t *root = json_pack("{s:o, s:o}", "tables", sheets_json(&p->sheets), "cells", cells);
    int rc = jsonfile_print(root, JSON_INDENT(1) | JSON_REAL_PRECISION(9), e);
    json_decref(root);
    return rc;
}

int suite_report(const char *dir, bool json, struct err *e)
{
    struct suite_page p = {.dir = dir};
    int rc = outcomes_open(&p.outcomes, dir, e);
    if (rc)
        return rc;
    arena_init(&p.sheets.mem, ARENA_NO_CAP);
    suite_tables(&p.sheets, &p.outcomes);
    rc = plots_draw(&p.sheets, &p.outcomes, dir, &p.plots, e);
    if (!rc)
        rc = write_file(&p, "report.md", write_markdown, e);
    if (!rc)
        rc = write_file(&p, "report.html", write_html, e);
    if (!rc && json)
        rc = print_json(&p, e);
    else if (!rc)
        printf("%s/report.md\n%s/report.html\n", dir, dir);
    if (!rc && p.plots.missing)
        fprintf(stderr, "%s\n", p.plots.missing);
    arena_release(&p.sheets.mem);
    outcomes_close(&p.outcomes);
    return rc;
}
