#include "net/token.h"
#include "robots.h"
#include "server/enroll.h"
#include <math.h>

/* What all rounds of the robots lead to, up to rounding: each adds 0.001 times the mean of 1, 2, 3.
 */
static void check_result(const struct deployment *d, const float *got, unsigned rounds)
{
    const struct schema *s = peft_schema(d->run.peft);
    for (size_t i = 0; i < s->count; i++)
        cr_assert_float_eq(got[i], d->run.params[i] + 0.002F * (float)rounds, 1e-6);
}

static void check_status(const struct deployment *d, unsigned rounds)
{
    size_t i;
    json_t *round, *status = status_of(d), *history = json_object_get(status, "history");
    cr_assert_eq(json_integer_value(json_object_get(status, "done")), rounds);
    cr_assert_eq(json_array_size(history), rounds);
    double size = json_number_value(json_object_get(status, "parameter_bytes"));
    cr_assert_eq(size, 4.0 * (double)peft_schema(d->run.peft)->packed);
    json_array_foreach(history, i, round)
    {
        double up = json_number_value(json_object_get(round, "bytes_up")) / ROBOTS,
               down = json_number_value(json_object_get(round, "bytes_down")) / ROBOTS;
        cr_assert(up > size && up < size + 2048, "%f", up);
        cr_assert(down > size && down < size + 2048, "%f", down);
        cr_assert_eq(json_array_size(json_object_get(round, "clients")), ROBOTS);
        cr_assert_float_eq(
            json_number_value(json_object_get(json_object_get(round, "metrics"), "accuracy")), 0.5,
            1e-12);
    }
    json_decref(status);
}

Test(server, three_robots_do_three_rounds)
{
    struct deployment d;
    struct robot r[ROBOTS] = {0};
    uv_loop_t loop;
    deployment_make(&d, NULL, 0);
    server_start(&d);
    uv_loop_init(&loop);
    for (int k = 0; k < ROBOTS; k++)
        robot_dial(&r[k], &loop, &d, k);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int k = 0; k < ROBOTS; k++) {
        cr_assert(r[k].finished);
        cr_assert_eq(r[k].tasks, ROUNDS);
        check_result(&d, r[k].final, ROUNDS);
        robot_release(&r[k]);
    }
    check_status(&d, ROUNDS);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    check_status(&d, ROUNDS);
    uv_loop_close(&loop);
    deployment_remove(&d);
}

Test(server, killed_between_rounds_it_goes_on_with_the_committed_ones)
{
    struct deployment d;
    struct robot r[ROBOTS] = {0};
    deployment_make(&d, NULL, 0);
    robots_play(&d, r, 2);
    for (int k = 0; k < ROBOTS; k++) {
        check_result(&d, r[k].final, ROUNDS);
        robot_release(&r[k]);
    }
    check_status(&d, ROUNDS);
    cr_assert_eq(server_stop_by(&d, SIGINT), 0);
    deployment_remove(&d);
}

Test(server, drains_with_a_goodbye_that_asks_to_come_back)
{
    struct deployment d;
    struct robot r = {0};
    uv_loop_t loop;
    deployment_make(&d, NULL, 0);
    server_start(&d);
    uv_loop_init(&loop);
    robot_dial(&r, &loop, &d, 1); /* two others are missing: it waits */
    for (int waited = 0; waited < PATIENCE_MS; waited += STEP_MS) {
        uv_run(&loop, UV_RUN_NOWAIT);
        json_t *status = status_of(&d);
        const char *state = json_string_value(json_object_get(status, "now"));
        bool ready = state != NULL && strstr(state, "1 of 3 ready") != NULL;
        json_decref(status);
        if (ready)
            break;
        usleep(STEP_MS * 1000);
    }
    cr_assert_eq(kill(d.server, SIGHUP), 0); /* reading certificates anew disturbs nobody */
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert(r.down);
    cr_assert_eq(r.goodbye.reason, REASON_STOPPING);
    cr_assert_neq(r.goodbye.retry_after_s, 0);
    robot_release(&r);
    uv_loop_close(&loop);
    deployment_remove(&d);
}

