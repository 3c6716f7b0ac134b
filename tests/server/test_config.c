#include "base/file.h"
#include "folder.h"
#include "proto/msg.h"
#include "server/config.h"
#include "server/init.h"
#include "server/run.h"
#include <sys/stat.h>

enum { ALL = NEED_STATE | NEED_IDENTITY | NEED_PORTS };

static int load(const char *path, const char *const *set, size_t n, unsigned needs,
                struct server_config *out, struct err *e)
{
    struct cli_list list = {.n = n};
    struct conf *conf;
    struct server_config *c;
    for (size_t i = 0; i < n; i++)
        list.item[i] = (char *)set[i];
    int rc = server_config_load(&conf, &c, path, &list, needs, e);
    if (rc == 0) {
        *out = *c;
        out->listen = out->enroll = out->state = out->run.model = out->run.adapter =
            NULL; /* freed with conf */
        conf_free(conf);
    }
    return rc;
}

Test(server_config, the_example_is_valid_and_says_the_defaults)
{
    struct err e = {0};
    struct server_config example, defaults;
    cr_assert_eq(load("deploy/examples/server.yaml", NULL, 0, ALL, &example, &e), 0, "%s", e.text);
    struct folder f = folder_make();
    cr_assert_eq(file_write(folder_file(&f, "empty.yaml"), "{}\n", 3, 0600, NULL), 0);
    cr_assert_eq(load(folder_file(&f, "empty.yaml"), NULL, 0, 0, &defaults, &e), 0, "%s", e.text);
    cr_assert_eq(example.max_clients, defaults.max_clients);
    cr_assert_eq(example.exit_when_done, defaults.exit_when_done);
    cr_assert_eq(example.drain_s, defaults.drain_s);
    cr_assert_null(example.metrics);
    cr_assert_eq(example.log.level, defaults.log.level);
    cr_assert_eq(example.run.spec.federation.clients, defaults.run.spec.federation.clients);
    cr_assert_eq(example.run.spec.federation.deadline_s, defaults.run.spec.federation.deadline_s);
    cr_assert_eq(example.run.spec.federation.weighted, defaults.run.spec.federation.weighted);
    cr_assert_eq(example.run.spec.federation.seed, defaults.run.spec.federation.seed);
    cr_assert_eq(example.run.spec.federation.server_lr, defaults.run.spec.federation.server_lr);
    cr_assert_eq(example.run.spec.federation.server_beta2,
                 defaults.run.spec.federation.server_beta2);
    cr_assert_eq(example.run.spec.federation.server_tau, defaults.run.spec.federation.server_tau);
    cr_assert_eq(example.run.spec.federation.clip_norm, defaults.run.spec.federation.clip_norm);
    cr_assert_eq(example.run.spec.federation.krum_keep, defaults.run.spec.federation.krum_keep);
    cr_assert_eq(example.run.spec.federation.evaluate_every,
                 defaults.run.spec.federation.evaluate_every);
    cr_assert_eq(example.run.spec.peft.r, defaults.run.spec.peft.r);
    cr_assert_eq(example.run.spec.peft.targets, defaults.run.spec.peft.targets);
    cr_assert_eq(example.run.spec.peft.bottleneck, defaults.run.spec.peft.bottleneck);
    cr_assert_eq(example.run.spec.peft.length, defaults.run.spec.peft.length);
    cr_assert_eq(example.run.spec.peft.shift, defaults.run.spec.peft.shift);
    cr_assert_arr_eq(&example.run.spec.local, &defaults.run.spec.local,
                     sizeof defaults.run.spec.local);
    folder_remove(&f);
}

static void expect_wrong(const char *set, const char *word)
{
    struct err e = {0};
    struct server_config c;
    cr_assert_eq(load("deploy/examples/server.yaml", &set, 1, ALL, &c, &e), ERR_CONFIG, "%s: %s",
                 set, e.text);
    cr_assert_not_null(strstr(e.text, word), "%s: %s", set, e.text);
}

Test(server_config, names_what_is_wrong)
{
    expect_wrong("federation.per_round=101", "federation.clients");
    expect_wrong("federation.quorum=11", "federation.per_round");
    expect_wrong("federation.over_select=0.9", "federation.over_select");
    expect_wrong("federation.mode=both", "sync, async");
    expect_wrong("federation.rounds=-1", "federation.rounds");
    expect_wrong("max_clients=0", "max_clients");
    expect_wrong("log.level=loud", "log.level");
    expect_wrong("lissen=1", "listen");
    expect_wrong("identity.ca_keys=x", "identity.ca_key");
}

Test(server_config, names_what_is_missing)
{
    struct err e = {0};
    struct server_config c;
    struct folder f = folder_make();
    const char *path = folder_file(&f, "some.yaml");
    cr_assert_eq(file_write(path, "state: x\n", 9, 0600, NULL), 0);
    cr_assert_eq(load(path, NULL, 0, NEED_STATE, &c, &e), 0);
    cr_assert_eq(load(path, NULL, 0, NEED_STATE | NEED_PORTS, &c, &e), 0, "%s", e.text);
    const char *const task = "task.name=sst2", *const model = "model=x";
    cr_assert_eq(load(path, &task, 1, NEED_STATE | NEED_PORTS, &c, &e), ERR_CONFIG);
    cr_assert_not_null(strstr(e.text, "model is missing"), "%s", e.text);
    cr_assert_eq(load(path, &model, 1, NEED_STATE | NEED_PORTS, &c, &e), ERR_CONFIG);
    cr_assert_not_null(strstr(e.text, "task.name is missing"), "%s", e.text);
    cr_assert_not_null(strstr(e.text, path), "%s", e.text);
    cr_assert_eq(load(path, NULL, 0, NEED_IDENTITY, &c, &e), ERR_CONFIG);
    cr_assert_not_null(strstr(e.text, "identity.ca"), "%s", e.text);
    cr_assert_eq(load(NULL, NULL, 0, 0, &c, &e), ERR_USAGE);
    cr_assert_not_null(strstr(e.text, "--config"), "%s", e.text);
    folder_remove(&f);
}

