/* Results of a suite and the report of them, on cells whose runs are made up. */
#include "grid.h"
#include "sim/outcome.h"
#include "sim/published.h"
#include "sim/suite_report.h"
#include <ctype.h>
#include <math.h>
#include <unistd.h>

static const char grid[] = "base: base.yaml\n"
                           "grid:\n"
                           "  task: {rte: {}, \"<b>&|\": {task.data: data-b}}\n"
                           "  peft: {lora: {}, full: {peft.method: full}}\n"
                           "  baseline: [federated, centralized]\n"
                           "  federation.alpha: [0.1, 1]\n"
                           "  federation.seed: [1, 2]\n";

/* What a run leaves: the metric climbs to `value` in two scored rounds of three. */
static void leave_run(const struct folder *f, const char *method, double value, bool federated)
{
    char text[4096];
    struct err e;
    cr_assert_eq(file_mkdirs(folder_file(f, "run"), 0755, &e), 0);
    snprintf(
        text, sizeof text,
        "{\"baseline\":\"federated\",\"metric\":\"accuracy\",\"value\":%f,\"value_before\":0.5,"
        "\"labels\":[{\"label\":\"no\",\"examples\":3,\"recall\":0.25,\"precision\":1},"
        "{\"label\":\"yes\",\"examples\":3,\"recall\":0.75,\"precision\":1}],"
        "\"client_accuracy\":{\"clients\":9,\"worst\":0.125,\"tenth_percentile\":0.25,"
        "\"mean\":0.5},\"trainable_parameters\":%d,\"payload_bytes\":%d,\"bytes_up_per_client\":%s,"
        "\"bytes_down_per_client\":%s,\"wall_seconds\":10,\"peak_rss_bytes\":5000000,"
        "\"model\":\"/a/model\",\"task\":\"rte\",\"method\":\"%s\"}",
        value, strcmp(method, "full") == 0 ? 1000 : 100, strcmp(method, "full") == 0 ? 4000 : 400,
        federated ? "440" : "null", federated ? "420" : "null", method);
    grid_write(f, "run/summary.json", text);
    snprintf(
        text, sizeof text,
        "{\"round\":1,\"value\":%f,\"loss\":0.7,\"train_loss\":0.7,\"updates\":2,\"samples\":4,"
        "\"bytes_up_per_client\":440,\"bytes_down_per_client\":420,\"seconds\":1}\n"
        "{\"round\":2,\"value\":null,\"loss\":null,\"train_loss\":0.6,\"updates\":2,"
        "\"samples\":4,\"bytes_up_per_client\":440,\"bytes_down_per_client\":420,"
        "\"seconds\":2}\n"
        "{\"round\":3,\"value\":%f,\"loss\":0.5,\"train_loss\":0.5,\"updates\":2,\"samples\":4,"
        "\"bytes_up_per_client\":440,\"bytes_down_per_client\":420,\"seconds\":3}\n",
        value / 2, value);
    grid_write(f, "run/rounds.jsonl", text);
}

/* Federated full: 0.8 and 0.9 at alpha 1; everything else as simple. */
static double value_of(const struct suite_cell *c)
{
    double base = strcmp(c->method, "full") == 0 ? 0.7 : 0.6;
    if (c->baseline.kind == BASELINE_CENTRALIZED)
        return base + 0.1;
    return base + 0.1 * (double)c->spec.federation.seed - (c->spec.federation.alpha < 1 ? 0.05 : 0);
}

/* All cells but the last are done; the last has failed. */
static void fill(struct folder *f)
{
    struct suite s;
    struct results *r;
    struct err e = {0}, why = {.code = ERR_DATA, .text = "it <broke>"};
    cr_assert_eq(grid_open(&s, f, grid, &e), 0, "%s", e.text);
    cr_assert_eq(results_open(&r, f->path, true, &e), 0, "%s", e.text);
    cr_assert_eq(results_plan(r, &s, &e), 0, "%s", e.text);
    for (size_t i = 0; i < s.n_cells; i++) {
        const struct suite_cell *c = &s.cell[i];
        leave_run(f, c->method, value_of(c), c->baseline.kind == BASELINE_FEDERATED);
        if (i + 1 < s.n_cells)
            cr_assert_eq(results_done(r, c->id, folder_file(f, "run"), &e), 0, "%s", e.text);
        else
            cr_assert_eq(results_failed(r, c->id, &why, &e), 0, "%s", e.text);
    }
    results_close(r);
    suite_close(&s);
}