Test(server, ends_by_itself_when_told_to)
{
    static const char *const more[] = {"exit_when_done=true", "federation.clients=1",
                                       "federation.per_round=1"};
    struct deployment d;
    struct robot r = {0};
    uv_loop_t loop;
    deployment_make(&d, more, 3);
    server_start(&d);
    uv_loop_init(&loop);
    robot_dial(&r, &loop, &d, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert(r.finished);
    cr_assert_eq(server_wait(&d), 0);
    robot_release(&r);
    uv_loop_close(&loop);
    deployment_remove(&d);
}

Test(server, turns_a_revoked_client_away)
{
    struct deployment d;
    struct robot r = {0};
    struct store *store;
    struct hash token = hash_of("t", 1), print = hash_of("p", 1);
    uv_loop_t loop;
    deployment_make(&d, NULL, 0);
    server_start(&d);
    cr_assert_eq(
        store_open(&store, folder_file(&d.folder, "state/" SERVER_DATABASE), STORE_WRITE, NULL), 0);
    cr_assert_eq(store_token(store, &token, NULL, 0, 10, NULL), 0);
    cr_assert_eq(store_enroll(store, &token, "client-0002", &print, 1, NULL), 0);
    cr_assert_eq(store_revoke(store, "client-0002", 2, NULL), 0);
    store_close(store);
    uv_loop_init(&loop);
    robot_dial(&r, &loop, &d, 2);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert(r.down);
    cr_assert_eq(r.tasks, 0);
    robot_release(&r);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    uv_loop_close(&loop);
    deployment_remove(&d);
}

/* --- enrolment over the wire --- */

struct applicant {
    struct robot robot; /* first: its events serve both */
    char token[TOKEN_TEXT];
    struct identity device;
};

static void applicant_up(struct link *l, const char *peer, void *ctx)
{
    struct applicant *a = ctx;
    (void)peer;
    a->robot.link = l;
    tell(&a->robot, &(struct msg){.type = MSG_ENROLL, .enroll = {a->token, a->device.cert}});
}

static const struct link_events applicant_events = {applicant_up, robot_frame, robot_limit,
                                                    robot_down};

static void apply(struct applicant *a, uv_loop_t *loop, struct deployment *d, const char *pin)
{
    struct err e = {0};
    const struct tls_files files = {.ca_sha256 = pin};
    a->robot.d = d;
    cr_assert_eq(tls_context_open(&a->robot.tls, TLS_ENROLL_CLIENT, &files, &e), 0, "%s", e.text);
    uv_timer_init(loop, &a->robot.patience);
    a->robot.patience.data = a;
    uv_timer_start(&a->robot.patience, out_of_patience, PATIENCE_MS, 0);
    cr_assert_eq(link_connect(&a->robot.link, loop, "127.0.0.1", d->enroll_port, a->robot.tls,
                              &applicant_events, a, &e),
                 0, "%s", e.text);
    uv_run(loop, UV_RUN_DEFAULT);
    tls_context_close(a->robot.tls);
}

Test(server, enrols_a_device_while_it_runs)
{
    struct deployment d;
    struct applicant a = {0};
    struct enroll office;
    struct token token;
    struct store *store;
    char pin[HASH_HEX], name[IDENTITY_MAX_NAME + 1];
    uv_loop_t loop;
    deployment_make(&d, NULL, 0);
    server_start(&d);
    cr_assert_eq(
        store_open(&store, folder_file(&d.folder, "state/" SERVER_DATABASE), STORE_WRITE, NULL), 0);
    cr_assert_eq(enroll_open(&office, d.config, store, NULL), 0);
    cr_assert_eq(token_make(&token, &office.fingerprint, NULL), 0);
    struct hash digest = token_digest(&token);
    int64_t now = (int64_t)time(NULL);
    cr_assert_eq(store_token(store, &digest, NULL, now, now + 600, NULL), 0);
    token_format(&token, a.token);
    hash_hex(&office.fingerprint, pin);
    cr_assert_eq(identity_make_csr(&a.device, "phone-7", NULL), 0);
    uv_loop_init(&loop);
    apply(&a, &loop, &d, pin);
    cr_assert_eq(identity_common_name(a.robot.certificate, name, NULL), 0);
    cr_assert_str_eq(name, "phone-7");
    apply(&a, &loop, &d, pin); /* the token is used up */
    cr_assert_eq(a.robot.goodbye.reason, REASON_TOKEN);
    enroll_close(&office);
    store_close(store);
    identity_release(&a.device);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    uv_loop_close(&loop);
    deployment_remove(&d);
}

/* --- what it refuses to begin with --- */

Test(server, a_second_server_and_another_run_are_refused)
{
    struct deployment d;
    struct err e = {0};
    deployment_make(&d, NULL, 0);
    server_start(&d);
    cr_assert_eq(server_run(d.config, &e), ERR_STATE);
    cr_assert_not_null(strstr(e.text, "another fedpet-server"), "%s", e.text);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    deployment_remove(&d);
}

Test(server, a_port_in_use_is_named)
{
    static char listen_key[64];
    struct deployment d, other;
    struct err e = {0};
    deployment_make(&d, NULL, 0);
    server_start(&d);
    snprintf(listen_key, sizeof listen_key, "listen=127.0.0.1:%u", d.port);
    const char *const more[] = {listen_key};
    deployment_make(&other, more, 1);
    cr_assert_eq(server_run(other.config, &e), ERR_NET);
    cr_assert_not_null(strstr(e.text, listen_key + 7), "%s", e.text);
    deployment_remove(&other);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    deployment_remove(&d);
}
