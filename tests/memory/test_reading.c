/* What comes in from files and strangers, while memory runs out: frames, messages, configurations,
 * weights, tokenizers, data sets. */
#include "../proto/random_msg.h"
#include "../server/folder.h"
#include "base/conf.h"
#include "base/file.h"
#include "failing.h"
#include "model/model_dir.h"
#include "model/quantize.h"
#include "net/frame.h"
#include "text/dataset.h"

/* A file of the fuzzers' corpus: rich and small. */
static char *corpus(const char *name, size_t *len)
{
    char path[512], *text;
    struct err e = {0};
    snprintf(path, sizeof path, "%s/fuzz/corpus/%s", FEDPET_TEST_DIR, name);
    cr_assert_eq(file_read(path, 1 << 20, &text, len, &e), 0, "%s", e.text);
    return text;
}

static void put(const struct folder *f, const char *name, const char *text, size_t len)
{
    struct err e = {0};
    cr_assert_eq(file_write(folder_file(f, name), text, len, 0600, &e), 0, "%s", e.text);
}

/* --- frames and messages --- */

static size_t any(void *ctx, uint8_t type)
{
    (void)ctx, (void)type;
    return 1 << 20;
}

/* Sends a frame of some size to itself, in small pieces. */
static int frame_there_and_back(void *ctx, struct err *e)
{
    static const unsigned char body[5000] = {1, 2, 3};
    struct buf out, in;
    struct frame f;
    bool ready = false;
    (void)ctx;
    buf_init(&out, 1 << 16);
    buf_init(&in, 1 << 16);
    int rc = frame_begin(&out, 7, sizeof body);
    if (rc == 0)
        rc = buf_append(&out, body, sizeof body);
    for (size_t at = 0; rc == 0 && at < buf_size(&out); at += 8)
        rc = buf_append(&in, buf_bytes(&out) + at, 8);
    if (rc == 0)
        rc = frame_next(&in, any, NULL, &f, &ready, e);
    else
        err_set(e, rc, "no room for a frame");
    if (rc == 0)
        cr_assert(ready && f.len == sizeof body && memcmp(f.payload, body, f.len) == 0);
    buf_release(&in);
    buf_release(&out);
    return rc;
}

Test(memory, frames)
{
    failing_everywhere("a frame", frame_there_and_back, NULL);
}

static int encode(void *ctx, struct err *e)
{
    struct buf out;
    buf_init(&out, SIZE_MAX);
    int rc = msg_encode(ctx, &out);
    if (rc != 0)
        err_set(e, rc, "cannot encode");
    buf_release(&out);
    return rc;
}

struct encoded {
    enum msg_type type;
    struct buf bytes;
};

static int decode(void *ctx, struct err *e)
{
    const struct encoded *x = ctx;
    struct arena mem;
    struct msg m;
    arena_init(&mem, buf_size(&x->bytes) + MSG_SLACK);
    int rc = msg_decode(x->type, buf_bytes(&x->bytes), buf_size(&x->bytes), &mem, &m, e);
    arena_release(&mem);
    return rc;
}

Test(memory, messages_of_every_type)
{
    for (int type = 1; type < MSG_TYPES; type++) {
        struct maker maker;
        maker_init(&maker, 5);
        struct msg m = random_msg(&maker, (enum msg_type)type);
        struct encoded x = {.type = (enum msg_type)type};
        buf_init(&x.bytes, SIZE_MAX);
        cr_assert_eq(msg_encode(&m, &x.bytes), 0);
        if (buf_size(&x.bytes) > 0) {
            failing_everywhere(msg_type_name(x.type), encode, &m);
            failing_everywhere(msg_type_name(x.type), decode, &x);
        }
        buf_release(&x.bytes);
        arena_release(&maker.mem);
    }
}

/* --- configurations --- */