static char *read_text(const struct folder *f, const char *name)
{
    struct err e;
    char *text;
    cr_assert_eq(file_read(folder_file(f, name), 1 << 24, &text, NULL, &e), 0, "%s", e.text);
    return text;
}

static void expect_line(const char *text, const char *line)
{
    cr_expect(strstr(text, line), "no line \"%s\" in\n%s", line, text);
}

Test(suite_report, statistics_are_over_seeds)
{
    struct folder f = grid_folder();
    struct outcomes o;
    struct err e = {0};
    fill(&f);
    cr_assert_eq(outcomes_open(&o, f.path, &e), 0, "%s", e.text);
    cr_expect_eq(o.n, 24, "the centralised cells are there once for both alphas");
    struct pick p = {.task = "rte", .method = "full", .alpha = 1, .epochs = 1};
    struct stat s = outcomes_stat(&o, &p, outcome_value);
    cr_expect_eq(s.n, 2);
    cr_expect_float_eq(s.mean, 85, 1e-9);
    cr_expect_float_eq(s.sd, 10 / sqrt(2), 1e-9);
    p.baseline = BASELINE_CENTRALIZED;
    cr_expect_eq(outcomes_stat(&o, &p, outcome_value).n, 2, "any alpha stands for all");
    const struct outcome *c = &o.cell[0];
    cr_assert_eq(c->n_curve, 3, "before the first round, and the scored ones");
    cr_expect_eq(c->curve[1].round, 1);
    cr_expect_float_eq(c->curve[2].megabytes, 3 * 2 * 860 / 1e6, 1e-12,
                       "rounds that were not scored were sent too");
    outcomes_close(&o);
    folder_remove(&f);
}

Test(suite_report, tables_hold_what_the_cells_say)
{
    struct folder f = grid_folder();
    struct err e = {0};
    fill(&f);
    cr_assert_eq(suite_report(f.path, false, &e), 0, "%s", e.text);
    char *text = read_text(&f, "report.md");
    expect_line(text, "23 of 24 cells are done, 1 failed");
    expect_line(text, "| full | 85.0 \xc2\xb1 7.1 | 85.0 \xc2\xb1 7.1 | 85.0 | 100.0 |");
    expect_line(text, "| lora | 75.0 \xc2\xb1 7.1 | 75.0 \xc2\xb1 7.1 | 75.0 | 88.2 |");
    expect_line(text, "| full, centralized | 80.0 \xc2\xb1 0.0 | 80.0 (n = 1) |");
    expect_line(text, "| lora, alpha 0.1 | 70.0 \xc2\xb1 7.1 |");
    expect_line(text, "| lora | rte | 100 | 400 | 440 (+10.00 %) | 420 (+5.00 %) | 10.0 |");
    expect_line(text, "| lora, 1 | 12.5 / 25.0 / 50.0 |");
    expect_line(text, "| lora, 1 | no 25.0, yes 75.0 |");
    /* 95 % of 80 is 76: seed 2 of lora gets to 80 in round 3, seed 1 stops at 70 */
    expect_line(text, "| lora | 3 rounds, 0.00516 MB (1 of 2 seeds) |");
    expect_line(text, "| full | 3 rounds, 0.00516 MB |");
    /* published, of RoBERTa-base */
    expect_line(text, "| lora | 67.4 \xc2\xb1 4.2 |");
    expect_line(text, "| full, alpha 0.1 | 68.4 \xc2\xb1 2.7 |");
    free(text);
    folder_remove(&f);
}

/* A centralised cell stands for every variant that it does not depend on. */
Test(suite_report, the_target_of_a_variant_may_come_from_another)
{
    struct folder f = grid_folder();
    struct suite s;
    struct results *r;
    struct err e = {0};
    cr_assert_eq(grid_open(&s, &f,
                           "base: base.yaml\n"
                           "grid:\n"
                           "  peft: {lora: {}}\n"
                           "  baseline: [federated, centralized]\n"
                           "  federation.scaffold: [false, true]\n",
                           &e),
                 0, "%s", e.text);
    cr_assert_eq(s.n_cells, 3);
    cr_assert_eq(results_open(&r, f.path, true, &e), 0, "%s", e.text);
    cr_assert_eq(results_plan(r, &s, &e), 0, "%s", e.text);
    for (size_t i = 0; i < s.n_cells; i++) {
        leave_run(&f, "lora", 0.8, s.cell[i].baseline.kind == BASELINE_FEDERATED);
        cr_assert_eq(results_done(r, s.cell[i].id, folder_file(&f, "run"), &e), 0, "%s", e.text);
    }
    results_close(r);
    suite_close(&s);
    cr_assert_eq(suite_report(f.path, false, &e), 0, "%s", e.text);
    char *text = read_text(&f, "report.md");
    const char *first = strstr(text, "Rounds and bytes to the target: scaffold=false"),
               *second = strstr(text, "Rounds and bytes to the target: scaffold=true");
    cr_assert(first && second, "%s", text);
    expect_line(first, "| lora | 3 rounds, 0.00516 MB |");
    expect_line(second, "| lora | 3 rounds, 0.00516 MB |");
    free(text);
    folder_remove(&f);
}

