/* Several runs on one real server, with real TLS and databases, and robots for clients. */
#include "asking.h"
#include "server/cmd.h"

static const char second_yaml[] = "task: {name: sst2}\n"
                                  "federation: {clients: 3, per_round: 3, rounds: 3, seed: 5}\n"
                                  "local: {max_length: 16}\n";

static int create(const struct deployment *d, const char *name, const char *yaml,
                  const char *const *more, size_t n, struct err *e)
{
    const char *path = folder_file(&d->folder, "from.yaml");
    struct cli_list set = {.n = n};
    char run_id[17];
    for (size_t i = 0; i < n; i++)
        set.item[i] = (char *)more[i];
    cr_assert_eq(file_write(path, yaml, strlen(yaml), 0600, e), 0, "%s", e->text);
    return runs_create(d->config, name, path, &set, false, run_id, e);
}

static void must_create(const struct deployment *d, const char *name)
{
    struct err e = {0};
    cr_assert_eq(create(d, name, second_yaml, NULL, 0, &e), 0, "%s", e.text);
}

static void heed(const struct deployment *d)
{
    cr_assert_eq(kill(d->server, SIGHUP), 0);
}

static void wish(const struct deployment *d, const char *name, enum store_wish wish)
{
    char path[256];
    struct store *store;
    struct err e = {0};
    cr_assert_eq(runs_path(path, sizeof path, d->config->state, name, RUNS_DATABASE, &e), 0);
    cr_assert_eq(store_open(&store, path, STORE_WRITE, &e), 0, "%s", e.text);
    cr_assert_eq(store_wish(store, wish, &e), 0, "%s", e.text);
    store_close(store);
}

/* The line of `run list`, as JSON. */
static json_t *listed(const struct deployment *d, const char *name)
{
    json_t *status = NULL, *run, *found = NULL;
    struct err e = {0};
    size_t i;
    cr_assert_eq(status_collect(&status, d->config, NULL, &e), 0, "%s", e.text);
    json_array_foreach(json_object_get(status, "runs"), i, run)
    {
        if (strcmp(json_string_value(json_object_get(run, "name")), name) == 0)
            found = json_incref(run);
    }
    json_decref(status);
    cr_assert_not_null(found, "%s", name);
    return found;
}

static bool has(const struct deployment *d, const char *name, const char *key, const char *words)
{
    json_t *run = listed(d, name);
    const char *value = json_string_value(json_object_get(run, key));
    bool yes = value != NULL && strstr(value, words) != NULL;
    json_decref(run);
    return yes;
}

static void await(const struct deployment *d, uv_loop_t *loop, const char *name, const char *key,
                  const char *words)
{
    for (int waited = 0; !has(d, name, key, words); waited += STEP_MS) {
        cr_assert_lt(waited, PATIENCE_MS, "%s %s never is %s", name, key, words);
        if (loop != NULL)
            uv_run(loop, UV_RUN_NOWAIT);
        usleep(STEP_MS * 1000);
    }
}

static void check_final(const struct deployment *d, const struct robot *r, unsigned rounds,
                        uint64_t seed)
{
    const struct schema *s = peft_schema(d->run.peft);
    float *theta = calloc(s->count, sizeof *theta);
    peft_init(d->run.peft, seed, theta);
    cr_assert(r->finished);
    for (size_t i = 0; i < s->count; i++)
        cr_assert_float_eq(r->final[i], theta[i] + 0.002F * (float)rounds, 1e-6);
    free(theta);
}

/* --- making them --- */

