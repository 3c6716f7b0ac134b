/* The data set of package descriptions: what is in it, who has it, and that it trains. */
#include "debian.h"
#include "sim/apt_lists.h"
#include "sim/partition.h"
#include "sim/prepare_debian.h"
#include "text/bpe_train.h"
#include <jansson.h>

enum { MAX_ROWS = 2000 };

struct rows {
    json_t *row[MAX_ROWS];
    size_t n;
};

static struct rows rows_read(const struct folder *f, const char *name)
{
    struct rows r = {0};
    struct err e = {0};
    char *text, *end;
    cr_assert_eq(file_read(folder_file(f, name), 1 << 24, &text, NULL, &e), 0, "%s", e.text);
    for (char *line = text; *line; line = end + 1) {
        end = strchr(line, '\n');
        cr_assert_not_null(end);
        cr_assert_lt(r.n, MAX_ROWS);
        r.row[r.n] = json_loadb(line, (size_t)(end - line), 0, NULL);
        cr_assert_not_null(r.row[r.n++]);
    }
    free(text);
    return r;
}

static void rows_release(struct rows *r)
{
    while (r->n)
        json_decref(r->row[--r->n]);
}

static const char *field(const json_t *row, const char *key)
{
    const char *value = json_string_value(json_object_get(row, key));
    cr_assert_not_null(value, "no %s", key);
    return value;
}

static size_t count_label(const struct rows *r, const char *label)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++)
        n += strcmp(field(r->row[i], "label"), label) == 0;
    return n;
}

/* The made-up list in f/list, prepared into f/OUT. */
static struct prepare_spec spec_for(const struct folder *f, const char *out)
{
    static char lists[128], dir[2][128];
    static unsigned turn;
    char *to = dir[turn++ % 2];
    snprintf(lists, sizeof lists, "%s/list", f->path);
    snprintf(to, sizeof dir[0], "%s/%s", f->path, out);
    return (struct prepare_spec){.lists = lists,
                                 .out = to,
                                 .model = "some model",
                                 .classes = DEBIAN_SECTIONS,
                                 .clients = 5,
                                 .per_class = 70,
                                 .test_share = 0.2,
                                 .seed = 1};
}

static struct folder made_up(void)
{
    struct folder f = folder_make();
    struct debian_text *list = debian_list();
    debian_write(&f, "list", list->bytes);
    free(list);
    return f;
}

static struct prepare_counts must_prepare(const struct prepare_spec *spec)
{
    struct prepare_counts n;
    struct err e = {0};
    cr_assert_eq(prepare_debian(spec, &n, &e), 0, "%s", e.text);
    return n;
}

Test(prepare, classes_are_full_and_split)
{
    struct folder f = made_up();
    struct prepare_spec spec = spec_for(&f, "out");
    struct prepare_counts n = must_prepare(&spec);
    struct rows train = rows_read(&f, "out/train.jsonl"), test = rows_read(&f, "out/test.jsonl");
    cr_expect_eq(n.train, train.n);
    cr_expect_eq(n.test, test.n);
    for (int k = 0; k < DEBIAN_SECTIONS; k++) {
        size_t a = count_label(&train, debian_section[k]),
               b = count_label(&test, debian_section[k]);
        cr_expect_eq(a + b, 70, "%s", debian_section[k]);
        cr_expect(b == 14 || b == 15, "%s: %zu to test", debian_section[k], b);
    }
    char *labels;
    struct err e;
    cr_assert_eq(file_read(folder_file(&f, "out/labels.txt"), 1000, &labels, NULL, &e), 0);
    cr_expect_str_eq(labels, "games\nmail\nscience\nx11\n");
    free(labels);
    rows_release(&train);
    rows_release(&test);
    folder_remove(&f);
}

/* A package is its source, perhaps with "-extra". */
static bool same_source(const json_t *a, const json_t *b)
{
    const char *x = field(a, "package"), *y = field(b, "package");
    return strcspn(x, "-") == strcspn(y, "-") && strncmp(x, y, strcspn(x, "-")) == 0;
}

Test(prepare, no_source_is_on_both_sides_and_no_text_is_there_twice)
{
    struct folder f = made_up();
    struct prepare_spec spec = spec_for(&f, "out");
    spec.per_class = 1000;
    must_prepare(&spec);
    struct rows train = rows_read(&f, "out/train.jsonl"), test = rows_read(&f, "out/test.jsonl");
    cr_assert_eq(train.n + test.n, 4 * DEBIAN_SOURCES * 3 / 2 + 1, "%zu", train.n + test.n);
    for (size_t i = 0; i < test.n; i++)
        for (size_t k = 0; k < train.n; k++) {
            cr_assert_not(same_source(test.row[i], train.row[k]), "%s",
                          field(test.row[i], "package"));
            cr_assert_str_neq(field(test.row[i], "text"), field(train.row[k], "text"));
        }
    for (size_t i = 0; i < train.n; i++) {
        const char *name = field(train.row[i], "package"), *text = field(train.row[i], "text");
        cr_expect_null(strstr(text, "thing"), "%s", text);
        cr_expect(strncmp(name, "thing", 5) == 0 || strcmp(name, "copy-one") == 0, "%s", name);
    }
    rows_release(&train);
    rows_release(&test);
    folder_remove(&f);
}

