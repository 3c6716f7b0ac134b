#include "base/conf.h"
#include "base/file.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* A program's configuration with one of everything, around the four parts of a run. */
struct peer {
    char *host;
    uint16_t port;
};

struct top {
    struct run_spec run;
    char *model;
    int32_t offset;
    float scale;
    uint32_t n_peers;
    struct peer *peers;
    double range[2];
    uint64_t space;
};

static const cyaml_schema_field_t peer_fields[] = {
    CYAML_FIELD_STRING_PTR("host", CYAML_FLAG_POINTER, struct peer, host, 1, 255),
    CYAML_FIELD_UINT("port", CYAML_FLAG_DEFAULT, struct peer, port),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t peer_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct peer, peer_fields)};
static const cyaml_schema_value_t number_schema = {CYAML_VALUE_FLOAT(CYAML_FLAG_DEFAULT, double)};

#define PART(name)                                                                                 \
    CYAML_FIELD_MAPPING(#name, CYAML_FLAG_OPTIONAL, struct top, run.name, conf_##name##_fields)

static const cyaml_schema_field_t top_fields[] = {
    CYAML_FIELD_STRING_PTR("model", CYAML_FLAG_POINTER, struct top, model, 1, 4096),
    CYAML_FIELD_INT("offset", CYAML_FLAG_OPTIONAL, struct top, offset),
    CYAML_FIELD_FLOAT("scale", CYAML_FLAG_OPTIONAL, struct top, scale),
    CYAML_FIELD_SEQUENCE_COUNT("peers", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct top, peers,
                               n_peers, &peer_schema, 0, 3),
    CYAML_FIELD_SEQUENCE_FIXED("range", CYAML_FLAG_OPTIONAL, struct top, range, &number_schema, 2),
    CYAML_FIELD_UINT("space", CYAML_FLAG_OPTIONAL, struct top, space),
    PART(task),
    PART(peft),
    PART(local),
    PART(federation),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t top_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct top, top_fields)};
static const struct conf_range top_ranges[] = {CONF_RUN_RANGES{"offset", -5, 5}, {0}};
static const char *const top_sizes[] = {"space", NULL};
static const struct conf_type type = {
    .schema = &top_schema,
    .defaults = CONF_RUN_DEFAULTS "offset: 1\nscale: 0.5\nrange: [0, 1]\nspace: 1G\n",
    .range = top_ranges,
    .sizes = top_sizes,
};

static char a_model[] = "model=m";

/* `set`: NULL or overrides that end with NULL. Every load here has a model, which is required. */
static int load_code(struct conf **c, const char *text, const char *const *set, struct err *e)
{
    char *all[16] = {a_model};
    size_t n = 1;

    while (set && set[n - 1]) {
        all[n] = (char *)(uintptr_t)set[n - 1];
        n++;
    }
    return conf_load_text(c, &type, "exp.yaml", text, text ? strlen(text) : 0, all, n, e);
}

static struct conf *load(const char *text, const char *const *set)
{
    struct conf *c = NULL;
    struct err e = {0};

    cr_assert_eq(load_code(&c, text, set, &e), 0, "%s", e.text);
    return c;
}

static const struct run_spec *run_of(struct conf *c)
{
    return &((struct top *)conf_data(c))->run;
}

static char *shown(const struct conf *c)
{
    struct err e = {0};
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    cr_assert_eq(conf_show(c, out, &e), 0, "%s", e.text);
    fclose(out);
    return text;
}