static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_MAPPING("task", CYAML_FLAG_OPTIONAL, struct run_spec, task, conf_task_fields),
    CYAML_FIELD_MAPPING("peft", CYAML_FLAG_OPTIONAL, struct run_spec, peft, conf_peft_fields),
    CYAML_FIELD_MAPPING("local", CYAML_FLAG_OPTIONAL, struct run_spec, local, conf_local_fields),
    CYAML_FIELD_MAPPING("federation", CYAML_FLAG_OPTIONAL, struct run_spec, federation,
                        conf_federation_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct run_spec, fields)};
static const struct conf_type type = {
    .schema = &schema, .defaults = CONF_RUN_DEFAULTS, .range = conf_run_ranges};

struct text {
    char *bytes;
    size_t len;
};

static int load_and_show(void *ctx, struct err *e)
{
    static char lr[] = "local.lr=0.25", name[] = "task.name=rte", *const set[] = {lr, name};
    const struct text *t = ctx;
    struct conf *c;
    FILE *nowhere = fopen("/dev/null", "w");
    cr_assert_not_null(nowhere);
    int rc = conf_load_text(&c, &type, "a.yaml", t->bytes, t->len, set, 2, e);
    if (rc == 0) {
        rc = conf_show(c, nowhere, e);
        conf_free(c);
    }
    fclose(nowhere);
    return rc;
}

static int help(void *ctx, struct err *e)
{
    FILE *nowhere = fopen("/dev/null", "w");
    (void)ctx;
    cr_assert_not_null(nowhere);
    int rc = conf_schema_help(&type, nowhere, e);
    fclose(nowhere);
    return rc;
}

Test(memory, configurations)
{
    struct text t;
    t.bytes = corpus("conf/full", &t.len);
    failing_everywhere("a configuration", load_and_show, &t);
    failing_everywhere("the list of keys", help, NULL);
    free(t.bytes);
}

/* --- models --- */

static int open_safetensors(void *path, struct err *e)
{
    struct safetensors st;
    int rc = safetensors_open(&st, path, e);
    if (rc == 0)
        safetensors_close(&st);
    return rc;
}

static int open_model(void *path, struct err *e)
{
    struct model *m;
    int rc = model_open(&m, path, e);
    if (rc == 0)
        model_close(m);
    return rc;
}

Test(memory, weights_and_models)
{
    static const char *const families[] = {"bert", "roberta", "distilbert"};
    for (int i = 0; i < 3; i++) {
        char dir[512], file[600];
        snprintf(dir, sizeof dir, "%s/model/golden/%s", FEDPET_TEST_DIR, families[i]);
        snprintf(file, sizeof file, "%s/model.safetensors", dir);
        failing_everywhere(file, open_safetensors, file);
        failing_everywhere(dir, open_model, dir);
    }
}

static int write_safetensors(void *path, struct err *e)
{
    static const float x[6] = {1, 2, 3, 4, 5, 6};
    static const struct st_out t[] = {{"b", DTYPE_F32, 1, {6}, x}, {"a", DTYPE_F16, 2, {2, 3}, x}};
    return safetensors_write(path, t, 2, e);
}

Test(memory, weights_that_are_written_are_there_or_not)
{
    struct folder f = folder_make();
    char path[256];
    snprintf(path, sizeof path, "%s", folder_file(&f, "x.safetensors"));
    failing_json(true);
    failing_everywhere("writing weights", write_safetensors, path);
    failing_json(false);
    cr_assert_eq(open_safetensors(path, NULL), 0);
    folder_remove(&f);
}

struct quantizing {
    struct model *m;
    const char *to;
};

static int quantize(void *ctx, struct err *e)
{
    const struct quantizing *q = ctx;
    return quantize_model(q->m, q->to, e);
}

Test(memory, a_model_in_int8_is_there_or_not)
{
    struct folder f = folder_make();
    char from[512], to[256];
    struct quantizing q = {.to = to};
    snprintf(from, sizeof from, "%s/model/golden/distilbert", FEDPET_TEST_DIR);
    snprintf(to, sizeof to, "%s", folder_file(&f, "int8"));
    cr_assert_eq(model_open(&q.m, from, NULL), 0);
    failing_everywhere("quantising", quantize, &q);
    failing_everywhere("a model in int8", open_model, to);
    model_close(q.m);
    model_dir_remove(to);
    folder_remove(&f);
}

