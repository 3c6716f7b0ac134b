/* The daemon's configuration and experiment files: what is missing, wrong, or beside the file. */
#include "client/client_config.h"
#include "client/experiment.h"
#include "text/dataset.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static char *const complete[] = {
    (char *)"server=fl.example.org:8443",
    (char *)"identity=id",
    (char *)"model=model",
    (char *)"data=data.jsonl",
    (char *)"state=state",
};
enum { COMPLETE = 5 };

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/fedpet-config-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}

static void write_at(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    cr_assert_geq(fputs(text, f), 0);
    cr_assert_eq(fclose(f), 0);
}

static void remove_at(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    cr_assert_eq(remove(path), 0);
}

static void fini(void)
{
    rmdir(dir);
}

TestSuite(config, .init = setup, .fini = fini);
TestSuite(experiment, .init = setup, .fini = fini);

Test(config, runs_are_named_by_runs_of_a_server)
{
    char *set[COMPLETE + 1];
    struct conf *conf;
    struct err e;
    memcpy(set, complete, sizeof complete);
    set[COMPLETE] = (char *)"runs=[default, topics-2]";
    cr_assert_eq(client_config_load(&conf, NULL, set, COMPLETE + 1, &e), 0, "%s", e.text);
    const struct client_config *c = conf_data(conf);
    cr_assert_eq(c->runs.n, 2);
    cr_assert_str_eq(c->runs.name[1], "topics-2");
    conf_free(conf);
    set[COMPLETE] = (char *)"runs=[../up]";
    cr_assert_eq(client_config_load(&conf, NULL, set, COMPLETE + 1, &e), ERR_CONFIG);
    cr_assert_not_null(strstr(e.text, "runs: ../up"), "%s", e.text);
}

Test(config, defaults)
{
    struct conf *conf;
    struct err e;
    cr_assert_eq(client_config_load(&conf, NULL, complete, COMPLETE, &e), 0, "%s", e.text);
    const struct client_config *c = conf_data(conf);
    cr_assert_str_eq(c->server, "fl.example.org:8443");
    cr_assert_str_eq(c->data, "data.jsonl");
    cr_assert_eq(c->threads, 0);
    cr_assert_eq(c->memory_limit, 0);
    cr_assert_eq(c->memory, MEMORY_AUTO);
    cr_assert_float_eq(c->validation, 0, 0);
    cr_assert_float_eq(c->cpu_share, 1, 0);
    cr_assert_null(c->gates.hours);
    cr_assert_not(c->gates.ac_power);
    cr_assert_float_eq(c->gates.max_load, 0, 0);
    cr_assert_eq(c->gates.min_free, 0);
    cr_assert_eq(c->log.level, LOG_INFO);
    cr_assert(!c->log.json);
    conf_free(conf);
}

Test(config, each_key_without_default_is_required)
{
    for (size_t missing = 0; missing < COMPLETE; missing++) {
        char *set[COMPLETE];
        size_t n = 0;
        struct conf *conf;
        struct err e;
        for (size_t i = 0; i < COMPLETE; i++)
            if (i != missing)
                set[n++] = complete[i];
        cr_assert_eq(client_config_load(&conf, NULL, set, n, &e), ERR_CONFIG);
        char key[32];
        snprintf(key, sizeof key, "%.*s is missing", (int)strcspn(complete[missing], "="),
                 complete[missing]);
        cr_assert_not_null(strstr(e.text, key), "%s", e.text);
    }
}