Test(conf, defaults_are_those_of_the_documentation)
{
    struct conf *c = load(NULL, NULL);
    const struct run_spec *r = run_of(c);

    cr_assert_str_eq(r->peft.method, "lora");
    cr_assert(r->peft.r == 8 && r->peft.alpha == 8 && r->peft.dropout == 0 && !r->peft.rslora);
    cr_assert_eq(r->peft.targets, 1u << LIN_QUERY | 1u << LIN_VALUE);
    cr_assert(r->local.epochs == 1 && r->local.steps == 0 && r->local.batch_size == 32);
    cr_assert(r->local.accumulate == 1 && r->local.max_length == 128);
    cr_assert(r->local.optimizer == OPTIMIZER_ADAMW && r->local.schedule == SCHEDULE_LINEAR);
    cr_assert(r->local.lr == 1e-3 && r->local.weight_decay == 0 && r->local.beta1 == 0.9);
    cr_assert(r->local.beta2 == 0.999 && r->local.eps == 1e-8 && r->local.warmup == 0);
    cr_assert(r->local.max_grad_norm == 1 && r->local.model_dropout == -1);
    cr_assert(r->federation.clients == 100 && r->federation.per_round == 10);
    cr_assert(r->federation.quorum == 0 && r->federation.rounds == 20);
    cr_assert(r->federation.deadline_s == 600 && r->federation.alpha == 1);
    cr_assert_eq(r->federation.partition, PARTITION_DIRICHLET);
    cr_assert(r->federation.weighted && r->federation.seed == 42 && !r->federation.column);
    cr_assert(!r->task.name && !r->task.labels && r->task.n_labels == 0);
    conf_free(c);
    conf_free(NULL);
}

Test(conf, an_experiment_file_in_the_documented_shape)
{
    struct conf *c =
        load("task: {name: mrpc, data: data/glue/MRPC}\n"
             "peft: {method: lora, r: 4, alpha: 16, rslora: true,\n"
             "       targets: [query, key, value, attention_output, intermediate, output]}\n"
             "federation: {clients: 10, per_round: 2, partition: column, column: author,\n"
             "             weighted: false, seed: 18446744073709551615}\n"
             "local:\n"
             "  optimizer: adamw_hf\n"
             "  schedule: constant\n"
             "  lr: 5e-4\n",
             NULL);
    const struct run_spec *r = run_of(c);

    cr_assert_str_eq(r->task.name, "mrpc");
    cr_assert_str_eq(r->task.data, "data/glue/MRPC");
    cr_assert(r->peft.r == 4 && r->peft.alpha == 16 && r->peft.rslora);
    cr_assert_eq(r->peft.targets, (1u << LIN_SITES) - 1);
    cr_assert(r->federation.clients == 10 && r->federation.partition == PARTITION_COLUMN);
    cr_assert_str_eq(r->federation.column, "author");
    cr_assert(!r->federation.weighted && r->federation.seed == UINT64_MAX);
    cr_assert(r->local.optimizer == OPTIMIZER_ADAMW_HF && r->local.schedule == SCHEDULE_CONSTANT);
    cr_assert(r->local.lr == 5e-4 && r->local.batch_size == 32);
    conf_free(c);
}

Test(conf, set_is_over_file_is_over_default)
{
    const char *set[] = {"local.lr=0.25", "peft={r: 2, alpha: 3}", "peft.r=5", NULL};
    struct conf *c = load("local: {lr: 0.5, epochs: 7}\npeft: {dropout: 0.5}\n", set);
    const struct run_spec *r = run_of(c);

    cr_assert(r->local.lr == 0.25 && r->local.epochs == 7 && r->local.batch_size == 32);
    cr_assert(r->peft.r == 5 && r->peft.alpha == 3 && r->peft.dropout == 0.5);
    conf_free(c);
}

Test(conf, overrides_of_lists_and_texts)
{
    const char *set[] = {"peft.targets=[query,key]",
                         "task.labels=[no, \"null\", a b]",
                         "task.text=[::1]:70 # \"x\"",
                         "task.name=mrpc",
                         "task.name=",
                         NULL};
    struct conf *c = load("task: {metric: f1}\n", set);
    const struct run_spec *r = run_of(c);

    cr_assert_eq(r->peft.targets, 1u << LIN_QUERY | 1u << LIN_KEY);
    cr_assert_eq(r->task.n_labels, 3);
    cr_assert_str_eq(r->task.labels[0], "no");
    cr_assert_str_eq(r->task.labels[1], "null");
    cr_assert_str_eq(r->task.labels[2], "a b");
    cr_assert_str_eq(r->task.text, "[::1]:70 # \"x\"");
    cr_assert_null(r->task.name);
    cr_assert_str_eq(r->task.metric, "f1");
    conf_free(c);
    c = load(NULL, (const char *[]){"peft.targets=output", NULL});
    cr_assert_eq(run_of(c)->peft.targets, 1u << LIN_OUTPUT, "a single value is a list of one");
    conf_free(c);
    c = load(NULL, (const char *[]){"peft.targets=[]", NULL});
    cr_assert_eq(run_of(c)->peft.targets, 0);
    conf_free(c);
}