/* --- text --- */

static int open_tokenizer(void *dir, struct err *e)
{
    static const char text[] = "Hello, w\xc3\xb6rld 123, the end of a longer sentence";
    struct tokenizer *t;
    struct encoding out = {0};
    int rc = tokenizer_open(&t, dir, e);
    if (rc != 0)
        return rc;
    rc = tokenizer_encode(t, text, sizeof text - 1, text, 5, 64, &out, e);
    encoding_release(&out);
    tokenizer_close(t);
    return rc;
}

Test(memory, tokenizers)
{
    static const char *const kinds[] = {"tokenizer/bpe", "tokenizer/wordpiece"};
    struct folder f = folder_make();
    for (int i = 0; i < 2; i++) {
        size_t len;
        char *json = corpus(kinds[i], &len);
        put(&f, "tokenizer.json", json, strnlen(json, len));
        failing_everywhere(kinds[i], open_tokenizer, f.path);
        free(json);
    }
    cr_assert_eq(remove(folder_file(&f, "tokenizer.json")), 0);
    static const char vocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nthe\n##s\n.\n";
    put(&f, "vocab.txt", vocab, sizeof vocab - 1);
    failing_everywhere("vocab.txt", open_tokenizer, f.path);
    folder_remove(&f);
}

struct reading {
    struct tokenizer *tokenizer;
    struct task_spec task;
};

static int open_dataset(void *ctx, struct err *e)
{
    const struct reading *r = ctx;
    struct dataset *d;
    int rc = dataset_open(&d, &r->task, SPLIT_TRAIN, r->tokenizer, 16, NULL, e);
    if (rc == 0)
        dataset_close(d);
    return rc;
}

/* Enough rows for tables to grow. */
static void put_rows(const struct folder *f, const char *name, const char *head, const char *row)
{
    FILE *out = fopen(folder_file(f, name), "w");
    cr_assert_not_null(out);
    fputs(head, out);
    for (int i = 0; i < 200; i++)
        fputs(row, out);
    cr_assert_eq(fclose(out), 0);
}

Test(memory, data_sets)
{
    static const char vocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nthe\n##s\n.\n";
    static char no[] = "no", yes[] = "yes", *labels[] = {no, yes};
    static char text[] = "text", label[] = "label";
    static const struct {
        const char *file, *head, *row, *task;
    } kind[] = {
        {"train.jsonl", "", "{\"text\": \"the a b\", \"label\": \"yes\"}\n", "text"},
        {"train.csv", "text,label\n", "\"the, a\",no\n", "text"},
        {"train.tsv", "sentence\tlabel\n", "the a b\t1\n", "sst2"},
        {"train.txt", "", "the O\na B-X\n\n", "conll"},
    };
    struct folder f = folder_make();
    struct err e = {0};
    put(&f, "vocab.txt", vocab, sizeof vocab - 1);
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        char name[16], path[256];
        struct reading r = {0};
        cr_assert_eq(tokenizer_open(&r.tokenizer, f.path, &e), 0, "%s", e.text);
        put_rows(&f, kind[i].file, kind[i].head, kind[i].row);
        snprintf(name, sizeof name, "%s", kind[i].task);
        snprintf(path, sizeof path, "%s", folder_file(&f, kind[i].file));
        r.task = (struct task_spec){.name = name, .data = i < 2 ? path : f.path};
        if (i < 2) {
            r.task.text = text;
            r.task.label = label;
            r.task.labels = labels;
            r.task.n_labels = 2;
        }
        failing_everywhere(kind[i].file, open_dataset, &r);
        tokenizer_close(r.tokenizer);
        cr_assert_eq(remove(path), 0);
    }
    folder_remove(&f);
}