Test(runs, a_specification_is_checked_before_anything_is_written)
{
    static const char *const more[] = {"task.name=nothing"};
    static const char *const nowhere[] = {"model=/nowhere"};
    static const char *const twice[] = {"task={name: text, labels: [a, a]}"};
    static const char *const quorum[] = {"federation.quorum=9"};
    struct deployment d;
    struct runs_names *names = calloc(1, sizeof *names);
    struct err e = {0};
    deployment_make(&d, NULL, 0);
    cr_assert_eq(create(&d, "Up", second_yaml, NULL, 0, &e), ERR_USAGE);
    cr_assert_eq(create(&d, "..", second_yaml, NULL, 0, &e), ERR_USAGE);
    cr_assert_eq(create(&d, RUNS_DEFAULT, second_yaml, NULL, 0, &e), ERR_USAGE);
    cr_assert_eq(create(&d, "a", "listen: x\n", NULL, 0, &e), ERR_CONFIG);
    cr_assert_not_null(strstr(e.text, "listen"), "%s", e.text);
    cr_assert_eq(create(&d, "a", second_yaml, more, 1, &e), ERR_CONFIG);
    cr_assert_eq(create(&d, "a", second_yaml, quorum, 1, &e), ERR_CONFIG);
    cr_assert_eq(create(&d, "a", second_yaml, twice, 1, &e), ERR_CONFIG);
    cr_assert_eq(create(&d, "a", second_yaml, nowhere, 1, &e), ERR_IO);
    cr_assert_eq(runs_list(names, d.config, &e), 0);
    cr_assert_eq(names->n, 1); /* the configuration's own */
    must_create(&d, "a");
    cr_assert_eq(create(&d, "a", second_yaml, NULL, 0, &e), ERR_USAGE);
    cr_assert_not_null(strstr(e.text, "exists"), "%s", e.text);
    cr_assert_eq(runs_list(names, d.config, &e), 0);
    cr_assert_eq(names->n, 2);
    cr_assert(runs_has(names, "a") && runs_has(names, RUNS_DEFAULT) && !runs_has(names, "b"));
    free(names);
    deployment_remove(&d);
}

Test(runs, a_server_has_so_many_and_no_more)
{
    struct deployment d;
    char name[16];
    struct err e = {0};
    deployment_make(&d, NULL, 0); /* with the configuration's own */
    for (int i = 1; i < MSG_MAX_RUNS; i++) {
        snprintf(name, sizeof name, "run-%d", i);
        must_create(&d, name);
    }
    cr_assert_eq(create(&d, "one-more", second_yaml, NULL, 0, &e), ERR_STATE);
    cr_assert_not_null(strstr(e.text, "64"), "%s", e.text);
    deployment_remove(&d);
}

Test(runs, the_example_is_a_specification)
{
    struct conf *conf;
    struct err e = {0};
    char *model[] = {(char *)"model=x"};
    cr_assert_eq(conf_load(&conf, &run_conf, "deploy/examples/run.yaml", model, 1, &e), 0, "%s",
                 e.text);
    cr_assert_eq(run_config_check(conf_data(conf), "run.yaml", &e), 0, "%s", e.text);
    conf_free(conf);
}

/* --- side by side --- */

Test(runs, two_are_served_at_once_and_a_new_one_is_told_of)
{
    struct deployment d;
    struct robot first[ROBOTS] = {{0}}, second[ROBOTS] = {{0}};
    uv_loop_t loop;
    deployment_make(&d, NULL, 0);
    server_start(&d);
    uv_loop_init(&loop);
    robot_dial(&first[0], &loop, &d, 0); /* names none: gets the only one, and waits there */
    await(&d, &loop, RUNS_DEFAULT, "now", "1 of 3 ready");
    cr_assert_str_eq(first[0].name, RUNS_DEFAULT);
    cr_assert_str_eq(first[0].listed, RUNS_DEFAULT);
    must_create(&d, "second");
    heed(&d);
    await(&d, &loop, "second", "now", "0 of 3 ready");
    for (int waited = 0; strcmp(first[0].listed, "default,second") != 0; waited += STEP_MS) {
        cr_assert_lt(waited, PATIENCE_MS, "%s", first[0].listed);
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(STEP_MS * 1000);
    }
    for (int k = 0; k < ROBOTS; k++) {
        first[k].run = RUNS_DEFAULT;
        second[k].run = "second";
        robot_dial(&second[k], &loop, &d, k);
        if (k > 0)
            robot_dial(&first[k], &loop, &d, k);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int k = 0; k < ROBOTS; k++) {
        check_final(&d, &first[k], ROUNDS, 42);
        check_final(&d, &second[k], ROUNDS, 5);
        robot_release(&first[k]);
        robot_release(&second[k]);
    }
    cr_assert(has(&d, RUNS_DEFAULT, "state", "finished"));
    cr_assert(has(&d, "second", "state", "finished"));
    cr_assert_eq(count_audited(&d, "round_committed"), 2 * ROUNDS);
    cr_assert_eq(count_audited(&d, "run_finished"), 2);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    uv_loop_close(&loop);
    deployment_remove(&d);
}

