/* Merged model directories: the same logits from a plain model, whole or not at all. */
#include "model/jsonfile.h"
#include "tests/model/int8.h"
#include "tests/peft/tuned.h"
#include "tests/peft/variants.h"
#include <math.h>
#include <sys/stat.h>

static char dir[] = "/tmp/fedpet-merge-XXXXXX";

static void make_dir(void)
{
    scratch_make(dir);
}

static void remove_dir(void)
{
    scratch_remove(dir);
}

TestSuite(merge, .init = make_dir, .fini = remove_dir);

static const char *const labels[] = {"no", "yes", "maybe"};
static const struct adapter_info info = {.labels = labels, .n_labels = 3};

static void start(struct tuned *t, const char *family, const struct variant *v, enum head_kind head)
{
    struct peft_spec spec = variant_spec(v);
    struct rng r = rng_stream(9, 0, 0, RNG_TEST);
    spec.dropout = 0;
    tuned_start_head(t, family, &spec, head, 3, 0);
    for (size_t k = 0; k < t->count; k++)
        t->theta[k] += (real)(0.1 * rng_normal(&r));
}

/* Logits of the merged directory, by a method that adds nothing, with the head that lies in it. */
static void merged_logits(const struct tuned *t, const char *path, enum head_kind head,
                          real *logits)
{
    static char method[] = "head";
    const struct peft_spec spec = {.method = method};
    const struct local_spec local = {.model_dropout = 0};
    struct tuned plain = *t;
    struct model *m;
    struct err e = {0};
    cr_assert_eq(model_open(&m, path, &e), 0, "%s", e.text);
    cr_expect_eq(m->cfg.num_labels, 3);
    cr_assert_eq(peft_open(&plain.peft, m, &spec, &local, head, 3, &e), 0, "%s", e.text);
    plain.count = peft_schema(plain.peft)->count;
    real *theta = calloc(plain.count, sizeof *theta);
    cr_assert_not_null(theta);
    peft_init(plain.peft, 1, theta);
    tuned_loss(&plain, &t->batch, theta, NULL, logits);
    free(theta);
    peft_close(plain.peft);
    model_close(m);
}

static void expect_same_logits(struct tuned *t, const char *path, enum head_kind head)
{
    size_t n = 3 * (size_t)(head == HEAD_TOKENS ? t->batch.tokens : t->batch.n);
    real *want = arena_calloc(&t->golden.mem, n, sizeof *want);
    real *got = arena_calloc(&t->golden.mem, n, sizeof *got);
    tuned_loss(t, &t->batch, t->theta, NULL, want);
    merged_logits(t, path, head, got);
    for (size_t k = 0; k < n; k++)
        cr_expect(fabs((double)(want[k] - got[k])) < 2e-5, "logit %zu: %g and %g", k,
                  (double)want[k], (double)got[k]);
}

Test(merge, a_merged_model_computes_what_the_tuned_one_did)
{
    int made = 0;
    for (int h = HEAD_SEQUENCE; h <= HEAD_TOKENS; h++)
        for (int i = 0; i < GOLDEN_FAMILIES; i++)
            for (size_t k = 0; k < VARIANTS; k++) {
                struct tuned t;
                struct err e = {0};
                char path[SCRATCH_PATH], name[32];
                start(&t, golden_families[i], &variants[k], (enum head_kind)h);
                snprintf(name, sizeof name, "deep/%d", made);
                scratch_path(path, dir, name);
                int rc = peft_save_merged(t.peft, t.theta, &info, path, &e);
                if (peft_can_merge(t.peft)) {
                    cr_assert_eq(rc, 0, "%s", e.text);
                    expect_same_logits(&t, path, (enum head_kind)h);
                    made++;
                } else {
                    cr_expect_eq(rc, ERR_CONFIG, "%s", variants[k].method);
                    cr_expect(strstr(e.text, "cannot be merged") != NULL, "%s", e.text);
                    cr_expect(!file_exists(path));
                }
                tuned_close(&t);
            }
    char deep[SCRATCH_PATH];
    scratch_path(deep, dir, "deep");
    cr_expect(made > 0);
    cr_expect_eq(scratch_entries(deep), made, "nothing else is left behind");
}