/* Rows of train that a client has, in order. */
static void check_client(const struct folder *f, const struct rows *train, const char *client)
{
    char name[128];
    snprintf(name, sizeof name, "out/clients/%s.jsonl", client);
    struct rows own = rows_read(f, name);
    size_t at = 0;
    for (size_t i = 0; i < train->n; i++)
        if (strcmp(field(train->row[i], "owner"), client) == 0) {
            cr_assert_lt(at, own.n);
            cr_expect(json_equal(train->row[i], own.row[at++]));
        }
    cr_expect_eq(at, own.n);
    cr_expect_gt(own.n, 0);
    rows_release(&own);
}

Test(prepare, clients_share_train_by_owner)
{
    for (int drop = 0; drop < 2; drop++) {
        struct folder f = made_up();
        struct prepare_spec spec = spec_for(&f, "out");
        spec.drop_rest = drop;
        struct prepare_counts n = must_prepare(&spec);
        struct rows train = rows_read(&f, "out/train.jsonl");
        cr_expect_eq(n.clients, 5);
        cr_expect_eq(n.maintainers, drop ? 5 : 12);
        cr_expect(drop ? train.n < 200 : train.n > 200, "%zu", train.n);
        json_t *summary = json_load_file(folder_file(&f, "out/summary.json"), 0, NULL);
        const json_t *clients = json_object_get(summary, "clients");
        cr_assert_eq(json_array_size(clients), 5);
        for (size_t k = 0; k < 5; k++) {
            const char *name = field(json_array_get(clients, k), "client");
            cr_expect_eq(strncmp(name, "team-", 5), 0, "%s", name);
            check_client(&f, &train, name);
        }
        cr_expect(5 * n.smallest <= train.n && 5 * n.largest >= train.n);
        json_decref(summary);
        rows_release(&train);
        folder_remove(&f);
    }
}

static void expect_same_file(const struct folder *f, const char *a, const char *b, bool same)
{
    char *x, *y;
    struct err e;
    cr_assert_eq(file_read(folder_file(f, a), 1 << 24, &x, NULL, &e), 0);
    cr_assert_eq(file_read(folder_file(f, b), 1 << 24, &y, NULL, &e), 0);
    cr_expect_eq(strcmp(x, y) == 0, same, "%s", a);
    free(x);
    free(y);
}

Test(prepare, the_seed_decides)
{
    struct folder f = made_up();
    struct prepare_spec spec = spec_for(&f, "a");
    must_prepare(&spec);
    spec = spec_for(&f, "b");
    must_prepare(&spec);
    expect_same_file(&f, "a/train.jsonl", "b/train.jsonl", true);
    expect_same_file(&f, "a/test.jsonl", "b/test.jsonl", true);
    expect_same_file(&f, "a/summary.json", "b/summary.json", true);
    spec = spec_for(&f, "c");
    spec.seed = 2;
    must_prepare(&spec);
    expect_same_file(&f, "a/test.jsonl", "c/test.jsonl", false);
    folder_remove(&f);
}

static void expect_refusal(const struct prepare_spec *spec, int code, const char *says)
{
    struct prepare_counts n;
    struct err e = {0};
    cr_expect_eq(prepare_debian(spec, &n, &e), code, "%s", says);
    cr_expect_not_null(strstr(e.text, says), "\"%s\" does not say \"%s\"", e.text, says);
}

Test(prepare, refuses_what_cannot_be)
{
    struct folder f = made_up();
    const struct prepare_spec good = spec_for(&f, "out");
    struct prepare_spec s = good;
    s.classes = 1;
    expect_refusal(&s, ERR_USAGE, "classes");
    s.classes = 5; /* libs are no class */
    expect_refusal(&s, ERR_DATA, "4 sections have the 20 packages that a class needs, not 5");
    s = good;
    s.clients = 0;
    expect_refusal(&s, ERR_USAGE, "clients");
    s = good;
    s.per_class = PREPARE_MIN_CLASS - 1;
    expect_refusal(&s, ERR_USAGE, "at least 20");
    s = good;
    s.test_share = 1;
    expect_refusal(&s, ERR_USAGE, "test");
    s = good;
    s.lists = "/nonexistent";
    expect_refusal(&s, ERR_IO, "/nonexistent");
    cr_expect_not(file_exists(good.out), "nothing is written before everything is known");
    must_prepare(&good);
    expect_refusal(&good, ERR_STATE, "exists already");
    folder_remove(&f);
}