Test(conf, sizes_have_units_and_are_shown_as_written)
{
    static const struct {
        const char *text, *line;
        uint64_t bytes;
    } row[] = {
        {"", "space: 1G ", 1ULL << 30},
        {"space: 512M\n", "space: 512M ", 512ULL << 20},
        {"space: \"512M\"\n", "space: 512M ", 512ULL << 20},
        {"space: 1000\n", "space: 1000 ", 1000},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct conf *c = load(row[i].text, NULL);
        char *text = shown(c);

        cr_assert_eq(((struct top *)conf_data(c))->space, row[i].bytes);
        cr_assert(strstr(text, row[i].line), "%s", text);
        free(text);
        conf_free(c);
    }
}

Test(conf, lists_of_sections_and_fixed_lists)
{
    struct conf *c =
        load("peers:\n- {host: a, port: 1}\n- {host: b, port: 65535}\nrange: [-1, 2.5]\n"
             "scale: -2\noffset: -5\n",
             NULL);
    const struct top *t = conf_data(c);

    cr_assert(t->n_peers == 2 && t->peers[1].port == 65535);
    cr_assert_str_eq(t->peers[0].host, "a");
    cr_assert(t->range[0] == -1 && t->range[1] == 2.5 && t->scale == -2 && t->offset == -5);
    conf_free(c);
}

Test(conf, empty_sections_keep_their_defaults)
{
    static const char *const text[] = {"",   "# nothing\n", "---\n", "peft:\nlocal:\n",
                                       "{}", "task:\n"};

    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        struct conf *c = load(text[i], NULL);

        cr_assert(run_of(c)->peft.r == 8 && run_of(c)->local.lr == 1e-3);
        conf_free(c);
    }
}

/* Each way to be wrong, and the part of the message that says where, which key, and what is
 * accepted. */