/* Every tag is closed in the right order; attributes are quoted; nothing else has a bare < or &. */
static void expect_well_formed(const char *html)
{
    char open[64][32];
    int depth = 0;
    cr_assert_eq(strncmp(html, "<!DOCTYPE html>", 15), 0);
    for (const char *c = html + 15; *c; c++) {
        if (*c == '&')
            cr_expect(strncmp(c, "&lt;", 4) == 0 || strncmp(c, "&gt;", 4) == 0 ||
                          strncmp(c, "&amp;", 5) == 0 || strncmp(c, "&quot;", 6) == 0 ||
                          strncmp(c, "&#39;", 5) == 0,
                      "a bare & in: %.40s", c);
        if (*c != '<')
            continue;
        bool closing = c[1] == '/';
        char name[32] = "";
        size_t n = strspn(c + 1 + closing, "abcdefghijklmnopqrstuvwxyz0123456789");
        cr_assert(n > 0 && n < sizeof name, "a bare < in: %.40s", c);
        snprintf(name, sizeof name, "%.*s", (int)n, c + 1 + closing);
        const char *end = c;
        for (bool quoted = false; *end && (quoted || *end != '>'); end++)
            quoted ^= *end == '"';
        cr_assert(*end, "an unfinished tag: %.40s", c);
        if (closing) {
            cr_assert(depth > 0 && strcmp(open[--depth], name) == 0, "</%s> closes nothing", name);
        } else if (end[-1] != '/') {
            cr_assert_lt(depth, 64);
            snprintf(open[depth++], sizeof open[0], "%s", name);
        }
        c = end;
    }
    cr_expect_eq(depth, 0, "<%s> is not closed", depth ? open[depth - 1] : "");
}

Test(suite_report, html_is_one_well_formed_page)
{
    struct folder f = grid_folder();
    struct err e = {0};
    fill(&f);
    cr_assert_eq(suite_report(f.path, false, &e), 0, "%s", e.text);
    char *html = read_text(&f, "report.html");
    expect_well_formed(html);
    expect_line(html, "&lt;b&gt;&amp;|");
    expect_line(html, "it &lt;broke&gt;");
    cr_expect_null(strstr(html, "<b>"));
    cr_expect_null(strstr(html, "://"), "the page fetches something");
    free(html);
    folder_remove(&f);
}

Test(suite_report, draws_plots_where_gnuplot_is)
{
    if (access("/usr/bin/gnuplot", X_OK) != 0)
        cr_skip("gnuplot is not installed");
    struct folder f = grid_folder();
    struct err e = {0};
    fill(&f);
    cr_assert_eq(suite_report(f.path, false, &e), 0, "%s", e.text);
    static const char *const files[] = {"plots/rounds-1.svg", "plots/bytes-1.svg",
                                        "plots/rounds-2.svg", "plots/bytes-2.svg"};
    for (size_t i = 0; i < 4; i++) {
        char *svg = read_text(&f, files[i]);
        expect_line(svg, "</svg>");
        expect_line(svg, "lora");
        cr_expect_null(strstr(svg, "<b>"));
        free(svg);
    }
    folder_remove(&f);
}

Test(suite_report, goes_on_without_gnuplot)
{
    struct folder f = grid_folder();
    struct err e = {0};
    fill(&f);
    cr_assert_eq(setenv("PATH", f.path, 1), 0);
    cr_assert_eq(suite_report(f.path, false, &e), 0, "%s", e.text);
    char *text = read_text(&f, "report.md");
    expect_line(text, "gnuplot is not installed");
    free(text);
    folder_remove(&f);
}

