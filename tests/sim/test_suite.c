/* Grids: expansion, rules, identities, and what is refused. */
#include "grid.h"

static struct suite must_open(struct folder *f, const char *text)
{
    struct suite s;
    struct err e = {0};
    cr_assert_eq(grid_open(&s, f, text, &e), 0, "%s", e.text);
    return s;
}

static const struct suite_cell *cell(const struct suite *s, const char *title)
{
    for (size_t i = 0; i < s->n_cells; i++)
        if (strcmp(s->cell[i].title, title) == 0)
            return &s->cell[i];
    cr_assert_fail("no cell %s", title);
    return NULL;
}

Test(suite, expands_every_combination_the_last_axis_fastest)
{
    struct folder f = grid_folder();
    struct suite s = must_open(&f, "base: base.yaml\n"
                                   "grid:\n"
                                   "  task:\n"
                                   "    a: {task: {name: rte, data: data-a}}\n"
                                   "    b: {task.name: mrpc, task.data: data-b, local.lr: 0.5}\n"
                                   "  federation.alpha: [0.1, 1]\n"
                                   "  federation.seed: [1, 2, 3]\n");
    cr_assert_eq(s.n_cells, 12);
    cr_assert_eq(s.same, 0);
    cr_expect_str_eq(s.cell[0].title, "task=a alpha=0.1 seed=1");
    cr_expect_str_eq(s.cell[1].title, "task=a alpha=0.1 seed=2");
    cr_expect_str_eq(s.cell[11].title, "task=b alpha=1 seed=3");
    for (size_t i = 0; i < 12; i++)
        for (size_t k = 0; k < i; k++)
            cr_expect_str_neq(s.cell[i].id, s.cell[k].id);
    const struct suite_cell *c = cell(&s, "task=b alpha=1 seed=2");
    cr_expect_eq(c->spec.federation.seed, 2);
    cr_expect_eq(c->spec.federation.alpha, 1);
    cr_expect_eq(c->spec.local.lr, 0.5);
    cr_expect_str_eq(c->task, "b");
    cr_expect_str_eq(c->method, "lora");
    cr_expect_str_eq(c->variant, "");
    cr_expect(strstr(c->experiment, "/data-b"), "the experiment names its data by absolute path");
    cr_expect_eq(cell(&s, "task=a alpha=1 seed=2")->spec.local.lr, 0.001);
    suite_close(&s);
    folder_remove(&f);
}

Test(suite, an_axis_without_a_place_in_the_report_is_a_variant)
{
    struct folder f = grid_folder();
    struct suite s = must_open(&f, "base: base.yaml\n"
                                   "grid: {federation.weighted: [true, false], "
                                   "local.batch_size: [8, 16]}\n");
    cr_assert_eq(s.n_cells, 4);
    cr_expect_str_eq(s.cell[0].variant, "weighted=true, batch_size=8");
    cr_expect_str_eq(s.cell[3].variant, "weighted=false, batch_size=16");
    suite_close(&s);
    folder_remove(&f);
}

Test(suite, rules_choose_and_adjust_cells)
{
    struct folder f = grid_folder();
    struct suite s =
        must_open(&f, "base: base.yaml\n"
                      "grid:\n"
                      "  peft: {lora: {peft.r: 2}, full: {peft.method: full}}\n"
                      "  federation.alpha: [0.1, 1, 10]\n"
                      "only:\n  - {federation.alpha: [0.1, 1]}\n  - {peft: lora}\n"
                      "exclude:\n  - {peft: lora, federation.alpha: 0.1}\n"
                      "adjust:\n"
                      "  - {when: {peft: full}, set: {local.lr: 0.01}}\n"
                      "  - {when: {peft: full, federation.alpha: 1}, set: {local: {lr: 0.02}}}\n");
    cr_assert_eq(s.n_cells, 4);
    cr_expect_eq(cell(&s, "peft=lora alpha=1")->spec.local.lr, 0.001);
    cr_expect_eq(cell(&s, "peft=lora alpha=10")->spec.peft.r, 2);
    cr_expect_eq(cell(&s, "peft=full alpha=0.1")->spec.local.lr, 0.01);
    cr_expect_eq(cell(&s, "peft=full alpha=1")->spec.local.lr, 0.02, "the later rule wins");
    suite_close(&s);
    folder_remove(&f);
}

Test(suite, a_centralised_run_does_not_depend_on_the_partition)
{
    struct folder f = grid_folder();
    struct suite s = must_open(&f, "base: base.yaml\n"
                                   "grid:\n"
                                   "  baseline: {federated: {}, centralized: {}, local: "
                                   "{clients: 3, epochs: 7, local.lr: 0.25}}\n"
                                   "  federation.alpha: [0.1, 1]\n");
    cr_assert_eq(s.n_cells, 5);
    cr_assert_eq(s.same, 1);
    const struct suite_cell *c = cell(&s, "baseline=centralized alpha=0.1");
    cr_expect_eq(c->baseline.kind, BASELINE_CENTRALIZED);
    cr_expect_eq(baseline_epochs(&c->baseline, &c->spec), 3, "15 rounds of 2 of 10 clients");
    const struct suite_cell *l = cell(&s, "baseline=local alpha=1");
    cr_expect_eq(l->baseline.clients, 3);
    cr_expect_eq(baseline_epochs(&l->baseline, &l->spec), 7);
    cr_expect_eq(l->spec.local.lr, 0.25);
    suite_close(&s);
    folder_remove(&f);
}