static const struct {
    const char *text, *want;
} wrong[] = {
    {"local:\n  lrr: 1\n", "exp.yaml:2: unknown key local.lrr; did you mean local.lr?"},
    {"peft: {targets: [query]}\nlr: 1\n", "exp.yaml:2: unknown key lr; did you mean local.lr?"},
    {"locl: {lr: 1}\n", "exp.yaml:1: unknown key locl; did you mean local?"},
    {"peft: {zzzzzz: 1}\n",
     "exp.yaml:1: unknown key peft.zzzzzz; peft has the keys method, norms, r, alpha, dropout, "
     "rslora, targets, bottleneck, placement, activation, scaling, length, hidden, shift, biases"},
    {"peft: {r: 0}\n", "exp.yaml:1: peft.r is 0; it must be a whole number from 1 to 1024"},
    {"peft: {r: 1025}\n", "it must be a whole number from 1 to 1024"},
    {"peft: {r: 8.5}\n", "peft.r is 8.5; it must be a whole number"},
    {"peft: {r: -1}\n", "it must be a whole number"},
    {"peft: {r: 010}\n", "it must be a whole number"},
    {"peft: {r: 0x10}\n", "it must be a whole number"},
    {"peft: {r: }\n", "peft.r is null; it must be a whole number"},
    {"peft: {r: [8]}\n", "peft.r is [8]; it must be a whole number"},
    {"peft: {rslora: yes}\n", "peft.rslora is yes; it must be true or false"},
    {"peft: {rslora: 1}\n", "it must be true or false"},
    {"peft: {targets: [query, kee]}\n",
     "peft.targets[1] is kee; it must be one of query, key, value, "
     "attention_output, intermediate, output"},
    {"peft: {targets: [[query]]}\n", "peft.targets[0] is [query]; it must be one of query"},
    {"peft: {targets: {query: 1}}\n", "it must be a list of any of query"},
    {"peft: {targets: [~]}\n", "peft.targets[0] is null"},
    {"local: {optimizer: adam}\n",
     "local.optimizer is adam; it must be one of adamw, adamw_hf, sgd"},
    {"local: {optimizer: 1}\n", "it must be one of adamw, adamw_hf, sgd"},
    {"local: {lr: fast}\n", "local.lr is fast; it must be a number from 0 to 1000"},
    {"local: {lr: nan}\n", "it must be a number"},
    {"local: {lr: inf}\n", "it must be a number"},
    {"local: {lr: 0x1p3}\n", "it must be a number"},
    {"local: {lr: 1.0.0}\n", "it must be a number"},
    {"local: {lr: 1e999}\n", "it must be a number"},
    {"local: {beta1: 1}\n", "local.beta1 is 1; it must be a number from 0 to 0.999999"},
    {"local: 3\n", "exp.yaml:1: local is 3; it must be a section of keys"},
    {"local: [3]\n", "it must be a section of keys"},
    {"federation: {seed: 18446744073709551616}\n",
     "it must be a whole number from 0 to 18446744073709551615"},
    {"federation: {seed: -1}\n", "it must be a whole number"},
    {"offset: 6\n", "offset is 6; it must be a whole number from -5 to 5"},
    {"offset: 99999999999\n", "it must be a whole number from -5 to 5"},
    {"offset: --1\n", "it must be a whole number"},
    {"scale: 1e300\n", "scale is 1e300; it must be a number"},
    {"model: \"\"\n", "exp.yaml:1: model is \"\"; it must be a text of 1 to 4096 bytes"},
    {"peers: [{host: a, port: 65536}]\n",
     "peers[0].port is 65536; it must be a whole number from 0 to 65535"},
    {"peers: [{host: a}]\n", "peers[0].port is missing"},
    {"peers: [{host: a, port: 1, prt: 2}]\n", "unknown key peers[0].prt"},
    {"peers: [a, b]\n", "peers[0] is a; it must be a section of keys"},
    {"peers: [{host: a, port: 1}, {host: a, port: 1}, {host: a, port: 1}, {host: a, port: "
     "1}]\n",
     "it must be a list of 0 to 3 values"},
    {"range: [1]\n", "range is [1]; it must be a list of 2 to 2 values"},
    {"space: 5 MB\n", "exp.yaml:1: space is \"5 MB\"; it must be a size of 16T at most: 512M, 2G, "
                      "or a number of bytes"},
    {"space: -1\n", "space is -1; it must be a size"},
    {"space: [1]\n", "space is [1]; it must be a size"},
    {"space:\n", "space is null; it must be a size"},
    {"task: {labels: [a]}\n", "it must be a list of 2 to 4096 values"},
    {"- a\n", "exp.yaml: a configuration is a section of keys"},
    {"just text\n", "exp.yaml: a configuration is a section of keys"},
    {"local: {lr: 1, lr: 2}\n", "a key that occurs twice"},
    {"local: {lr: 1\n", "exp.yaml:2"},
};

Test(conf, messages_say_where_and_what_is_accepted)
{
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct conf *c = NULL;
        struct err e = {0};
        char *set = a_model;
        /* The file's own model must be seen, so no override here when it has one. */
        size_t n = strncmp(wrong[i].text, "model", 5) != 0;

        int rc = conf_load_text(&c, &type, "exp.yaml", wrong[i].text, strlen(wrong[i].text), &set,
                                n, &e);
        cr_assert_eq(rc, ERR_CONFIG, "%s", wrong[i].text);
        cr_assert(strstr(e.text, wrong[i].want), "%s-> %s\nnot %s", wrong[i].text, e.text,
                  wrong[i].want);
        cr_assert_null(c, "the output is untouched");
    }
}

Test(conf, messages_about_overrides)
{
    static const struct {
        const char *set;
        int code;
        const char *want;
    } kase[] = {
        {"local.lr", ERR_USAGE, "--set local.lr: write it as KEY=VALUE"},
        {"=1", ERR_USAGE, "KEY=VALUE"},
        {"", ERR_USAGE, "KEY=VALUE"},
        {"local.lrr=1", ERR_CONFIG, "--set: unknown key local.lrr; did you mean local.lr?"},
        {"seed=1", ERR_CONFIG, "did you mean federation.seed?"},
        {"local.lr.x=1", ERR_CONFIG, "--set: unknown key local.lr.x"},
        {"local..lr=1", ERR_CONFIG, "unknown key local..lr"},
        {".=1", ERR_CONFIG, "unknown key ."},
        {"local.lr=2e3", ERR_CONFIG, "--set: local.lr is 2e3; it must be a number from 0 to 1000"},
        {"local=3", ERR_CONFIG, "--set: local is 3; it must be a section"},
        {"local.lr=", ERR_CONFIG, "local.lr is null; it must be a number"},
        {"peft.targets=[a", ERR_CONFIG, "--set peft.targets: "},
        {"peft.r=*x", ERR_CONFIG, "--set peft.r: aliases"},
        {"task.name=\xff", ERR_CONFIG, "--set task.name: "},
    };

    for (size_t i = 0; i < sizeof kase / sizeof *kase; i++) {
        const char *set[] = {kase[i].set, NULL};
        struct conf *c = NULL;
        struct err e = {0};

        cr_assert_eq(load_code(&c, NULL, set, &e), kase[i].code, "%s", kase[i].set);
        cr_assert(strstr(e.text, kase[i].want), "%s -> %s", kase[i].set, e.text);
        cr_assert_null(c);
    }
}