Test(runs, a_connection_that_names_none_gets_the_next_that_its_client_is_not_in)
{
    struct deployment d;
    struct robot r[4] = {{0}};
    uv_loop_t loop;
    deployment_make(&d, NULL, 0);
    must_create(&d, "a");
    server_start(&d);
    uv_loop_init(&loop);
    robot_dial(&r[0], &loop, &d, 1);
    await(&d, &loop, "a", "now", "1 of 3 ready");
    robot_dial(&r[1], &loop, &d, 1);
    await(&d, &loop, RUNS_DEFAULT, "now", "1 of 3 ready");
    cr_assert_str_eq(r[0].name, "a");
    cr_assert_str_eq(r[1].name, RUNS_DEFAULT);
    robot_dial(&r[2], &loop, &d, 1); /* none is left, and none is over */
    r[3].run = "b";
    robot_dial(&r[3], &loop, &d, 2);
    while (!r[2].down || !r[3].down)
        uv_run(&loop, UV_RUN_ONCE);
    cr_assert_eq(r[2].goodbye.reason, REASON_NONE);
    cr_assert_eq(r[3].goodbye.reason, REASON_RUN);
    cr_assert_neq(r[2].goodbye.retry_after_s, 0);
    cr_assert_neq(r[3].goodbye.retry_after_s, 0);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int k = 0; k < 4; k++)
        robot_release(&r[k]);
    uv_loop_close(&loop);
    deployment_remove(&d);
}

Test(runs, a_run_says_who_works_for_another)
{
    struct deployment d;
    struct robot first[ROBOTS] = {{0}}, second[ROBOTS] = {{0}};
    uv_loop_t loop;
    deployment_make(&d, NULL, 0);
    must_create(&d, "second");
    server_start(&d);
    uv_loop_init(&loop);
    for (int k = 0; k < ROBOTS; k++) {
        first[k] = (struct robot){.run = RUNS_DEFAULT, .mute = k == 1};
        robot_dial(&first[k], &loop, &d, k);
    }
    await(&d, &loop, RUNS_DEFAULT, "now", "2 of 3 updates");
    for (int k = 0; k < ROBOTS; k++) {
        second[k] = (struct robot){.run = "second", .mute = k == 1};
        robot_dial(&second[k], &loop, &d, k);
    }
    await(&d, &loop, "second", "now", "waits for client-0001; client-0001 works for default");
    cr_assert_not(has(&d, RUNS_DEFAULT, "now", "works for"));
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int k = 0; k < ROBOTS; k++) {
        robot_release(&first[k]);
        robot_release(&second[k]);
    }
    uv_loop_close(&loop);
    deployment_remove(&d);
}

Test(runs, who_has_another_model_is_absent_until_it_has_the_right_one)
{
    struct deployment d;
    struct robot r = {.foreign = true};
    uv_loop_t loop;
    deployment_make(&d, NULL, 0);
    server_start(&d);
    uv_loop_init(&loop);
    robot_dial(&r, &loop, &d, 1);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert_eq(r.goodbye.reason, REASON_MODEL);
    json_t *status = status_of(&d), *absent = json_object_get(status, "absent");
    cr_assert_str_eq(json_string_value(json_object_get(absent, "client-0001")), "model");
    json_decref(status);
    r.foreign = false;
    robot_dial(&r, &loop, &d, 1);
    await(&d, &loop, RUNS_DEFAULT, "now", "1 of 3 ready");
    status = status_of(&d);
    cr_assert_eq(json_object_size(json_object_get(status, "absent")), 0);
    json_decref(status);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    robot_release(&r);
    uv_loop_close(&loop);
    deployment_remove(&d);
}