Test(server_config, init_makes_a_folder_that_loads_and_never_overwrites_one)
{
    struct folder f = folder_make();
    struct err e = {0};
    struct server_config c;
    struct stat st;
    const char *const hosts[] = {"localhost", "127.0.0.1"}, *const bad = "not a host";
    cr_assert_eq(init_folder(f.path, &bad, 1, &e), ERR_CONFIG);
    cr_assert_not(file_exists(folder_file(&f, "ca.key")));
    cr_assert_eq(init_folder(f.path, hosts, 2, &e), 0, "%s", e.text);
    cr_assert_eq(load(folder_file(&f, "server.yaml"), NULL, 0, NEED_STATE | NEED_IDENTITY, &c, &e),
                 0, "%s", e.text);
    static const char *const keys[] = {"ca.key", "server.key"};
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(stat(folder_file(&f, keys[i]), &st), 0);
        cr_assert_eq(st.st_mode & 0777, 0600);
    }
    cr_assert_eq(remove(folder_file(&f, "server.yaml")), 0);
    cr_assert_eq(init_folder(f.path, hosts, 2, &e), ERR_IO); /* the CA is still there */
    cr_assert_not_null(strstr(e.text, "ca.pem"), "%s", e.text);
    cr_assert_not(file_exists(folder_file(&f, "server.yaml")));
    folder_remove(&f);
}

Test(server_config, a_run_is_what_its_results_depend_on)
{
    char *labels[] = {(char *)"a", (char *)"b"}, *joined[] = {(char *)"ab", (char *)""};
    struct run_spec s = {
        .task = {.name = (char *)"text", .text = (char *)"t", .labels = labels, .n_labels = 2},
        .peft = {.method = (char *)"lora", .r = 8, .alpha = 8},
        .local = {.epochs = 1, .lr = 0.001},
        .federation = {.clients = 10,
                       .per_round = 5,
                       .rounds = 3,
                       .deadline_s = 60,
                       .weighted = true,
                       .seed = 1},
    };
    struct hash m = hash_of("m", 1), schema = hash_of("s", 1), p = hash_of("p", 1),
                base = run_identity(&s, &m, &schema, &p), got;
    struct run_spec same = s;
    same.federation.rounds = 30;
    same.federation.deadline_s = 5;
    same.federation.quorum = 2;
    same.federation.over_select = 1;   /* as in runs of before over-selection, */
    same.federation.max_staleness = 5; /* and of before asynchronous rounds */
    got = run_identity(&same, &m, &schema, &p);
    cr_assert_arr_eq(&got, &base, sizeof base);
    struct run_spec other[10];
    for (int i = 0; i < 10; i++)
        other[i] = s;
    other[0].task.labels = joined;
    other[1].task.text_pair = (char *)"";
    other[2].peft.r = 9;
    other[3].local.lr = 0.0010000000001;
    other[4].local.model_dropout = 0.1;
    other[5].federation.seed = 2;
    other[6].federation.weighted = false;
    other[7].federation.per_round = 4;
    other[8].federation.over_select = 1.3;
    other[9].federation.mode = MODE_ASYNC;
    for (int i = 0; i < 10; i++) {
        got = run_identity(&other[i], &m, &schema, &p);
        cr_assert_arr_neq(&got, &base, sizeof base, "%d", i);
    }
    s.local.decay_over_run = same.local.decay_over_run = true; /* then rounds matter */
    base = run_identity(&s, &m, &schema, &p);
    got = run_identity(&same, &m, &schema, &p);
    cr_assert_arr_neq(&got, &base, sizeof base);
    got = run_identity(&s, &p, &schema, &m);
    cr_assert_arr_neq(&got, &base, sizeof base);
}

Test(server_config, a_run_that_clients_could_not_be_told_of_is_refused)
{
    static char name[MSG_MAX_LABELS + 1][8], *labels[MSG_MAX_LABELS + 1];
    const char *const set[] = {"exit_when_done=true"};
    struct folder f = folder_make();
    const char *path = folder_file(&f, "server.yaml");
    struct server_config c;
    struct err e = {0};
    struct run r;
    cr_assert_eq(file_write(path, "", 0, 0600, &e), 0);
    cr_assert_eq(load(path, set, 1, 0, &c, &e), 0, "%s", e.text);
    folder_remove(&f);
    c.run.spec.peft.method = (char *)"lora";
    c.run.spec.federation.upload = c.run.spec.federation.download =
        NULL; /* they went with the file, too */
    for (int i = 0; i <= MSG_MAX_LABELS; i++) {
        snprintf(name[i], sizeof name[i], "%d", i);
        labels[i] = name[i];
    }
    c.run.model = (char *)"/nowhere";
    c.run.spec.task.name = (char *)"text";
    c.run.spec.task.labels = labels;
    c.run.spec.task.n_labels = MSG_MAX_LABELS;
    cr_assert_eq(run_open(&r, &c.run, &e), ERR_IO, "%s", e.text); /* that many can be told */
    c.run.spec.task.n_labels = MSG_MAX_LABELS + 1;
    cr_assert_eq(run_open(&r, &c.run, &e), ERR_CONFIG);
    cr_assert_not_null(strstr(e.text, "task.classes"), "%s", e.text);
}