Test(conf, a_required_key_is_asked_for)
{
    struct conf *c = NULL;
    struct err e = {0};

    cr_assert_eq(conf_load(&c, &type, NULL, NULL, 0, &e), ERR_CONFIG);
    cr_assert_str_eq(e.text, "model is missing: write it into the file or give --set model=VALUE");
    cr_assert_eq(load_code(&c, "model: ~\n", (const char *[]){"model=", NULL}, &e), ERR_CONFIG);
    cr_assert(strstr(e.text, "model is null; it must be a text"), "%s", e.text);
}

static void expect_line(const char *text, const char *value, const char *origin)
{
    char line[128];

    snprintf(line, sizeof line, "\n%-44s  # %s\n", value, origin);
    cr_assert(strstr(text, line), "no%s in\n%s", line, text);
}

Test(conf, show_gives_value_and_origin)
{
    const char *set[] = {"peft.r=4", NULL};
    struct conf *c = load("local:\n  lr: 0.5\ntask: {labels: [a, \"b c\"]}\n", set);
    char *text = shown(c);

    expect_line(text, "  lr: 0.5", "exp.yaml:2");
    expect_line(text, "  r: 4", "--set");
    expect_line(text, "  epochs: 1", "default");
    expect_line(text, "  labels: [a, \"b c\"]", "exp.yaml:3");
    expect_line(text, "  metric: null", "default");
    free(text);
    conf_free(c);
}

/* Shown, read back, shown again: the same but for the origins. */
Test(conf, show_can_be_loaded)
{
    const char *set[] = {"task.text=a: \"b\" # c",
                         "task.labels=[\"null\", \"~\", \"\xe6\x97\xa5\\N\"]",
                         "peers=[{host: h, port: 3}]",
                         "federation.seed=18446744073709551615",
                         "peft.targets=[]",
                         NULL};
    struct conf *c = load("local: {lr: 1e-5}\n", set);
    char *first = shown(c), *comment;
    struct conf *again = load(first, NULL);
    char *second = shown(again), *a = first, *b = second;

    while ((comment = strstr(a, "  # "))) {
        size_t n = (size_t)(comment - a);

        cr_assert_eq(memcmp(a, b, n), 0, "%.*s\n%.*s", (int)n, a, (int)n, b);
        a = strchr(comment, '\n') + 1;
        b = strchr(b + n, '\n') + 1;
    }
    cr_assert(!*a && !*b);
    cr_assert_str_eq(run_of(again)->task.text, "a: \"b\" # c");
    cr_assert_str_eq(run_of(again)->task.labels[2], "\xe6\x97\xa5\xc2\x85");
    cr_assert_eq(run_of(again)->federation.seed, UINT64_MAX);
    free(first);
    free(second);
    conf_free(c);
    conf_free(again);
}

Test(conf, show_to_a_full_disk_is_an_error)
{
    struct conf *c = load(NULL, NULL);
    struct err e = {0};
    FILE *full = fopen("/dev/full", "w");

    cr_assert_eq(conf_show(c, full, &e), ERR_IO);
    cr_assert(strstr(e.text, "No space"), "%s", e.text);
    fclose(full);
    conf_free(c);
}

