/* Real tokenizers on real data, where there are: the digest of all ids against the reference's
 * (tests/interop/tokenizer_golden.py). */
#include "base/hash.h"
#include "support.h"
#include "text/dataset.h"

static void digest(const struct dataset *d, char hex[HASH_HEX])
{
    struct hash_state memory, *state = hash_begin(&memory);

    for (size_t i = 0; i < d->n; i++)
        hash_feed(state, d->example[i].id, (size_t)d->example[i].n_tokens * sizeof(int32_t));
    struct hash h = hash_end(state);
    hash_hex(&h, hex);
}

static void check(const json_t *want, const struct tokenizer *t, const char *tokenizer, char *name,
                  char *data)
{
    static const char *const split_name[] = {[SPLIT_TRAIN] = "train", [SPLIT_DEV] = "dev"};
    const struct task_spec task = {.name = name, .data = data};

    for (int split = SPLIT_TRAIN; split <= SPLIT_DEV; split += SPLIT_DEV - SPLIT_TRAIN) {
        char key[128], got[HASH_HEX];
        struct dataset *d;
        struct err e = {0};
        snprintf(key, sizeof key, "%s %s %s", tokenizer, name, split_name[split]);
        cr_assert_eq(dataset_open(&d, &task, (enum split)split, t, 128, NULL, &e), 0, "%s", e.text);
        digest(d, got);
        cr_expect_str_eq(got, json_string_value(json_object_get(want, key)), "%s", key);
        dataset_close(d);
    }
}

static void check_tokenizer(const char *name)
{
    static char task[][8] = {"sst2", "mrpc", "rte"}, folder[][8] = {"SST-2", "MRPC", "RTE"};
    json_t *want = load_json(GOLDEN "shared.json");
    char relative[64], path[512];
    struct tokenizer *t;
    struct err e = {0};

    snprintf(relative, sizeof relative, "tokenizers/%s", name);
    if (!shared_path(relative, path))
        cr_skip("no %s: set FEDPET_SHARED", path);
    cr_assert_eq(tokenizer_open(&t, path, &e), 0, "%s", e.text);
    for (int i = 0; i < 3; i++) {
        snprintf(relative, sizeof relative, "data/glue/%s", folder[i]);
        if (!shared_path(relative, path))
            cr_skip("no %s: set FEDPET_SHARED", path);
        check(want, t, name, task[i], path);
    }
    tokenizer_close(t);
    json_decref(want);
}

Test(shared, bert_ids_of_glue_are_those_of_the_reference)
{
    check_tokenizer("bert-base-uncased");
}

Test(shared, roberta_ids_of_glue_are_those_of_the_reference)
{
    check_tokenizer("roberta-base");
}

static void check_size(const struct task_spec *task, enum split split, const struct tokenizer *t,
                       size_t n)
{
    struct dataset *d;
    struct err e = {0};

    if (n == 0)
        return;
    cr_assert_eq(dataset_open(&d, task, split, t, 16, NULL, &e), 0, "%s", e.text);
    cr_expect_eq(d->n, n, "%s: %zu", task->name, d->n);
    dataset_close(d);
}

/* The official files, whole and as FedPETuning cuts them: its table of sizes. */
Test(shared, every_official_file_has_its_rows)
{
    static const struct {
        char name[8];
        const char *folder;
        size_t whole, train, valid, dev; /* 0: the file is not there */
    } file[] = {
        {"rte", "RTE", 2490, 2241, 249, 277},      {"mrpc", "MRPC", 3668, 3301, 367, 408},
        {"sst2", "SST-2", 67349, 66675, 674, 872}, {"cola", "CoLA", 8551, 7695, 856, 1043},
        {"stsb", "STS-B", 5749, 5174, 575, 1500},  {"wnli", "WNLI", 635, 571, 64, 71},
        {"qnli", "QNLI", 0, 0, 0, 5463},
    };
    struct tokenizer *t = golden_tokenizer("wordpiece");
    char folder[64], data[512], name[8];

    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        snprintf(folder, sizeof folder, "data/glue/%s", file[i].folder);
        if (!shared_path(folder, data))
            cr_skip("no %s: set FEDPET_SHARED", data);
        memcpy(name, file[i].name, sizeof name);
        const struct task_spec official = {.name = name, .data = data},
                               paper = {.name = name, .data = data, .splits = SPLITS_PAPER};
        check_size(&official, SPLIT_TRAIN, t, file[i].whole);
        check_size(&paper, SPLIT_TRAIN, t, file[i].train);
        check_size(&paper, SPLIT_VALID, t, file[i].valid);
        check_size(&paper, SPLIT_DEV, t, file[i].dev);
    }
    tokenizer_close(t);
}