Test(results, remember_done_cells_and_unlist_what_a_suite_no_longer_has)
{
    struct folder f = grid_folder();
    struct suite s;
    struct results *r, *other;
    struct err e = {0};
    enum cell_state state[24];
    double seconds[24];
    fill(&f);
    cr_assert_eq(grid_open(&s, &f, grid, &e), 0);
    cr_assert_eq(results_open(&r, f.path, true, &e), 0, "%s", e.text);
    cr_expect_eq(results_open(&other, f.path, true, &e), ERR_STATE, "one suite in a folder");
    cr_assert_eq(results_states(r, &s, state, seconds, &e), 0);
    cr_expect_eq(state[0], CELL_DONE);
    cr_expect_eq(seconds[0], 10);
    cr_expect_eq(state[23], CELL_FAILED);
    double bytes = 1;
    cr_assert_eq(results_memory(r, "lora", BASELINE_CENTRALIZED, &bytes, &e), 0, "%s", e.text);
    cr_expect_eq(bytes, 5000000);
    cr_assert_eq(results_memory(r, "lora", BASELINE_LOCAL, &bytes, &e), 0, "%s", e.text);
    cr_expect_eq(bytes, 0);
    suite_close(&s);
    cr_assert_eq(grid_open(&s, &f, "base: base.yaml\ngrid: {federation.seed: [1, 9]}\n", &e), 0);
    cr_assert_eq(results_plan(r, &s, &e), 0);
    cr_assert_eq(results_states(r, &s, state, seconds, &e), 0);
    cr_expect_eq(state[0], CELL_DONE, "a cell of the earlier suite, under another title");
    cr_expect_eq(state[1], CELL_WAITING);
    results_close(r);
    struct outcomes o;
    cr_assert_eq(outcomes_open(&o, f.path, &e), 0, "%s", e.text);
    cr_expect_eq(o.n, 2);
    outcomes_close(&o);
    suite_close(&s);
    folder_remove(&f);
}

Test(results, a_run_that_is_not_whole_is_not_done)
{
    struct folder f = grid_folder();
    struct suite s;
    struct results *r;
    struct err e = {0};
    enum cell_state state;
    double seconds;
    cr_assert_eq(grid_open(&s, &f, "base: base.yaml\n", &e), 0, "%s", e.text);
    cr_assert_eq(results_open(&r, f.path, true, &e), 0, "%s", e.text);
    cr_assert_eq(results_plan(r, &s, &e), 0);
    cr_expect_eq(results_done(r, s.cell[0].id, folder_file(&f, "data-a"), &e), ERR_IO);
    leave_run(&f, "lora", 0.5, true);
    grid_write(&f, "run/rounds.jsonl",
               "{\"round\":1,\"updates\":1,\"samples\":1,\"seconds\":1}\nx");
    cr_expect_eq(results_done(r, s.cell[0].id, folder_file(&f, "run"), &e), ERR_DATA);
    cr_assert_eq(results_states(r, &s, &state, &seconds, &e), 0);
    cr_expect_eq(state, CELL_WAITING, "nothing of it is stored");
    results_close(r);
    suite_close(&s);
    folder_remove(&f);
}

Test(results, a_report_needs_a_suite)
{
    struct folder f = grid_folder();
    struct err e = {0};
    cr_expect_eq(suite_report(f.path, false, &e), ERR_IO);
    cr_expect(strstr(e.text, "results.sqlite"), "%s", e.text);
    grid_write(&f, "results.sqlite", "this is no database, but a file of some length...........");
    cr_expect_eq(suite_report(f.path, false, &e), ERR_IO, "%s", e.text);
    folder_remove(&f);
}

Test(published, has_the_figures_of_the_paper_and_no_others)
{
    struct published p;
    cr_assert(published_find("adapter", "qnli", 0.1, 1, &p));
    cr_expect_float_eq(p.mean, 52.5, 1e-9);
    cr_expect_float_eq(p.sd, 2.3, 1e-9);
    cr_assert(published_find("prefix", "mnli", 1, 3, &p));
    cr_expect_float_eq(p.mean, 83.8, 1e-9);
    cr_expect_lt(p.sd, 0, "not given");
    cr_assert(published_find("bitfit", "rte", 10, 1, &p));
    cr_expect_float_eq(p.mean, 63.2, 1e-9);
    cr_expect_not(published_find("prompt", "rte", 1, 1, &p));
    cr_expect_not(published_find("lora", "cola", 1, 1, &p));
    cr_expect_not(published_find("lora", "rte", 0.5, 1, &p));
    cr_expect_not(published_find("lora", "rte", 10, 2, &p));
    cr_expect_not(published_find("lora", "rte", 1, 4, &p));
}