Test(conf, help_names_every_key)
{
    struct err e = {0};
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    cr_assert_eq(conf_schema_help(&type, out, &e), 0, "%s", e.text);
    fclose(out);
    cr_assert(strstr(text, "model                      a text of 1 to 4096 bytes; required\n"),
              "%s", text);
    cr_assert(strstr(text, "peft.r                     a whole number from 1 to 1024; default 8\n"),
              "%s", text);
    cr_assert(
        strstr(text, "local.optimizer            one of adamw, adamw_hf, sgd; default adamw\n"),
        "%s", text);
    cr_assert(strstr(text, "peft.rslora                true or false; default false\n"), "%s",
              text);
    cr_assert(strstr(text, "; default [query, value]\n"), "%s", text);
    for (const cyaml_schema_field_t *f = conf_federation_fields; f->key; f++)
        cr_assert(strstr(text, f->key), "%s", f->key);
    free(text);
}

Test(conf, files_are_read_with_a_limit)
{
    static char big[CONF_MAX_BYTES + 1];
    char path[] = "/tmp/fedpet-conf-XXXXXX", *set = a_model;
    struct conf *c = NULL;
    struct err e = {0};
    int fd = mkstemp(path);

    cr_assert_geq(fd, 0);
    cr_assert_eq(file_write(path, "local:\n  lr: 7e3\n", 17, 0600, &e), 0);
    cr_assert_eq(conf_load(&c, &type, path, &set, 1, &e), ERR_CONFIG);
    cr_assert(strncmp(e.text, path, strlen(path)) == 0 && strstr(e.text, ":2: local.lr"), "%s",
              e.text);
    memset(big, '#', sizeof big);
    cr_assert_eq(file_write(path, big, sizeof big, 0600, &e), 0);
    cr_assert_eq(conf_load(&c, &type, path, &set, 1, &e), ERR_IO);
    cr_assert(strstr(e.text, path), "%s", e.text);
    cr_assert_eq(conf_load_text(&c, &type, "x", big, sizeof big, &set, 1, &e), ERR_CONFIG);
    cr_assert_eq(conf_load_text(&c, &type, "x", big, sizeof big - 1, &set, 1, &e), 0);
    conf_free(c);
    remove(path);
    c = NULL;
    cr_assert_eq(conf_load(&c, &type, path, &set, 1, &e), ERR_IO);
    cr_assert_null(c);
}

Test(conf, a_wrong_built_in_text_is_an_internal_error)
{
    const struct conf_type broken = {.schema = &top_schema, .defaults = "a: ["};
    struct conf *c = NULL;
    struct err e = {0};

    cr_assert_eq(conf_load(&c, &broken, NULL, NULL, 0, &e), ERR_INTERNAL);
    cr_assert_eq(conf_load(&c, &broken, NULL, NULL, 0, NULL), ERR_INTERNAL);
    cr_assert_eq(conf_schema_help(&broken, stdout, &e), ERR_INTERNAL);
}

/* Damaged text ends in a configuration or a message, never in a crash (run under the sanitizers).
 */
Test(conf, damaged_text_is_harmless)
{
    static const char text[] =
        "model: m\ntask: {name: mrpc, labels: [\"a\\x41\", 'b']}\nlocal:\n  lr: 0.5\n"
        "peft: {targets: [query, value], r: 8}\npeers:\n- host: h\n  port: 1\n";
    static const char odd[] = "{}[]:,\"'&*!|>#%@`?-\n\t \\~\xff\xc2\x85x0";
    struct rng r = rng_stream(8, 0, 0, RNG_TEST);
    int good = 0, bad = 0;

    for (int i = 0; i < 3000; i++) {
        char copy[sizeof text];
        struct conf *c = NULL;
        struct err e = {0};

        memcpy(copy, text, sizeof copy);
        for (uint32_t j = 0; j <= rng_below(&r, 3); j++)
            copy[rng_below(&r, sizeof copy - 1)] = odd[rng_below(&r, sizeof odd)];
        int rc = conf_load_text(&c, &type, "x", copy, sizeof copy - 1, NULL, 0, &e);
        if (rc) {
            cr_assert(rc == ERR_CONFIG && *e.text && !c, "%d %s", rc, e.text);
            bad++;
        } else {
            char *again = shown(c);

            free(again);
            conf_free(c);
            good++;
        }
    }
    cr_assert(good > 50 && bad > 50, "%d good, %d bad", good, bad);
}