Test(prepare, a_class_needs_texts_of_its_own)
{
    struct folder f = folder_make();
    struct debian_text *t = calloc(1, sizeof *t);
    for (int i = 0; i < 40; i++) {
        char name[32], text[64];
        snprintf(name, sizeof name, "p%c%c", 'a' + i / 10, 'a' + i % 10);
        snprintf(text, sizeof text, "text of kind %c%c", 'a' + i / 10, 'a' + i % 10);
        debian_package(t, name, name, "M", i % 2 ? "web" : "net", i % 2 ? "all the same" : text);
    }
    debian_write(&f, "list", t->bytes);
    free(t);
    struct prepare_spec spec = spec_for(&f, "out");
    spec.classes = 2;
    expect_refusal(&spec, ERR_DATA, "section web has only 1 packages");
    folder_remove(&f);
}

/* ---- What it is for: the folder is a task, and its owners are the clients ---- */

static struct tokenizer *train_tokenizer(const struct folder *f)
{
    const struct bpe_train_spec spec = {.vocab_size = 500, .min_frequency = 2};
    struct rows train = rows_read(f, "out/train.jsonl");
    struct bpe_trained trained;
    struct bpe_train *t;
    struct tokenizer *tok = NULL;
    struct err e = {0};
    cr_assert_eq(bpe_train_open(&t, &spec, &e), 0);
    for (size_t i = 0; i < train.n; i++) {
        const char *text = field(train.row[i], "text");
        cr_assert_eq(bpe_train_add(t, text, strlen(text), &e), 0);
    }
    cr_assert_eq(bpe_train_run(t, &trained, &e), 0);
    cr_assert_eq(bpe_train_write(&spec, &trained, 64, folder_file(f, "model"), &e), 0);
    bpe_train_close(t);
    rows_release(&train);
    cr_assert_eq(tokenizer_open(&tok, folder_file(f, "model"), &e), 0, "%s", e.text);
    return tok;
}

Test(prepare, the_folder_is_a_task_whose_owners_are_clients)
{
    struct folder f = made_up();
    struct prepare_spec spec = spec_for(&f, "out");
    struct prepare_counts n = must_prepare(&spec);
    struct tokenizer *tok = train_tokenizer(&f);
    char name[] = "text", text[] = "text", label[] = "label";
    const struct task_spec task = {.name = name,
                                   .data = (char *)spec.out,
                                   .text = text,
                                   .label = label,
                                   .labels = (char **)debian_section,
                                   .n_labels = DEBIAN_SECTIONS};
    struct dataset *train = NULL, *dev = NULL;
    struct partition p;
    struct err e = {0};
    cr_assert_eq(dataset_open(&train, &task, SPLIT_TRAIN, tok, 64, "owner", &e), 0, "%s", e.text);
    cr_assert_eq(dataset_open(&dev, &task, SPLIT_DEV, tok, 64, NULL, &e), 0, "%s", e.text);
    cr_expect_eq(train->n, n.train);
    cr_expect_eq(dev->n, n.test);
    const struct federation_spec by_owner = {.clients = (uint32_t)n.clients,
                                             .partition = PARTITION_COLUMN};
    cr_assert_eq(partition_open(&p, train, &by_owner, &e), 0, "%s", e.text);
    size_t smallest = train->n, largest = 0;
    for (uint32_t k = 0; k < p.clients; k++) {
        size_t size = p.off[k + 1] - p.off[k];
        smallest = size < smallest ? size : smallest;
        largest = size > largest ? size : largest;
        for (size_t i = p.off[k]; i < p.off[k + 1]; i++)
            cr_expect_str_eq(train->example[p.index[i]].owner,
                             train->example[p.index[p.off[k]]].owner);
    }
    cr_expect_eq(smallest, n.smallest);
    cr_expect_eq(largest, n.largest);
    partition_close(&p);
    dataset_close(train);
    dataset_close(dev);
    tokenizer_close(tok);
    folder_remove(&f);
}

Test(prepare, from_the_lists_of_this_machine)
{
    struct folder f = folder_make();
    struct prepare_spec spec = spec_for(&f, "out");
    struct apt_lists lists;
    struct prepare_counts n;
    struct err e = {0};
    spec.lists = APT_LISTS_DIR;
    spec.classes = 10;
    spec.per_class = 200;
    int rc = apt_lists_read(&lists, APT_LISTS_DIR, &e);
    if (rc) {
        folder_remove(&f);
        cr_skip("no package lists here: %s", e.text);
    }
    apt_lists_release(&lists);
    rc = prepare_debian(&spec, &n, &e);
    if (rc == ERR_DATA && strstr(e.text, "class")) {
        folder_remove(&f);
        cr_skip("too few packages here: %s", e.text);
    }
    cr_assert_eq(rc, 0, "%s", e.text);
    cr_expect_eq(n.classes, 10);
    cr_expect_leq(n.train + n.test, 2000);
    cr_expect_eq(n.clients, 5);
    folder_remove(&f);
}