Test(config, values_out_of_range_and_unknown_keys_are_refused)
{
    static const char *const bad[] = {"validation=0.6", "validation=-0.1",  "threads=100000",
                                      "log.level=loud", "server=nowhere",   "server=host:0",
                                      "server=:1",      "server=host:1x",   "colour=green",
                                      "cpu_share=0",    "gates.hours=9-17", "gates.max_load=2",
                                      "memory=most",    "memory_limit=1T5", "memory_limit_mib=512"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *set[COMPLETE + 1];
        struct conf *conf;
        struct err e;
        memcpy(set, complete, sizeof complete);
        set[COMPLETE] = (char *)(uintptr_t)bad[i];
        cr_assert_eq(client_config_load(&conf, NULL, set, COMPLETE + 1, &e), ERR_CONFIG, "%s",
                     bad[i]);
        char key[32];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(bad[i], "=."), bad[i]);
        cr_assert_not_null(strstr(e.text, key), "%s: %s", bad[i], e.text);
    }
}

Test(config, sizes_have_units)
{
    char *set[COMPLETE + 2];
    struct conf *conf;
    struct err e;
    memcpy(set, complete, sizeof complete);
    set[COMPLETE] = (char *)(uintptr_t) "memory_limit=512M";
    set[COMPLETE + 1] = (char *)(uintptr_t) "gates.min_free=2G";
    cr_assert_eq(client_config_load(&conf, NULL, set, COMPLETE + 2, &e), 0, "%s", e.text);
    const struct client_config *c = conf_data(conf);
    cr_assert_eq(c->memory_limit, 512U << 20);
    cr_assert_eq(c->gates.min_free, 2ULL << 30);
    conf_free(conf);
    set[COMPLETE] = (char *)(uintptr_t) "memory_limit_mib=512";
    cr_assert_eq(client_config_load(&conf, NULL, set, COMPLETE + 1, &e), ERR_CONFIG);
    cr_assert_not_null(strstr(e.text, "did you mean memory_limit?"), "%s", e.text);
}

Test(config, gates_need_savepoints)
{
    char *set[COMPLETE + 2];
    struct conf *conf;
    struct err e;
    memcpy(set, complete, sizeof complete);
    set[COMPLETE] = (char *)(uintptr_t) "gates={hours: \"22:00-06:00\", max_load: 0.5}";
    set[COMPLETE + 1] = (char *)(uintptr_t) "checkpoint_s=0";
    cr_assert_eq(client_config_load(&conf, NULL, set, COMPLETE + 1, &e), 0, "%s", e.text);
    const struct client_config *c = conf_data(conf);
    cr_assert_str_eq(c->gates.hours, "22:00-06:00");
    cr_assert_str_eq(c->gates.root, "/");
    cr_assert_eq(c->gates.settle_s, 30);
    conf_free(conf);
    cr_assert_eq(client_config_load(&conf, NULL, set, COMPLETE + 2, &e), ERR_CONFIG);
    cr_assert_not_null(strstr(e.text, "checkpoint_s"), "%s", e.text);
}

Test(config, memory_modes_are_words)
{
    enum memory_mode mode = MEMORY_MIN;
    struct err e;
    for (int m = MEMORY_AUTO; m <= MEMORY_HALF; m++) {
        cr_assert_eq(client_memory(client_memory_word(m), &mode, &e), 0, "%s", e.text);
        cr_assert_eq((int)mode, m);
    }
    cr_assert_eq(client_memory("most", &mode, &e), ERR_USAGE);
    cr_assert_eq(mode, MEMORY_HALF);
    cr_assert_not_null(strstr(e.text, "auto, min, fast or half"), "%s", e.text);
}

Test(config, threads_default_to_the_cores)
{
    cr_assert_eq(client_threads(3), 3);
    cr_assert_geq(client_threads(0), 1);
}

/* --- experiments ---------------------------------------------------------------------------- */

static int load(const char *name, char *const *set, size_t n, struct conf **conf, struct arena *mem,
                struct experiment *x, struct err *e)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    arena_init(mem, ARENA_NO_CAP);
    return experiment_load(conf, mem, x, path, set, n, e);
}