Test(suite, settings_of_an_optimiser_that_is_not_used_make_no_other_cell)
{
    struct folder f = grid_folder();
    struct suite s = must_open(&f, "base: base.yaml\n"
                                   "grid:\n"
                                   "  federation.optimizer: [fedavg, fedadam]\n"
                                   "  federation.server_lr: [0.01, 1]\n"
                                   "  federation.server_tau: [0.001, 0.1]\n");
    cr_expect_eq(s.n_cells, 1 + 4);
    cr_expect_eq(s.same, 3);
    suite_close(&s);
    folder_remove(&f);
}

Test(suite, identity_is_of_settings_and_content_not_of_names)
{
    static const char text[] = "base: base.yaml\ngrid: {federation.seed: [1]}\n";
    struct folder f = grid_folder();
    struct suite a = must_open(&f, text);
    struct suite b = must_open(&f, "base: base.yaml\n"
                                   "grid: {federation.seed: [1], federation.rounds: [15]}\n");
    cr_expect_str_eq(a.cell[0].id, b.cell[0].id, "the same setting from elsewhere");
    grid_write(&f, "base.yaml",
               "model: " FEDPET_TEST_DIR "/model/golden/bert\n"
               "task: {name: rte, data: data-b}\n"
               "federation: {clients: 10, per_round: 2, rounds: 15}\n");
    struct suite c = must_open(&f, text);
    cr_expect_str_neq(a.cell[0].id, c.cell[0].id, "other data");
    grid_write(&f, "data-b/train.tsv", "one\ntwo\nthree\n");
    struct suite d = must_open(&f, text);
    cr_expect_str_eq(a.cell[0].id, d.cell[0].id, "the same data in another folder");
    suite_close(&a);
    suite_close(&b);
    suite_close(&c);
    suite_close(&d);
    folder_remove(&f);
}

Test(suite, takes_the_base_inline)
{
    struct folder f = grid_folder();
    struct suite s =
        must_open(&f, "base:\n  model: " FEDPET_TEST_DIR "/model/golden/bert\n"
                      "  task: {name: rte, data: data-a}\n  peft: {targets: [query, key]}\n");
    cr_assert_eq(s.n_cells, 1, "no grid: one cell");
    cr_expect_eq(s.cell[0].spec.peft.targets, 1u << LIN_QUERY | 1u << LIN_KEY);
    suite_close(&s);
    folder_remove(&f);
}

Test(suite, says_what_is_wrong_and_where)
{
    static const struct {
        const char *text, *says;
        int code;
    } bad[] = {
        {"grid: {local.lr: [1]}\n", "base is missing", ERR_CONFIG},
        {"base: nowhere.yaml\n", "nowhere.yaml", ERR_IO},
        {"base: base.yaml\ngird: {}\n", "gird: unknown key", ERR_CONFIG},
        {"base: base.yaml\ngrid: {local.lr: 3}\n", "local.lr: an axis is a list", ERR_CONFIG},
        {"base: base.yaml\ngrid: {local.lr: [1, 1]}\n", "there twice", ERR_CONFIG},
        {"base: base.yaml\ngrid: {local.rl: [1]}\n", "cell rl=1: ", ERR_CONFIG},
        {"base: base.yaml\ngrid: {local.lr: [-1]}\n", "local.lr", ERR_CONFIG},
        {"base: base.yaml\ngrid: {federation.per_round: [11]}\n", "per_round", ERR_CONFIG},
        {"base: base.yaml\ngrid: {task.data: [gone]}\n", "task.data: gone", ERR_IO},
        {"base: base.yaml\ngrid: {baseline: [lonely]}\n", "a baseline is", ERR_CONFIG},
        {"base: base.yaml\ngrid: {local.lr: [1]}\nexclude: [{lr: 1}]\n", "no such axis",
         ERR_CONFIG},
        {"base: base.yaml\ngrid: {local.lr: [1]}\nexclude: [{local.lr: 2}]\n",
         "has no choice \"2\"", ERR_CONFIG},
        {"base: base.yaml\ngrid: {local.lr: [1]}\nexclude: [{local.lr: 1}]\n",
         "the rules leave no cell", ERR_CONFIG},
        {"base: base.yaml\ngrid: {local.lr: [1]}\nadjust: [{local.lr: 1}]\n", "an adjustment is",
         ERR_CONFIG},
        {"- a\n", "not a suite", ERR_CONFIG},
    };
    struct folder f = grid_folder();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct suite s;
        struct err e = {0};
        cr_expect_eq(grid_open(&s, &f, bad[i].text, &e), bad[i].code, "%s", bad[i].text);
        cr_expect(strstr(e.text, bad[i].says), "\"%s\" does not say \"%s\"", e.text, bad[i].says);
    }
    folder_remove(&f);
}