/* --- paused, stopped, damaged --- */

Test(runs, a_pause_and_a_stop_outlive_the_server)
{
    struct deployment d;
    struct robot r[ROBOTS] = {{0}};
    uv_loop_t loop;
    deployment_make(&d, NULL, 0);
    must_create(&d, "second");
    cr_assert(has(&d, "second", "state", "created"));
    wish(&d, "second", WISH_PAUSE); /* without a server */
    server_start(&d);
    uv_loop_init(&loop);
    for (int k = 0; k < ROBOTS; k++) {
        r[k].run = "second";
        robot_dial(&r[k], &loop, &d, k);
    }
    await(&d, &loop, "second", "now", "paused; round 1 of 3: waiting to be resumed");
    cr_assert(has(&d, "second", "state", "paused"));
    kill(d.server, SIGKILL);
    waitpid(d.server, NULL, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    server_start(&d);
    cr_assert(has(&d, "second", "now", "paused"));
    for (int k = 0; k < ROBOTS; k++)
        robot_dial(&r[k], &loop, &d, k);
    r[0].stop_after = 1;
    wish(&d, "second", WISH_GO_ON);
    heed(&d);
    while (!r[0].down)
        uv_run(&loop, UV_RUN_ONCE);
    await(&d, &loop, "second", "now", "round 2 of 3: waiting for clients: 2 of 3 ready");
    wish(&d, "second", WISH_STOP);
    heed(&d);
    while (!r[1].down || !r[2].down)
        uv_run(&loop, UV_RUN_ONCE);
    check_final(&d, &r[1], 1, 5);
    cr_assert(has(&d, "second", "state", "stopped"));
    kill(d.server, SIGKILL);
    waitpid(d.server, NULL, 0);
    server_start(&d);
    cr_assert(has(&d, "second", "now", "stopped after 1 of 3 rounds"));
    r[0].stop_after = 0;
    robot_dial(&r[0], &loop, &d, 0); /* who was away gets the result */
    uv_run(&loop, UV_RUN_DEFAULT);
    check_final(&d, &r[0], 1, 5);
    for (int k = 0; k < ROBOTS; k++)
        robot_release(&r[k]);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    uv_loop_close(&loop);
    deployment_remove(&d);
}

Test(runs, a_damaged_one_is_put_aside_and_hurts_no_other)
{
    static const char *const page[] = {"metrics=127.0.0.1:0"};
    struct deployment d;
    struct robot r[ROBOTS] = {{0}};
    struct err e = {0};
    char path[256];
    deployment_make(&d, page, 1);
    must_create(&d, "broken");
    cr_assert_eq(runs_path(path, sizeof path, d.config->state, "broken", RUNS_DATABASE, &e), 0);
    cr_assert_eq(file_write(path, "scribble", 8, 0600, &e), 0);
    robots_play(&d, r, 0); /* default, to its end */
    for (int k = 0; k < ROBOTS; k++)
        robot_release(&r[k]);
    cr_assert(has(&d, "broken", "state", "damaged"));
    cr_assert(has(&d, RUNS_DEFAULT, "state", "finished"));
    unsigned port = page_port(&d);
    char *health = get(port, "/healthz");
    cr_assert_not_null(strstr(health, "put aside"), "%s", health);
    expect_status(health, 503);
    expect_status(get(port, "/healthz/default"), 200);
    expect_status(get(port, "/healthz/broken"), 503);
    expect_status(get(port, "/healthz/none"), 404);
    char *metrics = get(port, "/metrics");
    cr_assert_eq(page_value(metrics, "fedpet_run_failing{run=\"broken\"}"), 1);
    cr_assert_eq(page_value(metrics, "fedpet_run_failing{run=\"default\"}"), 0);
    free(metrics);
    cr_assert_eq(remove(path), 0); /* a new database, as a backup would be */
    heed(&d);
    await(&d, NULL, "broken", "now", "0 of 3 ready");
    expect_status(get(port, "/healthz"), 200);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    deployment_remove(&d);
}