/* An int8 base: what is merged is dense, and its config.json says so. */
Test(merge, a_model_in_int8_is_merged_into_reals)
{
    for (int i = 0; i < GOLDEN_FAMILIES; i++) {
        struct tuned t;
        struct err e = {0};
        char int8[SCRATCH_PATH], path[SCRATCH_PATH], name[32];
        start(&t, golden_families[i], &variants[0], HEAD_SEQUENCE);
        scratch_path(int8, dir, golden_families[i]);
        snprintf(name, sizeof name, "merged-%s", golden_families[i]);
        scratch_path(path, dir, name);
        int8_make(t.golden.model->dir, int8);
        peft_close(t.peft);
        model_close(t.golden.model);
        t.golden.model = int8_open(int8);
        cr_assert_eq(peft_open(&t.peft, t.golden.model, &t.spec, &t.local, t.head, 3, &e), 0, "%s",
                     e.text);
        cr_assert_eq(peft_save_merged(t.peft, t.theta, &info, path, &e), 0, "%s", e.text);
        expect_same_logits(&t, path, HEAD_SEQUENCE);
        struct model *m = int8_open(path);
        cr_expect(!m->cfg.int8 && m->layer[0].lin[LIN_QUERY].W.as == STORED_REAL);
        model_close(m);
        tuned_close(&t);
    }
}

Test(merge, the_configuration_names_class_and_labels)
{
    struct tuned t;
    struct err e = {0};
    char path[SCRATCH_PATH], config[SCRATCH_PATH];
    start(&t, "roberta", &variants[0], HEAD_TOKENS);
    scratch_path(path, dir, "new/");
    cr_assert_eq(peft_save_merged(t.peft, t.theta, &info, path, &e), 0, "%s", e.text);
    scratch_path(config, path, "config.json");
    json_t *json = json_load_file(config, 0, NULL);
    const json_t *class = json_array_get(json_object_get(json, "architectures"), 0);
    const json_t *second = json_object_get(json_object_get(json, "id2label"), "1");
    const json_t *maybe = json_object_get(json_object_get(json, "label2id"), "maybe");
    cr_expect_str_eq(json_string_value(class), "RobertaForTokenClassification");
    cr_expect_str_eq(json_string_value(second), "yes");
    cr_expect_eq(json_integer_value(maybe), 2);
    json_decref(json);
    tuned_close(&t);
}

Test(merge, a_folder_that_exists_stays_as_it_is)
{
    struct tuned t;
    struct err e = {0};
    start(&t, "bert", &variants[0], HEAD_SEQUENCE);
    cr_expect_eq(peft_save_merged(t.peft, t.theta, &info, dir, &e), ERR_IO);
    cr_expect(strstr(e.text, "exists already") != NULL, "%s", e.text);
    cr_expect_eq(scratch_entries(dir), 0);
    cr_expect_eq(peft_save_merged(t.peft, t.theta, &info, "", &e), ERR_IO);
    cr_expect(strstr(e.text, "must have a name") != NULL, "%s", e.text);
    tuned_close(&t);
}

Test(merge, a_failure_leaves_nothing)
{
    struct tuned t;
    struct err e = {0};
    char path[SCRATCH_PATH], base[] = "/nowhere/at/all";
    start(&t, "bert", &variants[0], HEAD_SEQUENCE);
    struct model *m = (struct model *)t.golden.model;
    char *real_dir = m->dir;
    m->dir = base; /* its config.json is read after the weights have been written */
    scratch_path(path, dir, "new");
    cr_expect_eq(peft_save_merged(t.peft, t.theta, &info, path, &e), ERR_IO);
    cr_expect_eq(scratch_entries(dir), 0);
    m->dir = real_dir;
    tuned_close(&t);
}