Test(experiment, paths_beside_the_file)
{
    struct conf *conf;
    struct arena mem;
    struct experiment x;
    struct err e;
    char expected[128];
    write_at("model", "");
    write_at("data", "");
    write_at("x.yaml", "model: model\n"
                       "task: {name: mrpc, data: data}\n"
                       "peft: {r: 4, targets: [query, output]}\n"
                       "federation: {seed: 18446744073709551615, partition: iid}\n"
                       "local: {epochs: 5, lr: 0.01}\n");
    char *set[] = {(char *)"local.lr=0.02"};
    cr_assert_eq(load("x.yaml", set, 1, &conf, &mem, &x, &e), 0, "%s", e.text);
    snprintf(expected, sizeof expected, "%s/model", dir);
    cr_assert_str_eq(x.model, expected);
    snprintf(expected, sizeof expected, "%s/data", dir);
    cr_assert_str_eq(x.spec.task.data, expected);
    cr_assert_eq(x.spec.peft.r, 4);
    cr_assert_eq(x.spec.peft.targets, 1u << LIN_QUERY | 1u << LIN_OUTPUT);
    cr_assert_eq(x.spec.federation.seed, UINT64_MAX);
    cr_assert_eq(x.spec.federation.partition, PARTITION_IID);
    cr_assert_eq(x.spec.local.epochs, 5);
    cr_assert_float_eq(x.spec.local.lr, 0.02, 0);
    cr_assert_eq(x.spec.local.batch_size, 32);
    conf_free(conf);
    arena_release(&mem);
    remove_at("model");
    remove_at("data");
    remove_at("x.yaml");
}

Test(experiment, what_is_missing_is_named)
{
    static const struct {
        const char *text, *says;
        int code;
    } row[] = {
        {"task: {name: mrpc, data: x}\n", "model is missing", ERR_CONFIG},
        {"model: x\ntask: {data: x}\n", "task.name is missing", ERR_CONFIG},
        {"model: x\ntask: {name: mrpc}\n", "task.data is missing", ERR_CONFIG},
        {"model: x\n", "task.name is missing", ERR_CONFIG},
        {"model: nowhere\ntask: {name: mrpc, data: x}\n", "nowhere", ERR_IO},
        {"model: /tmp\ntask: {name: mrpc, data: nothing}\n", "nothing", ERR_IO},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct conf *conf;
        struct arena mem;
        struct experiment x;
        struct err e;
        write_at("x.yaml", row[i].text);
        cr_assert_eq(load("x.yaml", NULL, 0, &conf, &mem, &x, &e), row[i].code, "row %zu", i);
        cr_assert_not_null(strstr(e.text, row[i].says), "%s", e.text);
        cr_assert_not_null(strstr(e.text, "x.yaml"), "%s", e.text);
        arena_release(&mem);
        remove_at("x.yaml");
    }
}

Test(experiment, the_metric_fits_the_task)
{
    static const struct {
        const char *name, *metric;
        uint32_t labels;
        int rc;
        enum metric expected;
    } row[] = {
        {"text", NULL, 2, 0, METRIC_ACCURACY},
        {"text", NULL, 5, 0, METRIC_ACCURACY},
        {"text", NULL, 1, 0, METRIC_MSE},
        {"text", "f1", 2, 0, METRIC_F1},
        {"text", "f1", 3, ERR_CONFIG, METRIC_ACCURACY},
        {"text", "mse", 2, ERR_CONFIG, METRIC_MSE},
        {"text", "accuracy", 1, ERR_CONFIG, METRIC_MSE},
        {"text", "luck", 2, ERR_CONFIG, METRIC_F1},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct task_spec task = {.name = (char *)(uintptr_t)row[i].name,
                                 .metric = (char *)(uintptr_t)row[i].metric};
        enum metric m = METRIC_ACCURACY;
        struct err e;
        cr_assert_eq(task_metric(&task, row[i].labels, &m, &e), row[i].rc, "row %zu", i);
        if (!row[i].rc)
            cr_assert_eq(m, row[i].expected, "row %zu", i);
    }
}
